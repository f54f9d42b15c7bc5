//! Clusters as they are found: topics of very different sizes, laid out as Kafka would, then aged.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};
use ottla_operator_planner::rebalance::{Broker, Model, Partition};

use crate::numbers::{Numbers, exp, ln};

/// How brokers stand in racks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Racks {
    /// As many racks of equal size.
    Even(usize),
    /// Three, of which the first has more brokers than the others.
    Uneven,
}

impl Racks {
    /// The rack of the broker at a position.
    pub fn of(self, at: usize, brokers: usize) -> usize {
        match self {
            Racks::Even(racks) => at % racks,
            // The last broker goes to the first rack, so that it has at least one more.
            Racks::Uneven => {
                if at + 1 == brokers {
                    0
                } else {
                    at % 3
                }
            }
        }
    }
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub brokers: usize,
    /// Replicas of all partitions together, about.
    pub replicas: usize,
    pub racks: Racks,
    /// Deviation of the logarithm of a topic's size.
    pub sigma: f64,
    /// Every second broker carries twice as much.
    pub two_classes: bool,
    /// Every partition has three replicas.
    pub only_three: bool,
    pub seed: u64,
}

/// Mean size of a partition.
const BYTES_MEAN: f64 = 1e9;
/// Mean bytes per second written to a partition.
const RATE_MEAN: f64 = 1e5;
/// Partitions of one topic differ by this deviation of the logarithm.
const JITTER: f64 = 0.5;
/// The same of a topic's write rate.
const RATE_SIGMA: f64 = 1.2;
/// How much a topic's size and rate go together.
const CORRELATION: f64 = 0.5;

/// A cluster as Kafka's own placement leaves it when all its brokers are there from the start.
pub fn striped(spec: Spec) -> Model {
    let mut model = Model { brokers: brokers(spec, 0..spec.brokers), partitions: Vec::new() };
    let partitions = if spec.only_three { spec.replicas / 3 } else { spec.replicas * 100 / 294 };
    let mut numbers = Numbers::new(spec.seed, "topics");
    let mut place = Numbers::new(spec.seed, "placement");
    for (topic, count) in topic_sizes(partitions).into_iter().enumerate() {
        add_topic(&mut model, spec, &format!("topic-{topic}"), count, &mut numbers, &mut place);
    }
    model
}

/// A cluster that has lived: some brokers came later and stayed empty but for topics made since, topics were deleted,
/// and one partition in a hundred has two replicas in a rack.
pub fn aged(spec: Spec) -> Model {
    let late = (spec.brokers / 12).min(spec.brokers.saturating_sub(5));
    let early = spec.brokers - late;
    let mut model = striped(Spec { brokers: early, ..spec });
    model.brokers = brokers(spec, 0..spec.brokers);
    let mut numbers = Numbers::new(spec.seed, "age");
    let mut topics: Vec<TopicName> = model.partitions.iter().map(|p| p.topic.clone()).collect();
    topics.dedup();
    let gone: Vec<&TopicName> = topics.iter().filter(|_| numbers.below(20) == 0).collect();
    let before = model.partitions.len();
    model.partitions.retain(|p| gone.binary_search_by(|t| by_number(t).cmp(&by_number(&p.topic))).is_err());
    let missing = before - model.partitions.len();
    let mut place = Numbers::new(spec.seed, "late placement");
    for (topic, count) in topic_sizes(missing).into_iter().enumerate() {
        add_topic(&mut model, spec, &format!("late-{topic}"), count, &mut numbers, &mut place);
    }
    break_racks(&mut model, &mut numbers);
    model
}

