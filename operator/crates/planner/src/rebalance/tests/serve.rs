//! Who serves after brokers have come or gone: every topic, all bytes and all leaders are spread over all brokers.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::rng::SplitMix64;
use crate::rebalance::{Broker, BrokerState, Model, Options, Partition, Plan, apply, judge, plan};

/// Topics: name, partitions, replicas, bytes of a partition.
type Topics<'a> = &'a [(&'a str, i32, usize, i64)];

/// The example once all flights are in: all other partitions are empty.
const DEMO: Topics<'_> = &[("__consumer_offsets", 50, 3, 0), ("flights", 12, 3, 230_000)];
/// Topics of several sizes.
const MIXED: Topics<'_> = &[
    ("__consumer_offsets", 50, 3, 0),
    ("big", 6, 3, 40 << 20),
    ("empty", 5, 3, 0),
    ("flights", 12, 3, 230_000),
    ("small", 3, 3, 10_000),
    ("wide", 40, 3, 3 << 20),
];
/// Topics with other numbers of replicas.
const FACTORS: Topics<'_> =
    &[("logs", 24, 1, 5 << 20), ("pairs", 18, 2, 4 << 20), ("threes", 12, 3, 2 << 20)];
/// The example beside topics of other sizes, all small.
const SIZED: Topics<'_> = &[
    ("__consumer_offsets", 50, 3, 0),
    ("big", 6, 3, 1_000_000),
    ("empty", 5, 3, 0),
    ("flights", 12, 3, 230_000),
    ("small", 3, 3, 10_000),
    ("wide", 24, 3, 100_000),
];
/// Topics that carry next to nothing may stay where they are, and are led by whoever holds them.
const LIGHT: [&str; 2] = ["empty", "small"];
/// Nothing is known of sizes.
const UNKNOWN: Topics<'_> =
    &[("__consumer_offsets", 50, 3, 0), ("a", 12, 3, 0), ("b", 30, 3, 0), ("c", 6, 3, 0)];

/// How brokers are spread over racks.
#[derive(Clone, Copy, Debug)]
enum Racks {
    None,
    /// Over three, in turn.
    Three,
    /// Over three, of which the first by name is not the first in turn.
    Zones,
}

/// Brokers of which the first `used` hold everything, as Kafka lays it out, with sizes that differ a little.
fn cluster(topics: Topics<'_>, racks: Racks, brokers: i32, used: i32) -> Model {
    let rack = |id: i32| match racks {
        Racks::None => None,
        Racks::Three => Some(format!("rack-{}", id % 3)),
        Racks::Zones => Some(["zone-c", "zone-a", "zone-b"][id as usize % 3].to_owned()),
    };
    let mut model = Model {
        brokers: (0..brokers).map(|id| Broker::new(NodeId(id), rack(id))).collect(),
        partitions: vec![],
    };
    let mut rng = SplitMix64::new(7, 7);
    for (at, (name, partitions, replicas, bytes)) in topics.iter().enumerate() {
        let name = TopicName::new(name).expect("a valid name");
        for index in 0..*partitions {
            let list = (0..*replicas as i32).map(|step| NodeId((at as i32 + index + step) % used)).collect();
            let mut partition = Partition::new(name.clone(), PartitionIndex(index), list);
            partition.bytes = bytes / 100 * (90 + rng.below(21) as i64);
            model.partitions.push(partition);
        }
    }
    model
}

fn planned(model: &Model, onto: &[i32]) -> Plan {
    let only_onto = (!onto.is_empty()).then(|| onto.iter().copied().map(NodeId).collect::<BTreeSet<_>>());
    let options = Options { only_onto, ..Options::default() };
    let planned = plan(model, &options).expect("a plan");
    let again = plan(&apply(model, &planned), &options).expect("a plan");
    assert!(again.is_empty(), "{planned}\nthen {again}");
    planned
}

/// The sizes of partitions when brokers were asked for them: flights were still coming in, at other rates by their keys.
fn sizes_before(seed: u64, model: &Model) -> Model {
    let mut rng = SplitMix64::new(seed, 8);
    let arrived = 70 + rng.below(31) as i64;
    let mut before = model.clone();
    for partition in before.partitions.iter_mut().filter(|p| p.topic.as_str() == "flights") {
        partition.bytes = partition.bytes * arrived / 100;
    }
    before
}

/// Sizes of a model's partitions as they are when its plan has been carried out.
fn with_sizes(mut model: Model, sizes: &Model) -> Model {
    model.partitions.iter_mut().zip(&sizes.partitions).for_each(|(p, now)| p.bytes = now.bytes);
    model
}

/// Brokers that end with more than five percent above an even share of bytes, or are new and end as much below.
fn uneven_bytes(plan: &Plan, share: impl Fn(i32) -> f64, new: &[i32]) -> Vec<String> {
    let staying = plan.brokers().iter().filter(|load| load.replicas_share.1 > 0);
    let ratio = staying.map(|load| (load.broker.get(), load.bytes.1 as f64 / share(load.broker.get())));
    let wrong = ratio.filter(|(id, ratio)| *ratio > 1.05 || (new.contains(id) && *ratio < 0.95));
    wrong.map(|(id, ratio)| format!("{id} holds {ratio:.3} of its share")).collect()
}

