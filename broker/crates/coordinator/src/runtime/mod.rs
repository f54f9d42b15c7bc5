//! What every kind of shard needs: batches of records, requests that wait, the way from a key to its partition.

pub(crate) mod batches;
pub(crate) mod outcome;
pub(crate) mod parking;
pub(crate) mod partitioning;
