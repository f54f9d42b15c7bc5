//! What can be wrong with a record batch. No I/O.

use crate::wire::DecodeError;

/// A batch that cannot be accepted or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The slice ends before the batch does.
    #[error("the batch takes {size} bytes, {available} are there")]
    Incomplete {
        /// Bytes the batch takes, or the header's size if not even that is there.
        size: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field is below what a header takes.
    #[error("the batch length {length} is below that of an empty batch")]
    InvalidLength {
        /// The length field.
        length: i32,
    },
    /// A format other than v2.
    #[error("the batch has magic {magic}, only 2 is supported")]
    UnsupportedMagic {
        /// The magic byte.
        magic: i8,
    },
    /// A codec that Kafka does not know.
    #[error("the batch names the unknown compression codec {codec}")]
    UnknownCompression {
        /// Value of the three codec bits.
        codec: i16,
    },
    /// A count or delta below zero.
    #[error("the batch has a negative record count or offset delta")]
    NegativeCount,
    /// The content is not what its writer checksummed.
    #[error("the batch's checksum is {stored:#010x}, its content gives {computed:#010x}")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the content.
        computed: u32,
    },
    /// The compressed data cannot be decompressed.
    #[error("the batch's compressed data is corrupt")]
    CorruptCompression,
    /// Decompressed, the records take more than the caller allows.
    #[error("the batch's records take more than {limit} bytes when decompressed")]
    OutputTooLarge {
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// A zstd frame needs a larger window than the caller allows.
    #[error("the batch's zstd frame needs a larger window than is allowed")]
    WindowTooLarge,
    /// A record is malformed.
    #[error("a record of the batch is malformed: {0}")]
    InvalidRecord(#[from] DecodeError),
    /// The records do not add up to the header's count or to the bytes there are.
    #[error("the header announces {announced} records, which the content does not hold")]
    RecordCount {
        /// The header's record count.
        announced: i32,
    },
}
