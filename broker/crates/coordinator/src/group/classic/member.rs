//! One member of a group. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_types::{DurationMs, MonotonicMs};

use crate::group::ids::{InstanceId, MemberId};
use crate::group::reply::{JoinReply, SyncReply};
use crate::runtime::budget::{Budget, Charge};
use crate::runtime::outcome::Token;

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

/// Bytes of a member beside names, metadata and assignment, generously: its places in tables.
pub(crate) const MEMBER_BYTES: usize = 768;
/// Bytes of a member's part of a record beside names, metadata and assignment: lengths and times.
pub(crate) const MEMBER_RECORD_BYTES: usize = 32;
/// Bytes of an offered protocol beside its name and metadata.
const PROTOCOL_BYTES: usize = 96;

/// Bytes that protocols hold while their member is in the group.
pub(crate) fn held_by(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|offered| PROTOCOL_BYTES + offered.name.len() + offered.metadata.len()).sum()
}

/// Bytes of the longest metadata.
pub(crate) fn longest(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|offered| offered.metadata.len()).max().unwrap_or(0)
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout: DurationMs,
    pub(crate) session_timeout: DurationMs,
    pub(crate) protocols: Arc<[Protocol]>,
    pub(crate) assignment: Bytes,
    /// The parked join.
    pub(crate) joining: Option<Token<JoinReply>>,
    /// The parked sync.
    pub(crate) syncing: Option<Token<SyncReply>>,
    /// Whether its first join is still parked.
    pub(crate) is_new: bool,
    /// When it is given up; `None` while a parked request keeps it alive.
    pub(crate) expires: Option<MonotonicMs>,
    /// What it holds of the members' budget.
    pub(crate) charge: Arc<Charge>,
}

impl Member {
    /// Accounts for what it holds by now.
    pub(crate) fn account(&mut self, memory: &Arc<Budget>) {
        if self.held_bytes() != self.charge.bytes() {
            self.charge = Arc::new(memory.charge(self.held_bytes()));
        }
    }

    fn held_bytes(&self) -> usize {
        let names = [self.id.as_str(), &self.client_id, &self.client_host];
        let instance = self.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        MEMBER_BYTES
            + instance
            + names.iter().map(|name| name.len()).sum::<usize>()
            + held_by(&self.protocols)
            + self.assignment.len()
    }

    /// Bytes that it takes of its group's record under the protocol of which it has most to say.
    pub(crate) fn record_bytes(&self) -> usize {
        let names = [self.id.as_str(), &self.client_id, &self.client_host];
        let instance = self.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        MEMBER_RECORD_BYTES
            + instance
            + names.iter().map(|name| name.len()).sum::<usize>()
            + longest(&self.protocols)
    }

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
