//! Replacing a leader: by wish, or at once when its process is gone.
//!
//! I/O: a probe through [`Dial`]'s transport.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::raft::TransferLeaderRequest;
use ottla_broker_types::NodeId;

use super::dial::Dial;
use super::driver::Board;
use super::node::Raft;
use super::types::LogId;
use crate::{Term, TransferError, TransportError, VoterId};

/// How long a probe of a leader may take; a live one on a busy machine answers within it.
const PROBE_DEADLINE: Duration = Duration::from_millis(250);
/// How often a leader is probed that neither answers nor is known to be gone: a reset connection may be seen a
/// moment before its port is closed.
const PROBES_MAX: u32 = 4;
/// Between two probes.
const PROBE_PAUSE: Duration = Duration::from_millis(20);
/// The survivors stand for election one after the other in the order of their ids, this far apart, so that
/// votes are not split: some flushes and round trips.
const STAND_STEP: Duration = Duration::from_millis(60);
/// How long a wished-for change of leaders may take: an election, and another one if the first fails.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(3);

/// Replaces leaders.
pub(crate) struct Failover {
    pub(crate) me: VoterId,
    pub(crate) raft: Raft,
    pub(crate) dial: Dial,
    pub(crate) board: Arc<Board>,
}

impl Failover {
    /// The only voter need not wait for anybody.
    pub(crate) async fn elect_if_alone(&self) {
        let me = self.me;
        let is_alone = self.raft.with_raft_state(move |state| {
            let mut voters = state.membership_state.effective().voter_ids();
            voters.next() == Some(me) && voters.next().is_none()
        });
        // If the library has stopped, the driver says so.
        if is_alone.await.unwrap_or(false) {
            drop(self.raft.trigger().elect(false).await);
        }
    }

    /// Looks whether `node`, if it led, leads no more, and if so stands for election without waiting for its lease
    /// to end: nobody else can hold it.
    pub(crate) async fn probe(&self, node: NodeId) {
        let Some(case) = self.case(node) else { return };
        if !self.is_gone(node, &case.address).await {
            return;
        }
        tokio::time::sleep(STAND_STEP * case.rank).await;
        if self.term() != case.term {
            return;
        }
        tracing::info!(node = %self.me, leader = %node, term = %case.term, "the leader's process is gone; standing for election");
        let request = TransferLeaderRequest::new(case.vote, self.me, None::<LogId>);
        // A refusal means that the term has moved on; a stop is told by the driver.
        drop(self.raft.handle_transfer_leader(request).await);
    }

    fn case(&self, node: NodeId) -> Option<Case> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.filter(|leader| leader.node == node && *leader != self.me)?;
        let survivors: Vec<VoterId> =
            metrics.membership_config.voter_ids().filter(|id| *id != leader).collect();
        let rank = survivors.iter().position(|id| *id == self.me)?;
        let address = metrics.membership_config.get_node(&leader).map(|address| address.0.clone());
        Some(Case {
            term: Term(metrics.current_term),
            vote: metrics.vote,
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            address: address.unwrap_or_default(),
        })
    }

    async fn is_gone(&self, node: NodeId, address: &str) -> bool {
        for _ in 0..PROBES_MAX {
            match self.dial.hello(node, address, PROBE_DEADLINE).await {
                Err(TransportError::Refused) => return true,
                // It is another process already, or stepped down: it leads no more either.
                Ok(Some(answer)) => return !answer.leads,
                Ok(None) => return false,
                Err(TransportError::Unreachable { .. } | TransportError::Rejected { .. }) => {
                    tokio::time::sleep(PROBE_PAUSE).await;
                }
            }
        }
        false
    }

    fn term(&self) -> Term {
        Term(self.raft.metrics().borrow_watched().current_term)
    }

    /// See [`transfer_leadership`](crate::MetadataLog::transfer_leadership).
    pub(crate) async fn transfer(&self, to: Option<NodeId>) -> Result<(), TransferError> {
        let leadership = *self.board.leadership.borrow();
        let (target, term) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let Some(replication) = &metrics.replication else {
                return Err(TransferError::NotLeader { leader: leadership.leader });
            };
            let others = metrics.membership_config.voter_ids().filter(|id| *id != self.me);
            let wanted = others.filter(|id| to.is_none_or(|node| id.node == node));
            let matched = |id: &VoterId| replication.get(id).copied().flatten().map(|matched| matched.index);
            // Of equals the lowest id.
            let best = wanted.rev_max(matched);
            (best.ok_or(TransferError::NoCandidate)?, Term(metrics.current_term))
        };
        self.raft.trigger().transfer_leader(target).await.map_err(|_| TransferError::Stopped)?;
        let mut watch = self.board.leadership.subscribe();
        let me = self.me.node;
        let taken = watch.wait_for(|now| now.term > term && now.leader.is_some_and(|leader| leader != me));
        match tokio::time::timeout(TRANSFER_DEADLINE, taken).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_) => Err(TransferError::TimedOut),
        }
    }
}

/// What is known of a leader that may be gone.
struct Case {
    term: Term,
    vote: super::types::Vote,
    rank: u32,
    address: String,
}

/// The first of the items with the largest key.
trait RevMax: Iterator + Sized {
    fn rev_max<K: Ord>(self, key: impl Fn(&Self::Item) -> K) -> Option<Self::Item> {
        self.fold(None, |best: Option<Self::Item>, item| match best {
            Some(best) if key(&best) >= key(&item) => Some(best),
            _ => Some(item),
        })
    }
}

impl<I: Iterator> RevMax for I {}
