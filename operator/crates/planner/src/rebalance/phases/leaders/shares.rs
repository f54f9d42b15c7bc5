//! What each broker should lead, and send by what it leads. No I/O.

use crate::rebalance::facts::root;
use crate::rebalance::facts::share;
use crate::rebalance::facts::{Facts, scaled};
use crate::rebalance::state::Placement;

/// Where nothing else moves, a broker may lead so much more or less than its share before leaderships do, in per mille;
/// in large clusters always.
const BAND_PERMILLE: f64 = 20.0;
/// Replicas above which a few leaderships more or less are nothing that anyone feels.
const REPLICAS_LARGE: usize = 40_000;
/// Sums of fractions are a little off.
const EPSILON: f64 = 1e-6;

/// The band of leaderships per broker, which is within one of its share, and the limit of what it sends.
#[derive(Clone)]
pub(crate) struct Shares {
    /// The share itself.
    pub(crate) even: Vec<f64>,
    /// The same rounded up.
    pub(crate) exact: Vec<i64>,
    pub(crate) low: Vec<i64>,
    pub(crate) high: Vec<i64>,
    /// Scaled share of the traffic sent; 0 where none is known.
    pub(crate) out: Vec<i64>,
}

/// What each broker should lead: all the same for their weight, but none more than it holds, or less than nobody else can
/// lead.
pub(crate) fn shares(facts: &Facts, placement: Placement<'_>) -> Shares {
    let mut held = vec![0.0; facts.brokers()];
    let mut forced = vec![0.0; facts.brokers()];
    for partition in 0..facts.partitions() as u32 {
        match placement.of(partition as usize) {
            [] => {}
            [first, rest @ ..] if rest.is_empty() || facts.entry[partition as usize].pinned => {
                held[*first as usize] += 1.0;
                forced[*first as usize] += 1.0;
            }
            list => list.iter().for_each(|b| held[*b as usize] += 1.0),
        }
    }
    let leads = |level: f64, b: usize| (level * f64::from(facts.weight[b])).clamp(forced[b], held[b]);
    let level = root(|level| (0..facts.brokers()).map(|b| leads(level, b)).sum(), facts.partitions() as f64);
    let even: Vec<f64> = (0..facts.brokers()).map(|b| leads(level, b)).collect();
    let exact = |b: usize| (even[b] - EPSILON).ceil() as i64;
    // One less where the share is a whole number, so that topics have some choice.
    let low = |b: usize| (exact(b) - 1).max(0);
    let out = share(facts, |p| i128::from(scaled_out(facts, p)), None);
    let replicas = |p: u32| facts.slots(p).len() as i64;
    let total: i64 = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p)).sum();
    let weighted: i64 = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p) * replicas(p)).sum();
    let part_of =
        |b: usize| (i128::from(out.high[b]) * i128::from(total) / i128::from(weighted.max(1))) as i64;
    let mut shares = Shares {
        exact: (0..facts.brokers()).map(exact).collect(),
        low: (0..facts.brokers()).map(low).collect(),
        high: (0..facts.brokers()).map(exact).collect(),
        out: (0..facts.brokers()).map(part_of).collect(),
        even,
    };
    if facts.part.len() > REPLICAS_LARGE {
        shares.loosen();
    }
    shares
}

impl Shares {
    /// Widens the band to what is not worth a handover for itself.
    pub(crate) fn loosen(&mut self) {
        let band = BAND_PERMILLE / 1000.0;
        for (broker, even) in self.even.iter().enumerate() {
            self.low[broker] = self.low[broker].min((even * (1.0 - band) - EPSILON).ceil() as i64);
            self.high[broker] = self.high[broker].max((even * (1.0 + band) + EPSILON).floor() as i64);
        }
    }
}

/// What the leader of a partition sends, so scaled that all leaders together send at most [`SCALE`].
pub(crate) fn scaled_out(facts: &Facts, partition: u32) -> i64 {
    scaled(facts.out_rate[partition as usize], facts.out_total)
}
