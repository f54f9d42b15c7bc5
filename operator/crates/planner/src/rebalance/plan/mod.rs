//! The plan: a value that tells what shall move and how good that is, stored, applied to a model and linted.

mod apply;
mod finish;
mod lint;
mod moves;
mod stored;

pub use apply::apply;
pub(crate) use finish::Finish;
pub use lint::{Fault, lint, lint_moves};
pub use moves::{BrokerLoad, Move, Note, Plan, hash};
pub use stored::{CHUNK_BYTES_MAX, StoredPlanError, load, load_topics, store};
