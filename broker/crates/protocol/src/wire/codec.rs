//! The traits that generated messages implement. No I/O.

use std::ops::RangeInclusive;

use super::{DecodeError, EncodeError, Reader, Writer};
use crate::ApiKey;

/// A value that can be read from the wire, borrowing text and bytes from the buffer.
pub trait Decode<'a>: Sized {
    /// Reads the value as `version` lays it out; whatever follows it stays in `r`.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// A value that can be written to the wire.
pub trait Encode {
    /// Appends the value as `version` lays it out. After an error, what was written so far is unusable.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A top-level schema: a request, a response, or a persisted record.
pub trait Message: Encode {
    /// Kafka's name of the schema.
    const NAME: &'static str;
    /// Versions this codec reads and writes.
    const VERSIONS: RangeInclusive<i16>;
    /// First version with compact lengths and tagged fields; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;
}

/// A request, tied to its key and its response.
pub trait Request: Message {
    /// The API that the request calls.
    const KEY: ApiKey;
    /// What answers it.
    type Response<'b>: Message + Decode<'b>;
    /// The response, free of the frame it was decoded from.
    fn own_response(response: Self::Response<'_>) -> Self::Response<'static>;
}
