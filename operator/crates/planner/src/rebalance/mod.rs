//! Replica rebalancing: a snapshot of the cluster in, a plan out.
//!
//! Owns the model, the lower bounds and the planner. No I/O, no clock, no entropy: the same model and options give
//! the same plan on every machine. A plan is a value that can be printed, compared and refused before it is executed.

mod check;
mod counts;
mod forced;
mod leaders;
mod model;
mod options;
mod plan;
mod planner;
mod rng;
mod state;
mod target;

#[cfg(test)]
mod tests;

pub use check::{Infeasible, Problem};
pub use model::{Broker, BrokerState, Capacity, Model, Partition, apply};
pub use options::Options;
pub use plan::{BrokerLoad, Move, Note, Plan};
pub use planner::plan;
