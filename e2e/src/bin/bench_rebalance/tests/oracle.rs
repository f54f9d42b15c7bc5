//! Plans and bounds of small models beside the optimum that HiGHS proves for counts, bytes, rates and racks together.
//!
//! Shares are worked out here by their plain definition, so that the planner's own are checked as well: racks are
//! alike, or each holds one replica of every partition.

use std::collections::BTreeMap;
use std::process::Command;

use ottla_broker_types::NodeId;
use ottla_e2e::unmet;
use ottla_operator_planner::rebalance::{
    Broker, BrokerState, Model, Options, Partition, Plan, plan, write_model,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::generate::{Racks, Spec};
use crate::planners::python::{HIGHS, interpreter};
use crate::scenarios::{Scenario, model};

/// Seeds of each family.
const SEEDS: u64 = 4;
/// Bytes of all plans beside those of the optima. Measured: 1.016.
const BYTES_RATIO_MAX: f64 = 1.04;
/// The same of copies. Measured: 1.021.
const COPIES_RATIO_MAX: f64 = 1.05;
/// Bounds of all models beside the optima, which shows that they are not below them by being worth nothing. Measured:
/// 0.983.
const BOUND_RATIO_MIN: f64 = 0.95;
/// Plans that balance what can be balanced. Measured: 0.82.
const BALANCED_MIN: f64 = 0.75;
/// Sums of doubles in other orders differ, and HiGHS takes what is a billionth outside as inside.
const ROUNDING: f64 = 1e-7;

const SPEC: Spec = Spec {
    brokers: 6,
    replicas: 80,
    racks: Racks::Even(3),
    sigma: 0.5,
    two_classes: false,
    only_three: false,
    seed: 0,
};

/// What happened to which cluster, and whether rates are known. None is so large that HiGHS takes long for it.
const FAMILIES: [(Scenario, Spec, bool); 9] = [
    (Scenario::GrowFrom(3), SPEC, false),
    (Scenario::GrowFrom(4), Spec { racks: Racks::Even(1), replicas: 60, ..SPEC }, false),
    (Scenario::GrowFrom(4), Spec { racks: Racks::Even(2), replicas: 70, ..SPEC }, true),
    (Scenario::GrowFrom(5), Spec { racks: Racks::Uneven, brokers: 7, only_three: true, ..SPEC }, false),
    (Scenario::GrowFrom(4), Spec { racks: Racks::Even(1), two_classes: true, ..SPEC }, false),
    (Scenario::DrainTo(6), Spec { racks: Racks::Even(2), brokers: 8, ..SPEC }, true),
    (Scenario::AddRack, Spec { replicas: 100, ..SPEC }, false),
    (Scenario::Replace, SPEC, true),
    (Scenario::Drift, Spec { replicas: 110, ..SPEC }, false),
];

/// Loads of one broker that count as balanced, as `highs.py` reads them.
type Limits = BTreeMap<i32, [f64; 5]>;

/// What HiGHS says of one model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Optimum {
        bytes: Proven,
        copies: Proven,
    },
    /// No placement keeps the limits.
    Impossible,
    /// It was stopped before it knew either.
    Unknown,
}

/// The least cost that was found, and the one below which there is none.
#[derive(Debug, Deserialize)]
struct Proven {
    found: f64,
    proven: f64,
}

struct Asked {
    name: String,
    model: Model,
    plan: Plan,
    limits: Limits,
}

fn asked() -> Vec<Asked> {
    let mut asked = Vec::new();
    for (at, (scenario, spec, with_rates)) in FAMILIES.into_iter().enumerate() {
        for seed in 1..=SEEDS {
            let mut model = model(scenario, Spec { seed, ..spec }).expect("a model");
            for partition in &mut model.partitions {
                // So few partitions with rates as uneven as the generator's would never be in balance.
                partition.in_rate = if with_rates { partition.in_rate.isqrt() } else { 0 };
                partition.out_rate = partition.in_rate;
            }
            let plan = plan(&model, &Options::default()).expect("nothing stands in the way");
            let limits = limits(&model);
            for load in plan.brokers() {
                let own = limits.get(&load.broker.get()).map_or((0, 0), |l| (l[0] as i64, l[1] as i64));
                assert_eq!(load.replicas_share, own, "{scenario:?}, seed {seed}: {load:?}");
            }
            asked.push(Asked {
                name: format!("family {at} ({scenario:?}), seed {seed}"),
                model,
                plan,
                limits,
            });
        }
    }
    asked
}

/// The share of replicas rounded down and up, bytes within 5 % of the share, rates at most 5 % above it.
fn limits(model: &Model) -> Limits {
    let (counts, bytes) = (shares(model, |_| 1), shares(model, |p| p.bytes));
    let rates = shares(model, |p| p.in_rate);
    let limit = |id: &NodeId| {
        // Thirds and the like: what is a whole number but for rounding is that number.
        let count = (counts[id] * 1e6).round() / 1e6;
        [count.floor(), count.ceil(), 0.95 * bytes[id], 1.05 * bytes[id], 1.05 * rates[id]]
    };
    counts.keys().map(|id| (id.get(), limit(id))).collect()
}

