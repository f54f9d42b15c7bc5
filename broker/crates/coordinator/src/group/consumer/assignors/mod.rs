//! The server's assignors: who shall have which partitions. No I/O.
//!
//! Both give every partition of a topic that somebody subscribes to to exactly one of its subscribers, and the same for
//! the same facts.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::TopicId;

use crate::group::consumer::partitions::Partitions;
use crate::group::ids::{InstanceId, MemberId};

/// How partitions are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As even as it can be, with as few partitions moved as that takes.
    Uniform,
    /// Each topic in blocks, so that members have the same partitions of topics that belong together.
    Range,
}

/// A member as an assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) member: &'a MemberId,
    pub(crate) instance: Option<&'a InstanceId>,
    /// The topics that exist of those that it subscribes to.
    pub(crate) topics: BTreeSet<TopicId>,
    /// What it shall have by the former assignment.
    pub(crate) former: &'a Partitions,
}

impl Assignor {
    /// The assignor of a name; `None` if there is none.
    pub fn named(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// What each of `subscribers` shall have, in their order; `counts` are the partitions of each topic.
    pub(crate) fn assign(
        self,
        subscribers: &[Subscriber<'_>],
        counts: &BTreeMap<TopicId, u32>,
    ) -> Vec<Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(subscribers, counts),
            Assignor::Range => range::assign(subscribers, counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{PartitionIndex, Uuid};
    use proptest::prelude::*;

    use super::*;

    fn topic(number: u8) -> TopicId {
        TopicId(Uuid([number; 16]))
    }

    /// The topics that a member subscribes to, and its former partitions.
    type Member = (BTreeSet<u8>, Vec<(u8, i32)>);

    /// Members, and the topics' sizes.
    fn facts() -> impl Strategy<Value = (Vec<Member>, BTreeMap<u8, u32>)> {
        let member =
            (prop::collection::btree_set(1..5u8, 0..4), prop::collection::vec((1..6u8, 0..9i32), 0..12));
        (prop::collection::vec(member, 1..9), prop::collection::btree_map(1..5u8, 0..9u32, 0..5))
    }

    fn assigned(assignor: Assignor, members: &[Member], counts: &BTreeMap<u8, u32>) -> Vec<Partitions> {
        let ids: Vec<_> = (0..members.len()).map(|n| MemberId::new(&format!("m{n}")).unwrap()).collect();
        let former: Vec<Partitions> = members
            .iter()
            .map(|(_, former)| {
                former.iter().map(|(at, index)| (topic(*at), PartitionIndex(*index))).collect()
            })
            .collect();
        let subscribers: Vec<_> = members
            .iter()
            .zip(&ids)
            .zip(&former)
            .map(|(((topics, _), member), former)| Subscriber {
                member,
                instance: None,
                topics: topics.iter().filter(|at| counts.contains_key(at)).map(|at| topic(*at)).collect(),
                former,
            })
            .collect();
        let counts = counts.iter().map(|(at, count)| (topic(*at), *count)).collect();
        assignor.assign(&subscribers, &counts)
    }

    proptest! {
        #[test]
        fn every_partition_has_one_owner_who_subscribes_to_it((members, counts) in facts()) {
            for assignor in [Assignor::Uniform, Assignor::Range] {
                let given = assigned(assignor, &members, &counts);
                let mut owners = BTreeMap::new();
                for (index, partitions) in given.iter().enumerate() {
                    for at in partitions.iter() {
                        prop_assert!(owners.insert(at, index).is_none(), "two owners");
                        prop_assert!(members[index].0.iter().any(|wanted| topic(*wanted) == at.0));
                    }
                }
                let wanted = |at: &u8| members.iter().any(|(topics, _)| topics.contains(at));
                let all: u32 = counts.iter().filter(|(at, _)| wanted(at)).map(|(_, count)| *count).sum();
                prop_assert_eq!(owners.len(), all as usize);
            }
        }

        #[test]
        fn a_uniform_assignment_is_even_and_stays_when_nothing_changes(
            (members, counts) in facts(),
            topics in prop::collection::btree_set(1..5u8, 1..4),
        ) {
            let alike: Vec<_> = members.into_iter().map(|(_, former)| (topics.clone(), former)).collect();
            let given = assigned(Assignor::Uniform, &alike, &counts);
            let sizes: Vec<usize> = given.iter().map(Partitions::count).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let again: Vec<_> = given
                .iter()
                .map(|had| (topics.clone(), had.iter().map(|(at, index)| (at.0.0[0], index.0)).collect()))
                .collect();
            prop_assert_eq!(assigned(Assignor::Uniform, &again, &counts), given);
        }
    }

    #[test]
    fn a_member_that_leaves_moves_only_what_it_had() {
        let all = BTreeSet::from([1]);
        let counts = BTreeMap::from([(1, 6)]);
        let had = |indexes: &[i32]| (all.clone(), indexes.iter().map(|index| (1, *index)).collect());
        let given = assigned(Assignor::Uniform, &[had(&[0, 1]), had(&[2, 3])], &counts);
        let kept = |index: usize, partition| given[index].contains(topic(1), PartitionIndex(partition));
        assert!(kept(0, 0) && kept(0, 1) && kept(1, 2) && kept(1, 3), "{given:?}");
    }

    #[test]
    fn uniform_spreads_each_topic_over_the_members() {
        let both = (BTreeSet::from([1, 2]), Vec::new());
        let given = assigned(Assignor::Uniform, &[both.clone(), both], &BTreeMap::from([(1, 4), (2, 4)]));
        for partitions in given {
            let sizes: Vec<usize> = partitions.by_topic().map(|(_, indexes)| indexes.len()).collect();
            assert_eq!(sizes, [2, 2]);
        }
    }

    #[test]
    fn range_gives_the_same_block_of_each_topic() {
        let both = (BTreeSet::from([1, 2]), Vec::new());
        let given = assigned(Assignor::Range, &[both.clone(), both], &BTreeMap::from([(1, 3), (2, 3)]));
        let blocks: Vec<Vec<i32>> =
            given[0].by_topic().map(|(_, at)| at.iter().map(|index| index.0).collect()).collect();
        assert_eq!(blocks, [vec![0, 1], vec![0, 1]]);
    }
}
