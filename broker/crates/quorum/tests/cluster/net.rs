//! Nodes in one process: a transport that calls the receiver, links that can be cut, disks that can lose power.
//! No real network, file or clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use ottla_broker_log::SimDisk;
use ottla_broker_quorum::{
    Committed, Initialized, Leadership, Member, MetadataLog, MetadataOffset, Peer, PeerTransport, Proposal,
    ProposeError, Quorum, QuorumOptions, Timing, TransportError, VoterId, WriteMode,
};
use ottla_broker_types::{DirectoryId, MonotonicMs, NodeId, Now, TimestampMs, Uuid};
use tokio::time::Instant;

/// What the wall clock of every node shows when the test begins.
const WALL: TimestampMs = TimestampMs(1_000_000);
/// Virtual time within which everything that a test waits for must have happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeId, Quorum>,
    cut: BTreeSet<NodeId>,
    started: Option<Instant>,
}

struct Wire {
    net: Net,
    from: NodeId,
}

impl PeerTransport for Wire {
    fn call(&self, to: Peer, kind: i8, payload: Bytes) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let (net, from) = (self.net.clone(), self.from);
        async move {
            let Some(node) = net.reach(from, to.node)? else { return Err(TransportError::Refused) };
            // The receiver goes on even if the sender gives up.
            let answer = tokio::spawn(async move { node.handle_message(kind, payload).await });
            let answer = answer.await.map_err(|_| TransportError::Refused)?;
            net.reach(to.node, from)?;
            Ok(answer)
        }
        .boxed()
    }
}

impl Net {
    /// A clock that goes with the virtual time.
    #[expect(clippy::disallowed_methods, reason = "the test's one clock")]
    pub(crate) fn clock(&self) -> impl Fn() -> Now + Send + Sync + 'static {
        let started = *self.state.lock().unwrap().started.get_or_insert_with(Instant::now);
        move || {
            let elapsed = started.elapsed().as_millis();
            Now { mono: MonotonicMs(elapsed as u64), wall: TimestampMs(WALL.0 + elapsed as i64) }
        }
    }

    fn reach(&self, from: NodeId, to: NodeId) -> Result<Option<Quorum>, TransportError> {
        let state = self.state.lock().unwrap();
        if state.cut.contains(&from) || state.cut.contains(&to) {
            return Err(TransportError::Unreachable { reason: "the link is cut".to_owned() });
        }
        Ok(state.nodes.get(&to).cloned())
    }

    /// Cuts a node off from all others.
    pub(crate) fn cut(&self, node: i32) {
        self.state.lock().unwrap().cut.insert(NodeId(node));
    }

    /// Joins it again.
    pub(crate) fn heal(&self, node: i32) {
        self.state.lock().unwrap().cut.remove(&NodeId(node));
    }
}

/// One machine: its disk outlives its process.
pub(crate) struct Machine {
    pub(crate) id: VoterId,
    pub(crate) disk: SimDisk,
    net: Net,
    pub(crate) log: Option<Quorum>,
}

impl Machine {
    /// A machine with an empty disk; `life` tells the directories of one node apart.
    pub(crate) fn new(net: &Net, node: i32, life: u8) -> Machine {
        let directory = DirectoryId(Uuid([life; 16]));
        let id = VoterId { node: NodeId(node), directory };
        let disk = SimDisk::new(u64::from(life) * 100 + node as u64);
        Machine { id, disk, net: net.clone(), log: None }
    }

    pub(crate) fn options(&self) -> QuorumOptions {
        QuorumOptions {
            id: self.id,
            dir: PathBuf::from("/data/quorum"),
            disk: Arc::new(self.disk.clone()),
            transport: Arc::new(Wire { net: self.net.clone(), from: self.id.node }),
            clock: Arc::new(self.net.clock()),
            timing: Timing::default(),
            write_mode: WriteMode::Inline,
            snapshot_log_bytes: 4 << 20,
        }
    }

