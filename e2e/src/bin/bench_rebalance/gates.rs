//! The figures to reach, and whether they are.

use crate::cases::Case;
use crate::figures::Figures;

/// A case with the figures of each of its seeds.
pub struct Ran {
    pub case: Case,
    pub figures: Vec<Figures>,
}

impl Ran {
    /// The largest of a figure over the seeds.
    pub fn worst(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        self.figures.iter().map(figure).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The middle of a figure over the seeds.
    pub fn middle(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let mut all: Vec<f64> = self.figures.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// One figure to reach.
pub struct Gate {
    pub what: String,
    pub aim: String,
    /// The worst of all cases, and which.
    pub worst: String,
    pub reached: bool,
}

/// All figures to reach. Cases that did not run at all are left out, and so are gates without any case.
pub fn gates(ran: &[Ran]) -> Vec<Gate> {
    let of = |names: &'static [&str]| move |r: &&Ran| names.contains(&r.case.group);
    let named = |part: &'static str| move |r: &&Ran| r.case.name.contains(part);
    let forced = of(&["S1", "S2", "S3", "S4", "S10", "S11", "S13"]);
    let million = |r: &&Ran| r.case.spec.replicas == 1_000_000;
    let any = |_: &&Ran| true;
    let mut gates = Vec::new();
    let mut gate =
        |what: &str, aim: f64, unit: &str, who: &dyn Fn(&&Ran) -> bool, figure: &dyn Fn(&Figures) -> f64| {
            let cases = ran.iter().filter(|r| who(r));
            let worst = cases.map(|r| (r.worst(figure), r.case.name)).max_by(|a, b| a.0.total_cmp(&b.0));
            let Some((worst, name)) = worst else { return };
            let number = |x: f64| {
                if unit.is_empty() && aim != 0.0 { format!("{x:.3}") } else { format!("{x:.0}{unit}") }
            };
            let aim_text = if aim == 0.0 {
                "0".to_owned()
            } else if unit.is_empty() {
                format!("≤ {aim}")
            } else {
                format!("≤ {aim}{unit}")
            };
            gates.push(Gate {
                what: what.to_owned(),
                aim: aim_text,
                worst: format!("{} ({name})", number(worst)),
                // Shown with three digits, so judged by as many.
                reached: worst <= aim + 0.0005,
            });
        };
    gate("1000 brokers, 1 M replicas: CPU time", 1000.0, " ms", &million, &|f| f.cpu_ms);
    gate("1000 brokers, 1 M replicas: resident memory", 150.0, " MB", &million, &|f| f.memory_mb);
    gate("215 brokers, 2.8 M replicas: CPU time", 2000.0, " ms", &named("2.8m"), &|f| f.cpu_ms);
    gate("30 brokers, 30 K replicas: CPU time", 50.0, " ms", &named("size-30-30k"), &|f| f.cpu_ms);
    let many = |r: &&Ran| forced(r) && r.case.spec.brokers >= 100;
    gate("copies / bound, S1–S4, S10, S11, S13, ≥ 100 brokers", 1.01, "", &many, &Figures::moves_ratio);
    let few = |r: &&Ran| forced(r) && r.case.spec.brokers < 100;
    gate("copies / bound, the same below 100 brokers", 1.05, "", &few, &Figures::moves_ratio);
    let skewed = of(&["S7", "S8", "S9"]);
    gate("copies / bound, S7–S9 (no copy is forced by counts)", 1.05, "", &skewed, &Figures::moves_ratio);
    let bytes = of(&["S1", "S2", "S3", "S4", "S10", "S11"]);
    gate("bytes / bound, S1–S4, S10, S11", 1.05, "", &bytes, &Figures::bytes_ratio);
    gate("bytes / bound, drift (S7)", 1.5, "", &of(&["S7"]), &Figures::bytes_ratio);
    for (at, name) in crate::figures::DIMENSIONS.into_iter().enumerate().take(4) {
        gate(&format!("largest load / share, {name} (or ≤ 1.02 of its floor)"), 1.05, "", &any, &|f| {
            let line = f.balance[at];
            // At the floor there is nothing left to gain.
            if line.floor <= 1.02 { line.after.min(1.05) } else { line.after }
        });
    }
    gate("leaders / share", 1.02, "", &any, &|f| f.balance[4].after);
    gate("bytes copied where only leaders are skewed (S6)", 0.0, "", &of(&["S6"]), &|f| f.bytes as f64);
    gate("partitions changed in a balanced cluster (S5, S14)", 0.0, "", &of(&["S5", "S14"]), &|f| {
        (f.moves + f.transfers) as f64
    });
    gate("rack violations added", 0.0, "", &any, &|f| f.racks_added as f64);
    gate("partitions with a wrong number of replicas", 0.0, "", &any, &|f| f.factors_wrong as f64);
    gate("partitions that a plan after the plan changes", 0.0, "", &any, &|f| f.again as f64);
    gates.extend(near_linear(ran));
    gates
}

/// Sizes without which nothing is said about growth.
const SIZES_MIN: usize = 4;
/// How many times as long a replica may take in a larger cluster than in a smaller one. From 30 K to 2.8 M replicas a
/// logarithm grows 1.4-fold, and the rest is memory: a cluster no longer fits the processor's caches.
const GROWTH_MAX: f64 = 2.0;

/// Holds that CPU time grows near linearly where a tenth more brokers came.
fn near_linear(ran: &[Ran]) -> Option<Gate> {
    let sized = |r: &&Ran| r.case.name.starts_with("size-") && r.case.group == "S1" || r.case.group == "S10";
    let line = |r: &Ran| (r.figures[0].replicas, r.middle(|f| f.cpu_ms), r.case.name);
    let mut sizes: Vec<_> = ran.iter().filter(sized).map(line).collect();
    sizes.sort_by_key(|(replicas, _, _)| *replicas);
    let (growth, from, to) = growth(&sizes)?;
    Some(Gate {
        what: format!("CPU time per replica, growth with size ({} sizes of S1 and S10)", sizes.len()),
        aim: format!("≤ {GROWTH_MAX}"),
        worst: format!("{growth:.3} ({from} to {to})"),
        reached: growth <= GROWTH_MAX,
    })
}

/// The largest growth of the time per replica from a size to a larger one, and from which to which; sizes ascend.
fn growth<'a>(sizes: &[(usize, f64, &'a str)]) -> Option<(f64, &'a str, &'a str)> {
    let pairs = sizes
        .iter()
        .enumerate()
        .flat_map(|(at, small)| sizes[at + 1..].iter().map(move |large| (small, large)));
    let each = |(replicas, ms, _): &(usize, f64, &str)| ms / (*replicas).max(1) as f64;
    let grown = pairs
        .filter(|(small, large)| small.0 < large.0)
        .map(|(small, large)| (each(large) / each(small), small.2, large.2));
    grown.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|_| sizes.len() >= SIZES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_worst_pair_and_needs_four_sizes() {
        let sizes = [(10, 10.0, "a"), (100, 50.0, "b"), (1_000, 1_500.0, "c"), (10_000, 10_000.0, "d")];
        assert_eq!(growth(&sizes), Some((3.0, "b", "c")));
        assert_eq!(growth(&sizes[1..]), None);
        let linear = sizes.map(|(replicas, _, name)| (replicas, replicas as f64, name));
        assert_eq!(growth(&linear).map(|found| found.0), Some(1.0));
    }
}
