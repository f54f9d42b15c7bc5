//! Kafka's wire protocol: messages of every served version, record batches, framing, error codes.
//!
//! Owns: the codec and its limits. Never does I/O, never reads a clock, never panics on input.
//! Decoding borrows from the frame and checks every length and count against the bytes that are left before
//! it allocates; encoding yields segments, so that record bytes are never copied.

mod api_key;
pub mod batch;
pub mod error_code;
pub mod frame;
#[allow(clippy::too_many_lines, reason = "a generated function is as long as its message")]
mod generated;
pub mod header;
pub mod messages;
pub mod persisted;
pub mod rules;
pub mod wire;

pub use error_code::ErrorCode;
pub use generated::api_key::ApiKey;
pub use generated::served_api::ServedApi;
pub use header::{RequestHeader, ResponseHeader};
pub use wire::{
    Decode, DecodeError, Encode, EncodeError, FileRange, FileSource, Message, Reader, Records, Request,
    Segment, Writer,
};
