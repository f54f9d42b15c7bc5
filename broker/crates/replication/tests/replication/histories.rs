//! Random histories of writes, fetches, elections, crashes and lost messages. After every step: what one replica
//! showed below its high watermark no other contradicts, what was acknowledged every leader holds, and a running
//! replica's high watermark never falls. In the end all logs are equal.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_log::AppendError;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{AckState, AckWait, FetchPosition, IsrUnchanged, ProduceError};
use ottla_broker_types::NodeId;
use proptest::prelude::*;

use crate::harness::{Fetched, Model, NODES, Producer, Stored};

#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Fetch(NodeId),
    /// The leader answers, but the answer is still on its way.
    Ask(NodeId),
    /// The answer arrives, however old it is.
    Answer(NodeId),
    Deliver(NodeId),
    Decide,
    /// The controller decides, but the answer is lost.
    LoseAnswer,
    Tick(NodeId, u64),
    Checkpoint(NodeId),
    Flush(NodeId),
    /// One of the ISR that runs is elected, by its place in the ISR.
    Elect(usize),
    Kill(NodeId),
    CutPower(NodeId, u64),
    Restart(NodeId),
}

fn node() -> impl Strategy<Value = NodeId> {
    proptest::sample::select(NODES.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Write),
        12 => node().prop_map(Step::Fetch),
        2 => node().prop_map(Step::Ask),
        2 => node().prop_map(Step::Answer),
        4 => node().prop_map(Step::Deliver),
        4 => Just(Step::Decide),
        1 => Just(Step::LoseAnswer),
        2 => (node(), 0..200u64).prop_map(|(node, millis)| Step::Tick(node, millis)),
        1 => node().prop_map(Step::Checkpoint),
        1 => node().prop_map(Step::Flush),
        2 => (0..3usize).prop_map(Step::Elect),
        1 => node().prop_map(Step::Kill),
        1 => (node(), any::<u64>()).prop_map(|(node, seed)| Step::CutPower(node, seed)),
        3 => node().prop_map(Step::Restart),
    ]
}

/// A record that its producer goes on sending until it is acknowledged.
struct Pending {
    value: u64,
    sequence: i32,
    wait: Option<(NodeId, AckWait)>,
}

struct History {
    model: Model,
    on_the_way: BTreeMap<NodeId, (FetchPosition, Result<Fetched, ErrorCode>)>,
    pending: Option<Pending>,
    next_value: u64,
    acked: BTreeMap<i64, u64>,
    shown: BTreeMap<i64, Stored>,
    high_watermarks: BTreeMap<NodeId, i64>,
    led: BTreeMap<i32, NodeId>,
}

impl History {
    fn new() -> History {
        History {
            model: Model::new(),
            on_the_way: BTreeMap::new(),
            pending: None,
            next_value: 0,
            acked: BTreeMap::new(),
            shown: BTreeMap::new(),
            high_watermarks: BTreeMap::new(),
            led: BTreeMap::new(),
        }
    }

