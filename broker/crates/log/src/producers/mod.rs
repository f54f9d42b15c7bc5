//! What each idempotent producer appended last: to recognise duplicates, gaps and fenced producers (KIP-98).

mod entry;
#[cfg(any(test, feature = "testing"))]
mod known;
mod open_transactions;
mod snapshot;
mod table;

pub(crate) use entry::Check;
#[cfg(any(test, feature = "testing"))]
pub use known::KnownProducer;
pub(crate) use open_transactions::EndedTransaction;
#[cfg(test)]
pub(crate) use snapshot::{EARLIER_BYTES, ENTRIES_AT, ENTRY_BYTES, VERSION as SNAPSHOT_VERSION};
pub(crate) use snapshot::{decode_snapshot, encode_snapshot};
pub(crate) use table::Producers;
