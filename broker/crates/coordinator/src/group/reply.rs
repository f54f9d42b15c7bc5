//! What members are answered. No I/O.

use std::sync::Arc;

use bytes::Bytes;

use crate::group::error::{JoinError, SyncError};
use crate::group::ids::{Generation, InstanceId, MemberId};

/// One member as the leader of a new generation learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// As assignments must name it.
    pub member: MemberId,
    /// Its name, if it is a static one.
    pub instance: Option<InstanceId>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
}

/// A join that led into a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation joined.
    pub generation: Generation,
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen for the generation.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// Whether the leader shall not assign again (KIP-814).
    pub skip_assignment: bool,
    /// Who joined.
    pub member: MemberId,
    /// Every member, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A join that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: JoinError,
    /// Who asked, as it named itself; with [`JoinError::MemberIdRequired`] the id that it shall come back with.
    pub member: Option<MemberId>,
}

/// The answer to a join.
pub type JoinReply = Result<Joined, JoinRefused>;

/// The answer to a member that the coordinator knows by `member`.
pub(crate) fn refused(error: impl Into<JoinError>, member: MemberId) -> JoinReply {
    Err(JoinRefused { error: error.into(), member: Some(member) })
}

/// What a member was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol of the generation.
    pub protocol: Option<Arc<str>>,
    /// What the leader assigned to this member; may be empty.
    pub assignment: Bytes,
}

/// The answer to a sync.
pub type SyncReply = Result<Synced, SyncError>;

/// The result of each part of a request, in their order.
pub type PerPart<E> = Vec<Result<(), E>>;

/// The answer to a request that may be parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Comes when the members are together.
    Join(JoinReply),
    /// Comes when the leader's assignment is committed.
    Sync(SyncReply),
}

/// An answer of another kind than the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is to another kind of request")]
pub struct OtherReply;

impl TryFrom<Reply> for JoinReply {
    type Error = OtherReply;

    fn try_from(reply: Reply) -> Result<JoinReply, OtherReply> {
        match reply {
            Reply::Join(reply) => Ok(reply),
            Reply::Sync(_) => Err(OtherReply),
        }
    }
}

impl TryFrom<Reply> for SyncReply {
    type Error = OtherReply;

    fn try_from(reply: Reply) -> Result<SyncReply, OtherReply> {
        match reply {
            Reply::Sync(reply) => Ok(reply),
            Reply::Join(_) => Err(OtherReply),
        }
    }
}

impl From<JoinReply> for Reply {
    fn from(reply: JoinReply) -> Reply {
        Reply::Join(reply)
    }
}

impl From<SyncReply> for Reply {
    fn from(reply: SyncReply) -> Reply {
        Reply::Sync(reply)
    }
}
