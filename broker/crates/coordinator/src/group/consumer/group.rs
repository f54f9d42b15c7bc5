//! One group of the consumer protocol: what its records add up to. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker_types::{DurationMs, MonotonicMs, Now, PartitionIndex, TopicId};

use crate::group::consumer::member::{
    ConsumerMember, ConsumerMetadata, CurrentAssignment, MemberState, held_bytes,
};
use crate::group::consumer::partitions::Partitions;
use crate::group::consumer::record::{ConsumerGroupValue, ConsumerRecord, PatternTopics};
use crate::group::ids::{GroupEpoch, GroupId, InstanceId, MemberId};
use crate::group::record::GroupRecord;
use crate::runtime::budget::{Budget, Charge};

/// Where a group of the consumer protocol is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerGroupState {
    /// No members; perhaps offsets.
    Empty,
    /// It has changed; the next heartbeat assigns anew.
    Assigning,
    /// Members give partitions up and take them over.
    Reconciling,
    /// Everybody has what it shall have.
    Stable,
}

impl ConsumerGroupState {
    /// Every state, in the order of a group's life.
    pub const ALL: [ConsumerGroupState; 4] = [
        ConsumerGroupState::Empty,
        ConsumerGroupState::Assigning,
        ConsumerGroupState::Reconciling,
        ConsumerGroupState::Stable,
    ];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
        }
    }
}

/// A group whose members follow by heartbeats.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    pub(crate) id: GroupId,
    pub(crate) epoch: GroupEpoch,
    pub(crate) topics_hash: i64,
    /// The epoch that the targets were made for.
    pub(crate) assignment_epoch: GroupEpoch,
    pub(crate) members: BTreeMap<MemberId, ConsumerMember>,
    pub(crate) instances: BTreeMap<InstanceId, MemberId>,
    pub(crate) targets: BTreeMap<MemberId, Partitions>,
    /// Who has a partition, or has still to give it up.
    pub(crate) owners: BTreeMap<(TopicId, PartitionIndex), MemberId>,
    pub(crate) patterns: BTreeMap<Arc<str>, PatternTopics>,
    /// What the patterns' topics hold of the members' budget.
    patterns_charge: Option<Charge>,
    /// Whether topics may have changed since the hash was made.
    pub(crate) is_stale: bool,
}

impl ConsumerGroup {
    /// A group without members or records.
    pub(crate) fn new(id: GroupId) -> ConsumerGroup {
        ConsumerGroup {
            id,
            epoch: GroupEpoch::default(),
            topics_hash: 0,
            assignment_epoch: GroupEpoch::default(),
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: BTreeMap::new(),
            patterns: BTreeMap::new(),
            patterns_charge: None,
            is_stale: false,
        }
    }

    /// A record of the log counts.
    pub(crate) fn replay(&mut self, record: &ConsumerRecord, memory: &Arc<Budget>) {
        match record {
            ConsumerRecord::Group(Some(ConsumerGroupValue { epoch, topics_hash })) => {
                (self.epoch, self.topics_hash) = (*epoch, *topics_hash);
            }
            // The whole group is gone then, which its shard sees to.
            ConsumerRecord::Group(None) => {}
            ConsumerRecord::Member(id, Some(metadata)) => self.replay_member(id, metadata, memory),
            ConsumerRecord::Member(id, None) => self.forget(id),
            ConsumerRecord::Assignment(epoch) => self.assignment_epoch = epoch.unwrap_or_default(),
            ConsumerRecord::Target(id, Some(partitions)) => {
                self.targets.insert(id.clone(), partitions.clone());
            }
            ConsumerRecord::Target(id, None) => drop(self.targets.remove(id)),
            ConsumerRecord::Current(id, current) => self.replay_current(id, current.as_ref(), memory),
            ConsumerRecord::Pattern(pattern, Some(topics)) => {
                self.patterns.insert(pattern.clone(), topics.clone());
                self.account_patterns(memory);
            }
            ConsumerRecord::Pattern(pattern, None) => {
                self.patterns.remove(pattern);
                self.account_patterns(memory);
            }
        }
    }

    fn account_patterns(&mut self, memory: &Arc<Budget>) {
        let bytes = self.patterns.values().map(PatternTopics::bytes).sum();
        self.patterns_charge.get_or_insert_with(|| memory.charge(0)).resize(bytes);
    }

