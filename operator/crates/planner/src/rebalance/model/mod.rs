//! What a plan is made from: a cluster at one moment, as a value and as a file, and what is wrong with it.

mod check;
mod file;
mod index;
mod snapshot;

pub use check::{Infeasible, Problem};
pub(crate) use check::{check, name};
pub use file::{ModelFileError, read_model, write_model};
pub(crate) use index::BrokerIndex;
pub(crate) use snapshot::DISK_PERCENT_MAX;
pub use snapshot::{Broker, BrokerState, Capacity, Model, Partition};
