//! The loads between which a broker counts as well filled. No I/O.

use super::lower::Floors;
use crate::rebalance::facts::Targets;
use crate::rebalance::facts::{DIMENSIONS, SCALE};
use crate::rebalance::state::State;

/// Loads between which brokers are well filled.
pub(crate) struct Band(Vec<Limits>);

/// The loads between which one broker is well filled.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    low: [i64; DIMENSIONS],
    pub(crate) high: [i64; DIMENSIONS],
    /// [`SCALE`] over the broker's share, to multiply with where a division would take its time.
    per_share: [i64; DIMENSIONS],
}

/// Shares below this part of [`SCALE`] weigh as if they were this large.
const PER_SHARE_LEAST: i64 = 1 << 10;

/// A broker is far outside its band by more than this part of its share.
const FAR_PART: i64 = 512;

impl Band {
    pub(crate) fn new(state: &State<'_>, targets: &Targets, floors: &Floors, permille: i64) -> Band {
        let brokers = state.facts.brokers();
        let mut band = Band(vec![Limits::default(); brokers]);
        for (broker, limits) in band.0.iter_mut().enumerate() {
            for dimension in 0..DIMENSIONS {
                let target = targets.load[dimension][broker];
                limits.per_share[dimension] = SCALE / target.max(PER_SHARE_LEAST);
                // One per mille is left for the rounding of scaled loads.
                let even = target / 1000 * (999 + permille);
                let high = even.max(floors.scaled[dimension]);
                // Too few bytes count as uneven as well, as they do in the lower bound; where one partition alone is
                // more than a share, the others cannot reach theirs.
                let reachable = dimension == 0 && floors.scaled[dimension] <= even;
                limits.low[dimension] = if reachable { target / 1000 * (1001 - permille) } else { 0 };
                limits.high[dimension] = if target == 0 { i64::MAX / 4 } else { high };
            }
            let disk_max = state.facts.disk_max[broker];
            if disk_max != i64::MAX && state.facts.disk_total > 1 {
                let scaled = (i128::from(disk_max) * i128::from(SCALE) / state.facts.disk_total) as i64;
                limits.high[0] = limits.high[0].min(scaled.max(1));
            }
        }
        band
    }

    /// The limits of a broker.
    pub(crate) fn of(&self, broker: usize) -> &Limits {
        &self.0[broker]
    }

    /// The penalty for a broker with these loads: the squares of what is outside, relative to the share.
    pub(crate) fn penalty(&self, broker: usize, load: [i64; DIMENSIONS]) -> i64 {
        let limits = self.of(broker);
        (0..DIMENSIONS)
            .map(|d| {
                // The square stays below 2^60, and below 2^40 once shifted; the factor is at most 2^20.
                let excess = limits.outside(d, load[d]).min(SCALE);
                (((excess * excess) >> 20) * limits.per_share[d]) >> 10
            })
            .sum()
    }

    /// How far outside its band a broker with these loads is, in all dimensions together.
    pub(crate) fn excess(&self, broker: usize, load: [i64; DIMENSIONS]) -> i64 {
        let limits = self.of(broker);
        (0..DIMENSIONS).map(|d| limits.outside(d, load[d])).sum()
    }

    /// Whether a broker with these loads is outside its band by a part of its share that counts.
    pub(crate) fn is_far(&self, broker: usize, load: [i64; DIMENSIONS]) -> bool {
        let limits = self.of(broker);
        (0..DIMENSIONS)
            .any(|d| limits.outside(d, load[d]).min(SCALE) * limits.per_share[d] > SCALE / FAR_PART)
    }

    /// Brokers outside the band, the worst first.
    pub(crate) fn hot(&self, state: &State<'_>) -> Vec<u32> {
        let mut hot: Vec<(i64, u32)> = (0..state.facts.brokers())
            .filter(|b| state.facts.stays[*b] && self.excess(*b, state.load[*b]) > 0)
            .map(|b| (-self.penalty(b, state.load[b]), b as u32))
            .collect();
        hot.sort_unstable();
        hot.into_iter().map(|(_, broker)| broker).collect()
    }
}

impl Limits {
    fn outside(&self, dimension: usize, load: i64) -> i64 {
        (load - self.high[dimension]).max(self.low[dimension] - load).max(0)
    }
}