    fn up(&self, node: NodeId) -> bool {
        self.model.is_up(node)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write => self.write(),
            Step::Fetch(node) if self.up(node) => {
                let _ = self.model.fetch(node);
            }
            Step::Ask(node) if self.up(node) => self.ask(node),
            Step::Answer(node) if self.up(node) => {
                let arrived = self.on_the_way.remove(&node);
                if let Some((position, answer)) = arrived.filter(|(position, _)| self.up(position.leader)) {
                    let _ = self.model.answer(node, &position, answer);
                }
            }
            Step::Deliver(node) if self.up(node) => {
                let _ = self.model.deliver(node);
            }
            Step::Decide => {
                let _ = self.model.decide();
            }
            Step::LoseAnswer => self.lose_answer(),
            Step::Tick(node, millis) if self.up(node) => {
                self.model.wait(millis);
                let _ = self.model.tick(node);
            }
            Step::Checkpoint(node) if self.up(node) => self.model.checkpoint(node),
            Step::Flush(node) if self.up(node) => {
                let _ = self.model.replica(node).flush().expect("the disk works");
            }
            Step::Elect(choice) => self.elect(choice),
            Step::Kill(node) if self.up(node) => {
                self.model.kill(node);
                self.stopped(node);
            }
            Step::CutPower(node, seed) => self.cut_power(node, seed),
            Step::Restart(node) if !self.up(node) => self.model.restart(node),
            _ => {}
        }
    }

    fn stopped(&mut self, node: NodeId) {
        self.high_watermarks.remove(&node);
        self.on_the_way.remove(&node);
    }

    /// Kafka promises acknowledged records while fewer than `min_isr` replicas lose power together, so another
    /// member of the ISR has to run; the controller then takes the victim out.
    fn cut_power(&mut self, node: NodeId, seed: u64) {
        let others = self.model.state.isr.iter().any(|other| *other != node && self.up(*other));
        if self.up(node) && others {
            self.model.cut_power(node, seed);
            self.stopped(node);
            self.model.remove_from_isr(node);
        }
    }

    fn ask(&mut self, node: NodeId) {
        let Some(position) = self.model.replica(node).fetch_position() else { return };
        if self.up(position.leader) {
            let answer = self.model.ask(node, &position);
            self.on_the_way.insert(node, (position, answer));
        }
    }

    fn lose_answer(&mut self) {
        if self.model.proposals.is_empty() {
            return;
        }
        let (node, proposal) = self.model.proposals.remove(0);
        let _ = self.model.judge(node, &proposal);
        if self.up(node) {
            let now = self.model.now;
            let effects =
                self.model.replica(node).alter_partition_result(now, &proposal, Err(IsrUnchanged::Unknown));
            self.model.proposals.extend(effects.isr_change.map(|again| (node, again)));
        }
    }

    fn elect(&mut self, choice: usize) {
        let isr = self.model.state.isr.clone();
        let Some(leader) = isr.get(choice % isr.len()).copied().filter(|node| self.up(*node)) else { return };
        self.model.elect(leader);
        let _ = self.model.deliver(leader);
    }

    /// An idempotent producer with one record in flight, which it sends again while it has no answer.
    fn write(&mut self) {
        let Some(leader) = self.model.state.leader.filter(|node| self.up(*node)) else { return };
        self.collect_ack();
        let next = self.next_value;
        let pending = self.pending.get_or_insert_with(|| Pending {
            value: next,
            sequence: i32::try_from(next).expect("a short history"),
            wait: None,
        });
        let (value, sequence) = (pending.value, pending.sequence);
        self.next_value = value + 1;
        match self.model.produce(leader, value, Some(Producer { id: 7, sequence })) {
            Ok(produced) => {
                self.pending = Some(Pending { value, sequence, wait: Some((leader, produced.wait)) });
            }
            Err(ProduceError::NotLeaderOrFollower | ProduceError::NotEnoughReplicas { .. }) => {}
            Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. })) => {
                panic!("acknowledged records of the producer are missing at {leader}")
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn collect_ack(&mut self) {
        let Some(Pending { value, wait: Some((leader, wait)), .. }) = &self.pending else { return };
        let (value, leader, wait) = (*value, *leader, *wait);
        if self.up(leader) && self.model.ack_state(leader, wait) == AckState::Committed {
            let offset = wait.end.prev().expect("one record ends it").get();
            let other = self.acked.insert(offset, value);
            assert_eq!(other, None, "offset {offset} is acknowledged twice");
            self.pending = None;
        }
    }

    fn check(&mut self) {
        self.collect_ack();
        for node in NODES {
            if !self.up(node) {
                continue;
            }
            let high_watermark = self.model.high_watermark(node);
            let before = self.high_watermarks.insert(node, high_watermark);
            assert!(before <= Some(high_watermark), "the high watermark of {node} fell to {high_watermark}");
            let log = self.model.contents(node);
            for record in log.iter().filter(|record| record.offset < high_watermark) {
                let first = *self.shown.entry(record.offset).or_insert(*record);
                assert_eq!(*record, first, "{node} contradicts what was shown");
            }
            if self.model.replica(node).is_leader() {
                self.check_leader(node, &log);
            }
        }
        let values: BTreeSet<u64> = self.shown.values().map(|record| record.value).collect();
        assert_eq!(values.len(), self.shown.len(), "a record is there twice");
    }

    fn check_leader(&mut self, node: NodeId, log: &[Stored]) {
        let epoch = self.model.replica(node).leader_epoch().expect("a leader has an epoch");
        let leader = *self.led.entry(epoch.get()).or_insert(node);
        assert_eq!(leader, node, "two leaders of epoch {epoch}");
        // A leader that was deposed and does not know it yet may lack what its successor committed.
        if epoch == self.model.state.leader_epoch {
            let held: BTreeMap<i64, u64> = log.iter().map(|record| (record.offset, record.value)).collect();
            for (offset, value) in &self.acked {
                assert_eq!(held.get(offset), Some(value), "{node} leads without what was acknowledged");
            }
        }
    }

    fn heal(&mut self) {
        for node in NODES {
            if !self.up(node) {
                self.model.restart(node);
            }
        }
        let leader = self.model.state.isr[0];
        self.model.elect(leader);
        self.model.settle();
        let log = self.model.contents(leader);
        for node in NODES {
            assert_eq!(self.model.contents(node), log, "{node} differs from its leader");
            assert_eq!(self.model.replica(node).high_watermark().get(), log.len() as i64);
        }
        assert_eq!(self.model.state.isr.len(), NODES.len(), "the ISR did not grow back");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_or_doubles_what_was_acknowledged(steps in prop::collection::vec(step(), 1..160)) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
            history.check();
        }
        history.heal();
        history.check();
    }
}
