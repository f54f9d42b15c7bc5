//! AllocateProducerIds: blocks of ids for brokers to hand out (KIP-730). No I/O.

use ottla_broker_types::{BrokerEpoch, NodeId, ProducerId};

use super::decision::{Context, Decision, RegistrationError};
use crate::record::Record;

/// Ids in a block; Kafka's number.
pub const PRODUCER_ID_BLOCK_LEN: i32 = 1000;

/// A block of ids, for one broker alone and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// Inclusive.
    pub first: ProducerId,
    /// How many.
    pub len: i32,
}

/// Why a broker gets no producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateProducerIdsError {
    /// It must register again.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// Ids are never given twice, and all 2^63 are given.
    #[error("all producer ids are used up")]
    UsedUp,
}

/// Gives a broker the next block.
pub fn allocate_producer_ids(
    context: Context<'_>,
    broker: NodeId,
    epoch: BrokerEpoch,
) -> Result<Decision<ProducerIdBlock>, AllocateProducerIdsError> {
    context.registered(broker, epoch)?;
    let first = context.image.producer_id_next();
    let next =
        first.get().checked_add(PRODUCER_ID_BLOCK_LEN.into()).ok_or(AllocateProducerIdsError::UsedUp)?;
    let records = vec![Record::ProducerIds { broker, epoch, next: ProducerId(next) }];
    Ok(Decision { records, reply: ProducerIdBlock { first, len: PRODUCER_ID_BLOCK_LEN } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    #[test]
    fn blocks_never_overlap() {
        let mut cluster = Cluster::of(2);
        let mut firsts = Vec::new();
        for id in [1, 2, 1] {
            let decision = allocate_producer_ids(cluster.context(), NodeId(id), cluster.epoch(id));
            firsts.push(cluster.take(decision.expect("registered")).first.get());
        }
        assert_eq!(firsts, [0, 1000, 2000]);
    }

    #[test]
    fn an_old_run_of_a_broker_gets_none_and_the_last_id_is_never_passed() {
        let mut cluster = Cluster::of(1);
        let stale = allocate_producer_ids(cluster.context(), NodeId(1), BrokerEpoch(0));
        let stale = stale.expect_err("the epoch is old");
        assert!(
            matches!(stale, AllocateProducerIdsError::Registration(RegistrationError::StaleEpoch { .. })),
            "{stale}"
        );
        let (broker, epoch) = (NodeId(1), cluster.epoch(1));
        cluster.commit(&[Record::ProducerIds { broker, epoch, next: ProducerId(i64::MAX - 5) }]);
        let refused = allocate_producer_ids(cluster.context(), broker, epoch).expect_err("used up");
        assert_eq!(refused, AllocateProducerIdsError::UsedUp);
    }
}
