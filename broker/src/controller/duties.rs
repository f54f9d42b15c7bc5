//! What the active controller does by itself: fence brokers whose lease ran out, elect leaders where none was
//! eligible, return leadership to preferred replicas, and swap voters that came back with an empty disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::Image;
use ottla_broker_metadata::controller::{
    self, Decision, bootstrap_records, elect_leaderless, fence_broker, rebalance_leaders,
};
use ottla_broker_node::{LeaderReturn, Left};
use ottla_broker_quorum::{Leadership, Member, MembershipError, MetadataLog, VoterId};
use ottla_broker_types::{DirectoryId, NodeId, PartitionIndex, TopicId};
use tokio::task::{AbortHandle, JoinSet};

use super::active::NotActive;
use crate::broker::Broker;
use crate::clock;
use crate::peers::CallError;
use crate::view::View;

/// How often leases are looked at: a small part of the shortest sensible lease.
const TICK: Duration = Duration::from_millis(50);
/// A lost connection is tried again this often before the broker is left to its lease.
const PROBES_MAX: usize = 3;
/// Leaders that one round of rebalancing returns; the rest follows in the next.
const ELECTIONS_MAX: usize = 1_000;
/// Pause between probes.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a broker that could not be reached is watched again.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Runs for as long as the broker does; idle on nodes that cannot lead.
pub async fn run(broker: Arc<Broker>) {
    let Some(log) = broker.controller.log.clone() else { return };
    let mut leadership = log.leadership();
    loop {
        if broker.controller.active.leadership().is_some() {
            let led = *leadership.borrow();
            lead(&broker, &log, led).await;
            broker.controller.active.end();
        }
        let changed = leadership.changed();
        if let Ok(Err(_)) = tokio::time::timeout(TICK * 4, changed).await {
            return;
        }
    }
}

/// Leads until leadership is lost.
async fn lead(broker: &Arc<Broker>, log: &Arc<dyn MetadataLog>, led: Leadership) {
    let active = &broker.controller.active;
    active.wait_applied(led.complete_end).await;
    let view = active.view();
    active.begin(broker.clock.now(), leased(broker, &view));
    tracing::info!(term = led.term.0, "this node is the active controller");
    if view.features().next().is_none() {
        let bootstrap = active.decide_ahead(broker, |_, _, _| {
            Ok::<_, std::convert::Infallible>(Decision { records: bootstrap_records(), reply: () })
        });
        if bootstrap.await.is_err() {
            return;
        }
    }
    // Ends with this stretch of leading. Apart, because a new voter has to catch up first.
    let mut swapping = JoinSet::new();
    swapping.spawn(swap_voters(Arc::clone(broker), Arc::clone(log)));
    let mut watches = Watches::default();
    let mut rounds = Rounds::new(broker);
    while active.leadership().is_some_and(|now| now.term == led.term) {
        watches.update(broker);
        if tick(broker, &mut rounds).await.is_err() {
            break;
        }
        let _ = tokio::time::timeout(TICK, active.until_found_dead()).await;
    }
    tracing::info!(term = led.term.0, "this node is no longer the active controller");
}

/// What is done once in a while.
struct Rounds {
    leader_return: LeaderReturn,
    leaderless: Leaderless,
}

/// The partitions without a leader, kept up with the metadata by what changes in it.
#[derive(Default)]
struct Leaderless {
    looked_at: Image,
    partitions: BTreeSet<(TopicId, PartitionIndex)>,
}

impl Leaderless {
    /// Whether the metadata has changed and there are any: something may let one of them get a leader.
    fn look(&mut self, view: &View) -> bool {
        if view.applied_end() == self.looked_at.applied_end() {
            return false;
        }
        let changes = view.changes_since(&self.looked_at);
        self.looked_at = Image::clone(view);
        for (_, id) in &changes.topics_removed {
            self.partitions.retain(|(topic, _)| topic != id);
        }
        for changed in changes.partitions {
            let at = (changed.id, changed.partition);
            let partition = view.topic_by_id(changed.id).and_then(|topic| topic.partition(changed.partition));
            match partition {
                Some(partition) if partition.leader.is_none() => self.partitions.insert(at),
                Some(_) | None => self.partitions.remove(&at),
            };
        }
        !self.partitions.is_empty()
    }
}

