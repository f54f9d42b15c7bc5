//! The committed offsets of one shard, and the memory that they take. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_types::TopicPartition;

use crate::group::ids::GroupId;
use crate::offsets::commit::{CommittedOffset, OffsetToCommit};
use crate::runtime::budget::{Budget, Charge};

/// What one group committed, by partition.
pub(crate) type GroupOffsets = BTreeMap<TopicPartition, CommittedOffset>;

/// Bytes of a committed offset beside its metadata: its places in tables and, generously, names that it shares.
const OFFSET_BYTES: usize = 160;

/// What all groups of a shard committed.
#[derive(Debug)]
pub(crate) struct OffsetStore {
    by_group: BTreeMap<GroupId, GroupOffsets>,
    charge: Charge,
}

impl OffsetStore {
    /// Nothing is committed yet; what is counts in `memory`.
    pub(crate) fn new(memory: &Arc<Budget>) -> OffsetStore {
        OffsetStore { by_group: BTreeMap::new(), charge: memory.charge(0) }
    }

    pub(crate) fn insert(&mut self, group: &GroupId, at: &TopicPartition, offset: CommittedOffset) {
        let added = OFFSET_BYTES + offset.metadata.len();
        let offsets = self.by_group.entry(group.clone()).or_default();
        let former = offsets.insert(at.clone(), offset).as_ref().map_or(0, held_by);
        self.charge.resize((self.charge.bytes() + added).saturating_sub(former));
    }

    pub(crate) fn remove(&mut self, group: &GroupId, at: &TopicPartition) {
        let Some(offsets) = self.by_group.get_mut(group) else { return };
        let removed = offsets.remove(at).as_ref().map_or(0, held_by);
        if offsets.is_empty() {
            self.by_group.remove(group);
        }
        self.charge.resize(self.charge.bytes().saturating_sub(removed));
    }

    /// What a group committed; `None` if nothing.
    pub(crate) fn of(&self, group: &GroupId) -> Option<&GroupOffsets> {
        self.by_group.get(group)
    }

    /// All groups that committed something, in the order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &GroupOffsets)> {
        self.by_group.iter()
    }

    /// Bytes that a commit would hold beside what is held for its partition.
    pub(crate) fn growth(&self, group: &GroupId, offset: &OffsetToCommit) -> usize {
        let former = self.of(group).and_then(|offsets| offsets.get(&offset.at)).map_or(0, held_by);
        (OFFSET_BYTES + offset.metadata.len()).saturating_sub(former)
    }

    /// Whether so many bytes more may be held.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.charge.budget().has_room(bytes)
    }
}

fn held_by(offset: &CommittedOffset) -> usize {
    OFFSET_BYTES + offset.metadata.len()
}
