//! Whatever a model says, and whatever bytes a file holds, there is a plan or an explanation, and never a panic.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::random::{EVERYTHING, model};
use crate::rebalance::report::{
    Lists, refusal_to_json, refusal_to_text, to_json_with_reasons, to_kafka_file,
};
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::{
    Broker, BrokerState, Capacity, Model, Options, Partition, RowsMax, Table, apply, lint, load, plan,
    read_model, store, write_model,
};

/// Rounds of each test.
const ROUNDS: u64 = 4_000;

/// Numbers that break careless arithmetic.
const EDGES: [i64; 12] = [
    i64::MIN,
    -1,
    0,
    1,
    2,
    u16::MAX as i64,
    i32::MAX as i64,
    u32::MAX as i64,
    1 << 50,
    (1 << 50) + 1,
    1 << 62,
    i64::MAX,
];

struct Wild {
    rng: SplitMix64,
    /// One in so many values is an edge.
    calm: usize,
}

impl Wild {
    fn pick<T: Copy>(&mut self, usual: impl FnOnce(&mut SplitMix64) -> T, edges: &[T]) -> T {
        if self.rng.below(self.calm) == 0 { edges[self.rng.below(edges.len())] } else { usual(&mut self.rng) }
    }

    fn id(&mut self, brokers: usize) -> NodeId {
        NodeId(self.pick(|rng| rng.below(brokers) as i32, &[-1, i32::MIN, i32::MAX, 77]))
    }

    fn load(&mut self) -> i64 {
        self.pick(|rng| rng.below(1 << 30) as i64, &EDGES)
    }

    fn broker(&mut self, at: usize, brokers: usize) -> Broker {
        let id = if self.rng.below(self.calm) == 0 { self.id(brokers) } else { NodeId(at as i32) };
        let racks = 1 + self.rng.below(4);
        let mut broker = Broker::new(id, (racks > 1).then(|| format!("r{}", self.rng.below(racks))));
        broker.capacity = Capacity {
            weight: self.pick(|_| 1, &[0, 2, 1000, u32::MAX]),
            disk_bytes: self.pick(|_| None, &EDGES.map(Some)),
        };
        let states = [BrokerState::Draining, BrokerState::Dead];
        broker.state = self.pick(|_| BrokerState::Alive, &states);
        broker
    }

    fn partition(&mut self, at: usize, brokers: usize) -> Partition {
        let topic = TopicName::new(&format!("t{}", at % 3)).expect("a valid name");
        let index = self.pick(|_| at as i32 / 3, &[-1, 0, 1, i32::MAX, i32::MIN]);
        let len = self.pick(|rng| 1 + rng.below(3), &[0, 1, 5, 40]);
        let mut replicas: Vec<NodeId> = Vec::new();
        for _ in 0..len {
            let id = self.id(brokers);
            if !replicas.contains(&id) || self.rng.below(self.calm) == 0 {
                replicas.push(id);
            }
        }
        let mut partition = Partition::new(topic, PartitionIndex(index), replicas);
        (partition.bytes, partition.in_rate, partition.out_rate) = (self.load(), self.load(), self.load());
        partition.replication_factor =
            self.pick(|_| None, &[Some(0), Some(1), Some(3), Some(9), Some(u16::MAX)]);
        partition.reassigning = self.rng.below(self.calm) == 0;
        partition
    }
}

fn wild_model(seed: u64) -> Model {
    let mut rng = SplitMix64::new(seed, 40);
    let calm = 2 + rng.below(200);
    let (brokers, partitions) = (rng.below(9), rng.below(40));
    let mut wild = Wild { rng, calm };
    Model {
        brokers: (0..brokers).map(|at| wild.broker(at, brokers.max(1))).collect(),
        partitions: (0..partitions).map(|at| wild.partition(at, brokers.max(1))).collect(),
    }
}

