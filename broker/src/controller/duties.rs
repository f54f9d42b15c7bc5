//! What the active controller does by itself: fence brokers whose lease ran out, elect leaders where none was
//! eligible, return leadership to preferred replicas, and swap voters that came back with an empty disk.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::controller::{Decision, bootstrap_records};
use ottla_broker_node::Duties;
use ottla_broker_quorum::{Leadership, Member, MembershipError, MetadataLog, VoterId};
use ottla_broker_types::{BrokerEpoch, DirectoryId, NodeId};
use tokio::task::{AbortHandle, JoinSet};

use super::active::{Active, NotActive};
use super::client::Controller;
use crate::clock;
use crate::peers::CallError;

/// How often leases are looked at: a small part of the shortest sensible lease.
const TICK: Duration = Duration::from_millis(50);
/// A lost connection is tried again this often before the broker is left to its lease.
const PROBES_MAX: usize = 3;
/// Pause between probes.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a broker that could not be reached is watched again.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Runs for as long as the broker does; idle on nodes that cannot lead.
pub async fn run(controller: Arc<Controller>) {
    let Some(log) = controller.log().cloned() else { return };
    let mut leadership = log.leadership();
    loop {
        if controller.active.leadership().is_some() {
            let led = *leadership.borrow();
            lead(&controller, &log, led).await;
            controller.active.end();
        }
        let changed = leadership.changed();
        if let Ok(Err(_)) = tokio::time::timeout(TICK * 4, changed).await {
            return;
        }
    }
}

/// Leads until leadership is lost.
async fn lead(controller: &Arc<Controller>, log: &Arc<dyn MetadataLog>, led: Leadership) {
    let active = &controller.active;
    active.wait_applied(led.complete_end).await;
    let view = active.view();
    active.begin(active.now(), &view, controller.broker_epoch().is_some());
    tracing::info!(term = led.term.0, "this node is the active controller");
    if view.features().next().is_none() {
        let bootstrap = active.decide_ahead(|_, _, _| {
            Ok::<_, Infallible>(Decision { records: bootstrap_records(), reply: () })
        });
        if bootstrap.await.is_err() {
            return;
        }
    }
    // Ends with this stretch of leading. Apart, because a new voter has to catch up first.
    let mut swapping = JoinSet::new();
    swapping.spawn(swap_voters(Arc::clone(controller), Arc::clone(log)));
    let mut watches = Watches::default();
    let interval = active.parts.config.replication.leader_imbalance_check_ms;
    let interval = active.parts.config.replication.auto_leader_rebalance.then_some(interval);
    let mut duties = Duties::new(interval, active.now().mono);
    while active.leadership().is_some_and(|now| now.term == led.term) {
        watches.update(controller);
        if tick(active, &mut duties).await.is_err() {
            break;
        }
        let _ = tokio::time::timeout(TICK, active.until_found_dead()).await;
    }
    tracing::info!(term = led.term.0, "this node is no longer the active controller");
}

async fn tick(active: &Arc<Active>, duties: &mut Duties) -> Result<(), NotActive> {
    let (now, view) = (active.now().mono, active.view());
    for expired in active.leases(|leases| leases.to_fence(now, &view)).unwrap_or_default() {
        fence(active, expired).await?;
    }
    for round in duties.due(now, &active.view()) {
        let decided = active
            .decide_ahead(|context, now, _| Ok::<_, Infallible>(duties.decide(now.mono, context, round)));
        let Ok(_) = decided.await?;
    }
    Ok(())
}

async fn fence(active: &Arc<Active>, registered: (NodeId, BrokerEpoch)) -> Result<(), NotActive> {
    let decided = active.decide_ahead(|context, now, _| {
        let fenced = active.leases(|leases| leases.fence(now.mono, context, registered));
        Ok::<_, Infallible>(fenced.unwrap_or_else(|| Decision::reply(())))
    });
    let Ok(decided) = decided.await?;
    if decided.at.is_some() {
        tracing::warn!(broker = registered.0.0, "the broker's lease ran out; it is fenced");
    }
    Ok(())
}

