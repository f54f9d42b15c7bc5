//! What every kind of coordinator needs: one partition's records replayed into a shard, decisions written before they
//! count, answers that wait for the commit, timers, memory that is accounted for.

pub(crate) mod batches;
pub(crate) mod budget;
pub(crate) mod coordinator;
pub(crate) mod hosting;
pub(crate) mod loading;
pub(crate) mod outcome;
pub(crate) mod partitioning;
pub(crate) mod shard;
pub(crate) mod timers;
pub(crate) mod unanswered;
pub(crate) mod waits;
