//! Every message, one module each, generated from `spec/`; see `produce_request::ProduceRequest` for the shape.
//! A struct has the fields of all its versions; what a version does not carry keeps its default. No I/O.

pub use crate::generated::any_message::{AnyRequest, AnyResponse};
pub use crate::generated::metadata_record::MetadataRecord;
pub use crate::generated::*;
