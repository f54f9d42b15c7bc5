//! What the command `plan` prints: pure functions from a plan to text. No I/O.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::reasons::explain;
use crate::rebalance::model::Model;
use crate::rebalance::model::{Infeasible, Problem};
use crate::rebalance::plan::{Move, Plan};
use crate::rebalance::score::{DimensionScore, Spread};

/// What the command tells a script that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing to do.
    Balanced,
    /// There is a plan.
    Plan,
    /// There can be no plan.
    Infeasible,
}

impl Outcome {
    /// What a result means.
    pub fn of(result: &Result<Plan, Infeasible>) -> Outcome {
        match result {
            Ok(plan) if plan.is_empty() => Outcome::Balanced,
            Ok(_) => Outcome::Plan,
            Err(_) => Outcome::Infeasible,
        }
    }

    /// One word for machines.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Balanced => "balanced",
            Outcome::Plan => "plan",
            Outcome::Infeasible => "infeasible",
        }
    }

    /// The exit code: 0, 2 and 3; 1 is left for failures such as an unreadable file.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Balanced => 0,
            Outcome::Plan => 2,
            Outcome::Infeasible => 3,
        }
    }
}

/// The plan as JSON, with everything that the table shows. Ratios are numbers with four digits.
pub fn to_json(plan: &Plan) -> Value {
    let score = plan.score();
    let dimensions: serde_json::Map<String, Value> =
        score.dimensions.iter().map(|line| (line.dimension.name().to_owned(), dimension(line))).collect();
    let pair = |(before, after): (i64, i64)| json!({"before": before, "after": after});
    let brokers: Vec<Value> = plan
        .brokers()
        .iter()
        .map(|load| {
            json!({
                "broker": load.broker.get(),
                "replicas": pair(load.replicas),
                "bytes": pair(load.bytes),
                "inRate": pair(load.in_rate),
                "outRate": pair(load.out_rate),
                "leaders": pair(load.leaders),
                "bytesPeak": load.bytes_peak,
            })
        })
        .collect();
    let outcome = if plan.is_empty() { Outcome::Balanced } else { Outcome::Plan };
    json!({
        "outcome": outcome.name(),
        "hash": format!("{:016x}", plan.hash()),
        "seed": plan.seed(),
        "moves": score.moves,
        "lowerBoundMoves": score.moves_min,
        "bytes": score.bytes,
        "lowerBoundBytes": score.bytes_min,
        "leaderTransfers": score.leader_transfers,
        "lowerBoundLeaderTransfers": score.leader_transfers_min,
        "bytesAcrossRacks": score.bytes_across_racks,
        "balance": dimensions,
        "racksCrowded": pair(score.racks_crowded),
        "topicsCrowded": pair(score.topics_crowded),
        "topicsLedUnevenly": pair(score.topics_led_unevenly),
        "newBrokers": score.new_brokers.map(|new| json!({
            "bytesToShare": new.bytes.value(),
            "leadersToShare": new.leaders.value(),
        })),
        "brokers": brokers,
        "partitions": plan.moves().iter().map(step).collect::<Vec<_>>(),
        "notes": plan.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// The plan as JSON, with the reasons of each partition's change. `model` is what the plan was made from.
pub fn to_json_with_reasons(model: &Model, plan: &Plan) -> Value {
    let mut value = to_json(plan);
    let steps = value["partitions"].as_array_mut().into_iter().flatten();
    for (step, explanation) in steps.zip(explain(model, plan)) {
        step["reasons"] = explanation.reasons.iter().map(ToString::to_string).collect();
    }
    value
}

/// A refusal as JSON, with every problem.
pub fn refusal_to_json(refusal: &Infeasible) -> Value {
    json!({
        "outcome": Outcome::Infeasible.name(),
        "problems": refusal.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A refusal for people: at most `rows_max` problems, a line each, and what can be done about them.
pub fn refusal_to_text(refusal: &Infeasible, rows_max: usize) -> String {
    let count = refusal.problems.len();
    let mut text =
        format!("There can be no plan, for {count} {}:\n", if count == 1 { "reason" } else { "reasons" });
    for problem in refusal.problems.iter().take(rows_max) {
        text += &format!("  {problem}\n");
    }
    if count > rows_max {
        text += &format!("  and {} more\n", count - rows_max);
    }
    let advice: BTreeSet<&str> = refusal.problems.iter().map(Problem::advice).collect();
    advice.into_iter().for_each(|line| text += &format!("{line}\n"));
    text
}

fn dimension(line: &DimensionScore) -> Value {
    let spread = |s: &Spread| {
        json!({
            "maxToShare": s.max_to_share.value(),
            "deviation": s.deviation.value(),
            "range": s.range.value(),
        })
    };
    json!({
        "before": spread(&line.before),
        "after": spread(&line.after),
        "maxToFloor": line.max_to_floor.value(),
    })
}

fn ids(list: &[ottla_broker_types::NodeId]) -> Vec<i32> {
    list.iter().map(|id| id.get()).collect()
}

fn step(step: &Move) -> Value {
    json!({
        "topic": step.topic.as_str(),
        "partition": step.partition.get(),
        "original": ids(&step.original),
        "target": ids(&step.target),
        "bytes": step.bytes,
    })
}

/// Which lists a file for Kafka's own tool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// The plan.
    Target,
    /// The way back.
    Original,
}

/// The file that `kafka-reassign-partitions --execute` takes, one line a partition.
pub fn to_kafka_file(plan: &Plan, lists: Lists) -> String {
    let line = |step: &Move| {
        let list = match lists {
            Lists::Target => &step.target,
            Lists::Original => &step.original,
        };
        json!({"topic": step.topic.as_str(), "partition": step.partition.get(), "replicas": ids(list)})
            .to_string()
    };
    let lines: Vec<String> = plan.moves().iter().map(line).collect();
    format!("{{\"version\":1,\"partitions\":[\n{}\n]}}\n", lines.join(",\n"))
}
