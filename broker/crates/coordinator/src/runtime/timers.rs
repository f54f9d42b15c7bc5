//! When what falls due. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::MonotonicMs;

/// One deadline for each key. An entry may be early, where what it is for has moved later unnoticed; never late.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    deadlines: BTreeSet<(MonotonicMs, K)>,
    armed: BTreeMap<K, MonotonicMs>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { deadlines: BTreeSet::new(), armed: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the deadline of `key`; `None` takes it away.
    pub(crate) fn arm(&mut self, key: &K, due: Option<MonotonicMs>) {
        let former = match due {
            Some(due) => self.armed.insert(key.clone(), due),
            None => self.armed.remove(key),
        };
        if former == due {
            return;
        }
        if let Some(former) = former {
            self.deadlines.remove(&(former, key.clone()));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, key.clone()));
        }
    }

    /// Whether `key` has a deadline.
    pub(crate) fn is_armed(&self, key: &K) -> bool {
        self.armed.contains_key(key)
    }

    /// The nearest deadline and whose it is.
    pub(crate) fn first(&self) -> Option<(MonotonicMs, &K)> {
        self.deadlines.first().map(|(due, key)| (*due, key))
    }
}
