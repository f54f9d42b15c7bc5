//! Ids for new members, from a seed. No I/O, no entropy of its own.

use std::cell::Cell;

use crate::group::ids::{InstanceId, MemberId};

/// Bytes of an id beside the name that it begins with.
pub(crate) const MEMBER_ID_BYTES_DRAWN: usize = 37;

/// Draws member ids: the client's own name, then 128 drawn bits in the form of a UUID, as Kafka does.
#[derive(Clone, Debug)]
pub(crate) struct MemberIds {
    /// Drawing an id changes nothing that anybody could see.
    state: Cell<u64>,
}

impl MemberIds {
    pub(crate) fn new(seed: u64) -> MemberIds {
        MemberIds { state: Cell::new(seed) }
    }

    /// The id of a new member: a static one is named by its instance, others by the client's id.
    pub(crate) fn draw(&self, client_id: &str, instance: Option<&InstanceId>) -> MemberId {
        let name = instance.map_or(client_id, InstanceId::as_str);
        MemberId::new(&format!("{name}-{}", self.uuid())).expect("a drawn id is never empty")
    }

    /// The id of a member of the consumer protocol that brings none.
    pub(crate) fn draw_bare(&self) -> MemberId {
        MemberId::new(&self.uuid()).expect("a drawn id is never empty")
    }

    fn uuid(&self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff,
        )
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        self.state.set(self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.state.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_with_who_joins_and_differ() {
        let ids = MemberIds::new(7);
        let first = ids.draw("client", None);
        assert!(first.as_str().starts_with("client-"));
        assert_eq!(first.as_str().len(), "client".len() + MEMBER_ID_BYTES_DRAWN);
        assert_ne!(first, ids.draw("client", None));
        let instance = InstanceId::new("pod-0");
        assert!(ids.draw("client", instance.as_ref()).as_str().starts_with("pod-0-"));
    }
}
