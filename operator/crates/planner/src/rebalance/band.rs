//! The loads between which a broker counts as well filled. No I/O.

use super::bounds::Floors;
use super::facts::{DIMENSIONS, SCALE};
use super::state::State;
use super::target::Targets;

/// Loads between which a broker is well filled.
pub(super) struct Band {
    pub(super) low: Vec<[i64; DIMENSIONS]>,
    pub(super) high: Vec<[i64; DIMENSIONS]>,
    pub(super) target: Vec<[i64; DIMENSIONS]>,
}

impl Band {
    pub(super) fn new(state: &State<'_>, targets: &Targets, floors: &Floors, permille: i64) -> Band {
        let brokers = state.facts.brokers();
        let zeros = vec![[0; DIMENSIONS]; brokers];
        let mut band = Band { low: zeros.clone(), high: zeros.clone(), target: zeros };
        for broker in 0..brokers {
            for dimension in 0..DIMENSIONS {
                let target = targets.load[dimension][broker];
                band.target[broker][dimension] = target;
                // One per mille is left for the rounding of scaled loads.
                let even = target / 1000 * (999 + permille);
                let high = even.max(floors.scaled[dimension]);
                // Too few bytes count as uneven as well, as they do in the lower bound; where one partition alone is
                // more than a share, the others cannot reach theirs.
                let reachable = dimension == 0 && floors.scaled[dimension] <= even;
                band.low[broker][dimension] = if reachable { target / 1000 * (1001 - permille) } else { 0 };
                band.high[broker][dimension] = if target == 0 { i64::MAX / 4 } else { high };
            }
            let disk_max = state.facts.disk_max[broker];
            if disk_max != i64::MAX && state.facts.disk_total > 1 {
                let scaled = (i128::from(disk_max) * i128::from(SCALE) / state.facts.disk_total) as i64;
                let high = &mut band.high[broker][0];
                *high = (*high).min(scaled.max(1));
            }
        }
        band
    }

    /// The penalty for a broker with these loads: the squares of what is too much, relative to the share.
    pub(super) fn penalty(&self, broker: usize, load: [i64; DIMENSIONS]) -> i64 {
        let mut sum = 0;
        for (dimension, load) in load.into_iter().enumerate() {
            let excess = self.outside(broker, dimension, load).min(SCALE);
            sum += excess * excess / self.target[broker][dimension].max(1);
        }
        sum
    }

    pub(super) fn excess(&self, broker: usize, load: [i64; DIMENSIONS]) -> i64 {
        (0..DIMENSIONS).map(|d| self.outside(broker, d, load[d])).sum()
    }

    fn outside(&self, broker: usize, dimension: usize, load: i64) -> i64 {
        (load - self.high[broker][dimension]).max(self.low[broker][dimension] - load).max(0)
    }

    /// Brokers outside the band, the worst first.
    pub(super) fn hot(&self, state: &State<'_>) -> Vec<u32> {
        let mut hot: Vec<(i64, u32)> = (0..state.facts.brokers())
            .filter(|b| state.facts.stays[*b] && self.excess(*b, state.load[*b]) > 0)
            .map(|b| (-self.penalty(b, state.load[b]), b as u32))
            .collect();
        hot.sort_unstable();
        hot.into_iter().map(|(_, broker)| broker).collect()
    }
}
