//! When something that fails is tried again. No I/O.
//!
//! Invariants: a spell of failures ends with the first success; the pauses within it grow with its age and stay between
//! the first pause and the longest one; only its first failure is worth a line in the log.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{DurationMs, MonotonicMs};

/// A pause is this part of the time for which the spell has lasted: trying again comes late by a quarter at most.
const AGE_DIVISOR: u64 = 4;
/// The longest pause, so that a partition is back soon after its trouble is over, without anybody's doing.
const PAUSE_MAX: DurationMs = DurationMs(5_000);
/// Pauses are shortened by up to this part, so that what failed together is not tried again together.
const JITTER_DIVISOR: u64 = 4;

/// A failure that comes this long after the one before it is news again.
const SILENCE_MIN: DurationMs = DurationMs(60_000);

/// Whether a failure is worth a line in the log, where failures and successes of different askers take turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Complaints {
    last: Option<MonotonicMs>,
}

impl Complaints {
    /// Something failed; whether nothing did for long.
    pub fn is_news(&mut self, now: MonotonicMs) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.since(last) >= SILENCE_MIN)
    }
}

/// What a failure brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When the next attempt is due.
    pub until: MonotonicMs,
    /// Whether the spell began with this failure.
    pub is_first: bool,
}

/// Failures without a success between them.
#[derive(Clone, Copy, Debug)]
struct Spell {
    since: MonotonicMs,
    until: MonotonicMs,
}

impl Spell {
    /// A further failure, or the first one; the pause is `first` at least, and `dice` is any random number.
    fn failed(spell: Option<Spell>, now: MonotonicMs, first: DurationMs, dice: u64) -> Spell {
        let since = spell.map_or(now, |spell| spell.since);
        let longest = (now.since(since).0 / AGE_DIVISOR).clamp(first.0, PAUSE_MAX.0.max(first.0));
        let shortened = longest - dice % (longest / JITTER_DIVISOR + 1);
        Spell { since, until: now.plus(DurationMs(shortened.max(1))) }
    }
}

/// What fails of many things, and when each is tried again.
#[derive(Debug)]
pub struct Rests<K> {
    spells: BTreeMap<K, Spell>,
    due: BTreeSet<(MonotonicMs, K)>,
    dice: u64,
}

impl<K: Ord + Clone> Rests<K> {
    /// Nothing fails; `seed` scatters the pauses.
    pub fn new(seed: u64) -> Rests<K> {
        Rests { spells: BTreeMap::new(), due: BTreeSet::new(), dice: seed }
    }

    /// `key` failed and is not tried before the end of the pause.
    pub fn failed(&mut self, key: &K, now: MonotonicMs, first: DurationMs) -> Pause {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let former = self.spells.get(key).copied();
        if let Some(spell) = former {
            self.due.remove(&(spell.until, key.clone()));
        }
        let spell = Spell::failed(former, now, first, self.dice >> 33);
        self.spells.insert(key.clone(), spell);
        self.due.insert((spell.until, key.clone()));
        Pause { until: spell.until, is_first: former.is_none() }
    }

    /// The spell of `key` is over, if it had one.
    pub fn end(&mut self, key: &K) -> bool {
        let Some(spell) = self.spells.remove(key) else { return false };
        self.due.remove(&(spell.until, key.clone()));
        true
    }

    /// Whether `key` is not to be tried yet.
    pub fn is_resting(&self, key: &K) -> bool {
        self.spells.get(key).is_some_and(|spell| self.due.contains(&(spell.until, key.clone())))
    }

    /// Those whose pause is over; their spell goes on until they succeed.
    pub fn take_due(&mut self, now: MonotonicMs) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((until, _)) = self.due.first()
            && *until <= now
        {
            due.extend(self.due.pop_first().map(|(_, key)| key));
        }
        due
    }

    /// When the next pause ends.
    pub fn next_due(&self) -> Option<MonotonicMs> {
        self.due.first().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: DurationMs = DurationMs(20);

    /// The pauses of something that fails at each attempt.
    fn pauses(attempt_count: usize) -> Vec<u64> {
        let (mut rests, mut now) = (Rests::new(1), MonotonicMs(1_000));
        let pauses = (0..attempt_count).map(|_| {
            let until = rests.failed(&1, now, FIRST).until;
            assert!(rests.is_resting(&1));
            let pause = until.since(now).0;
            assert_eq!(rests.take_due(MonotonicMs(until.0 - 1)), []);
            assert_eq!(rests.take_due(until), [1]);
            assert!(!rests.is_resting(&1));
            now = until;
            pause
        });
        pauses.collect()
    }

    #[test]
    fn pauses_grow_with_the_spell_up_to_a_bound() {
        let pauses = pauses(200);
        assert!(pauses[..4].iter().all(|pause| (15..=20).contains(pause)), "{pauses:?}");
        let longest = PAUSE_MAX.0;
        assert!(pauses[150..].iter().all(|pause| (longest * 3 / 4..=longest).contains(pause)), "{pauses:?}");
        let in_a_minute = pauses.iter().scan(0, |sum, pause| Some(*sum).inspect(|_| *sum += pause));
        let attempts = in_a_minute.take_while(|at| *at < 60_000).count();
        assert!(attempts < 60, "{attempts} attempts in the first minute");
    }

    #[test]
    fn failures_that_follow_each_other_are_complained_of_once() {
        let mut complaints = Complaints::default();
        let heard = [0, 100, 59_000, 118_000, 178_000].map(|ms| complaints.is_news(MonotonicMs(ms)));
        assert_eq!(heard, [true, false, false, false, true]);
    }

    #[test]
    fn only_the_first_failure_of_a_spell_is_news() {
        let mut rests = Rests::new(1);
        let now = MonotonicMs(5);
        assert!(rests.failed(&1, now, FIRST).is_first);
        assert!(!rests.failed(&1, now, FIRST).is_first);
        assert!(rests.failed(&2, now, FIRST).is_first);
        assert!(rests.end(&1) && !rests.end(&1));
        assert!(rests.failed(&1, now, FIRST).is_first);
        assert_eq!(rests.take_due(MonotonicMs(100)).len(), 2, "each once");
        assert_eq!(rests.next_due(), None);
    }
}
