//! The partitions hosted here: their replicas, what waits on them, fetching from leaders, upkeep.

mod cleaner;
mod codes;
mod fetcher;
mod hosted;
mod isr_sender;
mod leftovers;
mod manager;
mod open;
mod parallel;
mod space;
mod sync;
mod touched;
mod upkeep;
mod waiters;

pub use cleaner::run as run_cleaner;
pub use hosted::{AppendFailure, FetchFailure, FetchRead, HostedPartition, NotAppended, RequiredAcks};
pub use isr_sender::run as run_isr_sender;
pub use manager::{PartitionFacts, Partitions};
pub use open::Opener;
pub use sync::run as run_syncs;
pub use upkeep::{close, run as run_upkeep, run_flushes, run_removals};
pub use waiters::{FetchWaiter, ProduceWait};
