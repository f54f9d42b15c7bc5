//! From planned lists to the plan: what changes, what each broker carries, how good it is, what a reader should know.
//! No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

use super::moves::{BrokerLoad, Move, Note, Plan};
use crate::rebalance::bounds::{Floors, LowerBounds};
use crate::rebalance::facts::Facts;
use crate::rebalance::facts::Targets;
use crate::rebalance::model::{BrokerState, Model};
use crate::rebalance::score::{Loads, loads, score};
use crate::rebalance::state::Placement;

/// What a plan is made from, whoever chose the lists.
pub(crate) struct Finish<'a> {
    pub(crate) model: &'a Model,
    pub(crate) order: &'a [u32],
    pub(crate) facts: &'a Facts,
    pub(crate) targets: &'a Targets,
    pub(crate) floors: &'a Floors,
}

impl Finish<'_> {
    pub(crate) fn plan(&self, after: Placement<'_>, bounds: LowerBounds, seed: u64) -> Plan {
        let facts = self.facts;
        let before = Placement { start: &facts.orig_start, list: &facts.orig };
        let (loads_before, loads_after) = (loads(facts, before), loads(facts, after));
        let score =
            score(facts, self.targets, self.floors, bounds, (before, after), (&loads_before, &loads_after));
        let moves = self.moves(after);
        let brokers = self.brokers(&loads_before, &loads_after, &moves);
        let notes = self.notes(&brokers);
        Plan::new(seed, moves, brokers, score, notes)
    }

    fn moves(&self, after: Placement<'_>) -> Vec<Move> {
        let ids = &self.facts.ids;
        let changed = |p: &usize| self.facts.original(*p as u32) != after.of(*p);
        let step = |p: usize| {
            let entry = &self.model.partitions[self.order[p] as usize];
            Move {
                topic: entry.topic.clone(),
                partition: entry.index,
                original: entry.replicas.clone(),
                target: after.of(p).iter().map(|b| NodeId(ids[*b as usize])).collect(),
                bytes: entry.bytes,
            }
        };
        (0..self.facts.partitions()).filter(changed).map(step).collect()
    }

    fn brokers(&self, before: &Loads, after: &Loads, moves: &[Move]) -> Vec<BrokerLoad> {
        let mut arriving: BTreeMap<NodeId, i64> = BTreeMap::new();
        for step in moves {
            step.adding().for_each(|broker| *arriving.entry(broker).or_insert(0) += step.bytes);
        }
        let load = |b: usize| {
            let pair = |d: usize| (before[d][b], after[d][b]);
            let broker = NodeId(self.facts.ids[b]);
            BrokerLoad {
                broker,
                replicas: pair(0),
                bytes: pair(1),
                in_rate: pair(2),
                out_rate: pair(3),
                leaders: pair(4),
                replicas_share: (self.targets.count.low[b], self.targets.count.high[b]),
                bytes_peak: before[1][b] + arriving.get(&broker).copied().unwrap_or(0),
            }
        };
        (0..self.facts.brokers()).map(load).collect()
    }

    fn notes(&self, brokers: &[BrokerLoad]) -> Vec<Note> {
        let entries = self.order.iter().map(|at| &self.model.partitions[*at as usize]);
        let pinned = entries.filter(|p| p.reassigning);
        let mut notes: Vec<Note> =
            pinned.map(|p| Note::Reassigning { topic: p.topic.clone(), partition: p.index }).collect();
        let racks = self.facts.rack_size.iter().filter(|n| **n > 0).count();
        let staying: Vec<_> = self
            .model
            .brokers
            .iter()
            .filter(|b| b.state == BrokerState::Alive)
            .map(|b| b.rack.is_some())
            .collect();
        if staying.contains(&true) {
            let mut crowded: BTreeMap<usize, usize> = BTreeMap::new();
            for partition in 0..self.facts.partitions() as u32 {
                let replicas = self.facts.slots(partition).len();
                if replicas > racks && !self.facts.entry[partition as usize].pinned {
                    *crowded.entry(replicas).or_insert(0) += 1;
                }
            }
            let shared = crowded.into_iter();
            notes.extend(shared.map(|(replicas, partitions)| Note::RacksShared {
                replicas,
                racks,
                partitions,
            }));
            if staying.contains(&false) {
                notes.push(Note::RacksUnknown);
            }
        }
        let tight = |b: &usize| {
            brokers[*b].bytes_peak > self.facts.disk_max[*b] && brokers[*b].bytes_peak > brokers[*b].bytes.0
        };
        notes.extend((0..brokers.len()).filter(tight).map(|b| Note::DiskTight { broker: brokers[b].broker }));
        notes.sort();
        notes
    }
}