/// What is not even though racks allow it: topics, their leaders, bytes, leaders of all topics together.
fn uneven(model: &Model, plan: &Plan) -> Vec<String> {
    let score = plan.score();
    let mut problems = Vec::new();
    let mut hold = |holds: bool, problem: String| problems.extend((!holds).then_some(problem));
    hold(score.topics_crowded.1 == 0, format!("{} topics are crowded", score.topics_crowded.1));
    hold(
        score.topics_led_unevenly.1 == 0,
        format!("{} topics are led unevenly", score.topics_led_unevenly.1),
    );
    let bytes = score.dimensions[1];
    // Where one partition is more than the band, half of it may be missing or too much.
    let staying = model.brokers.iter().filter(|b| b.state == BrokerState::Alive).count() as f64;
    let largest = model.partitions.iter().map(|p| p.bytes).max().unwrap_or(0) as f64;
    let total = model.partitions.iter().map(|p| p.bytes * p.replicas.len() as i64).sum::<i64>() as f64;
    let band = 0.05_f64.max(0.6 * largest * staying / total.max(1.0));
    let most = bytes.after.max_to_share.value();
    hold(most <= 1.0 + band || bytes.max_to_floor.value() <= 1.02, format!("{most} of a share of bytes"));
    if let Some(new) = score.new_brokers {
        hold(new.bytes.value() >= 1.0 - band, format!("new brokers hold {}", new.bytes));
        let even = model.partitions.len() as f64 / staying;
        // Leaderships are whole.
        hold(
            new.leaders.value() * even >= (0.95 * even).floor() - 0.01,
            format!("new brokers lead {}", new.leaders),
        );
    }
    let after = apply(model, plan);
    let even = after.partitions.len() as f64 / staying;
    for load in plan.brokers().iter().filter(|load| load.replicas_share.1 > 0) {
        let led = load.leaders.1 as f64;
        hold((led - even).abs() <= 1.0, format!("{} leads {led} of {even}", load.broker));
    }
    let mut led: BTreeMap<(&TopicName, NodeId), f64> = BTreeMap::new();
    let mut partitions: BTreeMap<&TopicName, f64> = BTreeMap::new();
    for partition in &after.partitions {
        *led.entry((&partition.topic, partition.replicas[0])).or_default() += 1.0;
        *partitions.entry(&partition.topic).or_default() += 1.0;
    }
    for ((topic, broker), count) in led.into_iter().filter(|((topic, _), _)| !LIGHT.contains(&topic.as_str()))
    {
        let even = partitions[topic] / staying;
        hold(count - even <= (even / 20.0).max(1.0), format!("{broker} leads {count} of {topic}, of {even}"));
    }
    problems
}

#[test]
fn new_brokers_serve_their_share_of_every_topic() {
    let mut problems = Vec::new();
    for (name, topics) in [("demo", DEMO), ("mixed", MIXED), ("factors", FACTORS), ("unknown sizes", UNKNOWN)]
    {
        for (racks, brokers) in [(Racks::None, 5), (Racks::None, 6), (Racks::Three, 5), (Racks::Three, 6)] {
            // Numbers of replicas and bytes leave the replicas of other topics less choice.
            let is_held = matches!(name, "demo" | "unknown sizes");
            let mut note = |what: &str, mut found: Vec<String>| {
                found.retain(|problem| is_held || !problem.ends_with("crowded"));
                let what = format!("{name}, racks {racks:?}, {what} {brokers} brokers");
                problems.extend(found.into_iter().map(|problem| format!("{what}: {problem}")));
            };
            let model = cluster(topics, racks, brokers, 3);
            let new: Vec<i32> = (3..brokers).collect();
            note("anywhere,", uneven(&model, &planned(&model, &[])));
            let grown = planned(&model, &new);
            let onto = grown.moves().iter().flat_map(|step| step.adding());
            assert!(onto.map(|id| id.get()).all(|id| id >= 3), "copies among old brokers\n{grown}");
            note("3 to", uneven(&model, &grown));
            let mut shrunk = apply(&model, &grown);
            new.iter().for_each(|id| shrunk.brokers[*id as usize].state = BrokerState::Draining);
            note("to 3 from", uneven(&shrunk, &planned(&shrunk, &[])));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn small_clusters_in_uneven_zones_stay_even_while_sizes_grow() {
    let mut problems = Vec::new();
    for (name, topics, seed) in (0..40).flat_map(|seed| [("demo", DEMO, seed), ("sized", SIZED, seed)]) {
        let mut model = cluster(topics, Racks::Zones, 5, 3);
        let mut rng = SplitMix64::new(seed, 9);
        for partition in &mut model.partitions {
            partition.bytes = partition.bytes * (80 + rng.below(41) as i64) / 100;
            partition.replicas.rotate_left(rng.below(3));
        }
        let total: i64 = model.partitions.iter().map(|p| p.bytes).sum();
        let seen = sizes_before(seed, &model);
        let grown = apply(&seen, &planned(&seen, &[3, 4]));
        let told = judge(&model, &with_sizes(grown.clone(), &model), &Options::default()).expect("lists");
        let half = |id: i32| total as f64 / if id == 2 { 1.0 } else { 2.0 };
        let mut shrunk = grown;
        (3..5).for_each(|id| shrunk.brokers[id].state = BrokerState::Draining);
        let back = planned(&shrunk, &[]);
        let found = [uneven(&model, &told), uneven_bytes(&told, half, &[3, 4]), uneven(&shrunk, &back)];
        let found = found.into_iter().flatten();
        problems.extend(found.map(|problem| format!("{name} {seed}: {problem}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_example_moves_flights_and_not_only_what_is_empty() {
    let model = cluster(DEMO, Racks::Three, 5, 3);
    let grown = planned(&model, &[3, 4]);
    let flights = grown.moves().iter().filter(|step| step.topic.as_str() == "flights");
    let copies: usize = flights.map(|step| step.adding().count()).sum();
    assert_eq!(copies, 12, "half of two racks' replicas: {grown}");
    assert_eq!(grown.replicas_moved(), 62);
}
