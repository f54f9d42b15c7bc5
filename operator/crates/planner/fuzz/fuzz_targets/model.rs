//! Models made of the input's bytes, which reach the planner more often than texts do: each has a plan or an
//! explanation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_types::{NodeId, PartitionIndex, TopicName};
use ottla_operator_planner::rebalance::{Broker, BrokerState, Capacity, Model, Partition};
use ottla_operator_planner_fuzz::plan_and_show;

/// Takes numbers from the input; zeros once it is used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Small numbers mostly, and any number where the first byte says so.
    fn number(&mut self) -> i64 {
        match self.byte() {
            small @ 0..=199 => i64::from(small),
            shift @ 200..=254 => i64::from(self.byte()) << (shift - 200),
            255 => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn id(&mut self) -> NodeId {
        NodeId(match self.byte() {
            small @ 0..=250 => i32::from(small % 16),
            _ => self.number() as i32,
        })
    }

    fn broker(&mut self) -> Broker {
        let id = self.id();
        let kinds = self.byte();
        let mut broker = Broker::new(id, (kinds & 3 > 0).then(|| format!("r{}", kinds & 3)));
        broker.state = match kinds >> 2 & 7 {
            0 => BrokerState::Dead,
            1 => BrokerState::Draining,
            _ => BrokerState::Alive,
        };
        broker.capacity = Capacity {
            weight: if kinds & 32 == 0 { 1 } else { self.number() as u32 },
            disk_bytes: (kinds & 64 != 0).then(|| self.number()),
        };
        broker
    }

    fn partition(&mut self, at: i32) -> Partition {
        let kinds = self.byte();
        let topic = TopicName::new(&format!("t{}", kinds & 3)).expect("a valid name");
        let index = if kinds & 4 == 0 { at } else { self.number() as i32 };
        let replicas = (0..self.byte() % 8).map(|_| self.id()).collect();
        let mut partition = Partition::new(topic, PartitionIndex(index), replicas);
        if kinds & 8 != 0 {
            (partition.bytes, partition.in_rate, partition.out_rate) =
                (self.number(), self.number(), self.number());
        }
        partition.replication_factor = (kinds & 16 != 0).then(|| self.number() as u16);
        partition.reassigning = kinds & 224 == 224;
        partition
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let seed = u64::from(bytes.byte());
    let brokers = (0..bytes.byte() % 17).map(|_| bytes.broker()).collect();
    let mut partitions = Vec::new();
    while !bytes.0.is_empty() {
        partitions.push(bytes.partition(partitions.len() as i32));
    }
    plan_and_show(&Model { brokers, partitions }, seed);
});
