//! Committed offsets, whatever kind of group they belong to.

pub(crate) mod commit;
pub(crate) mod expiry;
pub(crate) mod store;
