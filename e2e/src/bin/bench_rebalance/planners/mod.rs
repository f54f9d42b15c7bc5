//! Other planners on the same models: the real programs where they can be had, else their rules by our own hand from
//! their descriptions. All are judged by the same scorer from the lists alone.

mod assigner_rule;
mod generate_rule;
mod kafka_tool;
pub mod python;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use ottla_broker_types::{NodeId, PartitionIndex, TopicName};
use ottla_operator_planner::rebalance::{Model, Options, judge};
use serde::Deserialize;

use crate::child;
use crate::figures::Figures;

/// The neutral assignment: the replica list of each partition. Its file is the one that Kafka's own tool reads.
pub type Assignment = BTreeMap<(TopicName, PartitionIndex), Vec<NodeId>>;

/// What came of asking a planner.
pub enum Answer {
    /// A plan, judged, with what is to be known about it.
    Judged(Box<Figures>, String),
    /// It could not be run here: why, and what changes that.
    NotRun { reason: String, remedy: String },
}

/// A planner, and which models it is asked for.
pub struct Planner {
    pub name: &'static str,
    asked: fn(&Model) -> bool,
    run: fn(&Model) -> Result<Made>,
}

/// What a planner made.
pub enum Made {
    Plan { lists: Assignment, seconds: f64, note: String },
    NotRun { reason: String, remedy: String },
}

/// Every planner, in the order of the table.
pub fn all() -> Vec<Planner> {
    let planner = |name, asked, run| Planner { name, asked, run };
    vec![
        planner("kafka-reassign-partitions --generate", kafka_tool::can_hold, kafka_tool::run),
        planner("the rule of --generate", |_| true, generate),
        planner("the rule of kafka-assigner", |_| true, assigner),
        planner("Meta rebalancer 1.0.4", |m| replicas(m) <= 40_000, python::meta),
        planner("HiGHS, fewest bytes", |m| replicas(m) <= 1_100, python::highs),
        planner("topicmappr (kafka-kit)", |m| replicas(m) <= 40_000, topicmappr),
    ]
}

impl Planner {
    /// Whether it is asked about this model: the others would take it too long, or cannot be told.
    pub fn is_asked(&self, model: &Model) -> bool {
        (self.asked)(model)
    }

    /// Runs it on the model and judges what it made; an error of the planner is an answer, too.
    pub fn ask(&self, model: &Model) -> Answer {
        match (self.run)(model) {
            Ok(Made::Plan { lists, seconds, note }) => match judged(model, &lists) {
                Ok(mut figures) => {
                    figures.wall_ms = seconds * 1e3;
                    Answer::Judged(Box::new(figures), note)
                }
                Err(error) => Answer::NotRun { reason: format!("{error:#}"), remedy: String::new() },
            },
            Ok(Made::NotRun { reason, remedy }) => Answer::NotRun { reason, remedy },
            Err(error) => Answer::NotRun { reason: format!("{error:#}"), remedy: String::new() },
        }
    }
}

/// Judges replica lists that a planner gave for all partitions, or for some, where the others stay as they are.
pub fn judged(model: &Model, lists: &Assignment) -> Result<Figures> {
    let mut after = model.clone();
    for partition in &mut after.partitions {
        if let Some(list) = lists.get(&(partition.topic.clone(), partition.index)) {
            partition.replicas.clone_from(list);
        }
    }
    Ok(Figures::of(model, &judge(model, &after, &Options::default())?))
}

/// Reads an assignment in the form of Kafka's tool.
///
/// # Errors
/// When the text is of another form.
pub fn read_assignment(text: &str) -> Result<Assignment> {
    #[derive(Deserialize)]
    struct File {
        partitions: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        topic: String,
        partition: i32,
        replicas: Vec<i32>,
    }
    let file: File = serde_json::from_str(text).context("read an assignment")?;
    let mut lists = Assignment::new();
    for entry in file.partitions {
        let topic = TopicName::new(&entry.topic)?;
        let ids = entry.replicas.into_iter().map(NodeId).collect();
        if lists.insert((topic, PartitionIndex(entry.partition)), ids).is_some() {
            bail!("{}-{} is listed twice", entry.topic, entry.partition);
        }
    }
    Ok(lists)
}

fn replicas(model: &Model) -> usize {
    model.partitions.iter().map(|p| p.replicas_wanted()).sum()
}

fn generate(model: &Model) -> Result<Made> {
    let cpu = child::cpu_ms_of_thread()?;
    let lists = generate_rule::lists(model);
    Ok(Made::Plan { lists, seconds: (child::cpu_ms_of_thread()? - cpu) / 1e3, note: String::new() })
}

fn assigner(model: &Model) -> Result<Made> {
    let cpu = child::cpu_ms_of_thread()?;
    let (lists, homeless) = assigner_rule::lists(model);
    let seconds = (child::cpu_ms_of_thread()? - cpu) / 1e3;
    let note = match homeless {
        0 => String::new(),
        _ => format!("{homeless} partitions find no place by its rule and stay"),
    };
    Ok(Made::Plan { lists, seconds, note })
}

/// topicmappr's placement is a Go module that the Go module proxy of this machine does not serve.
fn topicmappr(_: &Model) -> Result<Made> {
    Ok(Made::NotRun {
        reason: "the Go module proxy refuses github.com/DataDog/kafka-kit/v4 (403)".to_owned(),
        remedy: "go get github.com/DataDog/kafka-kit/v4@latest, where a proxy serves it".to_owned(),
    })
}
