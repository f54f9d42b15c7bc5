//! What a plan costs and brings, as the scorer says it, whoever made the plan.

use ottla_operator_planner::rebalance::{Broker, BrokerState, DimensionScore, Model, Plan};
use serde::{Deserialize, Serialize};

/// See the module's header. Ratios are to what is possible.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub brokers: usize,
    pub replicas: usize,
    pub wall_ms: f64,
    pub cpu_ms: f64,
    /// The most resident memory until the plan was made, the model and its making included.
    pub memory_mb: f64,
    pub moves: i64,
    pub moves_min: i64,
    pub bytes: i64,
    pub bytes_min: i64,
    pub transfers: i64,
    pub transfers_min: i64,
    /// By dimension: replicas, bytes, in, out, leaders.
    pub balance: Vec<Balance>,
    /// Topics that are not even, before and after: by their replicas, or by their leaders.
    pub topics_crowded: (i64, i64),
    /// What the least laden of the new brokers carries, relative to an even share: bytes, leaders.
    pub new_brokers: Option<(f64, f64)>,
    pub racks_crowded: (i64, i64),
    pub racks_added: i64,
    pub factors_wrong: i64,
    pub transient: f64,
    pub hash: String,
    /// Partitions that a plan of the applied plan would change.
    pub again: usize,
    /// Bytes of each broker that stays, relative to its share of them by weight, before and after.
    pub loads: Vec<(f64, f64)>,
}

/// The largest load of a dimension.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Relative to its broker's share, before.
    pub before: f64,
    /// The same after.
    pub after: f64,
    /// After, relative to the smallest that it can be.
    pub floor: f64,
}

/// Positions in [`Figures::balance`].
pub const DIMENSIONS: [&str; 5] = ["replicas", "bytes", "in", "out", "leaders"];

impl Figures {
    /// Reads them off a plan, which may be a judged assignment of someone else.
    pub fn of(model: &Model, plan: &Plan) -> Figures {
        let score = plan.score();
        let line = |d: &DimensionScore| Balance {
            before: d.before.max_to_share.value(),
            after: d.after.max_to_share.value(),
            floor: d.max_to_floor.value(),
        };
        Figures {
            brokers: model.brokers.len(),
            replicas: model.partitions.iter().map(|p| p.replicas.len()).sum(),
            moves: score.moves,
            moves_min: score.moves_min,
            bytes: score.bytes,
            bytes_min: score.bytes_min,
            transfers: score.leader_transfers,
            transfers_min: score.leader_transfers_min,
            balance: score.dimensions.iter().map(line).collect(),
            topics_crowded: (
                score.topics_crowded.0.max(score.topics_led_unevenly.0),
                score.topics_crowded.1.max(score.topics_led_unevenly.1),
            ),
            new_brokers: score.new_brokers.map(|new| (new.bytes.value(), new.leaders.value())),
            racks_crowded: score.racks_crowded,
            racks_added: score.racks_crowded_added,
            factors_wrong: score.replication_factors_wrong,
            transient: score.transient_max.value(),
            hash: format!("{:016x}", plan.hash()),
            loads: loads(model, plan),
            ..Figures::default()
        }
    }

    /// Copies, relative to the fewest.
    pub fn moves_ratio(&self) -> f64 {
        ratio(self.moves, self.moves_min)
    }

    /// Bytes copied, relative to the fewest.
    pub fn bytes_ratio(&self) -> f64 {
        ratio(self.bytes, self.bytes_min)
    }
}

/// One when there is nothing on either side, infinite when only the bound is zero.
pub fn ratio(part: i64, whole: i64) -> f64 {
    match (part, whole) {
        (0, 0) => 1.0,
        (_, 0) => f64::INFINITY,
        _ => part as f64 / whole as f64,
    }
}

fn loads(model: &Model, plan: &Plan) -> Vec<(f64, f64)> {
    let mut brokers: Vec<&Broker> = model.brokers.iter().collect();
    brokers.sort_by_key(|b| b.id);
    let weights: i64 = brokers.iter().map(|b| weight(b)).sum();
    let total: i64 = plan.brokers().iter().map(|load| load.bytes.1).sum();
    let share = (total as f64 / weights.max(1) as f64).max(1.0);
    let staying = plan.brokers().iter().zip(brokers).filter(|(_, b)| weight(b) > 0);
    staying
        .map(|(load, b)| {
            let part = |bytes: i64| bytes as f64 / share / weight(b) as f64;
            (part(load.bytes.0), part(load.bytes.1))
        })
        .collect()
}

fn weight(broker: &Broker) -> i64 {
    if broker.state == BrokerState::Alive { i64::from(broker.capacity.weight) } else { 0 }
}
