//! The active controller: decisions, one at a time, each on an image that has applied all earlier ones.
//!
//! A decision's reply leaves only after its records are committed and applied here, so nobody is told of what
//! may still be lost, and the next decision sees it. What is hosted here follows later: no decision waits for logs to be
//! opened. When the outcome of a batch is unknown, the next decision waits until an image has everything that may have
//! been committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_broker_config::BrokerConfig;
use ottla_broker_metadata::controller::{self, Context, Decision, Seed};
use ottla_broker_metadata::{Image, record};
use ottla_broker_node::Leases;
use ottla_broker_quorum::{Leadership, MetadataLog, Proposal, ProposeError, Session};
use ottla_broker_types::{ClusterId, NodeId, Now, Offset};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use super::notes;
use crate::clock::{self, Clock};
use crate::metrics::Metrics;
use crate::served::Served;
use crate::view::View;

/// How long a decision may wait for this node to apply what is committed already.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a controller may need to commit before another one shall try: a flush and a round trip take milliseconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer waits until this broker itself serves by what was decided. Opening thousands of logs takes longer,
/// and then clients find out by asking again.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a barrier is proposed again that did not fit into the queue.
const BARRIER_PAUSE: Duration = Duration::from_millis(100);

/// This node cannot decide: another one leads, or nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is not the active controller")]
pub struct NotActive;

/// A reply whose records are committed.
#[derive(Clone, Debug)]
pub struct Decided<T> {
    /// What the decision says; it may be told, for its records are committed.
    pub reply: T,
    /// Offset of the batch; `None` when nothing had to be written.
    pub at: Option<Offset>,
}

/// What decisions are made of beside the metadata, and where they go.
pub struct ActiveParts {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The settings as they were at boot.
    pub config: Arc<BrokerConfig>,
    /// Time.
    pub clock: Clock,
    /// Counts elections.
    pub metrics: Arc<Metrics>,
    /// What this node serves by, as a broker.
    pub served: Arc<Served>,
    /// The quorum's log, where this node may vote.
    pub log: Option<Arc<dyn MetadataLog>>,
}

/// What the active controller keeps in memory.
pub struct Active {
    /// What it was made with.
    pub parts: ActiveParts,
    /// Held from the decision until its batch is applied.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The newest image, ahead of what this broker serves by.
    newest: watch::Sender<Arc<View>>,
    leases: Mutex<Option<Leases>>,
    /// A process was found dead: its lease need not be looked for by the clock.
    found_dead: Notify,
    /// Brokers about whose standing a decision is on its way.
    changing: Mutex<BTreeSet<NodeId>>,
}

impl Active {
    /// Not leading.
    pub fn new(parts: ActiveParts) -> Arc<Active> {
        let newest = watch::Sender::default();
        Arc::new(Active {
            parts,
            turn: Arc::default(),
            newest,
            leases: Mutex::default(),
            found_dead: Notify::new(),
            changing: Mutex::default(),
        })
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.parts.config.node_id
    }

    /// The present time.
    pub fn now(&self) -> Now {
        self.parts.clock.now()
    }

    /// Whether this node leads and may decide, and in which term.
    pub fn leadership(&self) -> Option<Leadership> {
        let leadership = *self.parts.log.as_ref()?.leadership().borrow();
        leadership.is_self.then_some(leadership)
    }

    /// The newest image that this node has.
    pub fn view(&self) -> Arc<View> {
        self.newest.borrow().clone()
    }

