//! From slots to replica lists: who comes first, and in which order the others follow. No I/O.

use super::slots::State;
use crate::rebalance::facts::Facts;

/// Replica lists of all partitions: the list of partition `p` is `list[start[p]..start[p + 1]]`.
#[derive(Clone, Copy)]
pub(crate) struct Placement<'a> {
    pub(crate) start: &'a [u32],
    pub(crate) list: &'a [u32],
}

impl<'a> Placement<'a> {
    pub(crate) fn of(self, partition: usize) -> &'a [u32] {
        &self.list[self.start[partition] as usize..self.start[partition + 1] as usize]
    }
}

/// The planned replica list of every partition, in the places of its slots.
///
/// Replicas that stay keep their order; a newcomer takes the place of the one that it replaces, so that whoever
/// would follow as leader is spread as before.
pub(crate) fn lists(state: &State<'_>) -> Vec<u32> {
    let facts = state.facts;
    let mut lists = state.cur.clone();
    let mut kept: Vec<u32> = Vec::new();
    for partition in 0..facts.partitions() as u32 {
        let original = facts.original(partition);
        let list = &mut lists[facts.slots(partition)];
        if list == original {
            continue;
        }
        kept.clear();
        kept.extend(original.iter().filter(|b| list.contains(b)));
        let mut in_order = kept.iter();
        for broker in list.iter_mut().filter(|b| original.contains(b)) {
            *broker = *in_order.next().expect("as many are kept as are found");
        }
    }
    lists
}

/// Makes `broker` the first of the list; the others keep their order.
pub(crate) fn lead(facts: &Facts, lists: &mut [u32], partition: u32, broker: u32) {
    let list = &mut lists[facts.slots(partition)];
    if let Some(at) = list.iter().position(|b| *b == broker) {
        list[..=at].rotate_right(1);
    }
}
