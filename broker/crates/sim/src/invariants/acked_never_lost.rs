//! An acknowledged write is never lost: every leader of a later epoch holds it, at the offset that was acknowledged.
//! A deposed leader that does not know of its successors may lack what these acknowledged.
//!
//! Source: Kafka's promise for acks=all with min.insync.replicas replicas; the lost writes that Jepsen found in
//! Redpanda 21.10 and Bufstream 0.1 break it. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{LeaderEpoch, NodeId, Offset, TopicPartition};

use super::violation::{StoredRecord, Violation};

/// Remembers what was acknowledged.
#[derive(Debug, Default)]
pub struct AckedNeverLost {
    acked: BTreeMap<TopicPartition, BTreeMap<Offset, (u64, LeaderEpoch)>>,
    implied: BTreeMap<TopicPartition, BTreeSet<u64>>,
}

impl AckedNeverLost {
    /// A producer was told by the leader of `epoch` that `value` is at `offset`.
    pub fn acked(
        &mut self,
        partition: &TopicPartition,
        epoch: LeaderEpoch,
        offset: Offset,
        value: u64,
    ) -> Result<(), Violation> {
        let acked = self.acked.entry(partition.clone()).or_default();
        let (first, _) = *acked.entry(offset).or_insert((value, epoch));
        if first == value {
            return Ok(());
        }
        Err(violation(format!("{partition}: {offset} was acknowledged for {first} and for {value}")))
    }

    /// A producer takes `values` for acknowledged: a batch that it wrote after them is.
    pub fn implied(&mut self, partition: &TopicPartition, values: &[u64]) {
        self.implied.entry(partition.clone()).or_default().extend(values);
    }

    /// The run is over, and `log` is what is left.
    pub fn ended(&self, partition: &TopicPartition, log: &[StoredRecord]) -> Result<(), Violation> {
        let held: BTreeSet<u64> = log.iter().map(|record| record.value).collect();
        let lost: Vec<_> =
            self.implied.get(partition).into_iter().flatten().filter(|value| !held.contains(value)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        Err(violation(format!(
            "{partition}: {lost:?} are lost, and what was written after them is acknowledged"
        )))
    }

    /// `node` leads `epoch`, with `log` as its records.
    pub fn leads(
        &self,
        partition: &TopicPartition,
        node: NodeId,
        epoch: LeaderEpoch,
        log: &[StoredRecord],
    ) -> Result<(), Violation> {
        let Some(acked) = self.acked.get(partition) else { return Ok(()) };
        let held: BTreeMap<Offset, u64> = log.iter().map(|record| (record.offset, record.value)).collect();
        for (offset, (value, _)) in acked.iter().filter(|(_, (_, acked_in))| *acked_in < epoch) {
            if held.get(offset) != Some(value) {
                let has = held.get(offset);
                return Err(violation(format!(
                    "{partition}: {value} was acknowledged at {offset}, {node} leads epoch {epoch} with {has:?} there"
                )));
            }
        }
        Ok(())
    }

    /// Count of acknowledged records.
    pub fn count(&self) -> usize {
        self.acked.values().map(BTreeMap::len).sum()
    }
}

fn violation(seen: String) -> Violation {
    Violation::new("acked_never_lost", seen)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{partition, record};
    use super::*;

    #[test]
    fn a_leader_without_an_acknowledged_record_is_a_violation() {
        let mut check = AckedNeverLost::default();
        let (now, later) = (LeaderEpoch(1), LeaderEpoch(2));
        assert!(check.acked(&partition(), now, Offset::clamped(1), 8).is_ok());
        let leads = |epoch, log: &[StoredRecord]| check.leads(&partition(), NodeId(1), epoch, log);
        assert!(leads(later, &[record(0, 1, 7), record(1, 1, 8)]).is_ok());
        assert!(leads(later, &[record(0, 1, 7)]).is_err());
        assert!(leads(later, &[record(0, 1, 7), record(1, 2, 9)]).is_err());
        assert!(leads(now, &[record(0, 1, 7)]).is_ok(), "its own followers acknowledged it");
    }

    #[test]
    fn a_record_before_an_acknowledged_one_that_is_nowhere_is_a_violation() {
        let mut check = AckedNeverLost::default();
        check.implied(&partition(), &[8]);
        assert!(check.ended(&partition(), &[record(0, 1, 8), record(1, 1, 9)]).is_ok());
        assert!(check.ended(&partition(), &[record(0, 1, 9)]).is_err());
    }
}
