//! What DescribeQuorum tells, and the marks that it needs over time. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::ServerState;
use openraft::async_runtime::{Instant as _, WatchReceiver as _};
use ottla_broker_types::{Now, TimestampMs};
use parking_lot::Mutex;

use super::applied::{Applied, offset};
use super::driver::Board;
use super::node::{Metrics, Raft};
use super::types::Stored;
use crate::{Clock, Member, Membership, MetadataOffset, QuorumStatus, ReplicaStatus, VoterId};

/// Looks at the library's metrics.
#[derive(Clone)]
pub(crate) struct Observer {
    me: VoterId,
    raft: Raft,
    applied: Applied,
    board: Arc<Board>,
    clock: Clock,
    /// When each member was last seen to hold all of the leader's log; kept while this node leads.
    caught_up: Arc<Mutex<BTreeMap<VoterId, TimestampMs>>>,
}

impl Observer {
    pub(crate) fn new(
        me: VoterId,
        raft: Raft,
        applied: Applied,
        board: Arc<Board>,
        clock: Clock,
    ) -> Observer {
        Observer { me, raft, applied, board, clock, caught_up: Arc::default() }
    }

    /// Takes note of who is caught up; called after each change of the metrics.
    pub(crate) fn mark(&self, metrics: &Metrics) {
        let mut marks = self.caught_up.lock();
        let Some(replication) = &metrics.replication else {
            marks.clear();
            return;
        };
        let now = (self.clock)();
        marks.retain(|id, _| replication.contains_key(id));
        for (id, matched) in replication {
            if matched.map(|matched| matched.index) >= metrics.last_log_index
                && let Some(fetched) = last_fetch(metrics, *id, now)
            {
                marks.insert(*id, fetched);
            }
        }
    }

    /// See [`membership`](crate::MetadataLog::membership).
    pub(crate) fn membership(&self) -> Membership {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let stored: &Stored = &metrics.membership_config;
        let member = |id: VoterId| Member { id, address: address(stored, id) };
        let voters: Vec<Member> = stored.voter_ids().map(member).collect();
        let observers =
            stored.nodes().map(|(id, _)| *id).filter(|id| voters.iter().all(|voter| voter.id != *id));
        Membership { observers: observers.map(member).collect(), voters }
    }

    /// See [`status`](crate::MetadataLog::status).
    pub(crate) fn status(&self) -> QuorumStatus {
        let now = (self.clock)();
        let leadership = *self.board.leadership.borrow();
        let members = self.membership();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let replica = |member: Member| self.replica(&metrics, member, now);
        QuorumStatus {
            leader: leadership.leader,
            term: leadership.term,
            committed_end: *self.applied.end().borrow(),
            log_end: log_end(&metrics),
            voters: members.voters.into_iter().map(replica).collect(),
            observers: members.observers.into_iter().map(replica).collect(),
        }
    }

    fn replica(&self, metrics: &Metrics, member: Member, now: Now) -> ReplicaStatus {
        let id = member.id;
        let mut status = ReplicaStatus {
            id,
            address: member.address,
            log_end: None,
            last_fetch: None,
            last_caught_up: None,
        };
        if id == self.me {
            status.log_end = Some(log_end(metrics));
            status.last_caught_up = (metrics.state == ServerState::Leader).then_some(now.wall);
        } else if let Some(matched) = metrics.replication.as_ref().and_then(|all| all.get(&id)) {
            status.log_end =
                Some(matched.map_or(MetadataOffset::ZERO, |matched| offset(matched.index).next()));
            status.last_fetch = last_fetch(metrics, id, now);
            let holds_all = matched.map(|matched| matched.index) >= metrics.last_log_index;
            let marked = self.caught_up.lock().get(&id).copied();
            status.last_caught_up = if holds_all { status.last_fetch.max(marked) } else { marked };
        }
        status
    }
}

fn log_end(metrics: &Metrics) -> MetadataOffset {
    metrics.last_log_index.map_or(MetadataOffset::ZERO, |index| offset(index).next())
}

/// When `id` last answered this leader.
fn last_fetch(metrics: &Metrics, id: VoterId, now: Now) -> Option<TimestampMs> {
    let answered = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    let elapsed = i64::try_from(answered.elapsed().as_millis()).unwrap_or(i64::MAX);
    Some(TimestampMs(now.wall.0.saturating_sub(elapsed)))
}

fn address(stored: &Stored, id: VoterId) -> String {
    stored.get_node(&id).map(|address| address.0.clone()).unwrap_or_default()
}