/// Topics are made, and so listed, by number.
fn by_number(topic: &TopicName) -> usize {
    topic.as_str().rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Brokers with the ids `ids`, placed into racks and classes by their id.
pub fn brokers(spec: Spec, ids: std::ops::Range<usize>) -> Vec<Broker> {
    let broker = |id: usize| {
        let rack =
            (spec.racks != Racks::Even(1)).then(|| format!("rack-{}", spec.racks.of(id, spec.brokers)));
        let mut broker = Broker::new(NodeId(id as i32), rack);
        broker.capacity.weight = if spec.two_classes && (id / 5) % 2 == 1 { 2 } else { 1 };
        broker
    };
    ids.map(broker).collect()
}

/// Partitions per topic: about 2·√P topics whose sizes follow Zipf's law with exponent 0.9.
fn topic_sizes(partitions: usize) -> Vec<usize> {
    let topics = (2 * partitions.isqrt()).clamp(1, partitions.max(1));
    let weights: Vec<f64> = (1..=topics).map(|rank| exp(-0.9 * ln(rank as f64))).collect();
    let total: f64 = weights.iter().sum();
    let mut sizes: Vec<usize> =
        weights.iter().map(|w| ((w / total * partitions as f64) as usize).max(1)).collect();
    let made: usize = sizes.iter().sum();
    // What rounding leaves over goes to the largest, or comes off it.
    sizes[0] = (sizes[0] + partitions).saturating_sub(made).max(1);
    sizes
}

fn add_topic(
    model: &mut Model,
    spec: Spec,
    name: &str,
    count: usize,
    numbers: &mut Numbers,
    place: &mut Numbers,
) {
    let topic = TopicName::new(name).expect("letters, digits and a dash");
    let (a, b) = (numbers.normal(), numbers.normal());
    let size = lognormal(spec.sigma, a);
    let together = CORRELATION * a + (1.0 - CORRELATION * CORRELATION).sqrt() * b;
    let rate = lognormal(RATE_SIGMA, together);
    let fan_out = 1 + numbers.below(4) as i64;
    let replicas = match numbers.below(100) {
        _ if spec.only_three => 3,
        0..2 => 1,
        2..10 => 2,
        10..98 => 3,
        _ => 5,
    };
    let mut stripe = Stripe::new(&model.brokers, place);
    for index in 0..count {
        let mut partition = Partition::new(
            topic.clone(),
            PartitionIndex(index as i32),
            stripe.next(replicas.min(model.brokers.len())),
        );
        partition.bytes = (BYTES_MEAN * size * lognormal(JITTER, numbers.normal())) as i64;
        partition.in_rate = (RATE_MEAN * rate * lognormal(JITTER, numbers.normal())) as i64;
        partition.out_rate = partition.in_rate * fan_out;
        model.partitions.push(partition);
    }
}

/// A log-normal number with mean 1.
fn lognormal(sigma: f64, normal: f64) -> f64 {
    exp(sigma * normal - sigma * sigma / 2.0)
}

/// Replica lists that go around the racks, and around the brokers of each: as Kafka places new topics.
struct Stripe {
    racks: Vec<Vec<NodeId>>,
    /// The rack of the next leader, and for each rack the next broker.
    rack: usize,
    at: Vec<usize>,
}

impl Stripe {
    fn new(brokers: &[Broker], place: &mut Numbers) -> Stripe {
        let mut by_rack: std::collections::BTreeMap<&Option<String>, Vec<NodeId>> = Default::default();
        brokers.iter().for_each(|b| by_rack.entry(&b.rack).or_default().push(b.id));
        let racks: Vec<Vec<NodeId>> = by_rack.into_values().collect();
        let at = racks.iter().map(|brokers| place.below(brokers.len())).collect();
        Stripe { rack: place.below(racks.len()), racks, at }
    }

    fn next(&mut self, replicas: usize) -> Vec<NodeId> {
        let mut list: Vec<NodeId> = Vec::with_capacity(replicas);
        let mut rack = self.rack;
        self.rack = (self.rack + 1) % self.racks.len();
        // A rack that has fewer brokers than its turns is passed over.
        for _ in 0..self.racks.len() * (replicas + 1) {
            let brokers = &self.racks[rack];
            let broker = brokers[self.at[rack] % brokers.len()];
            if list.len() < replicas && !list.contains(&broker) {
                list.push(broker);
                self.at[rack] += 1;
            }
            rack = (rack + 1) % self.racks.len();
        }
        // With the leaders in step with the racks, the followers of one leader would always be the same.
        if self.rack == 0 {
            self.at.iter_mut().enumerate().for_each(|(rack, at)| *at += usize::from(rack % 2 == 1));
        }
        list
    }
}

/// Puts a second replica of one partition in a hundred into the rack of its first.
fn break_racks(model: &mut Model, numbers: &mut Numbers) {
    let brokers = model.brokers.clone();
    for partition in model.partitions.iter_mut().filter(|p| p.replicas.len() > 1) {
        if numbers.below(100) > 0 {
            continue;
        }
        let rack = &brokers.iter().find(|b| b.id == partition.replicas[0]).expect("a known broker").rack;
        let other = &brokers[numbers.below(brokers.len())];
        if other.rack == *rack && !partition.replicas.contains(&other.id) {
            partition.replicas[1] = other.id;
        }
    }
}
