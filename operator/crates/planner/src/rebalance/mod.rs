//! Replica rebalancing: a snapshot of the cluster in, a plan out.
//!
//! Owns the model, the lower bounds, the planner and the forms in which a plan is shown and stored. No I/O, no clock,
//! no entropy: the same model and options give the same plan on every machine. A plan is a value that can be printed,
//! compared and refused before it is executed.

mod band;
mod bounds;
mod chain;
mod check;
mod counts;
mod encode;
mod explain;
mod facts;
mod finish;
mod forced;
mod handover;
mod index;
mod leader_flow;
mod leaders;
mod lint;
mod model;
mod model_file;
mod options;
mod order;
mod plan;
mod planner;
mod refine;
pub mod report;
mod rng;
mod score;
mod shortlist;
mod spread;
mod state;
mod table;
mod target;
mod topic_fill;
mod topic_leaders;
mod topic_repair;
mod topics;
mod trim;

#[cfg(test)]
mod tests;

pub use check::{Infeasible, Problem};
pub use encode::{CHUNK_BYTES_MAX, StoredPlanError, load, load_topics, store};
pub use explain::{Explanation, Reason, explain};
pub use lint::{Fault, lint, lint_moves};
pub use model::{Broker, BrokerState, Capacity, Model, Partition, apply};
pub use model_file::{ModelFileError, read_model, write_model};
pub use options::Options;
pub use plan::{BrokerLoad, Move, Note, Plan, hash};
pub use planner::{judge, plan};
pub use score::{Dimension, DimensionScore, NewBrokers, Ratio, Score, Spread};
pub use table::{Bytes, RowsMax, Table};
