//! The last offset of each key, in memory of a fixed size. No I/O.
//!
//! Keys are told apart by 128 bits of a keyed hash: whoever writes the keys does not know the seed, so that two keys with
//! the same hash are not to be found nor to be feared.

use std::hash::{DefaultHasher, Hasher};

use ottla_broker_types::Offset;

/// The two halves of a key's hash, then its offset plus one; zeros where there is none.
type Slot = [u64; 3];

/// See the module.
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    seeds: [u64; 2],
}

impl KeyMap {
    /// An empty map in at most `bytes` of memory, of which it takes what its keys touch; it is full when
    /// `load_percent` of its places are taken. It has room for one key at least.
    pub(super) fn new(bytes: usize, load_percent: u32, seed: u64) -> KeyMap {
        let count = (bytes / size_of::<Slot>()).max(2);
        let len_max = (count as u64 * u64::from(load_percent) / 100) as usize;
        let len_max = len_max.clamp(1, count - 1);
        KeyMap { slots: vec![[0; 3]; count], len: 0, len_max, seeds: [seed, !seed] }
    }

    /// Takes note that a record with `key` lies at `offset`, behind all before; false if there is no room for the key.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        if self.slots[at][2] == 0 {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.slots[at] = [hash[0], hash[1], offset.get() as u64 + 1];
        true
    }

    /// The last offset of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let at = self.find(self.hash(key));
        self.slots[at][2].checked_sub(1).and_then(|offset| Offset::new(offset as i64))
    }

    /// Count of keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.seeds.map(|seed| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The place of a hash, or the free one where it belongs: there always is one.
    fn find(&self, [first, second]: [u64; 2]) -> usize {
        let mut at = (first % self.slots.len() as u64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || (slot[0] == first && slot[1] == second) {
                return at;
            }
            at = (at + 1) % self.slots.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> Offset {
        Offset::clamped(offset.into())
    }

    #[test]
    fn the_last_offset_of_each_key_is_found() {
        let mut map = KeyMap::new(1_000 * size_of::<Slot>(), 90, 7);
        for round in 0..3 {
            for n in 0..300u32 {
                assert!(map.put(&n.to_be_bytes(), at(round * 300 + n)));
            }
        }
        assert_eq!(map.len(), 300);
        for n in 0..300u32 {
            assert_eq!(map.get(&n.to_be_bytes()), Some(at(600 + n)));
        }
        assert_eq!(map.get(b"other"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn a_full_map_takes_no_new_key_but_goes_on_with_those_it_has() {
        let mut map = KeyMap::new(100 * size_of::<Slot>(), 90, 7);
        let taken = (0..200u32).filter(|n| map.put(&n.to_be_bytes(), at(*n))).count();
        assert_eq!(taken, 90);
        assert!(map.put(&5u32.to_be_bytes(), at(999)));
        assert_eq!(map.get(&5u32.to_be_bytes()), Some(at(999)));
        assert_eq!(map.get(&150u32.to_be_bytes()), None);
    }

    #[test]
    fn the_least_map_has_room_for_a_key() {
        let mut map = KeyMap::new(0, 0, 7);
        assert!(map.put(b"a", at(1)) && !map.put(b"b", at(2)));
        assert_eq!(map.get(b"b"), None);
    }
}
