//! The next step of one member towards its target: nobody gets a partition before whoever had it has given it up.
//! No I/O.

use ottla_broker_types::{PartitionIndex, TopicId};

use crate::group::consumer::member::{CurrentAssignment, MemberState};
use crate::group::consumer::partitions::Partitions;
use crate::group::ids::GroupEpoch;

/// Where a member shall get to.
pub(crate) struct Target<'a> {
    /// The epoch of the assignment.
    pub(crate) epoch: GroupEpoch,
    /// What it shall have.
    pub(crate) partitions: &'a Partitions,
}

/// What the member has after this heartbeat. `owned` is what it says that it still has; without it, nothing is taken
/// for given up. `is_free` says whether nobody else has a partition.
pub(crate) fn next_assignment(
    current: &CurrentAssignment,
    target: &Target<'_>,
    owned: Option<&Partitions>,
    is_free: impl Fn(TopicId, PartitionIndex) -> bool,
) -> CurrentAssignment {
    let epoch = current.epoch.unwrap_or_default();
    match current.state {
        MemberState::Stable if epoch == target.epoch => current.clone(),
        MemberState::Stable | MemberState::UnreleasedPartitions => {
            step(current, epoch, target, owned, is_free)
        }
        MemberState::UnrevokedPartitions if owns(owned, &current.revoking) => current.clone(),
        MemberState::UnrevokedPartitions => step(current, epoch.next(), target, owned, is_free),
    }
}

fn owns(owned: Option<&Partitions>, revoking: &Partitions) -> bool {
    owned.is_none_or(|owned| owned.meets(revoking))
}

fn step(
    current: &CurrentAssignment,
    epoch: GroupEpoch,
    target: &Target<'_>,
    owned: Option<&Partitions>,
    is_free: impl Fn(TopicId, PartitionIndex) -> bool,
) -> CurrentAssignment {
    let is_wanted =
        |(topic, partition): &(TopicId, PartitionIndex)| target.partitions.contains(*topic, *partition);
    let (kept, revoking): (Vec<_>, Vec<_>) = current.assigned.iter().partition(is_wanted);
    let mut assigned: Partitions = kept.into_iter().collect();
    let revoking: Partitions = revoking.into_iter().collect();
    if !revoking.is_empty() && owns(owned, &revoking) {
        return moved(current, epoch, MemberState::UnrevokedPartitions, assigned, revoking);
    }
    let mut is_whole = true;
    for (topic, partition) in target.partitions.iter() {
        if assigned.contains(topic, partition) {
            continue;
        }
        // What it gives up with this very heartbeat is its own until then.
        if is_free(topic, partition) {
            assigned.insert(topic, partition);
        } else {
            is_whole = false;
        }
    }
    let state = if is_whole { MemberState::Stable } else { MemberState::UnreleasedPartitions };
    moved(current, target.epoch, state, assigned, Partitions::default())
}

fn moved(
    current: &CurrentAssignment,
    epoch: GroupEpoch,
    state: MemberState,
    assigned: Partitions,
    revoking: Partitions,
) -> CurrentAssignment {
    CurrentAssignment { epoch: Some(epoch), previous_epoch: current.epoch, state, assigned, revoking }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::Uuid;

    use super::*;

    const TOPIC: TopicId = TopicId(Uuid([7; 16]));

    fn some(indexes: &[i32]) -> Partitions {
        indexes.iter().map(|index| (TOPIC, PartitionIndex(*index))).collect()
    }

    fn stable(epoch: i32, assigned: &[i32]) -> CurrentAssignment {
        CurrentAssignment {
            epoch: Some(GroupEpoch(epoch)),
            assigned: some(assigned),
            ..CurrentAssignment::default()
        }
    }

    fn after(
        current: &CurrentAssignment,
        target: &[i32],
        owned: Option<&[i32]>,
        taken: &[i32],
    ) -> CurrentAssignment {
        let (target, owned, taken) = (some(target), owned.map(some), some(taken));
        let target = Target { epoch: GroupEpoch(9), partitions: &target };
        next_assignment(current, &target, owned.as_ref(), |topic, index| !taken.contains(topic, index))
    }

    #[test]
    fn what_shall_go_is_given_up_before_anything_comes() {
        let next = after(&stable(3, &[0, 1]), &[1, 2], None, &[]);
        assert_eq!((next.state, next.epoch), (MemberState::UnrevokedPartitions, Some(GroupEpoch(3))));
        assert_eq!((next.assigned.clone(), next.revoking.clone()), (some(&[1]), some(&[0])));
        let still = after(&next, &[1, 2], Some(&[0, 1]), &[]);
        assert_eq!(still, next, "a member that still owns it does not move");
        let moved = after(&next, &[1, 2], Some(&[1]), &[]);
        assert_eq!((moved.state, moved.assigned), (MemberState::Stable, some(&[1, 2])));
        assert_eq!((moved.epoch, moved.previous_epoch), (Some(GroupEpoch(9)), Some(GroupEpoch(3))));
    }

    #[test]
    fn what_another_member_has_is_waited_for() {
        let next = after(&stable(3, &[]), &[0, 1], Some(&[]), &[1]);
        assert_eq!((next.state, next.assigned.clone()), (MemberState::UnreleasedPartitions, some(&[0])));
        assert_eq!(next.epoch, Some(GroupEpoch(9)));
        let then = after(&next, &[0, 1], None, &[]);
        assert_eq!((then.state, then.assigned), (MemberState::Stable, some(&[0, 1])));
    }

    #[test]
    fn a_member_that_has_arrived_stays_as_it_is() {
        let arrived = stable(9, &[0]);
        assert_eq!(after(&arrived, &[0, 1], Some(&[0]), &[]), arrived);
    }
}