    /// The newest image; the present one at once, then each change.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.newest.subscribe()
    }

    /// This node has applied more of the metadata.
    pub fn applied(&self, image: &Image) {
        self.newest.send_replace(Arc::new(View::new(image.clone())));
    }

    /// Waits until the newest image holds everything below `end`.
    pub async fn wait_applied(&self, end: Offset) -> Arc<View> {
        let mut newest = self.newest.subscribe();
        let held = newest.wait_for(|view| view.applied_end() >= end).await;
        // The sender lives as long as the broker, so the wait cannot fail.
        held.map_or_else(|_| self.view(), |view| view.clone())
    }

    /// The newest image, if this node leads and the image is complete, so that what it says needs no turn.
    pub fn complete_view(&self) -> Option<Arc<View>> {
        let leadership = self.leadership()?;
        Some(self.view()).filter(|view| view.applied_end() >= leadership.complete_end)
    }

    /// Decides as [`Active::decide_ahead`], and waits until this broker serves by the decision.
    pub async fn decide<T, E>(
        self: &Arc<Self>,
        decide: impl FnOnce(Context<'_>, Now, Seed) -> Result<Decision<T>, E>,
    ) -> Result<Result<Decided<T>, E>, NotActive> {
        let decided = self.decide_ahead(decide).await?;
        if let Ok(Decided { at: Some(at), .. }) = &decided {
            let _ = tokio::time::timeout(SERVE_TIMEOUT, self.parts.served.wait_applied(at.next())).await;
        }
        Ok(decided)
    }

    /// Decides on the newest image and waits until the decision is committed and in the next one.
    ///
    /// `decide` gets the image with the settings, the time, and a seed that differs every time.
    pub async fn decide_ahead<T, E>(
        self: &Arc<Self>,
        decide: impl FnOnce(Context<'_>, Now, Seed) -> Result<Decision<T>, E>,
    ) -> Result<Result<Decided<T>, E>, NotActive> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let leadership = self.leadership().ok_or(NotActive)?;
        let caught_up = self.wait_applied(leadership.complete_end);
        let view = tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up).await.map_err(|_| NotActive)?;
        let context = Context { image: &view, config: &self.parts.config };
        let seed = Seed(u64::from_le_bytes(clock::entropy()));
        let decision = match decide(context, self.now(), seed) {
            Ok(decision) => decision,
            Err(refused) => return Ok(Err(refused)),
        };
        if decision.records.is_empty() {
            return Ok(Ok(Decided { reply: decision.reply, at: None }));
        }
        notes::tell(&decision.records);
        let elections = controller::count_elections(context.image, &decision.records);
        let log = self.parts.log.clone().ok_or(NotActive)?;
        let proposal = propose(&log, leadership.session, &decision.records)?;
        // A task of its own: whoever asked may go away, but the turn ends only when the outcome is known.
        let committing = commit(Arc::clone(self), log, leadership.session, turn, proposal);
        let at = tokio::spawn(committing).await.map_err(|_| NotActive)??;
        self.parts.metrics.leader_elections.fetch_add(elections.all, Ordering::Relaxed);
        self.parts.metrics.unclean_elections.fetch_add(elections.unclean, Ordering::Relaxed);
        Ok(Ok(Decided { reply: decision.reply, at: Some(at) }))
    }

    /// Uses the leases, if this node leads.
    pub fn leases<T>(&self, act: impl FnOnce(&mut Leases) -> T) -> Option<T> {
        self.leases.lock().as_mut().map(act)
    }

    /// The broker's process is gone: its lease ends now.
    pub fn found_dead(&self, node: NodeId) {
        self.leases(|leases| leases.found_dead(node));
        self.found_dead.notify_one();
    }

    /// Resolves when a process was found dead.
    pub async fn until_found_dead(&self) {
        self.found_dead.notified().await;
    }

    /// Whether the caller shall decide on the broker's standing; false while another one does.
    pub fn begin_change(&self, node: NodeId) -> bool {
        self.changing.lock().insert(node)
    }

    /// The decision on the broker's standing is over.
    pub fn end_change(&self, node: NodeId) {
        self.changing.lock().remove(&node);
    }

    /// This node began to lead on `image`; `is_registered` says whether this run of its broker is.
    pub fn begin(&self, now: Now, image: &Image, is_registered: bool) {
        let lease = self.parts.config.quorum.broker_lease_ms;
        *self.leases.lock() = Some(Leases::begin(self.node_id(), lease, now.mono, image, is_registered));
    }

    /// This node leads no longer.
    pub fn end(&self) {
        *self.leases.lock() = None;
    }
}

fn propose(
    log: &Arc<dyn MetadataLog>,
    session: Session,
    records: &[record::Record],
) -> Result<Proposal, NotActive> {
    let encoded: Result<Vec<_>, _> = records.iter().map(record::encode).collect();
    let encoded = encoded.map_err(|error| {
        tracing::error!(%error, "a metadata record cannot be encoded; the decision is dropped");
        NotActive
    })?;
    log.propose(session, encoded).map_err(|error| {
        tracing::debug!(%error, "a decision did not enter the metadata log");
        NotActive
    })
}

/// Waits until a batch is committed and applied here, holding the turn all the while.
async fn commit(
    active: Arc<Active>,
    log: Arc<dyn MetadataLog>,
    session: Session,
    turn: OwnedMutexGuard<()>,
    mut proposal: Proposal,
) -> Result<Offset, NotActive> {
    let outcome = match tokio::time::timeout(COMMIT_PATIENCE, &mut proposal).await {
        Ok(outcome) => outcome,
        Err(_) => {
            hand_on(&log);
            proposal.await
        }
    };
    let committed = match outcome {
        Ok(at) => Ok(at),
        Err(error) => {
            tracing::warn!(%error, "the outcome of a decision is unknown; whoever asked has to ask again");
            if let ProposeError::TimedOut = error {
                settle(&active, &log, session).await;
            }
            Err(NotActive)
        }
    };
    if let Ok(at) = committed {
        active.wait_applied(at.next()).await;
    }
    drop(turn);
    committed
}

/// Another voter may be able to commit: its disk or its links may be better.
fn hand_on(log: &Arc<dyn MetadataLog>) {
    tracing::warn!("nothing was committed for {COMMIT_PATIENCE:?}: handing the controller's role on");
    let log = Arc::clone(log);
    tokio::spawn(async move {
        if let Err(error) = log.transfer_leadership(None).await {
            tracing::warn!(%error, "no other voter takes the controller's role");
        }
    });
}

/// After a batch that may or may not be committed: waits until all of its session is, by a barrier behind it, or until
/// the session is over; the next one begins on a complete image.
async fn settle(active: &Active, log: &Arc<dyn MetadataLog>, session: Session) {
    loop {
        match log.propose(session, Vec::new()) {
            Ok(barrier) => match barrier.await {
                Ok(at) => {
                    active.wait_applied(at.next()).await;
                    return;
                }
                Err(ProposeError::TimedOut) => {}
                Err(_) => return,
            },
            Err(ProposeError::Overloaded) => {}
            Err(_) => return,
        }
        tokio::time::sleep(BARRIER_PAUSE).await;
    }
}
