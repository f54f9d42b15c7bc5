//! What can go wrong between bytes and messages. No I/O.

/// Bytes that are not the message they should be. The connection that sent them is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field reaches past the end of the buffer.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// More elements are announced than the bytes that are left could hold, or than the message may have.
    #[error("{count} elements are announced, {left} bytes are left")]
    TooManyElements {
        /// Announced element count.
        count: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A length below -1, or below 0 where null is impossible.
    #[error("the length {length} is negative")]
    NegativeLength {
        /// The length read.
        length: i64,
    },
    /// Null in a field that knows no null in this version.
    #[error("null in a field that is never null")]
    UnexpectedNull,
    /// A variable-length integer with more bits than its type.
    #[error("a variable-length integer is too long")]
    VarintTooLong,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// A tagged field above [`TAGGED_FIELD_BYTES_MAX`](crate::wire::TAGGED_FIELD_BYTES_MAX), or one whose content does not
    /// fill its announced size.
    #[error("a tagged field of {size} bytes is too large or not filled by its content")]
    TaggedFieldSize {
        /// The announced size in bytes.
        size: usize,
    },
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Bytes follow the message.
    #[error("{left} bytes follow the message")]
    TrailingBytes {
        /// Bytes that were left.
        left: usize,
    },
}

/// A message that cannot be written in the version asked for: a mistake of the caller, not of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field holds a value, yet the version cannot carry it and the field must not be dropped silently.
    #[error("{field} cannot be sent in version {version}")]
    UnsupportedField {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Null in a field that knows no null in this version.
    #[error("{field} is null, which version {version} cannot carry")]
    UnexpectedNull {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, byte field or array longer than its length prefix can say.
    #[error("a length of {length} does not fit its prefix")]
    TooLong {
        /// The length in bytes or elements.
        length: usize,
    },
}
