//! What must hold whatever happens: one file each, with its source.

mod acked_never_lost;
mod equal_below_high_watermark;
mod liveness;
mod no_duplicates;
mod one_leader_per_epoch;
#[cfg(test)]
mod testing;
mod violation;

pub use acked_never_lost::AckedNeverLost;
pub use equal_below_high_watermark::EqualBelowHighWatermark;
pub use liveness::{HealedReplica, check_healed, unanswered};
pub use no_duplicates::NoDuplicates;
pub use one_leader_per_epoch::OneLeaderPerEpoch;
pub use violation::{StoredRecord, Violation};
