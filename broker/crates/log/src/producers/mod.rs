//! What each idempotent producer appended last: to recognise duplicates, gaps and fenced producers (KIP-98).

mod entry;
mod snapshot;
mod table;

pub(crate) use entry::Check;
pub(crate) use snapshot::{decode_snapshot, encode_snapshot};
pub(crate) use table::Producers;
