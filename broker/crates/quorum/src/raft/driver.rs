//! The one task that hands proposals to the library and says who leads.
//!
//! Owns: sessions. It is one task because both go together: a session ends, for all proposals that come later,
//! at the moment when one is refused, and the next begins only after all earlier ones were looked at.
//!
//! I/O: none of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::ServerState;
use openraft::async_runtime::{Instant as _, WatchReceiver as _};
use openraft::errors::{ClientWriteError, Fatal, ForwardReason, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use openraft::vote::leader_id_std::CommittedLeaderId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::applied::{Applied, end_of};
use super::members::Members;
use super::node::{MetricsWatch, Raft};
use super::observe::Observer;
use super::types::{Batch, LogId, Outcome, Reply, Slot, Types, term_of};
use crate::{Leadership, Session, StopReason, Term, Timing, VoterId};

/// A batch on its way to the library.
pub(crate) struct Queued {
    pub(crate) session: Session,
    pub(crate) batch: Batch,
    pub(crate) reply: Reply<ClientWriteResult<Types>>,
}

/// What the driver tells the others.
pub(crate) struct Board {
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) stopped: watch::Sender<Option<StopReason>>,
}

pub(crate) struct Driver {
    pub(crate) me: VoterId,
    pub(crate) raft: Raft,
    pub(crate) metrics: MetricsWatch,
    pub(crate) timing: Timing,
    pub(crate) applied: Applied,
    pub(crate) queue: mpsc::Receiver<Queued>,
    pub(crate) board: Arc<Board>,
    pub(crate) members: Members,
    pub(crate) observer: Observer,
    pub(crate) leading: Leading,
    pub(crate) sessions: u64,
}

/// How far this node has come as a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leading {
    /// It does not lead, or not with a majority.
    No,
    /// It leads and waits until everything up to this entry of its own term is applied.
    Catching { upto: LogId },
    /// It leads and takes proposals under this session.
    Open { session: Session, upto: LogId },
}

/// What the driver needs to know of the library's state.
struct Seen {
    term: Term,
    leader: Option<VoterId>,
    leads: bool,
    is_alone: bool,
    has_majority: bool,
    last_applied: Option<LogId>,
}

/// The library has stopped.
struct Stopped;

impl<C: openraft::RaftTypeConfig> From<Fatal<C>> for Stopped {
    fn from(_: Fatal<C>) -> Stopped {
        Stopped
    }
}

impl Driver {
    /// Runs until the library stops.
    pub(crate) async fn run(mut self) {
        while let Ok(()) = self.turn().await {}
        let reason = match &self.metrics.borrow_watched().running_state {
            Ok(()) | Err(Fatal::Stopped) => StopReason::Shutdown,
            Err(fatal) => StopReason::Failed { reason: fatal.to_string() },
        };
        if let StopReason::Failed { reason } = &reason {
            tracing::error!(node = %self.me, reason, "the metadata log has failed");
        }
        self.board.leadership.send_modify(|leadership| {
            *leadership = Leadership { term: leadership.term, ..Leadership::default() };
        });
        self.applied.close();
        self.board.stopped.send_replace(Some(reason));
    }

    async fn turn(&mut self) -> Result<(), Stopped> {
        // A leader that hears nothing sees no change either, so it also looks by the clock.
        let look_again = matches!(self.leading, Leading::Catching { .. } | Leading::Open { .. });
        tokio::select! {
            biased;
            changed = self.metrics.changed() => changed.map_err(|_| Stopped)?,
            queued = self.queue.recv() => match queued {
                Some(queued) => self.propose(queued).await?,
                None => return Err(Stopped),
            },
            () = tokio::time::sleep(self.timing.heartbeat.to_std()), if look_again => {}
        }
        self.look().await
    }

