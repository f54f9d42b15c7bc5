//! What is known of a producer, for those who compare it with the log. Plain values, no I/O.

use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence};

/// A producer that a log remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches in that epoch, the oldest first: first sequence, offsets of the first and of the last record.
    pub batches: Vec<(Sequence, Offset, Offset)>,
}