impl Rounds {
    fn new(broker: &Broker) -> Rounds {
        let interval = broker.config.replication.leader_imbalance_check_ms;
        let leader_return = LeaderReturn::new(interval, broker.clock.now().mono);
        Rounds { leader_return, leaderless: Leaderless::default() }
    }
}

/// Who gets a fresh lease from a new controller: every broker but its own former self, which it has replaced and
/// which would keep it from registering.
fn leased(broker: &Broker, view: &View) -> Vec<NodeId> {
    let is_registered = broker.controller.broker_epoch().is_some();
    let ids = view.brokers().map(|registered| registered.id);
    ids.filter(|id| is_registered || *id != broker.node_id).collect()
}

async fn tick(broker: &Arc<Broker>, rounds: &mut Rounds) -> Result<(), NotActive> {
    let active = &broker.controller.active;
    let now = broker.clock.now();
    for expired in active.leases(|leases| leases.expired(now.mono)).unwrap_or_default() {
        fence(broker, expired).await?;
    }
    let view = active.view();
    if rounds.leaderless.look(&view) {
        decide(broker, elect_leaderless).await?;
    }
    let in_service =
        view.brokers().filter(|registered| registered.is_active()).map(|registered| registered.id);
    if broker.config.replication.auto_leader_rebalance
        && rounds.leader_return.is_due(now.mono, in_service.collect())
    {
        let returned = decide(broker, |context| rebalance_leaders(context, ELECTIONS_MAX)).await?;
        let left = match returned.left {
            0 => Left::Nothing,
            _ if returned.elected >= ELECTIONS_MAX => Left::More,
            _ => Left::Away,
        };
        rounds.leader_return.done(broker.clock.now().mono, left);
    }
    Ok(())
}

