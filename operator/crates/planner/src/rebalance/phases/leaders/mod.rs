//! Phase 4: preferred leaders, and the traffic that they send.

mod balance;
mod flow;
mod handover;
mod leadership;
mod shares;
mod spread_topics;
mod topics;

pub(crate) use balance::balance_leaders;
pub(crate) use shares::shares;
pub(crate) use topics::TopicLeaders;
