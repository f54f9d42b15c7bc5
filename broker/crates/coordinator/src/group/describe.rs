//! DescribeGroups, ListGroups and what the metrics show. No I/O.

use std::sync::Arc;

use bytes::Bytes;

use crate::group::classic::group::{Group, GroupState};
use crate::group::ids::{GroupId, InstanceId, MemberId};

/// Which protocol a group's members use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// They are called together and assign among themselves; also offsets without members.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupKind {
    /// Kafka's name of this type of groups.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
        }
    }
}

/// What ListGroups tells of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: GroupId,
    /// Which protocol its members use.
    pub kind: GroupKind,
    /// What kind of group; empty for mere offsets.
    pub protocol_type: Arc<str>,
    /// The name of its state, of [`GroupState`] or [`ConsumerGroupState`](crate::ConsumerGroupState).
    pub state: &'static str,
}

/// A member as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Drawn by the coordinator when the member joined.
    pub member: MemberId,
    /// Its name, if it is a static one.
    pub instance: Option<InstanceId>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its metadata; empty unless the group is stable.
    pub metadata: Bytes,
    /// The leader's bytes for this member; empty until it has assigned.
    pub assignment: Bytes,
}

/// A group as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// As of the last decision, committed or not.
    pub state: GroupState,
    /// What kind of group; empty for mere offsets.
    pub protocol_type: Arc<str>,
    /// The protocol chosen; empty unless the group is stable.
    pub protocol: Arc<str>,
    /// Its members, in the order of ids.
    pub members: Vec<MemberDescription>,
}

impl Group {
    pub(crate) fn listing(&self) -> GroupListing {
        GroupListing {
            group: self.id.clone(),
            kind: GroupKind::Classic,
            protocol_type: self.kind(),
            state: self.state.name(),
        }
    }

    pub(crate) fn description(&self) -> GroupDescription {
        // Between generations, metadata and protocol do not belong together.
        let protocol = self.protocol.clone().filter(|_| self.state == GroupState::Stable);
        let members = self.members.values().map(|member| MemberDescription {
            member: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol.as_deref().map(|name| member.metadata(name)).unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        GroupDescription {
            state: self.state,
            protocol_type: self.kind(),
            members: members.collect(),
            protocol: protocol.unwrap_or_else(|| "".into()),
        }
    }

    fn kind(&self) -> Arc<str> {
        self.protocol_type.clone().unwrap_or_else(|| "".into())
    }
}
