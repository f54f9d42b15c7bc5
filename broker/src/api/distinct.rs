//! Requests that name something more than once: what is looked at and answered is what is named, not how often.

use std::collections::BTreeSet;

/// The items with different keys, the first of each, in their order.
pub fn distinct<'a, T, K: Ord>(items: &'a [T], key: impl Fn(&'a T) -> K) -> impl Iterator<Item = &'a T> {
    let mut seen = BTreeSet::new();
    items.iter().filter(move |item| seen.insert(key(item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_key_stays_in_its_place() {
        let items = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)];
        let kept: Vec<_> = distinct(&items, |(name, _)| *name).collect();
        assert_eq!(kept, [&("a", 1), &("b", 2), &("c", 4)]);
    }
}
