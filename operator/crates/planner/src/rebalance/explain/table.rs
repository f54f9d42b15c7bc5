//! The plan as a table for people. Pure: from a plan and the model that it was made from to text. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ottla_broker_types::NodeId;

use super::reasons::explain;
use crate::rebalance::model::{Broker, BrokerState, Model};
use crate::rebalance::plan::{BrokerLoad, Move, Note, Plan};
use crate::rebalance::score::Dimension;

use super::units::Bytes;

impl fmt::Display for Plan {
    /// The plan in one line, and a line for each of its moves and notes.
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
        self.moves().iter().try_for_each(|step| writeln!(f, "{}", move_line(step)))?;
        self.notes().iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// How many rows of each list a table shows; the rest is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsMax {
    /// Brokers, those whose loads change most first.
    pub brokers: usize,
    /// Partitions, by topic and index.
    pub partitions: usize,
    /// Notes.
    pub notes: usize,
}

impl RowsMax {
    /// Every row.
    pub const ALL: RowsMax = RowsMax { brokers: usize::MAX, partitions: usize::MAX, notes: usize::MAX };
    /// What fits on a screen or two.
    pub const SCREEN: RowsMax = RowsMax { brokers: 24, partitions: 20, notes: 8 };
}

/// A plan for people: what is to be done, how even the cluster is before and after, brokers, partitions, notes.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// What the plan was made from.
    pub model: &'a Model,
    /// The plan.
    pub plan: &'a Plan,
    /// How much is shown.
    pub rows_max: RowsMax,
    /// Says below each partition why it changes.
    pub why: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_costs(f)?;
        self.write_balance(f)?;
        self.write_brokers(f)?;
        self.write_moves(f)?;
        self.write_notes(f)
    }
}

impl Table<'_> {
    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.plan.score();
        if self.plan.is_empty() {
            return writeln!(f, "Balanced: there is nothing to do.");
        }
        let crossing = match score.bytes_across_racks {
            0 => String::new(),
            bytes => format!("   of them {} from another rack", Bytes(bytes)),
        };
        let row = |f: &mut fmt::Formatter<'_>, name, planned: String, least: String, more: &str| {
            writeln!(f, "{name:<20} {planned:>12} {least:>12}{more}")
        };
        row(f, "PLAN", "PLANNED".to_owned(), "AT LEAST".to_owned(), "")?;
        row(f, "partitions to change", self.plan.moves().len().to_string(), String::new(), "")?;
        row(f, "replicas to copy", score.moves.to_string(), score.moves_min.to_string(), "")?;
        let (bytes, least) = (Bytes(score.bytes).to_string(), Bytes(score.bytes_min).to_string());
        row(f, "bytes to copy", bytes, least, &crossing)?;
        let (leaders, least) = (score.leader_transfers.to_string(), score.leader_transfers_min.to_string());
        row(f, "leaders that change", leaders, least, "")
    }

    fn write_balance(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.plan.score();
        writeln!(f, "\n{:<20} {:>12} {:>12} {:>14}", "FULLEST BROKER", "BEFORE", "AFTER", "AFTER / FLOOR")?;
        for line in score.dimensions.iter().filter(|line| self.is_known(line.dimension)) {
            let name = match line.dimension {
                Dimension::Replicas => "replicas",
                Dimension::Bytes => "bytes",
                Dimension::In => "written per second",
                Dimension::Out => "sent per second",
                Dimension::Leaders => "leaders",
            };
            writeln!(
                f,
                "{name:<20} {:>12} {:>12} {:>14}",
                line.before.max_to_share.to_string(),
                line.after.max_to_share.to_string(),
                line.max_to_floor.to_string(),
            )?;
        }
        if !self.is_known(Dimension::In) && !self.is_known(Dimension::Out) {
            writeln!(f, "{:<20} {:>12}", "traffic", "not known")?;
        }
        let pair = |f: &mut fmt::Formatter<'_>, name, (before, after): (i64, i64)| {
            writeln!(f, "{name:<20} {before:>12} {after:>12}")
        };
        if self.model.brokers.iter().any(|broker| broker.rack.is_some()) {
            pair(f, "rack violations", score.racks_crowded)?;
        }
        pair(f, "crowded topics", score.topics_crowded)?;
        pair(f, "topics led unevenly", score.topics_led_unevenly)?;
        if let Some(new) = score.new_brokers {
            let (bytes, leaders) = (new.bytes, new.leaders);
            writeln!(
                f,
                "{:<20} {:>12} {bytes} of an even share of bytes, {leaders} of leaders",
                "new brokers", ""
            )?;
        }
        writeln!(
            f,
            "(1.000 is an even share, and 1.000 of the floor cannot be beaten; a topic is crowded where a\n broker holds more or less of it than its share by over one replica and 5 %)"
        )
    }

    fn is_known(&self, dimension: Dimension) -> bool {
        let any = |of: fn(&BrokerLoad) -> (i64, i64)| {
            self.plan.brokers().iter().map(of).any(|(before, after)| before > 0 || after > 0)
        };
        match dimension {
            Dimension::Replicas | Dimension::Bytes | Dimension::Leaders => true,
            Dimension::In => any(|load| load.in_rate),
            Dimension::Out => any(|load| load.out_rate),
        }
    }

    fn write_brokers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.brokers().is_empty() {
            return Ok(());
        }
        let entries: BTreeMap<NodeId, &Broker> = self.model.brokers.iter().map(|b| (b.id, b)).collect();
        let (with_in, with_out) = (self.is_known(Dimension::In), self.is_known(Dimension::Out));
        let mut grid = Grid::new(&["BROKER", "RACK", "STATE"], &["REPLICAS", "LEADERS", "BYTES"]);
        grid.add_heads(with_in.then_some("WRITTEN/S").into_iter().chain(with_out.then_some("SENT/S")));
        grid.add_heads(["PEAK BYTES"]);
        let shown = self.brokers_shown();
        for load in self.plan.brokers().iter().filter(|load| shown.contains(&load.broker)) {
            let entry = entries.get(&load.broker);
            let rack = entry.and_then(|b| b.rack.as_deref()).map_or("-".to_owned(), printable);
            let state = match entry.map(|b| b.state) {
                Some(BrokerState::Alive) => "alive",
                Some(BrokerState::Draining) => "draining",
                Some(BrokerState::Dead) | None => "dead",
            };
            let mut row = vec![load.broker.to_string(), rack, state.to_owned()];
            row.extend([counts(load.replicas), counts(load.leaders), sizes(load.bytes)]);
            row.extend(with_in.then(|| sizes(load.in_rate)));
            row.extend(with_out.then(|| sizes(load.out_rate)));
            row.push(Bytes(load.bytes_peak).to_string());
            grid.rows.push(row);
        }
        write!(f, "\n{grid}")?;
        match self.plan.brokers().len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more brokers, whose loads change less"),
        }
    }

    /// The brokers whose loads change most, as many as are shown.
    fn brokers_shown(&self) -> BTreeSet<NodeId> {
        let change = |(before, after): (i64, i64)| before.abs_diff(after);
        let mut loads: Vec<&BrokerLoad> = self.plan.brokers().iter().collect();
        loads.sort_by_key(|load| {
            let most = (change(load.replicas), change(load.bytes), change(load.leaders), load.bytes.0);
            (std::cmp::Reverse(most), load.broker)
        });
        loads.into_iter().take(self.rows_max.brokers).map(|load| load.broker).collect()
    }

    fn write_moves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moves = self.plan.moves();
        if moves.is_empty() {
            return Ok(());
        }
        let shown = &moves[..moves.len().min(self.rows_max.partitions)];
        let mut grid = Grid::new(&["PARTITION", "REPLICAS BEFORE", "AFTER"], &["BYTES TO COPY"]);
        grid.rows = shown.iter().map(move_row).collect();
        if self.why {
            let explained = explain(self.model, self.plan);
            let reasons =
                |e: &super::reasons::Explanation| e.reasons.iter().map(ToString::to_string).collect();
            grid.below = explained.iter().take(shown.len()).map(reasons).collect();
        }
        write!(f, "\n{grid}")?;
        match moves.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more partitions"),
        }
    }

    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes: Vec<&Note> = self.plan.notes().iter().collect();
        // There is one of these for every partition that others move, and of the rest a few.
        notes.sort_by_key(|note| matches!(note, Note::Reassigning { .. }));
        let shown = &notes[..notes.len().min(self.rows_max.notes)];
        if !shown.is_empty() {
            writeln!(f)?;
        }
        shown.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        match notes.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more notes"),
        }
    }
}

