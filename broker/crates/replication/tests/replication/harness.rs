//! A partition with three replicas and a controller in miniature. Nothing happens unless a test says so: each call is
//! one step of one node. The only I/O is that of the simulated disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ottla_broker_log::{Log, LogConfig, RecoveryPoint, SimDisk};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, batches, records};
use ottla_broker_protocol::{ErrorCode, Segment};
use ottla_broker_replication::{
    AckState, AckWait, Acks, Assignment, Effects, FetchFacts, FetchPosition, FetchRefusal, FollowerFetched,
    FollowerId, FollowerStep, Isolation, IsrDecided, IsrProposal, IsrUnchanged, LeaderOffsets, ProduceError,
    Produced, Replica, ReplicationConfig,
};
use ottla_broker_types::{
    BrokerEpoch, DurationMs, LeaderEpoch, MonotonicMs, NodeId, Now, Offset, PartitionEpoch, PartitionIndex,
    TimestampMs, TopicId, TopicName, TopicPartition, Uuid,
};

pub(crate) const CONFIG: ReplicationConfig = ReplicationConfig { min_isr: 2, lag_max: DurationMs(100) };
pub(crate) const N1: NodeId = NodeId(1);
pub(crate) const N2: NodeId = NodeId(2);
pub(crate) const N3: NodeId = NodeId(3);
pub(crate) const NODES: [NodeId; 3] = [N1, N2, N3];
/// Small, so that histories cross segments.
const SEGMENT_BYTES: u32 = 600;
const READ_ALL: usize = 1 << 30;

/// A record as a test names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: i64,
    pub(crate) epoch: i32,
    pub(crate) value: u64,
}

pub(crate) struct Node {
    disk: Arc<SimDisk>,
    pub(crate) replica: Option<Replica>,
    checkpoint: Option<Offset>,
    pub(crate) broker_epoch: BrokerEpoch,
}

/// An idempotent producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) sequence: i32,
}

pub(crate) struct Model {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// What the controller has committed.
    pub(crate) state: Assignment,
    pub(crate) now: Now,
    /// ISR changes on their way to the controller.
    pub(crate) proposals: Vec<(NodeId, IsrProposal)>,
    next_broker_epoch: i64,
}

impl Model {
    /// Three live replicas that know that node 1 leads epoch 0, all in sync.
    pub(crate) fn new() -> Model {
        let state = Assignment {
            leader: Some(N1),
            replicas: NODES.to_vec(),
            isr: NODES.to_vec(),
            ..Assignment::default()
        };
        let mut model = Model {
            nodes: BTreeMap::new(),
            state,
            now: Now { mono: MonotonicMs(1_000), wall: TimestampMs(1_700_000_000_000) },
            proposals: Vec::new(),
            next_broker_epoch: 1,
        };
        for node in NODES {
            let broker_epoch = model.draw_broker_epoch();
            let disk = Arc::new(SimDisk::new(0));
            model.nodes.insert(node, Node { disk, replica: None, checkpoint: None, broker_epoch });
            model.open(node);
        }
        model.deliver_all();
        model
    }

    fn draw_broker_epoch(&mut self) -> BrokerEpoch {
        self.next_broker_epoch += 1;
        BrokerEpoch(self.next_broker_epoch)
    }

    fn open(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        let topic = TopicPartition {
            topic: TopicName::new("t").expect("a valid name"),
            partition: PartitionIndex(0),
        };
        let config = LogConfig { segment_bytes_max: SEGMENT_BYTES, ..LogConfig::default() };
        let log = Log::open(
            Arc::clone(&node.disk) as _,
            Path::new("/data/t-0"),
            topic,
            TopicId(Uuid([7; 16])),
            config,
            RecoveryPoint::default(),
            now,
        )
        .expect("the log opens after any crash");
        node.replica = Some(Replica::new(id, log, node.checkpoint, CONFIG));
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of the model")
    }

