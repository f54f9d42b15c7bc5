//! An acknowledged write is never lost: every leader holds it, at the offset that was acknowledged.
//!
//! Source: Kafka's promise for acks=all with min.insync.replicas replicas; the lost writes that Jepsen found in
//! Redpanda 21.10 and Bufstream 0.1 break it. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{NodeId, Offset, TopicPartition};

use super::violation::{StoredRecord, Violation};

/// Remembers what was acknowledged.
#[derive(Debug, Default)]
pub struct AckedNeverLost {
    acked: BTreeMap<TopicPartition, BTreeMap<Offset, u64>>,
}

impl AckedNeverLost {
    /// A producer was told that `value` is at `offset`.
    pub fn acked(&mut self, partition: &TopicPartition, offset: Offset, value: u64) -> Result<(), Violation> {
        let first = *self.acked.entry(partition.clone()).or_default().entry(offset).or_insert(value);
        if first == value {
            return Ok(());
        }
        Err(violation(format!("{partition}: {offset} was acknowledged for {first} and for {value}")))
    }

    /// `node` leads from now on, with `log` as its records in the order of their offsets.
    pub fn leads(
        &self,
        partition: &TopicPartition,
        node: NodeId,
        log: &[StoredRecord],
    ) -> Result<(), Violation> {
        let Some(acked) = self.acked.get(partition) else { return Ok(()) };
        let held: BTreeMap<Offset, u64> = log.iter().map(|record| (record.offset, record.value)).collect();
        for (offset, value) in acked {
            if held.get(offset) != Some(value) {
                let has = held.get(offset);
                return Err(violation(format!(
                    "{partition}: {value} was acknowledged at {offset}, leader {node} has {has:?} there"
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
        assert!(check.acked(&partition(), Offset::clamped(1), 8).is_ok());
        assert!(check.leads(&partition(), NodeId(1), &[record(0, 1, 7), record(1, 1, 8)]).is_ok());
        assert!(check.leads(&partition(), NodeId(1), &[record(0, 1, 7)]).is_err());
        assert!(check.leads(&partition(), NodeId(1), &[record(0, 1, 7), record(1, 2, 9)]).is_err());
    }
}
