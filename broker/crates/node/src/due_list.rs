//! Things with the time at which somebody shall look at them. No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::MonotonicMs;

/// Keys by the times at which they are due; the work of looking depends on those that are.
#[derive(Debug)]
pub struct DueList<K> {
    due: BTreeSet<(MonotonicMs, K)>,
}

impl<K> Default for DueList<K> {
    fn default() -> Self {
        DueList { due: BTreeSet::new() }
    }
}

impl<K: Ord> DueList<K> {
    /// Notes that `key` is due at `at`. It stays in for an earlier time, if it was noted for one.
    pub fn push(&mut self, at: MonotonicMs, key: K) {
        self.due.insert((at, key));
    }

    /// Takes those out whose time has come, the earliest first.
    pub fn take_due(&mut self, now: MonotonicMs) -> Vec<K> {
        let mut taken = Vec::new();
        while let Some((at, _)) = self.due.first()
            && *at <= now
        {
            taken.extend(self.due.pop_first().map(|(_, key)| key));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_out_once_and_in_the_order_of_time() {
        let mut list = DueList::default();
        for (at, key) in [(30, 'c'), (10, 'a'), (20, 'b'), (20, 'b')] {
            list.push(MonotonicMs(at), key);
        }
        assert_eq!(list.take_due(MonotonicMs(9)), []);
        assert_eq!(list.take_due(MonotonicMs(20)), ['a', 'b']);
        assert_eq!(list.take_due(MonotonicMs(20)), []);
        assert_eq!(list.take_due(MonotonicMs(30)), ['c']);
    }
}