    /// Hands one proposal over and waits until the library has looked at it, not until it is committed: the next
    /// one must not enter if this one was refused.
    ///
    /// A leader that has not heard from a majority for a lease takes nothing, though it may well lead on: the
    /// proposal is offered again until that is clear.
    async fn propose(&mut self, queued: Queued) -> Result<(), Stopped> {
        let Queued { session, batch, reply } = queued;
        let mut reply = Some(reply);
        while let Leading::Open { session: open, upto } = self.leading
            && open == session
            && let Some(given) = reply.take()
        {
            let slot = Arc::new(Slot { reply: Mutex::new(Some(given)), refused: AtomicBool::new(false) });
            let outcome = Outcome { slot: slot.clone(), is_refusal, is_passing };
            let term = CommittedLeaderId::new(term_of(&upto).0);
            self.raft.write(batch.clone()).with_leader(term).responder(outcome).await?;
            self.raft.with_raft_state(|_| ()).await?;
            if !slot.refused.load(Ordering::Acquire) {
                return Ok(());
            }
            reply = slot.reply.lock().take();
            if reply.is_none() {
                self.leading = Leading::No;
                return Ok(());
            }
            tokio::time::sleep(self.timing.heartbeat.to_std() / 4).await;
            self.look().await?;
        }
        if let Some(reply) = reply {
            let leader_id = self.metrics.borrow_watched().current_leader.filter(|leader| *leader != self.me);
            let forward = ForwardToLeader { leader_id, leader_node: None, reason: ForwardReason::NotLeader };
            reply.send(Err(ClientWriteError::ForwardToLeader(forward)));
        }
        Ok(())
    }

    /// Looks at the library's state, moves the session on, and says who leads.
    async fn look(&mut self) -> Result<(), Stopped> {
        let seen = self.see()?;
        if !seen.leads || !(seen.is_alone || seen.has_majority) {
            self.leading = Leading::No;
        } else if let Leading::Catching { upto } | Leading::Open { upto, .. } = self.leading
            && term_of(&upto) != seen.term
        {
            self.leading = Leading::No;
        }
        let leads = seen.leads && (seen.is_alone || seen.has_majority);
        if leads && self.leading == Leading::No {
            self.leading = self.begin(seen.term).await?;
        }
        if let Leading::Catching { upto } = self.leading
            && seen.last_applied >= Some(upto)
        {
            self.sessions += 1;
            self.leading = Leading::Open { session: Session(self.sessions), upto };
            tracing::info!(node = %self.me, term = %seen.term, "leads the metadata quorum");
            let members = self.members.clone();
            tokio::spawn(async move {
                if let Err(error) = members.finish_change().await {
                    tracing::warn!(%error, "cannot complete a change of the quorum that was left half done");
                }
            });
        }
        self.publish(&seen, leads);
        Ok(())
    }

    fn see(&mut self) -> Result<Seen, Stopped> {
        let metrics = self.metrics.borrow_and_update();
        if metrics.running_state.is_err() {
            return Err(Stopped);
        }
        self.observer.mark(&metrics);
        let mut voters = metrics.membership_config.voter_ids();
        let is_alone = voters.next() == Some(self.me) && voters.next().is_none();
        let silence_max = self.timing.silence_max().to_std();
        Ok(Seen {
            term: Term(metrics.current_term),
            leader: metrics.current_leader,
            leads: metrics.state == ServerState::Leader && metrics.current_leader == Some(self.me),
            is_alone,
            has_majority: metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < silence_max),
            last_applied: metrics.last_applied,
        })
    }

    /// Finds out up to where an image must have come to be complete for a leader of `term`.
    async fn begin(&self, term: Term) -> Result<Leading, Stopped> {
        let last = self.raft.with_raft_state(|state| state.log_ids.last().copied()).await?;
        // The library appends an entry of its own as soon as it leads; until then there is nothing to wait for.
        Ok(match last {
            Some(upto) if term_of(&upto) == term => Leading::Catching { upto },
            _ => Leading::No,
        })
    }

    fn publish(&self, seen: &Seen, leads: bool) {
        let (session, complete_end) = match self.leading {
            Leading::Open { session, upto } => (session, end_of(Some(&upto))),
            _ => Default::default(),
        };
        let leader = seen.leader.filter(|leader| *leader != self.me || leads).map(|leader| leader.node);
        let is_self = matches!(self.leading, Leading::Open { .. });
        let leadership = Leadership { leader, term: seen.term, is_self, session, complete_end };
        self.board.leadership.send_if_modified(|published| {
            let changed = *published != leadership;
            *published = leadership;
            changed
        });
    }
}

/// Whether the library did not take a proposal.
fn is_refusal(result: &ClientWriteResult<Types>) -> bool {
    matches!(result, Err(ClientWriteError::ForwardToLeader(_)))
}

/// Whether that passes as soon as a majority answers again.
fn is_passing(result: &ClientWriteResult<Types>) -> bool {
    matches!(result, Err(ClientWriteError::ForwardToLeader(forward)) if forward.reason == ForwardReason::LeaseExpired)
}
