//! A committed offset stays: whoever coordinates the group in the same epoch of the offsets partition or a later one
//! holds it or a higher one. A deposed coordinator that does not know of its successors may show what was before.
//!
//! Members commit ever higher offsets, one after the other, so a lower one is an older one. Source: a group that falls
//! back after a failover reads everything again; Kafka answers a commit only when its record is committed. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{LeaderEpoch, Offset, TopicPartition};

use super::violation::Violation;

/// Remembers what was acknowledged, by the epoch of the coordinator that did.
#[derive(Debug, Default)]
pub struct CommittedOffsetsStay {
    acked: BTreeMap<TopicPartition, BTreeMap<LeaderEpoch, Offset>>,
    fetches: BTreeMap<(u32, TopicPartition), BTreeMap<LeaderEpoch, Offset>>,
    count: usize,
}

impl CommittedOffsetsStay {
    /// A member was told by the coordinator of `epoch` that `offset` is committed.
    pub fn acked(&mut self, at: &TopicPartition, epoch: LeaderEpoch, offset: Offset) {
        let highest = self.acked.entry(at.clone()).or_default().entry(epoch).or_default();
        *highest = offset.max(*highest);
        self.count += 1;
    }

    /// `member` asks what is committed: what is acknowledged by now must be in the answer.
    pub fn asked(&mut self, member: u32, at: &TopicPartition) {
        let acked = self.acked.get(at).cloned().unwrap_or_default();
        self.fetches.insert((member, at.clone()), acked);
    }

    /// The coordinator of `epoch` answered what `member` asked last.
    pub fn answered(
        &mut self,
        member: u32,
        at: &TopicPartition,
        epoch: LeaderEpoch,
        offset: Option<Offset>,
    ) -> Result<(), Violation> {
        let acked = self.fetches.remove(&(member, at.clone())).unwrap_or_default();
        holds(at, &acked, epoch, offset)
    }

    /// The coordinator of `epoch` serves, and `offsets` is all it has.
    pub fn coordinates(
        &self,
        epoch: LeaderEpoch,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), Violation> {
        for (at, acked) in &self.acked {
            let held = offsets.iter().find(|(held, _)| held == at).map(|(_, offset)| *offset);
            holds(at, acked, epoch, held)?;
        }
        Ok(())
    }

    /// Count of acknowledged commits.
    pub fn count(&self) -> usize {
        self.count
    }
}

fn holds(
    at: &TopicPartition,
    acked: &BTreeMap<LeaderEpoch, Offset>,
    epoch: LeaderEpoch,
    held: Option<Offset>,
) -> Result<(), Violation> {
    match acked.range(..=epoch).map(|(_, offset)| *offset).max() {
        Some(highest) if held.is_none_or(|held| held < highest) => Err(Violation::new(
            "committed_offsets_stay",
            format!("{at}: {highest} was committed, the coordinator of epoch {epoch} holds {held:?}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::partition;
    use super::*;

    #[test]
    fn a_coordinator_that_holds_less_than_was_acknowledged_is_a_violation_unless_it_is_deposed() {
        let mut check = CommittedOffsetsStay::default();
        let at = |offset| Offset::clamped(offset);
        check.acked(&partition(), LeaderEpoch(3), at(7));
        assert!(check.coordinates(LeaderEpoch(4), &[(partition(), at(7))]).is_ok());
        assert!(check.coordinates(LeaderEpoch(4), &[(partition(), at(6))]).is_err());
        assert!(check.coordinates(LeaderEpoch(3), &[]).is_err());
        assert!(check.coordinates(LeaderEpoch(2), &[]).is_ok(), "a deposed one knows no better");
    }

    #[test]
    fn an_answer_owes_only_what_was_acknowledged_before_the_question() {
        let mut check = CommittedOffsetsStay::default();
        check.acked(&partition(), LeaderEpoch(3), Offset::clamped(7));
        check.asked(1, &partition());
        check.acked(&partition(), LeaderEpoch(3), Offset::clamped(9));
        let answer = |check: &mut CommittedOffsetsStay, offset| {
            check.answered(1, &partition(), LeaderEpoch(3), Some(Offset::clamped(offset)))
        };
        assert!(answer(&mut check, 7).is_ok());
        check.asked(1, &partition());
        assert!(answer(&mut check, 8).is_err());
    }
}
