//! Large requests in parts: each part is a decision and a batch of its own, and others get their turn between two. No
//! I/O.

use std::collections::BTreeMap;
use std::ops::Range;

/// How much one part weighs at most, in records to be: some milliseconds of deciding, writing and applying.
pub const BATCH_WEIGHT_MAX: usize = 1_000;

/// How often each key occurs.
pub(crate) fn count_by<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

/// Cuts a request's items into parts of at most [`BATCH_WEIGHT_MAX`], or of one item if that alone weighs more.
///
/// Items of one key stay together, with all that lies between them: a decision must see that something is named twice.
pub fn split_batches<T, K: Ord>(
    items: &[T],
    key: impl Fn(&T) -> K,
    weight: impl Fn(&T) -> usize,
) -> Vec<Range<usize>> {
    let last: BTreeMap<K, usize> = items.iter().enumerate().map(|(at, item)| (key(item), at)).collect();
    let mut parts = Vec::new();
    let (mut start, mut whole_end, mut weighs) = (0, 0, 0_usize);
    for (at, item) in items.iter().enumerate() {
        let weight = weight(item).max(1);
        if at > start && at >= whole_end && weighs.saturating_add(weight) > BATCH_WEIGHT_MAX {
            parts.push(start..at);
            (start, weighs) = (at, 0);
        }
        weighs = weighs.saturating_add(weight);
        let end_of_key = last.get(&key(item)).map_or(at, |last| *last) + 1;
        whole_end = whole_end.max(end_of_key);
    }
    if start < items.len() {
        parts.push(start..items.len());
    }
    parts
}

/// One part with all items.
pub(crate) fn whole<T>(items: &[T]) -> Vec<Range<usize>> {
    (!items.is_empty()).then_some(0..items.len()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(items: &[(&str, usize)]) -> Vec<Range<usize>> {
        split_batches(items, |(key, _)| key.to_owned(), |(_, weight)| *weight)
    }

    #[test]
    fn parts_hold_all_items_in_order_and_are_bounded() {
        let items: Vec<(String, usize)> = (0..500).map(|at| (at.to_string(), at % 90)).collect();
        let parts = split_batches(&items, |(key, _)| key.clone(), |(_, weight)| *weight);
        assert!(parts.len() > 1);
        assert!(parts.iter().cloned().flatten().eq(0..500));
        for part in parts {
            assert!(items[part].iter().map(|(_, weight)| *weight).sum::<usize>() <= BATCH_WEIGHT_MAX);
        }
    }

    #[test]
    fn one_item_above_the_bound_is_a_part_of_its_own() {
        assert_eq!(split(&[("a", 1), ("b", 5_000), ("c", 1)]), [0..1, 1..2, 2..3]);
        assert_eq!(split(&[]), []);
    }

    #[test]
    fn what_is_named_twice_stays_together() {
        assert_eq!(split(&[("a", 600), ("b", 600), ("a", 600), ("c", 600)]), [0..3, 3..4]);
        assert_eq!(split(&[("a", 600), ("b", 600), ("b", 600), ("c", 600)]), [0..1, 1..3, 3..4]);
    }
}
