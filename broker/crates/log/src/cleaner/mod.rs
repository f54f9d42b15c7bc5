//! Compaction: of all records with a key the last one stays (`cleanup.policy=compact`).
//!
//! A pass is begun on the log, run without it, and finished on it group by group, so that the heavy part holds nobody up:
//! [`Log::begin_clean`](crate::Log::begin_clean), then [`CleanPass::build_map`], then for each of
//! [`CleanPass::next_group`] [`CleanPass::clean`] and [`Log::finish_clean`](crate::Log::finish_clean), at last
//! [`Log::end_clean`](crate::Log::end_clean). A pass reads the keys above what was compacted before into a map of bounded
//! size, as far as that reaches, and writes all segments below that point anew.
//!
//! Invariants: offsets, leader epochs and the order of records stay; nothing at or above the stable end or in the active
//! segment is touched; the last batch of each segment written anew stays, if only as an empty one, so that segments go on
//! following each other without a gap; what is replaced was not changed since the pass began.

mod choose;
mod error;
mod filter;
mod key_map;
mod pass;
mod plan;
mod replace;
mod source;
mod transactions;

pub use choose::{Cleanable, filthiest};
pub use error::CleanError;
pub use pass::{CleanGroup, CleanPass, CleanStats, CleanedSegment};
pub use plan::CleanResources;