    fn replay_member(&mut self, id: &MemberId, metadata: &Arc<ConsumerMetadata>, memory: &Arc<Budget>) {
        let member = self.members.entry(id.clone()).or_insert_with(|| ConsumerMember::blank(memory));
        if let Some(former) = &member.metadata.instance
            && self.instances.get(former) == Some(id)
        {
            self.instances.remove(former);
        }
        member.metadata = metadata.clone();
        if let Some(instance) = &metadata.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.account(id, memory);
    }

    /// What a member has may stand in the log before what it says of itself, which is written anew with every change.
    fn replay_current(&mut self, id: &MemberId, current: Option<&CurrentAssignment>, memory: &Arc<Budget>) {
        if current.is_some() && !self.members.contains_key(id) {
            self.members.insert(id.clone(), ConsumerMember::blank(memory));
        }
        let Some(member) = self.members.get_mut(id) else { return };
        let current = current.cloned().unwrap_or_default();
        for at in member.current.assigned.iter().chain(member.current.revoking.iter()) {
            if self.owners.get(&at) == Some(id) {
                self.owners.remove(&at);
            }
        }
        for at in current.assigned.iter().chain(current.revoking.iter()) {
            self.owners.insert(at, id.clone());
        }
        member.current = current;
        self.account(id, memory);
    }

    fn account(&mut self, id: &MemberId, memory: &Arc<Budget>) {
        let Some(member) = self.members.get_mut(id) else { return };
        let bytes = held_bytes(id, &member.metadata, &member.current);
        if bytes != member.charge.bytes() {
            member.charge = Arc::new(memory.charge(bytes));
        }
    }

    fn forget(&mut self, id: &MemberId) {
        let Some(member) = self.members.remove(id) else { return };
        for at in member.current.assigned.iter().chain(member.current.revoking.iter()) {
            if self.owners.get(&at) == Some(id) {
                self.owners.remove(&at);
            }
        }
        if let Some(instance) = &member.metadata.instance
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
    }

    /// All sessions begin anew, since who heard the last heartbeats was another coordinator.
    pub(crate) fn loaded(&mut self, now: Now, session_timeout: DurationMs) {
        self.is_stale = true;
        for member in self.members.values_mut() {
            member.expires = Some(now.mono.plus(session_timeout));
            let is_revoking = member.current.state == MemberState::UnrevokedPartitions;
            let until = now.mono.plus(member.metadata.rebalance_timeout);
            member.revokes_until = is_revoking.then_some(until);
        }
    }

    /// Whether a topic is among those that members want.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        let matches =
            |pattern: &Arc<str>| self.patterns.get(pattern).is_some_and(|found| found.topics.contains(topic));
        // A pattern outlives the last member that gave it until the next heartbeat.
        self.members.values().any(|member| {
            member.metadata.topics.contains(topic) || member.metadata.pattern.as_ref().is_some_and(matches)
        })
    }

    /// Where the group is in its life.
    pub(crate) fn state(&self) -> ConsumerGroupState {
        let has_arrived = |member: &ConsumerMember| {
            member.current.state == MemberState::Stable && member.current.epoch == Some(self.assignment_epoch)
        };
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(has_arrived) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// When something of this group falls due.
    pub(crate) fn next_deadline(&self) -> Option<MonotonicMs> {
        self.members.values().map(ConsumerMember::next_deadline).min()
    }

    pub(crate) fn record(&self, record: ConsumerRecord) -> GroupRecord {
        GroupRecord::Consumer { group: self.id.clone(), record }
    }

    /// Tombstones for all of the group but its offsets; that of the group itself comes last, so that it is still there
    /// to be deleted if not all are written.
    pub(crate) fn tombstones(&self) -> Vec<GroupRecord> {
        let members = self.members.keys().chain(self.targets.keys()).collect::<BTreeSet<_>>();
        let of_members = members.into_iter().flat_map(|id| self.member_tombstones(id));
        let patterns = self.patterns.keys().map(|pattern| ConsumerRecord::Pattern(pattern.clone(), None));
        let rest = patterns.chain([ConsumerRecord::Assignment(None), ConsumerRecord::Group(None)]);
        of_members.chain(rest.map(|record| self.record(record))).collect()
    }

    pub(crate) fn member_tombstones(&self, id: &MemberId) -> [GroupRecord; 3] {
        [
            self.record(ConsumerRecord::Current(id.clone(), None)),
            self.record(ConsumerRecord::Target(id.clone(), None)),
            self.record(ConsumerRecord::Member(id.clone(), None)),
        ]
    }
}
