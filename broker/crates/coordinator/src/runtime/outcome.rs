//! What a decision asks the shell to do: append records, then answer. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ErrorCode;

use crate::group::ids::{Generation, InstanceId, MemberId};
use crate::group::record::GroupRecord;

/// Names a parked request; the shell draws it and finds the request again by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyToken(pub u64);

/// One member as the leader of a new generation learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: MemberId,
    /// Its name, if it is a static one.
    pub instance: Option<InstanceId>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
}

/// The answer to a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinReply {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The generation joined; `None` with an error.
    pub generation: Option<Generation>,
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen for the generation.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// Whether the leader shall not assign again (KIP-814).
    pub skip_assignment: bool,
    /// Who joined; given with MEMBER_ID_REQUIRED, too.
    pub member: Option<MemberId>,
    /// Every member, for the leader only.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    /// A join that failed.
    pub fn failed(code: ErrorCode, member: Option<MemberId>) -> JoinReply {
        JoinReply { code, member, ..JoinReply::default() }
    }
}

/// The answer to a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReply {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol of the generation.
    pub protocol: Option<Arc<str>>,
    /// What the leader assigned to this member; may be empty.
    pub assignment: Bytes,
}

impl SyncReply {
    /// A sync that failed.
    pub fn failed(code: ErrorCode) -> SyncReply {
        SyncReply { code, ..SyncReply::default() }
    }
}

/// The answer to a request that may be parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a join.
    Join(JoinReply),
    /// To a sync.
    Sync(SyncReply),
}

/// What became of one event. Appending comes first; if it fails, nothing of this may be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// To be appended in this order as one batch, then handed to `GroupShard::appended`.
    pub records: Vec<GroupRecord>,
    /// Sent at once.
    pub replies_now: Vec<(ReplyToken, Reply)>,
    /// Sent when `records`, and everything that was appended before, are committed.
    pub replies_after_commit: Vec<(ReplyToken, Reply)>,
}

impl Outcome {
    /// Whether the machine is ahead of the log should the records be lost: it must then be loaded again. Offsets and
    /// deletions take effect by `GroupShard::appended` only, so losing them needs nothing.
    pub fn is_ahead_of_log(&self) -> bool {
        self.records.iter().any(|record| matches!(record, GroupRecord::Group { value: Some(_), .. }))
    }

    pub(crate) fn join_now(&mut self, token: ReplyToken, reply: JoinReply) {
        self.replies_now.push((token, Reply::Join(reply)));
    }

    pub(crate) fn sync_now(&mut self, token: ReplyToken, reply: SyncReply) {
        self.replies_now.push((token, Reply::Sync(reply)));
    }
}
