//! How many moves run at once, and which must wait.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

use super::model::Task;
use crate::action::Reassignment;
use crate::facts::{KafkaFacts, PartitionFacts};

/// Copies that one broker receives, and sends, at once: enough to fill a disk, few enough to spare clients.
const SLOTS_PER_BROKER: usize = 5;
/// Partitions that move at once in the whole cluster.
const RUNNING_MAX: usize = 200;
/// Changes of order at once: they copy nothing, and each is one record in the metadata log.
const REORDERINGS_MAX: usize = 1000;

/// What may start now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The moves.
    pub(super) start: Vec<Reassignment>,
    /// Why a task had to wait, if one did.
    pub(super) waits: Option<String>,
}

/// Picks tasks in their order, as slots and safety allow.
pub(super) fn admit(kafka: &KafkaFacts, tasks: &[Task]) -> Admitted {
    let mut admitted = Admitted::default();
    let mut slots = Slots::of(kafka);
    let mut reorderings = 0;
    for task in tasks {
        let Some(facts) = kafka.partitions.get(&task.partition) else { continue };
        if let Err(reason) = ready(kafka, task, facts) {
            admitted.waits.get_or_insert(reason);
            continue;
        }
        if task.arriving.is_empty() {
            if reorderings == REORDERINGS_MAX {
                continue;
            }
            reorderings += 1;
        } else if !slots.take(task, facts) {
            continue;
        }
        let (partition, replicas) = (task.partition.clone(), task.target.clone());
        admitted.start.push(Reassignment { partition, replicas });
    }
    admitted
}

/// Whether a move could end: a kept replica that is out of sync would hold it up for ever.
fn ready(kafka: &KafkaFacts, task: &Task, facts: &PartitionFacts) -> Result<(), String> {
    let name = &task.partition;
    if facts.moves() {
        return Err(format!("{name} moves already"));
    }
    if facts.leader.is_none() {
        return Err(format!("{name} has no leader to copy from"));
    }
    if let Some(behind) = task.target.iter().find(|id| facts.replicas.contains(id) && !facts.isr.contains(id))
    {
        return Err(format!("{name} waits until its replica on broker {behind} is in sync"));
    }
    match task.arriving.iter().find(|id| !kafka.serves(**id)) {
        Some(down) => Err(format!("{name} waits for broker {down}")),
        None => Ok(()),
    }
}

struct Slots {
    incoming: BTreeMap<NodeId, usize>,
    outgoing: BTreeMap<NodeId, usize>,
    running: usize,
}

impl Slots {
    /// What moves under way have taken.
    fn of(kafka: &KafkaFacts) -> Slots {
        let mut slots = Slots { incoming: BTreeMap::new(), outgoing: BTreeMap::new(), running: 0 };
        for partition in kafka.partitions.values().filter(|partition| partition.moves()) {
            slots.count(&partition.adding, partition.leader);
        }
        slots
    }

    fn count(&mut self, arriving: &[NodeId], source: Option<NodeId>) {
        self.running += 1;
        for id in arriving {
            *self.incoming.entry(*id).or_default() += 1;
        }
        if let Some(source) = source {
            *self.outgoing.entry(source).or_default() += arriving.len();
        }
    }

    /// Takes the slots of a task, or none of them.
    fn take(&mut self, task: &Task, facts: &PartitionFacts) -> bool {
        let full =
            |map: &BTreeMap<NodeId, usize>, id: &NodeId| map.get(id).is_some_and(|n| *n >= SLOTS_PER_BROKER);
        let blocked = self.running >= RUNNING_MAX
            || task.arriving.iter().any(|id| full(&self.incoming, id))
            || facts.leader.is_some_and(|leader| full(&self.outgoing, &leader));
        if !blocked {
            self.count(&task.arriving, facts.leader);
        }
        !blocked
    }
}