/// Connections to the other brokers, held only to notice at once when a process dies.
#[derive(Default)]
struct Watches {
    tasks: BTreeMap<NodeId, AbortHandle>,
}

impl Watches {
    fn update(&mut self, controller: &Arc<Controller>) {
        let view = controller.active.view();
        let wanted: Vec<NodeId> = view
            .brokers()
            .filter(|registered| !registered.fenced && registered.id != controller.active.node_id())
            .map(|registered| registered.id)
            .collect();
        self.tasks.retain(|node, task| {
            let keep = wanted.contains(node) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for node in wanted {
            self.tasks
                .entry(node)
                .or_insert_with(|| tokio::spawn(watch(Arc::clone(controller), node)).abort_handle());
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

/// Holds a connection; when it breaks and nobody listens there any more, the lease ends at once.
async fn watch(controller: Arc<Controller>, node: NodeId) {
    loop {
        match controller.peers.dedicated(node).await {
            Ok(connection) => connection.until_lost().await,
            // A new controller finds its dead predecessor so: the sooner clients learn of new leaders, the fewer of
            // them try the old address, where a vanished pod lets them wait for seconds.
            Err(error) if error.is_refused() => {}
            Err(_) => tokio::time::sleep(clock::jittered(WATCH_PAUSE)).await,
        }
        if is_process_gone(&controller, node).await {
            tracing::warn!(broker = node.0, "the broker's process is gone");
            controller.active.found_dead(node);
            return;
        }
    }
}

/// Whether every probe is refused: the host answers, but nobody listens.
async fn is_process_gone(controller: &Controller, node: NodeId) -> bool {
    for _ in 0..PROBES_MAX {
        match controller.peers.dedicated(node).await.as_ref().map_err(CallError::is_refused) {
            Err(true) => tokio::time::sleep(PROBE_PAUSE).await,
            Ok(_) | Err(false) => return false,
        }
    }
    true
}

/// A voter whose disk was replaced registers with another directory: its former self can never vote again, so
/// it is removed and the new one added, one at a time.
async fn swap_voters(controller: Arc<Controller>, log: Arc<dyn MetadataLog>) {
    loop {
        swap_voter(&controller, &log).await;
        tokio::time::sleep(TICK).await;
    }
}

async fn swap_voter(controller: &Controller, log: &Arc<dyn MetadataLog>) {
    let membership = log.membership();
    let view = controller.active.view();
    for configured in &controller.active.parts.config.quorum.voters {
        let Some(registered) = view.broker(configured.id).filter(|registered| !registered.fenced) else {
            continue;
        };
        let Some(directory) = registered.log_dirs.first().copied() else { continue };
        let address = configured.address.to_string();
        let voter = membership.voters.iter().find(|member| member.id.node == configured.id);
        let changed = match voter {
            Some(member) if member.id.directory == directory => continue,
            Some(member) => remove_voter(log, member.id).await,
            None => add_voter(log, configured.id, directory, address).await,
        };
        match changed {
            Ok(()) => {}
            Err(MembershipError::InProgress | MembershipError::NotLeader { .. }) => return,
            Err(error) => {
                tracing::warn!(voter = configured.id.0, %error, "the quorum's voters cannot be changed; trying again");
                return;
            }
        }
    }
}

async fn remove_voter(log: &Arc<dyn MetadataLog>, id: VoterId) -> Result<(), MembershipError> {
    tracing::info!(voter = %id, "removing the voter whose disk was replaced");
    log.remove_voter(id).await
}

async fn add_voter(
    log: &Arc<dyn MetadataLog>,
    node: NodeId,
    directory: DirectoryId,
    address: String,
) -> Result<(), MembershipError> {
    let member = Member { id: VoterId { node, directory }, address };
    tracing::info!(voter = %member.id, "adding the voter");
    log.add_voter(member).await
}