/// Plans and shows in every form; true if there is a plan.
fn take(seed: u64, model: &Model) -> bool {
    let planned = match plan(model, &Options { seed, ..Options::default() }) {
        Ok(planned) => planned,
        Err(refusal) => {
            assert!(!refusal.problems.is_empty(), "seed {seed}: a refusal without a reason");
            let shown = refusal_to_text(&refusal, 3);
            assert!(shown.lines().count() <= 3 + 2 + refusal.problems.len(), "seed {seed}: {shown}");
            assert_eq!(refusal_to_json(&refusal)["outcome"], "infeasible");
            return false;
        }
    };
    let table = Table { model, plan: &planned, rows_max: RowsMax::SCREEN, why: true };
    assert!(!table.to_string().is_empty());
    lint(model, &planned);
    to_json_with_reasons(model, &planned);
    to_kafka_file(&planned, Lists::Original);
    assert_eq!(load(&store(planned.moves(), 100)).as_deref(), Ok(planned.moves()), "seed {seed}");
    let again = plan(&apply(model, &planned), &Options::default());
    let again = again.unwrap_or_else(|refusal| panic!("seed {seed}: what was planned is refused: {refusal}"));
    assert!(again.is_empty(), "seed {seed}: {planned}\nthen {again}");
    true
}

#[test]
fn any_model_has_a_plan_or_an_explanation() {
    let planned = (0..ROUNDS).filter(|seed| take(*seed, &wild_model(*seed))).count() as u64;
    assert!((ROUNDS / 10..ROUNDS * 9 / 10).contains(&planned), "{planned} of {ROUNDS} have a plan");
}

/// A model's file with bytes changed, cut out, repeated, or numbers exchanged.
fn damaged(rng: &mut SplitMix64, text: &[u8]) -> Vec<u8> {
    const NUMBERS: [&str; 8] =
        ["-1", "0", "1e3", "4294967296", "9223372036854775807", "18446744073709551616", "1.5", "null"];
    let mut text = text.to_vec();
    for _ in 0..1 + rng.below(2) {
        let at = rng.below(text.len());
        let end = (at + rng.below(12)).min(text.len());
        match rng.below(8) {
            0 => text[at] ^= 1 << rng.below(8),
            1 => drop(text.drain(at..end)),
            2 => drop(text.splice(at..at, text[at..end].to_vec())),
            3 => text.truncate(at + 1),
            _ => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let Some(begin) = text[at..].iter().position(is_digit).map(|skip| at + skip) else {
                    continue;
                };
                let len = text[begin..].iter().take_while(|byte| is_digit(byte)).count();
                text.splice(begin..begin + len, NUMBERS[rng.below(NUMBERS.len())].bytes());
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

#[test]
fn any_bytes_are_a_model_or_an_explanation() {
    let mut read = 0;
    for seed in 0..ROUNDS {
        let mut rng = SplitMix64::new(seed, 41);
        let text = write_model(&model(seed % 64, EVERYTHING));
        match read_model(&damaged(&mut rng, text.as_bytes())) {
            Ok(model) => {
                take(seed, &model);
                read += 1;
            }
            Err(error) => assert!(!error.to_string().is_empty(), "seed {seed}"),
        }
        let noise: Vec<u8> = (0..rng.below(200)).map(|_| rng.below(256) as u8).collect();
        assert!(read_model(&noise).is_err(), "seed {seed}");
        assert!(load(&[noise]).is_err(), "seed {seed}");
    }
    assert!(read > ROUNDS / 10, "{read} of {ROUNDS} damaged files are models");
}

#[test]
fn long_lists_and_many_partitions_are_refused_in_no_time() {
    let topic = TopicName::new("t").expect("a valid name");
    let ids = (0..200_000).chain([7]).map(NodeId).collect();
    let endless = Partition::new(topic.clone(), PartitionIndex(0), ids);
    let model = Model { brokers: vec![Broker::new(NodeId(0), None)], partitions: vec![endless] };
    let refusal = plan(&model, &Options::default()).expect_err("one broker cannot hold them");
    let last = refusal.problems.iter().rev().map(ToString::to_string);
    assert!(last.take(2).any(|text| text == "t-0 names broker 7 twice"), "{refusal}");
    let one = Partition::new(topic, PartitionIndex(0), vec![NodeId(0)]);
    let model = Model { partitions: vec![one; 100_000], ..model };
    let refusal = plan(&model, &Options::default()).expect_err("a partition is there once");
    assert_eq!(refusal.to_string(), "t-0 is listed twice");
}
