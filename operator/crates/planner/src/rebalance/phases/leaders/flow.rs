//! The second part of phase 4, in small clusters: topics that are led unevenly are mended by chains of handovers that may
//! go through other topics, so that neither brokers nor topics get less even. Moves no data. No I/O.
//!
//! Leaderships flow from each topic's cell on a broker to the broker, and from there to the end. A chain is a path in what
//! that flow leaves free: where none is left, no other choice of leaders would bring the cell into its band.

use std::collections::VecDeque;

use super::leadership::Leaders;
use super::topics::Care;
use crate::rebalance::facts::Limits;

/// Replicas up to which all of this is nothing against the time that a plan takes.
const REPLICAS_MAX: usize = 8_000;

/// How a node was reached: from which one, and by handing over which partition.
type Came = Option<(usize, Option<u32>)>;

/// Brings the leaderships of every topic that `cares` is true for into their bands, as far as any choice of leaders can.
pub(crate) fn mend_leaders(leaders: &mut Leaders<'_>, cares: impl Fn(u32) -> bool) {
    let facts = leaders.facts;
    if facts.part.len() > REPLICAS_MAX {
        return;
    }
    let topics = facts.topic_slots.len();
    let flow = Flow { topics, brokers: facts.brokers(), cares: (0..topics as u32).map(cares).collect() };
    for topic in (0..topics).filter(|topic| flow.cares[*topic]) {
        for broker in (0..facts.brokers()).filter(|b| facts.stays[*b]) {
            while let Some((from, to)) = flow.wrong(leaders, topic, broker) {
                let Some(chain) = flow.chain(leaders, from, to) else { break };
                chain.into_iter().for_each(|(partition, to)| leaders.set(partition, to));
            }
        }
    }
}

struct Flow {
    topics: usize,
    brokers: usize,
    cares: Vec<bool>,
}

impl Flow {
    /// The node of a topic on a broker; those of brokers follow, and then the end.
    fn cell(&self, topic: usize, broker: usize) -> usize {
        topic * self.brokers + broker
    }

    fn broker(&self, broker: usize) -> usize {
        self.topics * self.brokers + broker
    }

    fn end(&self) -> usize {
        (self.topics + 1) * self.brokers
    }

    fn limits(&self, leaders: &Leaders<'_>, topic: usize, broker: usize) -> Limits {
        match self.cares[topic] {
            true => leaders.topics.limits(leaders.facts, topic as u32, broker, Care::Band),
            false => Limits { low: 0, high: u32::MAX },
        }
    }

    /// Between which nodes a chain must lead for a broker to lead one of the topic less, or one more.
    fn wrong(&self, leaders: &Leaders<'_>, topic: usize, broker: usize) -> Option<(usize, usize)> {
        let (cell, total) = (self.cell(topic, broker), self.broker(broker));
        let (limits, held) = (self.limits(leaders, topic, broker), leaders.topics.held(topic as u32, broker));
        if held > limits.high {
            return Some((cell, total));
        }
        (held < limits.low).then_some((total, cell))
    }

    /// The chain of fewest handovers from one node to another.
    fn chain(&self, leaders: &Leaders<'_>, from: usize, to: usize) -> Option<Vec<(u32, usize)>> {
        let mut came: Vec<Came> = vec![None; self.end() + 1];
        let mut is_done = vec![false; self.end() + 1];
        let mut distance = vec![usize::MAX; self.end() + 1];
        distance[from] = 0;
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                return Some(self.read(&came, from, to));
            }
            if std::mem::replace(&mut is_done[node], true) {
                continue;
            }
            for (next, partition) in self.leads(leaders, node) {
                let through = distance[node] + usize::from(partition.is_some());
                if through < distance[next] {
                    distance[next] = through;
                    came[next] = Some((node, partition));
                    match partition {
                        Some(_) => queue.push_back(next),
                        None => queue.push_front(next),
                    }
                }
            }
        }
        None
    }

    /// Nodes that a leadership too many at `node` may be passed on to.
    fn leads(&self, leaders: &Leaders<'_>, node: usize) -> Vec<(usize, Option<u32>)> {
        let facts = leaders.facts;
        let held = |topic: usize, broker: usize| leaders.topics.held(topic as u32, broker);
        if node == self.end() {
            let gives = |b: &usize| facts.stays[*b] && leaders.count(*b) > leaders.share.low[*b];
            return (0..self.brokers).filter(gives).map(|b| (self.broker(b), None)).collect();
        }
        let (topic, broker) = (node / self.brokers, node % self.brokers);
        let mut next = Vec::new();
        if topic == self.topics {
            let gives = |topic: &usize| held(*topic, broker) > self.limits(leaders, *topic, broker).low;
            next.extend((0..self.topics).filter(gives).map(|topic| (self.cell(topic, broker), None)));
            if leaders.count(broker) < leaders.share.high[broker] {
                next.push((self.end(), None));
            }
            return next;
        }
        for partition in facts.topics.partitions(topic as u32) {
            let list = leaders.list(partition);
            if list.first() == Some(&(broker as u32)) && !facts.entry[partition as usize].pinned {
                let others = list[1..].iter().map(|b| *b as usize).filter(|b| facts.stays[*b]);
                next.extend(others.map(|b| (self.cell(topic, b), Some(partition))));
            }
        }
        if held(topic, broker) < self.limits(leaders, topic, broker).high {
            next.push((self.broker(broker), None));
        }
        next
    }

    /// The handovers on the way from one node to another.
    fn read(&self, came: &[Came], from: usize, to: usize) -> Vec<(u32, usize)> {
        let mut chain = Vec::new();
        let mut at = to;
        while at != from {
            let (before, partition) = came[at].expect("every node of the chain was reached");
            chain.extend(partition.map(|partition| (partition, at % self.brokers)));
            at = before;
        }
        chain
    }
}
