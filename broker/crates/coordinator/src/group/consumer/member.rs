//! One member of a group of the consumer protocol. No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_types::{DurationMs, MonotonicMs};

use crate::group::consumer::partitions::Partitions;
use crate::group::ids::{GroupEpoch, InstanceId, MemberId};
use crate::runtime::budget::{Budget, Charge};

/// Bytes of a member beside names and partitions, generously: its places in tables.
pub(crate) const MEMBER_BYTES: usize = 768;
/// Bytes of a topic's name or a partition beside the text.
const ITEM_BYTES: usize = 48;

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMetadata {
    /// Its name, if it is a static one.
    pub instance: Option<InstanceId>,
    /// Where it is.
    pub rack: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// The topics that it names.
    pub topics: BTreeSet<Arc<str>>,
    /// The pattern of the topics that it wants beside those.
    pub pattern: Option<Arc<str>>,
    /// How long it may take to give partitions up.
    pub rebalance_timeout: DurationMs,
    /// The assignor that it asks for.
    pub assignor: Option<Arc<str>>,
}

impl ConsumerMetadata {
    /// Whether a group with this member in place of one that said `former` is to be assigned anew.
    pub(crate) fn changes_assignment(&self, former: Option<&ConsumerMetadata>) -> bool {
        former.is_none_or(|former| {
            former.topics != self.topics
                || former.pattern != self.pattern
                || former.assignor != self.assignor
                || former.rack != self.rack
        })
    }

    /// Bytes that it takes of memory, and about as many of its record.
    pub(crate) fn bytes(&self) -> usize {
        let texts =
            [Some(&self.client_id), Some(&self.client_host), self.rack.as_ref(), self.pattern.as_ref()];
        let texts = texts.into_iter().chain([self.assignor.as_ref()]).flatten().map(|text| text.len());
        let instance = self.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        let topics = self.topics.iter().map(|topic| ITEM_BYTES + topic.len());
        instance + texts.sum::<usize>() + topics.sum::<usize>()
    }
}

/// How far a member has come towards its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it shall have.
    #[default]
    Stable,
    /// It has to give partitions up first.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The epoch that it has reached; `None` while a static member is away.
    pub epoch: Option<GroupEpoch>,
    /// The one before, with which it may come once more if an answer is lost.
    pub previous_epoch: Option<GroupEpoch>,
    /// How far it is.
    pub state: MemberState,
    /// What it may consume.
    pub assigned: Partitions,
    /// What it has to give up.
    pub revoking: Partitions,
}

/// A member as the coordinator has it.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerMember {
    pub(crate) metadata: Arc<ConsumerMetadata>,
    pub(crate) current: CurrentAssignment,
    /// When it is given up without another heartbeat, or without coming back; `None` before its first one counts.
    pub(crate) expires: Option<MonotonicMs>,
    /// When it is given up unless it has given up its partitions.
    pub(crate) revokes_until: Option<MonotonicMs>,
    /// What it holds of the members' budget.
    pub(crate) charge: Arc<Charge>,
}

impl ConsumerMember {
    /// A member of which nothing is known yet.
    pub(crate) fn blank(memory: &Arc<Budget>) -> ConsumerMember {
        ConsumerMember {
            metadata: Arc::default(),
            current: CurrentAssignment { epoch: Some(GroupEpoch::default()), ..CurrentAssignment::default() },
            expires: None,
            revokes_until: None,
            charge: Arc::new(memory.charge(0)),
        }
    }

    /// When something of it falls due. One without a session is due at once: its heartbeat was written in part, and
    /// nobody was told.
    pub(crate) fn next_deadline(&self) -> MonotonicMs {
        let expires = self.expires.unwrap_or(MonotonicMs(0));
        self.revokes_until.map_or(expires, |until| until.min(expires))
    }
}

/// Bytes that a member with these holds; its id stands in several tables.
pub(crate) fn held_bytes(id: &MemberId, metadata: &ConsumerMetadata, current: &CurrentAssignment) -> usize {
    let partitions = current.assigned.count() + current.revoking.count();
    MEMBER_BYTES + id.as_str().len() + metadata.bytes() + partitions * ITEM_BYTES
}