    pub(crate) fn replica(&mut self, id: NodeId) -> &mut Replica {
        self.node(id).replica.as_mut().expect("the node runs")
    }

    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.nodes[&id].replica.is_some()
    }

    /// The process dies; what it wrote stays, as the operating system holds it.
    pub(crate) fn kill(&mut self, id: NodeId) {
        self.node(id).replica = None;
        self.node(id).disk.kill();
    }

    /// The process dies and its disk is replaced by an empty one.
    pub(crate) fn lose_disk(&mut self, id: NodeId) {
        self.node(id).replica = None;
        self.node(id).checkpoint = None;
        self.node(id).disk = Arc::new(SimDisk::new(0));
    }

    /// The machine dies: what was not synced is gone.
    pub(crate) fn cut_power(&mut self, id: NodeId, seed: u64) {
        self.node(id).replica = None;
        self.node(id).disk.crash(seed);
    }

    /// The shell's checkpoint of the high watermark.
    pub(crate) fn checkpoint(&mut self, id: NodeId) {
        let high_watermark = self.replica(id).high_watermark();
        self.node(id).checkpoint = Some(high_watermark);
    }

    /// The process starts after a clean stop, so it keeps its place in the ISR.
    pub(crate) fn restart_cleanly(&mut self, id: NodeId) {
        let broker_epoch = self.draw_broker_epoch();
        self.node(id).broker_epoch = broker_epoch;
        self.open(id);
    }

    /// The process starts under a new registration and without an assignment. As its shutdown was not clean, the
    /// controller takes it out of the ISR, unless it is the last member.
    pub(crate) fn restart(&mut self, id: NodeId) {
        let broker_epoch = self.draw_broker_epoch();
        self.node(id).broker_epoch = broker_epoch;
        self.remove_from_isr(id);
        self.open(id);
    }

    /// The controller takes `id` out of the ISR, unless it is the last member.
    pub(crate) fn remove_from_isr(&mut self, id: NodeId) {
        if !self.state.isr.contains(&id) || self.state.isr.len() == 1 {
            return;
        }
        self.state.isr.retain(|member| *member != id);
        self.state.partition_epoch = self.state.partition_epoch.next();
        if self.state.leader == Some(id) {
            self.state.leader = None;
            self.state.leader_epoch = self.state.leader_epoch.next();
        }
    }

    /// The controller elects `leader`; the ISR keeps its members that run.
    pub(crate) fn elect(&mut self, leader: NodeId) {
        let isr: Vec<NodeId> = self.state.isr.iter().copied().filter(|node| self.is_up(*node)).collect();
        self.elect_with_isr(leader, isr);
    }

    /// The controller elects `leader` although it may lack committed records.
    pub(crate) fn elect_uncleanly(&mut self, leader: NodeId) {
        self.elect_with_isr(leader, vec![leader]);
    }

    fn elect_with_isr(&mut self, leader: NodeId, isr: Vec<NodeId>) {
        self.state.isr = isr;
        self.state.leader = Some(leader);
        self.state.leader_epoch = self.state.leader_epoch.next();
        self.state.partition_epoch = self.state.partition_epoch.next();
    }

    /// `id` learns the committed state.
    pub(crate) fn deliver(&mut self, id: NodeId) -> Effects {
        let (now, state) = (self.now, self.state.clone());
        let effects = self.replica(id).apply_assignment(now, &state);
        self.queue(id, &effects);
        effects
    }

    pub(crate) fn deliver_all(&mut self) {
        for id in NODES.into_iter().filter(|id| self.is_up(*id)).collect::<Vec<_>>() {
            let _ = self.deliver(id);
        }
    }

    fn queue(&mut self, id: NodeId, effects: &Effects) {
        self.proposals.extend(effects.isr_change.clone().map(|proposal| (id, proposal)));
    }

    /// The controller judges the oldest proposal and the proposer learns the outcome.
    pub(crate) fn decide(&mut self) -> Option<Effects> {
        if self.proposals.is_empty() {
            return None;
        }
        let (id, proposal) = self.proposals.remove(0);
        let outcome = self.judge(id, &proposal);
        if !self.is_up(id) {
            return None;
        }
        let now = self.now;
        let effects = self.replica(id).alter_partition_result(now, &proposal, outcome);
        self.queue(id, &effects);
        Some(effects)
    }

    pub(crate) fn judge(&mut self, id: NodeId, proposal: &IsrProposal) -> Result<IsrDecided, IsrUnchanged> {
        if self.state.leader != Some(id) || proposal.leader_epoch != self.state.leader_epoch {
            return Err(IsrUnchanged::Overtaken);
        }
        if proposal.partition_epoch != self.state.partition_epoch {
            return Err(IsrUnchanged::Overtaken);
        }
        for member in &proposal.new_isr {
            let registered = self.nodes[&member.node].broker_epoch;
            let added = !self.state.isr.contains(&member.node);
            let stale = member.broker_epoch.is_some_and(|epoch| epoch != registered);
            if stale || (added && !self.is_up(member.node)) {
                return Err(IsrUnchanged::NotTaken);
            }
        }
        self.state.isr = proposal.nodes().collect();
        self.state.partition_epoch = self.state.partition_epoch.next();
        Ok(IsrDecided {
            leader_epoch: self.state.leader_epoch,
            partition_epoch: self.state.partition_epoch,
            isr: self.state.isr.clone(),
        })
    }

    /// Time passes and `id` notices.
    pub(crate) fn tick(&mut self, id: NodeId) -> Effects {
        let now = self.now;
        let effects = self.replica(id).tick(now);
        self.queue(id, &effects);
        effects
    }

    /// The leader waits until the followers that are down have left the ISR.
    pub(crate) fn leave_out_laggards(&mut self, leader: NodeId) {
        for id in NODES {
            if self.is_up(id) {
                let _ = self.fetch(id);
            }
        }
        self.wait(1_000);
        for id in NODES {
            if self.is_up(id) {
                let _ = self.fetch(id);
            }
        }
        let _ = self.tick(leader);
        while self.decide().is_some() {}
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now.mono = self.now.mono.plus(DurationMs(millis));
        self.now.wall.0 += i64::try_from(millis).expect("small");
    }

    /// One fetch of `id` from the leader it knows, if that one runs.
    pub(crate) fn fetch(&mut self, id: NodeId) -> Option<FollowerStep> {
        let position = self.replica(id).fetch_position()?;
        if !self.is_up(position.leader) {
            return None;
        }
        let answer = self.ask(id, &position);
        Some(self.answer(id, &position, answer))
    }

    /// The leader's side of a fetch: counts it and gives the answer.
    pub(crate) fn ask(&mut self, id: NodeId, position: &FetchPosition) -> Result<Fetched, ErrorCode> {
        let follower =
            FollowerId { node: id, broker_epoch: Some(self.nodes[&id].broker_epoch), isr_eligible: true };
        let facts = FetchFacts {
            replica: Some(follower),
            fetch_offset: position.fetch_offset,
            current_leader_epoch: Some(position.leader_epoch),
            last_fetched_epoch: position.last_fetched_epoch,
            log_start: Some(position.log_start),
            max_bytes: 400,
            at_least_one: true,
            isolation: Isolation::LogEnd,
        };
        let now = self.now;
        let outcome = match self.replica(position.leader).handle_fetch(now, &facts) {
            Ok(outcome) => outcome,
            Err(error) => return Err(error.code()),
        };
        self.queue(position.leader, &outcome.effects);
        Ok(Fetched {
            high_watermark: outcome.high_watermark,
            log_start: outcome.log_start,
            diverging: outcome.diverging,
            records: bytes_of(&outcome.read.segments),
        })
    }

    /// The follower's side of a fetch.
    pub(crate) fn answer(
        &mut self,
        id: NodeId,
        position: &FetchPosition,
        answer: Result<Fetched, ErrorCode>,
    ) -> FollowerStep {
        let now = self.now;
        let answer =
            answer.as_ref().map_err(|code| FetchRefusal::from(*code)).map(|fetched| FollowerFetched {
                high_watermark: Some(fetched.high_watermark),
                log_start: Some(fetched.log_start),
                diverging: fetched.diverging,
                records: &fetched.records,
            });
        let (step, _) =
            self.replica(id).handle_fetch_response(now, position, answer).expect("the disk works");
        if step != FollowerStep::NeedLeaderOffsets {
            return step;
        }
        let leader = self.replica(position.leader).log();
        let leaders = LeaderOffsets { start: leader.log_start(), end: leader.log_end() };
        let (step, _) = self.replica(id).leader_offsets(now, position, leaders).expect("the disk works");
        step
    }

    /// Lets all live followers fetch, and the controller decide, until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        // Enough for every batch of the longest history, one a round.
        const ROUNDS_MAX: usize = 400;
        self.deliver_all();
        for _ in 0..ROUNDS_MAX {
            let before = self.facts();
            for id in NODES {
                if self.is_up(id) {
                    let _ = self.fetch(id);
                }
            }
            while self.decide().is_some() {}
            self.deliver_all();
            if self.facts() == before && self.proposals.is_empty() {
                return;
            }
        }
        panic!("the replicas do not come to rest: {:?}", self.facts());
    }

    fn facts(&self) -> Vec<(Option<(Offset, Offset)>, PartitionEpoch)> {
        let of = |replica: &Replica| (replica.log().log_end(), replica.high_watermark());
        self.nodes.values().map(|node| (node.replica.as_ref().map(of), self.state.partition_epoch)).collect()
    }

    /// Appends records of no producer at `id`, each in a batch of its own, however few replicas are in sync.
    pub(crate) fn write(&mut self, id: NodeId, values: &[u64]) -> Vec<AckWait> {
        values
            .iter()
            .map(|value| self.send(id, *value, None, Acks::Leader).expect("the leader takes it").wait)
            .collect()
    }

    /// Appends all `values` in one batch.
    pub(crate) fn write_batch(&mut self, id: NodeId, values: &[u64]) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for value in values {
            builder.append(None, Some(&value.to_be_bytes()), self.now.wall.0);
        }
        let mut batch = builder.build().expect("a small batch").to_vec();
        let now = self.now;
        let produced = self.replica(id).append(now, &mut batch, Acks::Leader).expect("the leader takes it");
        self.queue(id, &produced.effects);
    }

    /// One record in one batch, with acks=all.
    pub(crate) fn produce(
        &mut self,
        id: NodeId,
        value: u64,
        producer: Option<Producer>,
    ) -> Result<Produced, ProduceError> {
        self.send(id, value, producer, Acks::All)
    }

    fn send(
        &mut self,
        id: NodeId,
        value: u64,
        producer: Option<Producer>,
        acks: Acks,
    ) -> Result<Produced, ProduceError> {
        let (producer_id, producer_epoch, base_sequence) =
            producer.map_or((-1, -1, -1), |producer| (producer.id, 0, producer.sequence));
        let options = BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.append(None, Some(&value.to_be_bytes()), self.now.wall.0);
        let mut batch = builder.build().expect("a small batch").to_vec();
        let now = self.now;
        let produced = self.replica(id).append(now, &mut batch, acks)?;
        let effects = produced.effects.clone();
        self.queue(id, &effects);
        Ok(produced)
    }

    /// DeleteRecords at the leader.
    pub(crate) fn delete_before(&mut self, id: NodeId, offset: i64) {
        let _ = self.replica(id).delete_records(Some(Offset::clamped(offset))).expect("committed records");
    }

    pub(crate) fn ack_state(&mut self, id: NodeId, wait: AckWait) -> AckState {
        self.replica(id).acks_satisfied(wait)
    }

    pub(crate) fn high_watermark(&mut self, id: NodeId) -> i64 {
        self.replica(id).high_watermark().get()
    }

    pub(crate) fn log_end(&mut self, id: NodeId) -> i64 {
        self.replica(id).log().log_end().get()
    }

    /// Every record of a replica's log.
    pub(crate) fn contents(&mut self, id: NodeId) -> Vec<Stored> {
        let log = self.replica(id).log();
        if log.log_start() == log.log_end() {
            return Vec::new();
        }
        let mut stored = Vec::new();
        let mut from = log.log_start();
        while from < log.log_end() {
            let read = log.read(from, READ_ALL, log.log_end(), true).expect("its own log is readable");
            for batch in batches(&bytes_of(&read.segments)) {
                let (header, bytes) = batch.expect("a log holds valid batches");
                header.check_crc(bytes).expect("a log holds intact batches");
                for record in records(&header, bytes, READ_ALL).expect("uncompressed").iter() {
                    let record = record.expect("the harness wrote it");
                    let value = record.value.and_then(|value| value.try_into().ok()).expect("eight bytes");
                    stored.push(Stored {
                        offset: record.offset,
                        epoch: header.partition_leader_epoch,
                        value: u64::from_be_bytes(value),
                    });
                }
                from = Offset::clamped(header.last_offset()).next();
            }
        }
        stored
    }

    pub(crate) fn values(&mut self, id: NodeId) -> Vec<u64> {
        self.contents(id).iter().map(|record| record.value).collect()
    }
}

/// A leader's answer on its way.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    high_watermark: Offset,
    log_start: Offset,
    diverging: Option<ottla_broker_replication::EpochEnd>,
    records: Vec<u8>,
}

/// One record of a producer.
pub(crate) fn numbered(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Vec<u8> {
    let options = BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(None, Some(&[0; 8]), 1);
    builder.build().expect("a small batch").to_vec()
}

fn bytes_of(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(part),
            Segment::File(range) => bytes.extend_from_slice(&range.read().expect("a simulated disk reads")),
        }
    }
    bytes
}

/// The facts of a consumer's fetch.
pub(crate) fn consumer(offset: i64, epoch: Option<i32>) -> FetchFacts {
    FetchFacts {
        replica: None,
        fetch_offset: Offset::clamped(offset),
        current_leader_epoch: epoch.map(LeaderEpoch),
        last_fetched_epoch: None,
        log_start: None,
        max_bytes: READ_ALL,
        at_least_one: true,
        isolation: Isolation::ReadUncommitted,
    }
}
