//! Every machine and every build makes the same plans: their hashes are written down here.

use super::fleet::{Event, Fleet};
use super::random::{EVERYTHING, model};
use crate::rebalance::rng::Hasher;
use crate::rebalance::{Model, Options, apply, plan};

/// To renew after a change of the planner: run the test, and put the table that it prints here.
const GOLDEN: [(&str, u64); 6] = [
    ("random models", 0x349deb32b101a206),
    ("five brokers grow", 0x465d8e884d8011ec),
    ("thirty brokers grow", 0x193b451333de005f),
    ("thirty brokers drain", 0x45616608f68ce089),
    ("thirty brokers drift", 0x1765b9ebdd00ad2a),
    ("thirty brokers with other replication factors", 0x257e91dd6d1a715c),
];

/// One hash of the plans of all models; a refusal counts as 1.
fn hash(models: impl Iterator<Item = Model>) -> u64 {
    let mut hasher = Hasher::new(0);
    models.for_each(|model| hasher.word(plan(&model, &Options::default()).map_or(1, |plan| plan.hash())));
    hasher.finish()
}

/// A balanced cluster to which something happened, three times.
fn after(event: Event, brokers: usize, racks: usize, partitions: usize) -> u64 {
    let mut fleet = Fleet::new(1, brokers, racks, partitions);
    fleet.model = apply(&fleet.model, &plan(&fleet.model, &Options::default()).expect("a plan"));
    (0..3).for_each(|_| fleet.happen(event));
    hash(std::iter::once(fleet.model))
}

#[test]
fn plans_are_the_same_on_every_machine_and_in_every_build() {
    let hashes = [
        hash((0..60).map(|seed| model(seed, EVERYTHING))),
        after(Event::Grow, 5, 1, 200),
        after(Event::Grow, 30, 3, 2_000),
        after(Event::Drain, 30, 5, 2_000),
        after(Event::Drift, 30, 3, 2_000),
        after(Event::ChangeReplicas, 30, 3, 2_000),
    ];
    let found = GOLDEN.iter().zip(hashes).map(|((name, _), hash)| format!("    ({name:?}, {hash:#018x}),\n"));
    let is_golden = GOLDEN.iter().zip(hashes).all(|((_, golden), hash)| *golden == hash);
    assert!(is_golden, "other plans than before:\n{}", found.collect::<String>());
}
