//! From broker ids to the small numbers that the planner works with. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

/// Ids below this are looked up in a table, as nearly all are; larger ones in a tree.
const TABLE_MAX: usize = 1 << 16;
/// Stands for no broker in the table.
const NONE: u32 = u32::MAX;

/// See the module's header.
pub(crate) struct BrokerIndex {
    table: Vec<u32>,
    others: BTreeMap<NodeId, u32>,
}

impl BrokerIndex {
    /// Numbers the ids in the order given.
    pub(crate) fn new(ids: impl Iterator<Item = NodeId>) -> BrokerIndex {
        let mut index = BrokerIndex { table: Vec::new(), others: BTreeMap::new() };
        for (number, id) in (0..).zip(ids) {
            match usize::try_from(id.get()) {
                Ok(at) if at < TABLE_MAX => {
                    index.table.resize(index.table.len().max(at + 1), NONE);
                    index.table[at] = number;
                }
                _ => {
                    index.others.insert(id, number);
                }
            }
        }
        index
    }

    /// The number of a broker, if it was given.
    pub(crate) fn get(&self, id: NodeId) -> Option<u32> {
        match usize::try_from(id.get()) {
            Ok(at) if at < TABLE_MAX => self.table.get(at).copied().filter(|number| *number != NONE),
            _ => self.others.get(&id).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_size_are_found_and_others_are_not() {
        let ids = [NodeId(7), NodeId(-3), NodeId(65_535), NodeId(65_536), NodeId(i32::MAX)];
        let index = BrokerIndex::new(ids.into_iter());
        for (number, id) in (0..).zip(ids) {
            assert_eq!(index.get(id), Some(number), "{id}");
        }
        for id in [0, 8, -1, 65_534, 65_537, i32::MIN] {
            assert_eq!(index.get(NodeId(id)), None, "{id}");
        }
    }
}