    pub(crate) async fn start(&mut self) -> &Quorum {
        let options = self.options();
        let log = Quorum::start(options).await.expect("the node starts");
        self.net.state.lock().unwrap().nodes.insert(self.id.node, log.clone());
        self.log.insert(log)
    }

    pub(crate) fn log(&self) -> &Quorum {
        self.log.as_ref().expect("the node runs")
    }

    /// Ends the process without any care; the disk keeps what was written.
    pub(crate) async fn kill(&mut self) {
        self.net.state.lock().unwrap().nodes.remove(&self.id.node);
        self.disk.kill();
        if let Some(log) = self.log.take() {
            log.shutdown().await;
        }
    }

    /// Cuts the power: the disk may lose what was not flushed.
    pub(crate) async fn lose_power(&mut self, seed: u64) {
        self.net.state.lock().unwrap().nodes.remove(&self.id.node);
        self.disk.crash(seed);
        if let Some(log) = self.log.take() {
            log.shutdown().await;
        }
    }

    pub(crate) fn member(&self) -> Member {
        Member { id: self.id, address: format!("node-{}:9091", self.id.node) }
    }
}

pub(crate) fn voters(count: i32) -> Vec<(NodeId, String)> {
    (1..=count).map(|node| (NodeId(node), format!("node-{node}:9091"))).collect()
}

/// Starts `count` machines and forms their quorum.
pub(crate) async fn cluster(count: i32) -> (Net, Vec<Machine>) {
    let net = Net::default();
    let mut machines = Vec::new();
    for node in 1..=count {
        let mut machine = Machine::new(&net, node, 1);
        machine.start().await;
        machines.push(machine);
    }
    for machine in machines.iter().rev() {
        let outcome = machine.log().initialize(voters(count)).await.unwrap();
        let is_first = machine.id.node == NodeId(1);
        assert_eq!(
            outcome,
            if is_first { Initialized::Created } else { Initialized::LeftTo { node: NodeId(1) } }
        );
    }
    (net, machines)
}

/// Waits until one of the running machines leads, and says which.
pub(crate) async fn leader(machines: &[Machine]) -> usize {
    let waits = machines.iter().enumerate().filter_map(|(index, machine)| {
        let log = machine.log.as_ref()?;
        Some(Box::pin(async move { (index, until(log, |leadership| leadership.is_self).await) }))
    });
    futures::future::select_all(waits).await.0.0
}

/// Waits for a state of leadership.
pub(crate) async fn until(log: &Quorum, wanted: impl Fn(&Leadership) -> bool) -> Leadership {
    let mut leadership = log.leadership();
    let found = tokio::time::timeout(PATIENCE, leadership.wait_for(|now| wanted(now))).await;
    *found.expect("it happens in time").expect("the node runs")
}

/// Proposes under the present session.
pub(crate) fn propose(log: &Quorum, text: &str) -> Result<Proposal, ProposeError> {
    let session = log.leadership().borrow().session;
    log.propose(session, vec![Bytes::copy_from_slice(text.as_bytes())])
}

/// Proposes and waits until it is committed.
pub(crate) async fn write(log: &Quorum, text: &str) -> MetadataOffset {
    propose(log, text).expect("the leader takes it").await.expect("it is committed")
}

/// Waits until the node has committed up to `end` and gives all texts since the newest snapshot it knows.
pub(crate) async fn texts(log: &Quorum, end: MetadataOffset) -> Vec<String> {
    let mut stream = log.committed(MetadataOffset::ZERO);
    let mut texts = Vec::new();
    while stream.position() < end {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("it is committed in time");
        match next.expect("the node runs").expect("the log can be read") {
            Committed::Batch { offset, records, .. } => {
                assert_eq!(offset.next(), stream.position(), "offsets have no gaps");
                texts.extend(records.iter().map(|record| String::from_utf8_lossy(record).into_owned()));
            }
            Committed::Snapshot { bytes, .. } => {
                texts = String::from_utf8_lossy(&bytes).split_whitespace().map(str::to_owned).collect();
            }
        }
    }
    texts
}
