//! The active controller: decisions, one at a time, each on an image that has applied all earlier ones.
//!
//! A decision's reply leaves only after its records are committed and applied here, so nobody is told of what
//! may still be lost, and the next decision sees it. When the outcome of a batch is unknown the session ends:
//! the next one begins only on an image that has everything that may have been committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_broker_metadata::controller::{self, Context, Decision, Seed};
use ottla_broker_metadata::record;
use ottla_broker_quorum::{Leadership, MetadataLog, Proposal};
use ottla_broker_types::{DurationMs, NodeId, Now, Offset};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::leases::Leases;
use crate::broker::Broker;
use crate::clock;

/// How long a decision may wait for this node to apply what is committed already.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// This node cannot decide: another one leads, or nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is not the active controller")]
pub struct NotActive;

/// A reply whose records are committed.
#[derive(Clone, Debug)]
pub struct Decided<T> {
    /// The reply.
    pub reply: T,
    /// Offset of the batch; `None` when nothing had to be written.
    pub at: Option<Offset>,
}

/// What the active controller keeps in memory.
pub struct Active {
    log: Option<Arc<dyn MetadataLog>>,
    /// Held from the decision until its batch is applied.
    turn: Arc<tokio::sync::Mutex<()>>,
    leases: Mutex<Option<Leases>>,
    lease: DurationMs,
}

impl Active {
    /// Not leading; `log` is there where the node may vote.
    pub fn new(log: Option<Arc<dyn MetadataLog>>, lease: DurationMs) -> Active {
        Active { log, turn: Arc::default(), leases: Mutex::default(), lease }
    }

    /// Whether this node leads and may decide, and in which term.
    pub fn leadership(&self) -> Option<Leadership> {
        let leadership = *self.log.as_ref()?.leadership().borrow();
        leadership.is_self.then_some(leadership)
    }

    /// Decides on the newest image and waits until the decision is committed and applied here.
    ///
    /// `decide` gets the image with the settings, the time, and a seed that differs every time.
    pub async fn decide<T, E>(
        &self,
        broker: &Arc<Broker>,
        decide: impl FnOnce(Context<'_>, Now, Seed) -> Result<Decision<T>, E>,
    ) -> Result<Result<Decided<T>, E>, NotActive> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let leadership = self.leadership().ok_or(NotActive)?;
        let caught_up = broker.wait_applied(leadership.complete_end);
        tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up).await.map_err(|_| NotActive)?;
        let view = broker.view();
        let context = Context { image: &view, config: &broker.config };
        let seed = Seed(u64::from_le_bytes(clock::entropy()));
        let decision = match decide(context, broker.clock.now(), seed) {
            Ok(decision) => decision,
            Err(refused) => return Ok(Err(refused)),
        };
        if decision.records.is_empty() {
            return Ok(Ok(Decided { reply: decision.reply, at: None }));
        }
        let elections = controller::count_elections(context.image, &decision.records);
        let proposal = self.propose(leadership, &decision.records)?;
        // A task of its own: whoever asked may go away, but the turn ends only when the outcome is known.
        let committing = tokio::spawn(commit(Arc::clone(broker), turn, proposal));
        let at = committing.await.map_err(|_| NotActive)??;
        broker.metrics.leader_elections.fetch_add(elections.all, Ordering::Relaxed);
        broker.metrics.unclean_elections.fetch_add(elections.unclean, Ordering::Relaxed);
        Ok(Ok(Decided { reply: decision.reply, at: Some(at) }))
    }

    fn propose(&self, leadership: Leadership, records: &[record::Record]) -> Result<Proposal, NotActive> {
        let log = self.log.as_ref().ok_or(NotActive)?;
        let encoded: Result<Vec<_>, _> = records.iter().map(record::encode).collect();
        let encoded = encoded.map_err(|error| {
            tracing::error!(%error, "a metadata record cannot be encoded; the decision is dropped");
            NotActive
        })?;
        log.propose(leadership.session, encoded).map_err(|error| {
            tracing::debug!(%error, "a decision did not enter the metadata log");
            NotActive
        })
    }

    /// Uses the leases, if this node leads.
    pub fn leases<T>(&self, act: impl FnOnce(&mut Leases) -> T) -> Option<T> {
        self.leases.lock().as_mut().map(act)
    }

    /// This node began to lead: every broker gets a fresh lease.
    pub fn begin(&self, now: Now, brokers: impl IntoIterator<Item = NodeId>) {
        *self.leases.lock() = Some(Leases::new(self.lease, now.mono, brokers));
    }

    /// This node leads no longer.
    pub fn end(&self) {
        *self.leases.lock() = None;
    }
}

/// Waits until a batch is committed and applied here, holding the turn all the while.
async fn commit(
    broker: Arc<Broker>,
    turn: OwnedMutexGuard<()>,
    proposal: Proposal,
) -> Result<Offset, NotActive> {
    let at = proposal.await.map_err(|error| {
        tracing::warn!(%error, "the outcome of a decision is unknown; whoever asked has to ask again");
        NotActive
    })?;
    broker.wait_applied(at.next()).await;
    drop(turn);
    Ok(at)
}
