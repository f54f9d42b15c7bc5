//! Clusters of any size as Kafka would lay them out, and what happens to clusters.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::rng::SplitMix64;
use crate::rebalance::{Broker, BrokerState, Model, Partition};

/// What happens to a cluster between two plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Topics grow, shrink, and are read and written more or less; few partitions become large.
    Drift,
    /// Up to three brokers come, as many as leave by the other events.
    Grow,
    /// A broker shall leave.
    Drain,
    /// A broker died and another is there for it.
    Replace,
    /// A broker died.
    Kill,
    /// A topic shall have another number of replicas.
    ChangeReplicas,
    /// A topic is made.
    NewTopic,
    /// A topic is deleted.
    DeleteTopic,
}

impl Event {
    pub(super) const ALL: [Event; 8] = [
        Event::Drift,
        Event::Grow,
        Event::Drain,
        Event::Replace,
        Event::Kill,
        Event::ChangeReplicas,
        Event::NewTopic,
        Event::DeleteTopic,
    ];
}

/// A cluster with a past that its seed determines.
pub(super) struct Fleet {
    pub(super) model: Model,
    rng: SplitMix64,
    racks: usize,
    next_broker: i32,
    next_topic: usize,
}

impl Fleet {
    /// Brokers in `racks` racks, and topics until there are so many partitions.
    pub(super) fn new(seed: u64, brokers: usize, racks: usize, partitions: usize) -> Fleet {
        let rng = SplitMix64::new(seed, 97);
        let mut fleet = Fleet { model: Model::default(), rng, racks, next_broker: 0, next_topic: 0 };
        (0..brokers).for_each(|_| fleet.grow());
        while fleet.model.partitions.len() < partitions {
            fleet.new_topic();
        }
        fleet
    }

    /// Lets something happen that leaves the cluster able to hold what it has.
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Drift => self.drift(),
            Event::Grow => (0..1 + self.rng.below(3)).for_each(|_| self.grow()),
            Event::Drain => self.lose(BrokerState::Draining),
            Event::Kill => self.lose(BrokerState::Dead),
            Event::Replace => {
                self.grow();
                self.lose(BrokerState::Dead);
            }
            Event::ChangeReplicas => self.change_replicas(),
            Event::NewTopic => self.new_topic(),
            Event::DeleteTopic => {
                let topic = self.any_topic();
                self.model.partitions.retain(|p| Some(&p.topic) != topic.as_ref());
            }
        }
    }

    /// Brokers that have left are forgotten.
    pub(super) fn forget(&mut self) {
        self.model.brokers.retain(|b| b.state == BrokerState::Alive);
    }

    pub(super) fn staying(&self) -> Vec<NodeId> {
        let alive = self.model.brokers.iter().filter(|b| b.state == BrokerState::Alive);
        alive.map(|b| b.id).collect()
    }

    fn grow(&mut self) {
        let rack = (self.racks > 1).then(|| format!("rack-{}", self.next_broker as usize % self.racks));
        self.model.brokers.push(Broker::new(NodeId(self.next_broker), rack));
        self.next_broker += 1;
    }

    /// One broker fewer, as long as there are enough for every replica.
    fn lose(&mut self, state: BrokerState) {
        let staying = self.staying();
        let most = self.model.partitions.iter().map(Partition::replicas_wanted).max().unwrap_or(0);
        if staying.len() > most.max(1) {
            let id = staying[self.rng.below(staying.len())];
            self.model.brokers.iter_mut().filter(|b| b.id == id).for_each(|b| b.state = state);
        }
    }

    fn any_topic(&mut self) -> Option<TopicName> {
        let end = self.model.partitions.len();
        (end > 0).then(|| self.model.partitions[self.rng.below(end)].topic.clone())
    }

    fn drift(&mut self) {
        let (mut topic, mut factor) = (None, [1, 1]);
        for partition in &mut self.model.partitions {
            if topic.as_ref() != Some(&partition.topic) {
                topic = Some(partition.topic.clone());
                factor = [40 + self.rng.below(120) as i64, 40 + self.rng.below(120) as i64];
            }
            let hot = if self.rng.below(100) == 0 { 8 } else { 1 };
            partition.bytes = (partition.bytes * factor[0] / 100 * hot).min(1 << 40);
            partition.in_rate = (partition.in_rate * factor[1] / 100 * hot).min(1 << 30);
            partition.out_rate = partition.in_rate * (1 + self.rng.below(3) as i64);
        }
    }

    fn change_replicas(&mut self) {
        let (topic, staying) = (self.any_topic(), self.staying().len());
        let wanted = 1 + self.rng.below(staying.min(4)) as u16;
        let partitions = self.model.partitions.iter_mut();
        partitions
            .filter(|p| Some(&p.topic) == topic.as_ref())
            .for_each(|p| p.replication_factor = Some(wanted));
    }

    /// Partitions around the circle of brokers, from anywhere; topics differ in size by up to three powers of ten.
    fn new_topic(&mut self) {
        let staying = self.staying();
        let name = TopicName::new(&format!("topic-{:04}", self.next_topic)).expect("a valid name");
        self.next_topic += 1;
        let replicas = [1, 2, 3, 3, 3, 3, 3, 3][self.rng.below(8)].min(staying.len());
        let size = (1 + self.rng.below(10) as i64).pow(3) << 20;
        let rate = (1 + self.rng.below(10) as i64).pow(3) << 10;
        let (start, step) = (self.rng.below(staying.len()), 1 + self.rng.below(2));
        for index in 0..1 + self.rng.below(12) * self.rng.below(12) {
            let mut list: Vec<NodeId> = Vec::new();
            for at in 0..2 * staying.len() {
                let id = staying[(start + index + at * step) % staying.len()];
                if list.len() < replicas && !list.contains(&id) {
                    list.push(id);
                }
            }
            if list.len() < replicas {
                list = (0..replicas).map(|at| staying[(start + index + at) % staying.len()]).collect();
            }
            let mut partition = Partition::new(name.clone(), PartitionIndex(index as i32), list);
            partition.bytes = size / 8 * (4 + self.rng.below(9) as i64);
            partition.in_rate = rate / 8 * (4 + self.rng.below(9) as i64);
            partition.out_rate = partition.in_rate * (1 + self.rng.below(3) as i64);
            self.model.partitions.push(partition);
        }
    }
}
