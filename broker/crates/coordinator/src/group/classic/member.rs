//! One member of a group. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_types::{DurationMs, MonotonicMs};

use crate::group::ids::{InstanceId, MemberId};
use crate::runtime::outcome::ReplyToken;

/// A protocol that a member offers; the first one is its favourite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name.
    pub name: Arc<str>,
    /// What the leader will be told of the member under it.
    pub metadata: Bytes,
}

/// Who claims to be a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The id; `None` where the request left it empty.
    pub member: Option<MemberId>,
    /// The name of a static member.
    pub instance: Option<InstanceId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout: DurationMs,
    pub(crate) session_timeout: DurationMs,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// The parked join.
    pub(crate) joining: Option<ReplyToken>,
    /// The parked sync.
    pub(crate) syncing: Option<ReplyToken>,
    /// Whether its first join is still parked.
    pub(crate) is_new: bool,
    /// When it is given up; `None` while a parked request keeps it alive.
    pub(crate) expires: Option<MonotonicMs>,
}

impl Member {
    /// Starts its session anew.
    pub(crate) fn touch(&mut self, now: MonotonicMs) {
        self.expires = Some(now.plus(self.session_timeout));
    }

    /// Whether a parked request keeps it alive: the coordinator owes the next step then, not the member.
    pub(crate) fn is_owed(&self) -> bool {
        (self.joining.is_some() && !self.is_new) || self.syncing.is_some()
    }

    /// The metadata under `protocol`; empty if it does not offer it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|offered| &*offered.name == protocol);
        found.map_or_else(Bytes::new, |offered| offered.metadata.clone())
    }

    pub(crate) fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offered| &*offered.name == protocol)
    }
}
