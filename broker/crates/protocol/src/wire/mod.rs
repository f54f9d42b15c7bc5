//! Primitives of the wire: bounded reading, segmented writing, and the traits that messages implement.
//! Owns no I/O: a file range is carried as a value and read by whoever owns the socket.

mod codec;
mod error;
mod reader;
mod records;
mod segment;
mod writer;

pub use codec::{Decode, Encode, Message, Request};
pub use error::{DecodeError, EncodeError};
pub use reader::{Reader, TAGGED_FIELD_BYTES_MAX};
pub use records::Records;
pub use segment::{FileRange, FileSource, Segment};
pub use writer::{FileInBytes, Writer};
