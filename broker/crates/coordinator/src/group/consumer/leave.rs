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
        // First: whatever part of the rest is written, the group is assigned anew.
        let value = ConsumerGroupValue { epoch: self.epoch.next(), topics_hash: self.topics_hash };
        let group = self.record(ConsumerRecord::Group(Some(value)));
        [group].into_iter().chain(leaving.iter().flat_map(|id| self.member_tombstones(id))).collect()
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
        let expired = self.members.iter().filter(|(_, member)| member.next_deadline() <= now);
        expired.map(|(id, _)| id.clone()).collect()
    }
}
