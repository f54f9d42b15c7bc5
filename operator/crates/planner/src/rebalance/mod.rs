//! Replica rebalancing: a snapshot of the cluster in, a plan out.
//!
//! Owns the model, the lower bounds, the planner and the forms in which a plan is shown and stored. No I/O, no clock,
//! no entropy: the same model and options give the same plan on every machine. A plan is a value that can be printed,
//! compared and refused before it is executed.

mod bounds;
mod explain;
mod facts;
mod model;
mod options;
mod phases;
mod plan;
mod planner;
mod rng;
mod score;
mod state;

#[cfg(test)]
mod tests;

pub use explain::{Bytes, Explanation, Reason, RowsMax, Table, explain, report};
pub use model::{
    Broker, BrokerState, Capacity, Infeasible, Model, ModelFileError, Partition, Problem, read_model,
    write_model,
};
pub use options::Options;
pub use plan::{
    BrokerLoad, CHUNK_BYTES_MAX, Fault, Move, Note, Plan, StoredPlanError, apply, hash, lint, lint_moves,
    load, load_topics, store,
};
pub use planner::{judge, plan};
pub use score::{Dimension, DimensionScore, NewBrokers, Ratio, Score, Spread};
