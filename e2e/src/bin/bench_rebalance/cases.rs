//! Every case of the table: a scenario, a size, racks, sizes of topics, and how often.

use crate::generate::{Racks, Spec};
use crate::scenarios::Scenario;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As the command line and the table call it.
    pub name: &'static str,
    /// The scenario's number.
    pub group: &'static str,
    pub scenario: Scenario,
    pub spec: Spec,
    /// Seeds for which it is run; the table shows the worst.
    pub seeds: u64,
}

/// Seeds of a case that takes milliseconds.
const SEEDS: u64 = 10;

const SPEC: Spec = Spec {
    brokers: 6,
    replicas: 300,
    racks: Racks::Even(3),
    sigma: 1.5,
    two_classes: false,
    only_three: false,
    seed: 0,
};

const fn size(brokers: usize, replicas: usize) -> Spec {
    Spec { brokers, replicas, ..SPEC }
}

const fn case(
    (name, group): (&'static str, &'static str),
    scenario: Scenario,
    spec: Spec,
    seeds: u64,
) -> Case {
    Case { name, group, scenario, spec, seeds }
}

/// All cases, in the order of the table.
pub fn all() -> Vec<Case> {
    let mut cases = scenarios();
    cases.extend(kinds());
    cases.extend(sizes());
    cases
}

/// Each scenario, small and in the middle.
fn scenarios() -> Vec<Case> {
    use Scenario::*;
    let small = |name, scenario, spec| case(name, scenario, spec, SEEDS);
    vec![
        small(("s1-3-to-6", "S1"), GrowFrom(3), size(6, 300)),
        small(("s1-3-to-6-no-racks", "S1"), GrowFrom(3), Spec { racks: Racks::Even(1), ..size(6, 300) }),
        small(("s1-3-to-6-1k", "S1"), GrowFrom(3), size(6, 1_000)),
        small(("s1-20-to-24", "S1"), GrowFrom(20), size(24, 6_000)),
        small(("s1-30-to-36", "S1"), GrowFrom(30), size(36, 30_000)),
        small(("s2-6-to-3", "S2"), DrainTo(3), Spec { only_three: true, ..size(6, 1_000) }),
        small(("s2-36-to-30", "S2"), DrainTo(30), size(36, 30_000)),
        small(("s3-rack-6", "S3"), AddRack, size(6, 1_000)),
        small(("s3-rack-12", "S3"), AddRack, size(12, 6_000)),
        small(("s4-replace-6", "S4"), Replace, size(6, 1_000)),
        small(("s4-replace-30", "S4"), Replace, size(30, 30_000)),
        small(("s5-same-id-30", "S5"), ReplaceSameId, size(30, 30_000)),
        small(("s6-leaders-12", "S6"), SkewedLeaders, size(12, 6_000)),
        small(("s6-leaders-100", "S6"), SkewedLeaders, size(100, 100_000)),
        small(("s7-drift-12", "S7"), Drift, size(12, 6_000)),
        small(("s7-drift-30", "S7"), Drift, size(30, 30_000)),
        small(("s7-drift-100", "S7"), Drift, size(100, 100_000)),
        small(("s8-huge-12", "S8"), HugeTopic, size(12, 6_000)),
        small(("s8-huge-30", "S8"), HugeTopic, size(30, 30_000)),
        small(("s9-disk-12", "S9"), FullDisk, size(12, 6_000)),
        small(("s13-half-6", "S13"), HalfDone(3), size(6, 1_000)),
        small(("s13-half-36", "S13"), HalfDone(30), size(36, 30_000)),
        small(("s14-even-12", "S14"), Balanced, Spec { only_three: true, ..size(12, 6_000) }),
        small(("s14-even-300", "S14"), Balanced, Spec { only_three: true, ..size(300, 100_000) }),
    ]
}

/// The same growth in other racks, with other sizes of topics, on unequal brokers.
fn kinds() -> Vec<Case> {
    let spec = size(36, 30_000);
    let kind = |name, spec| case((name, "S1"), Scenario::GrowFrom(30), spec, SEEDS);
    vec![
        kind("kind-no-racks", Spec { racks: Racks::Even(1), ..spec }),
        kind("kind-racks-2", Spec { racks: Racks::Even(2), ..spec }),
        kind("kind-racks-3-rf-3", Spec { only_three: true, ..spec }),
        kind("kind-racks-5", Spec { racks: Racks::Even(5), ..spec }),
        kind("kind-racks-10", Spec { racks: Racks::Even(10), ..spec }),
        kind("kind-racks-uneven", Spec { racks: Racks::Uneven, brokers: 37, ..spec }),
        kind("kind-sigma-0.5", Spec { sigma: 0.5, ..spec }),
        kind("kind-sigma-2.5", Spec { sigma: 2.5, ..spec }),
        kind("kind-two-classes", Spec { two_classes: true, ..spec }),
    ]
}

/// Sizes up to the largest that anyone has published. The name of a size of which time is measured begins with it.
fn sizes() -> Vec<Case> {
    use Scenario::*;
    let ten = |spec: Spec| Spec { racks: Racks::Even(10), ..spec };
    let large = |name, scenario, spec| case(name, scenario, spec, 1);
    vec![
        large(("size-30-30k", "S1"), GrowFrom(27), size(30, 30_000)),
        large(("size-100-100k", "S1"), GrowFrom(90), size(100, 100_000)),
        large(("size-270-1.3m", "S1"), GrowFrom(250), size(270, 1_300_000)),
        large(("size-215-2.8m", "S1"), GrowFrom(200), size(215, 2_800_000)),
        large(("size-215-2.8m-replace", "S4"), Replace, size(215, 2_800_000)),
        large(("s10-900-to-1000", "S10"), GrowFrom(900), ten(size(1000, 1_000_000))),
        large(("s10-900-to-1000-racks-3", "S10"), GrowFrom(900), size(1000, 1_000_000)),
        large(("s11-1000-to-900", "S11"), DrainTo(900), ten(size(1000, 1_000_000))),
        large(("s7-drift-1000", "S7"), Drift, size(1000, 1_000_000)),
    ]
}
