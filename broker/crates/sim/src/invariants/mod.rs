//! What must hold whatever happens: one file each, with its source.

mod acked_never_lost;
mod committed_batches_are_whole;
mod committed_offsets_stay;
mod equal_below_high_watermark;
mod liveness;
mod no_duplicates;
mod no_panic;
mod one_leader_per_epoch;
mod one_owner_per_generation;
mod producers_are_not_misled;
mod producers_are_replayed;
mod sequences_leave_no_gap;
mod silent_brokers_are_fenced;
#[cfg(test)]
mod testing;
mod violation;

pub use acked_never_lost::AckedNeverLost;
pub use committed_batches_are_whole::check_whole;
pub use committed_offsets_stay::CommittedOffsetsStay;
pub use equal_below_high_watermark::EqualBelowHighWatermark;
pub use liveness::{HealedReplica, check_group, check_healed, check_reader, unanswered};
pub use no_duplicates::NoDuplicates;
pub use no_panic::panicked;
pub use one_leader_per_epoch::OneLeaderPerEpoch;
pub use one_owner_per_generation::OneOwnerPerGeneration;
pub use producers_are_not_misled::{Told, check_told};
pub use producers_are_replayed::check_replayed;
pub use sequences_leave_no_gap::{SequencesLeaveNoGap, StoredBatch};
pub use silent_brokers_are_fenced::SilentBrokersAreFenced;
pub use violation::{StoredRecord, Violation};
