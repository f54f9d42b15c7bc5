//! The executor's heart: events ordered by (time, sequence number), so that equal times keep the order of their
//! scheduling. No I/O.

use std::collections::BTreeMap;

/// Simulated time in microseconds since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimTime(pub u64);

impl SimTime {
    /// This time moved later.
    pub fn plus_us(self, micros: u64) -> SimTime {
        SimTime(self.0.saturating_add(micros))
    }

    /// This time moved later.
    pub fn plus_ms(self, millis: u64) -> SimTime {
        self.plus_us(millis.saturating_mul(1_000))
    }

    /// Whole milliseconds since the start.
    pub fn millis(self) -> u64 {
        self.0 / 1_000
    }
}

/// Events that have not happened yet.
#[derive(Debug)]
pub struct EventQueue<E> {
    events: BTreeMap<(SimTime, u64), E>,
    next_seq: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        EventQueue { events: BTreeMap::new(), next_seq: 0 }
    }
}

impl<E> EventQueue<E> {
    /// Schedules `event` at `at`, after all that is already scheduled for that time.
    pub fn schedule(&mut self, at: SimTime, event: E) {
        self.events.insert((at, self.next_seq), event);
        self.next_seq += 1;
    }

    /// Takes the earliest event.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_keep_the_order_of_scheduling() {
        let mut queue = EventQueue::default();
        queue.schedule(SimTime(5), "b");
        queue.schedule(SimTime(3), "a");
        queue.schedule(SimTime(5), "c");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, ["a", "b", "c"]);
    }
}
