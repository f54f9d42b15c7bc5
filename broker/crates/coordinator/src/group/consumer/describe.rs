//! ConsumerGroupDescribe. No I/O.

use std::sync::Arc;

use crate::group::consumer::assignors::Assignor;
use crate::group::consumer::group::{ConsumerGroup, ConsumerGroupState};
use crate::group::consumer::heartbeat::preferred;
use crate::group::consumer::member::{ConsumerMetadata, CurrentAssignment};
use crate::group::consumer::partitions::Partitions;
use crate::group::ids::{GroupEpoch, MemberId};

/// A member as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Its id.
    pub member: MemberId,
    /// What it says of itself.
    pub metadata: Arc<ConsumerMetadata>,
    /// What it has.
    pub current: CurrentAssignment,
    /// What it shall have.
    pub target: Partitions,
}

/// A group of the consumer protocol as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// Its state.
    pub state: ConsumerGroupState,
    /// How often it has changed.
    pub epoch: GroupEpoch,
    /// The epoch that its targets were made for.
    pub assignment_epoch: GroupEpoch,
    /// The assignor in use.
    pub assignor: &'static str,
    /// Its members, in the order of ids.
    pub members: Vec<ConsumerDescription>,
}

impl ConsumerGroup {
    /// The group as administrators see it; `default_assignor` is used where no member asks for one.
    pub(crate) fn description(&self, default_assignor: Assignor) -> ConsumerGroupDescription {
        let metadata = self.members.values().map(|member| &*member.metadata);
        let members = self.members.iter().map(|(id, member)| ConsumerDescription {
            member: id.clone(),
            metadata: member.metadata.clone(),
            current: member.current.clone(),
            target: self.targets.get(id).cloned().unwrap_or_default(),
        });
        ConsumerGroupDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: preferred(metadata).unwrap_or(default_assignor).name(),
            members: members.collect(),
        }
    }
}