/// What each broker that stays shall carry of a load.
fn shares(model: &Model, load: fn(&Partition) -> i64) -> BTreeMap<NodeId, f64> {
    let staying = || model.brokers.iter().filter(|b| b.state == BrokerState::Alive);
    let weight = |b: &Broker| f64::from(b.capacity.weight);
    let mut racks: BTreeMap<&Option<String>, f64> = BTreeMap::new();
    staying().for_each(|b| *racks.entry(&b.rack).or_default() += weight(b));
    let total: f64 = model.partitions.iter().map(|p| (load(p) * p.replicas_wanted() as i64) as f64).sum();
    let each_has_one = model.partitions.iter().all(|p| p.replicas_wanted() == racks.len());
    let first = racks.values().next().copied().unwrap_or(1.0);
    assert!(
        each_has_one || racks.values().all(|w| *w == first),
        "another rule would be needed for {racks:?}"
    );
    let share = |b: &Broker| total / racks.len() as f64 / racks[&b.rack] * weight(b);
    staying().map(|b| (b.id, share(b))).collect()
}

/// Whether every broker ends within its limits.
fn is_balanced(asked: &Asked) -> bool {
    asked.plan.brokers().iter().all(|load| {
        let Some([least, most, low, high, rate]) = asked.limits.get(&load.broker.get()) else { return true };
        let (count, bytes) = (load.replicas.1 as f64, load.bytes.1 as f64);
        (*least..=*most).contains(&count) && (*low..=*high).contains(&bytes) && load.in_rate.1 as f64 <= *rate
    })
}

/// Asks HiGHS about all models at once.
fn answers(python: &std::path::Path, asked: &[Asked]) -> Vec<Answer> {
    let models = asked.iter().map(|one| {
        let model: Value = serde_json::from_str(&write_model(&one.model)).expect("a model is JSON");
        json!({ "model": model, "limits": one.limits })
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("models.json");
    std::fs::write(&file, Value::from_iter(models).to_string()).expect("a file in it");
    let script = ottla_e2e::checkout().join("e2e/planners").join(HIGHS.script);
    let ended = Command::new(python).arg(script).arg("--exact").arg(&file).output().expect("Python starts");
    let (said, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{errors}");
    // HiGHS greets before.
    serde_json::from_str(said.lines().last().unwrap_or(""))
        .unwrap_or_else(|error| panic!("{error} in {said}{errors}"))
}

#[test]
fn bounds_are_below_and_plans_near_the_proven_optimum() {
    let Some(python) = interpreter(HIGHS) else {
        return unmet("highspy is not installed", "e2e/planners/install highspy");
    };
    let asked = asked();
    let (mut possible, mut missed) = (0.0, Vec::new());
    let (mut bytes, mut copies, mut bounds) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
    let answers = answers(&python, &asked);
    assert_eq!(answers.len(), asked.len());
    for (one, answer) in asked.iter().zip(answers) {
        let (name, score) = (&one.name, one.plan.score());
        let (best_bytes, best_copies) = match answer {
            Answer::Optimum { bytes, copies } => (bytes, copies),
            Answer::Impossible => {
                assert!(!is_balanced(one), "{name}: a plan where HiGHS says that there is none");
                continue;
            }
            Answer::Unknown => continue,
        };
        for (what, bound, own, exact) in [
            ("bytes", score.loads_min.1, score.bytes, &best_bytes),
            ("copies", score.loads_min.0, score.moves, &best_copies),
        ] {
            let (bound, own) = (bound as f64, own as f64);
            assert!(
                bound <= exact.found * (1.0 + ROUNDING),
                "{name}: a bound of {bound} {what}, but {exact:?}"
            );
            assert!(
                !is_balanced(one) || own >= exact.proven * (1.0 - ROUNDING),
                "{name}: {own} {what}, but {exact:?}"
            );
        }
        possible += 1.0;
        bounds = (bounds.0 + score.loads_min.1 as f64, bounds.1 + best_bytes.found);
        if is_balanced(one) {
            bytes = (bytes.0 + score.bytes as f64, bytes.1 + best_bytes.found);
            copies = (copies.0 + score.moves as f64, copies.1 + best_copies.found);
        } else {
            missed.push(name);
        }
    }
    let balanced = 1.0 - missed.len() as f64 / possible;
    let ratios = [bytes.0 / bytes.1, copies.0 / copies.1, bounds.0 / bounds.1, balanced];
    let shown =
        format!("bytes, copies, bounds over the optimum, and balanced: {ratios:.3?}, but not {missed:?}");
    println!("{shown}");
    assert!(possible >= 0.75 * asked.len() as f64, "{shown}");
    assert!(ratios[0] <= BYTES_RATIO_MAX && ratios[1] <= COPIES_RATIO_MAX, "{shown}");
    assert!(ratios[2] >= BOUND_RATIO_MIN && ratios[3] >= BALANCED_MIN, "{shown}");
}
