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
    gates
}
