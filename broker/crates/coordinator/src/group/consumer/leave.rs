//! Members that leave a group of the consumer protocol, or are given up. No I/O.

use ottla_broker_types::MonotonicMs;

use crate::group::consumer::error::ConsumerHeartbeatError;
use crate::group::consumer::group::ConsumerGroup;
use crate::group::consumer::member::CurrentAssignment;
use crate::group::consumer::partitions::Partitions;
use crate::group::consumer::record::{ConsumerGroupValue, ConsumerRecord};
use crate::group::ids::{InstanceId, MemberId};
use crate::group::record::GroupRecord;

impl ConsumerGroup {
    /// The member of these names; why there is none otherwise.
    pub(crate) fn holder(
        &self,
        member: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<MemberId, ConsumerHeartbeatError> {
        let Some(instance) = instance else {
            let known = self.members.get_key_value(member).map(|(id, _)| id.clone());
            return known.ok_or(ConsumerHeartbeatError::UnknownMember);
        };
        match self.instances.get(instance) {
            None => Err(ConsumerHeartbeatError::UnknownMember),
            Some(holder) if holder == member => Ok(holder.clone()),
            Some(_) => Err(ConsumerHeartbeatError::FencedInstance { instance: instance.clone() }),
        }
    }

    /// Records without these members.
    pub(crate) fn without(&self, leaving: &[MemberId]) -> Vec<GroupRecord> {
        if leaving.is_empty() {
            return Vec::new();
        }
        let mut records: Vec<_> = leaving.iter().flat_map(|id| self.member_tombstones(id)).collect();
        let value = ConsumerGroupValue { epoch: self.epoch.next(), topics_hash: self.topics_hash };
        records.push(self.record(ConsumerRecord::Group(Some(value))));
        records
    }

    /// The record of a static member that is away for a while: its partitions wait for it.
    pub(crate) fn away(&self, id: &MemberId) -> Option<GroupRecord> {
        let member = self.members.get(id)?;
        let current =
            CurrentAssignment { epoch: None, revoking: Partitions::default(), ..member.current.clone() };
        Some(self.record(ConsumerRecord::Current(id.clone(), Some(current))))
    }

    /// Members whose time is over: no heartbeat, or partitions that were not given up.
    pub(crate) fn expired(&self, now: MonotonicMs) -> Vec<MemberId> {
        let is_due = |due: Option<MonotonicMs>| due.is_some_and(|due| due <= now);
        let expired =
            self.members.iter().filter(|(_, member)| is_due(member.expires) || is_due(member.revokes_until));
        expired.map(|(id, _)| id.clone()).collect()
    }
}
