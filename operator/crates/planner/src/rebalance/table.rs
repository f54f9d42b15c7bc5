//! The plan as a table for people. No I/O.

use std::fmt;

use ottla_broker_types::NodeId;

use super::plan::{Move, Plan};
use super::score::Ratio;

/// Bytes in the largest unit of 1024 that leaves at least one before the point.
pub struct Bytes(pub i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut unit = 0;
        let mut rest = self.0 as f64;
        while rest >= 1024.0 && unit + 1 < UNITS.len() {
            rest /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 { format!("{} B", self.0) } else { format!("{rest:.1} {}", UNITS[unit]) };
        f.pad(&text)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.score();
        writeln!(
            f,
            "plan {:016x}: {} replicas to copy (at least {}), {} (at least {}), {} leader changes (at least {})",
            self.hash(),
            score.moves,
            score.moves_min,
            Bytes(score.bytes),
            Bytes(score.bytes_min),
            score.leader_transfers,
            score.leader_transfers_min,
        )?;
        writeln!(f, "\n{:<10} {:>15} {:>15} {:>10}", "BALANCE", "MAX/SHARE", "DEVIATION", "MAX/FLOOR")?;
        for line in &score.dimensions {
            let pair = |a: Ratio, b: Ratio| format!("{a} > {b}");
            writeln!(
                f,
                "{:<10} {:>15} {:>15} {:>10}",
                line.dimension.name(),
                pair(line.before.max_to_share, line.after.max_to_share),
                pair(line.before.deviation, line.after.deviation),
                line.max_to_floor.to_string(),
            )?;
        }
        writeln!(
            f,
            "replicas above their rack's number: {} > {}; crowded topics: {} > {}; bytes across racks: {}",
            score.racks_crowded.0,
            score.racks_crowded.1,
            score.topics_crowded.0,
            score.topics_crowded.1,
            Bytes(score.bytes_across_racks),
        )?;
        self.write_brokers(f)?;
        if !self.moves().is_empty() {
            writeln!(f, "\n{:<32} {:>10}  REPLICAS", "PARTITION", "BYTES")?;
        }
        self.moves().iter().try_for_each(|step| write_move(f, step))?;
        self.notes().iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Plan {
    fn write_brokers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:>6} {:>15} {:>23} {:>15}", "BROKER", "REPLICAS", "BYTES", "LEADERS")?;
        for load in self.brokers() {
            writeln!(
                f,
                "{:>6} {:>15} {:>23} {:>15}",
                load.broker.get(),
                format!("{} > {}", load.replicas.0, load.replicas.1),
                format!("{} > {}", Bytes(load.bytes.0), Bytes(load.bytes.1)),
                format!("{} > {}", load.leaders.0, load.leaders.1),
            )?;
        }
        Ok(())
    }
}

fn write_move(f: &mut fmt::Formatter<'_>, step: &Move) -> fmt::Result {
    let list = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
    writeln!(
        f,
        "{:<32} {:>10}  {} > {}",
        format!("{}-{}", step.topic, step.partition),
        if step.is_reorder() { Bytes(0) } else { Bytes(step.bytes) },
        list(&step.original),
        list(&step.target),
    )
}