async fn decide<T>(
    broker: &Arc<Broker>,
    decide: impl FnOnce(controller::Context<'_>) -> Decision<T>,
) -> Result<T, NotActive> {
    let decided = broker
        .controller
        .active
        .decide_ahead(broker, |context, _, _| Ok::<_, std::convert::Infallible>(decide(context)));
    let Ok(decided) = decided.await?;
    Ok(decided.reply)
}

async fn fence(broker: &Arc<Broker>, node: NodeId) -> Result<(), NotActive> {
    let active = &broker.controller.active;
    let Some((epoch, fenced)) =
        active.view().broker(node).map(|registered| (registered.epoch, registered.fenced))
    else {
        active.leases(|leases| leases.forget(node));
        return Ok(());
    };
    if fenced {
        return Ok(());
    }
    let decided = active.decide_ahead(broker, |context, now, _| {
        // While this decision waited for its turn, the broker may have been heard.
        let is_live = active.leases(|leases| leases.is_live(now.mono, node)).unwrap_or(true);
        if is_live { Ok(Decision::reply(())) } else { fence_broker(context, node, epoch) }
    });
    if let Ok(decided) = decided.await?
        && decided.at.is_some()
    {
        tracing::warn!(broker = node.0, "the broker's lease ran out; it is fenced");
    }
    Ok(())
}

/// Connections to the other brokers, held only to notice at once when a process dies.
#[derive(Default)]
struct Watches {
    tasks: BTreeMap<NodeId, AbortHandle>,
}

impl Watches {
    fn update(&mut self, broker: &Arc<Broker>) {
        let view = broker.controller.active.view();
        let wanted: Vec<NodeId> = view
            .brokers()
            .filter(|registered| !registered.fenced && registered.id != broker.node_id)
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
                .or_insert_with(|| tokio::spawn(watch(Arc::clone(broker), node)).abort_handle());
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
async fn watch(broker: Arc<Broker>, node: NodeId) {
    loop {
        match broker.peers.dedicated(node).await {
            Ok(connection) => connection.until_lost().await,
            // A new controller finds its dead predecessor so: the sooner clients learn of new leaders, the fewer of
            // them try the old address, where a vanished pod lets them wait for seconds.
            Err(error) if error.is_refused() => {}
            Err(_) => tokio::time::sleep(clock::jittered(WATCH_PAUSE)).await,
        }
        if is_process_gone(&broker, node).await {
            tracing::warn!(broker = node.0, "the broker's process is gone");
            broker.controller.active.found_dead(node);
            return;
        }
    }
}

/// Whether every probe is refused: the host answers, but nobody listens.
async fn is_process_gone(broker: &Broker, node: NodeId) -> bool {
    for _ in 0..PROBES_MAX {
        match broker.peers.dedicated(node).await.as_ref().map_err(CallError::is_refused) {
            Err(true) => tokio::time::sleep(PROBE_PAUSE).await,
            Ok(_) | Err(false) => return false,
        }
    }
    true
}

/// A voter whose disk was replaced registers with another directory: its former self can never vote again, so
/// it is removed and the new one added, one at a time.
async fn swap_voters(broker: Arc<Broker>, log: Arc<dyn MetadataLog>) {
    loop {
        swap_voter(&broker, &log).await;
        tokio::time::sleep(TICK).await;
    }
}

async fn swap_voter(broker: &Broker, log: &Arc<dyn MetadataLog>) {
    let membership = log.membership();
    let view = broker.controller.active.view();
    for configured in &broker.config.quorum.voters {
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

#[cfg(test)]
mod tests {
    use ottla_broker_metadata::Record;
    use ottla_broker_metadata::record::{LeaderRecoveryState, PartitionChange, PartitionRecord};
    use ottla_broker_types::{LeaderEpoch, Offset, PartitionEpoch, TopicName, Uuid};

    use super::*;

    const TOPIC: TopicId = TopicId(Uuid([1; 16]));

    fn partition(index: i32) -> Record {
        Record::Partition(PartitionRecord {
            topic: TOPIC,
            partition: PartitionIndex(index),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            removing: Vec::new(),
            adding: Vec::new(),
            leader: Some(NodeId(1)),
            recovery: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        })
    }

    fn leader(index: i32, leader: Option<i32>) -> Record {
        let none = PartitionChange::none(TOPIC, PartitionIndex(index));
        Record::PartitionChange(PartitionChange { leader: Some(leader.map(NodeId)), ..none })
    }

    #[test]
    fn elections_are_tried_at_each_change_while_a_partition_has_no_leader() {
        let (mut image, mut leaderless) = (Image::default(), Leaderless::default());
        let mut look = |records: &[Record]| {
            image.apply_batch(records, image.applied_end()).unwrap();
            leaderless.look(&View::new(image.clone()))
        };
        let topic = Record::Topic { name: TopicName::new("t").unwrap(), id: TOPIC };
        assert!(!look(&[topic, partition(0), partition(1)]));
        assert!(look(&[leader(1, None)]));
        assert!(look(&[Record::NoOp]), "a change of anything else may help");
        assert!(!look(&[leader(1, Some(1))]));
        assert!(look(&[leader(0, None)]));
        assert!(!look(&[Record::RemoveTopic { id: TOPIC }]));
    }

    #[test]
    fn a_view_is_looked_at_once() {
        let mut leaderless = Leaderless::default();
        let mut image = Image::default();
        let topic = Record::Topic { name: TopicName::new("t").unwrap(), id: TOPIC };
        image.apply_batch(&[topic, partition(0), leader(0, None)], Offset::ZERO).unwrap();
        let view = View::new(image);
        assert!(leaderless.look(&view) && !leaderless.look(&view));
    }
}
