//! An ordered map of which a changed copy shares all but the part that changed. No I/O.
//!
//! An image is copied with each batch of the metadata log while others still read the former one. The entries lie in
//! chunks of bounded size behind reference counts, so that a change copies one chunk and the list of chunks: of 100,000
//! entries some hundred pointers.
//!
//! Invariants: keys rise strictly through the chunks; no chunk is empty or longer than [`CHUNK_MAX`]; two neighbours
//! together are longer than half of that, so that removals leave no long list of tiny chunks.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::{fmt, slice};

/// Entries of a chunk: a change copies this many at most, and a map of a million entries lists some thousand chunks.
const CHUNK_MAX: usize = 256;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// See the module.
#[derive(Clone)]
pub struct ChunkMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    entry_count: usize,
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        ChunkMap { chunks: Arc::default(), entry_count: 0 }
    }
}

impl<K, V> ChunkMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entry_count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entry_count == 0
    }

    /// The entries, by key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { chunks: self.chunks.iter(), entries: Default::default() }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Whether both are the same copy, so that nothing can differ.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }

    /// The entries in chunks that `other` does not share: all that are missing or different there are among them.
    pub fn not_shared_with(&self, other: &Self) -> impl Iterator<Item = (&K, &V)> {
        let theirs: BTreeSet<_> = other.chunks.iter().map(Arc::as_ptr).collect();
        let own = self.chunks.iter().filter(move |chunk| !theirs.contains(&Arc::as_ptr(chunk)));
        own.flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }
}

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = &self.chunks[self.chunk_of(key)?];
        let at = chunk.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        Some(&chunk[at].1)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The value of `key`, to be changed: its chunk is this map's own from then on.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let at = self.chunks[index].binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        Some(&mut self.chunk_mut(index)[at].1)
    }

    /// The entries from `key` (inclusive) on, by key.
    pub fn range_from<'a, Q: Ord + ?Sized>(&'a self, key: &'a Q) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
    {
        let first = self.chunk_of(key).unwrap_or(0);
        let chunks = self.chunks[first.min(self.chunks.len())..].iter();
        let entries = chunks.flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)));
        entries.skip_while(move |(other, _)| (*other).borrow() < key)
    }

    /// Sets the value of `key`; the former one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(index) = self.chunk_of(&key).or((!self.chunks.is_empty()).then_some(0)) else {
            self.chunks = Arc::new(vec![Arc::new(vec![(key, value)])]);
            self.entry_count = 1;
            return None;
        };
        let chunk = self.chunk_mut(index);
        match chunk.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => {
                chunk.insert(at, (key, value));
                let is_full = chunk.len() > CHUNK_MAX;
                // Keys that only rise, as ids and indices do, leave full chunks behind.
                let middle = if at + 1 == chunk.len() { CHUNK_MAX } else { CHUNK_MAX / 2 };
                if is_full {
                    let rest = chunk.split_off(middle);
                    Arc::make_mut(&mut self.chunks).insert(index + 1, Arc::new(rest));
                    self.merge(index + 1);
                }
                self.entry_count += 1;
                None
            }
        }
    }

    /// Takes `key` out; its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let at = self.chunks[index].binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        let (_, value) = self.chunk_mut(index).remove(at);
        self.entry_count -= 1;
        self.merge(index);
        Some(value)
    }

    /// The chunk that holds `key` if any does; `None` if it would come before all of them.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key).checked_sub(1)
    }

    fn chunk_mut(&mut self, index: usize) -> &mut Vec<(K, V)> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[index])
    }

    /// Joins the chunk at `index` with a neighbour if both are short, or drops it if it is empty.
    fn merge(&mut self, index: usize) {
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks[index].is_empty() {
            chunks.remove(index);
            return;
        }
        for left in [index.checked_sub(1), Some(index)].into_iter().flatten() {
            if left + 1 < chunks.len() && chunks[left].len() + chunks[left + 1].len() <= CHUNK_MAX / 2 {
                let right = chunks.remove(left + 1);
                Arc::make_mut(&mut chunks[left]).extend(right.iter().cloned());
                return;
            }
        }
    }
}

/// The entries of a map, by key.
pub struct Iter<'a, K, V> {
    chunks: slice::Iter<'a, Chunk<K, V>>,
    entries: slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            self.entries = self.chunks.next()?.iter();
        }
    }
}

impl<'a, K, V> IntoIterator for &'a ChunkMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for ChunkMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.len() == other.len() && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for ChunkMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ChunkMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn is_sound(map: &ChunkMap<u32, u32>) -> bool {
        let lens: Vec<usize> = map.chunks.iter().map(|chunk| chunk.len()).collect();
        lens.iter().all(|len| (1..=CHUNK_MAX).contains(len)) && lens.iter().sum::<usize>() == map.len()
    }

    /// Any sequence of changes leaves what a plain map would hold.
    #[test]
    fn it_behaves_as_an_ordered_map() {
        let (mut map, mut plain) = (ChunkMap::default(), BTreeMap::new());
        let mut state = 7_u64;
        for step in 0..40_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (state >> 40) as u32 % 3_000;
            // Two of three keep growing at first, and it shrinks at the end.
            if (state >> 33) % 3 < if step < 20_000 { 2 } else { 1 } {
                assert_eq!(map.insert(key, step), plain.insert(key, step));
            } else {
                assert_eq!(map.remove(&key), plain.remove(&key));
            }
            assert_eq!(map.get(&key), plain.get(&key));
            if step % 1_000 == 0 {
                assert!(is_sound(&map));
                assert!(map.iter().eq(plain.iter()));
                assert!(map.range_from(&key).eq(plain.range(key..)));
            }
        }
        let keys: Vec<u32> = plain.keys().copied().collect();
        assert!(keys.iter().all(|key| map.remove(key) == plain.remove(key)));
        assert!(map.is_empty() && map.chunks.is_empty());
    }

    #[test]
    fn a_changed_copy_shares_all_but_one_chunk() {
        let mut map = ChunkMap::default();
        for key in 0..100_000_u32 {
            map.insert(key, 0_u32);
        }
        assert!(map.chunks.len() <= 100_000 / CHUNK_MAX + 1, "rising keys fill the chunks");
        let before = map.clone();
        *map.get_mut(&50_000).expect("it is there") = 1;
        assert_eq!((before.get(&50_000), map.get(&50_000)), (Some(&0), Some(&1)));
        assert!(map.not_shared_with(&before).count() <= CHUNK_MAX);
        assert!(map.not_shared_with(&before).any(|(key, _)| *key == 50_000));
        assert!(before.not_shared_with(&map).count() <= CHUNK_MAX);
        assert_eq!(map.clone().not_shared_with(&map).count(), 0);
        assert_ne!(map, before);
    }

    #[test]
    fn removals_leave_no_tiny_chunks() {
        let mut map = ChunkMap::default();
        for key in 0..100_000_u32 {
            map.insert(key, ());
        }
        for key in (0..100_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 1_000);
        assert!(map.chunks.len() <= 2 * 1_000 / (CHUNK_MAX / 2) + 1, "{} chunks", map.chunks.len());
    }
}