/// A name that a cluster gave, without what would move a terminal's cursor, and not longer than a column should be.
fn printable(name: &str) -> String {
    const CHARS_MAX: usize = 32;
    name.chars().take(CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn arrow(before: String, after: String) -> String {
    if before == after { before } else { format!("{before} -> {after}") }
}

fn counts((before, after): (i64, i64)) -> String {
    arrow(before.to_string(), after.to_string())
}

fn sizes((before, after): (i64, i64)) -> String {
    arrow(Bytes(before).to_string(), Bytes(after).to_string())
}

fn ids(list: &[NodeId]) -> String {
    list.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}

fn move_row(step: &Move) -> Vec<String> {
    let copies = i64::try_from(step.adding().count()).unwrap_or(i64::MAX);
    let bytes =
        if copies == 0 { "-".to_owned() } else { Bytes(step.bytes.saturating_mul(copies)).to_string() };
    vec![format!("{}-{}", step.topic, step.partition), ids(&step.original), ids(&step.target), bytes]
}

fn move_line(step: &Move) -> String {
    format!("{}-{}: {} -> {}", step.topic, step.partition, ids(&step.original), ids(&step.target))
}

/// Columns as wide as their widest cell: first those aligned to the left, then those aligned to the right.
struct Grid {
    left: usize,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Lines below each row, if any.
    below: Vec<Vec<String>>,
}

impl Grid {
    fn new(left: &[&str], right: &[&str]) -> Grid {
        let heads = left.iter().chain(right).map(|head| (*head).to_owned()).collect();
        Grid { left: left.len(), heads, rows: Vec::new(), below: Vec::new() }
    }

    fn add_heads<'a>(&mut self, heads: impl IntoIterator<Item = &'a str>) {
        self.heads.extend(heads.into_iter().map(str::to_owned));
    }

    fn line(&self, widths: &[usize], cells: &[String]) -> String {
        let padded = cells.iter().zip(widths).enumerate().map(|(at, (cell, width))| {
            if at < self.left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| &row[at]).chain([&self.heads[at]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        writeln!(f, "{}", self.line(&widths, &self.heads))?;
        for (at, row) in self.rows.iter().enumerate() {
            writeln!(f, "{}", self.line(&widths, row))?;
            for line in self.below.get(at).into_iter().flatten() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
