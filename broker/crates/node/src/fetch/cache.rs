//! The fetch sessions of a broker by their ids. No I/O.
//!
//! Invariants: `sessions <= slots_max`; a broker has one session at most; a session that nobody used for long is gone
//! once another one is opened, so that no partition goes on telling it news.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs};

use super::session::Reader;

/// A session unused for this long makes room (Kafka's fixed limit).
const EVICTABLE_AFTER: DurationMs = DurationMs(120_000);

#[derive(Debug)]
struct Cached<S> {
    session: S,
    reader: Reader,
    last_used: MonotonicMs,
}

/// All sessions of a broker, each an `S`.
#[derive(Debug)]
pub struct FetchSessions<S> {
    sessions: BTreeMap<i32, Cached<S>>,
    slots_max: usize,
    next_id_seed: u64,
}

impl<S: Clone> FetchSessions<S> {
    /// At most `slots_max` sessions (`max.incremental.fetch.session.cache.slots`); `seed` scatters their ids.
    pub fn new(slots_max: usize, seed: u64) -> FetchSessions<S> {
        FetchSessions { sessions: BTreeMap::new(), slots_max, next_id_seed: seed }
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session of an id, which is used by asking for it.
    pub fn find(&mut self, now: MonotonicMs, id: i32) -> Option<S> {
        let cached = self.sessions.get_mut(&id)?;
        cached.last_used = now;
        Some(cached.session.clone())
    }

    /// Ends a session.
    pub fn close(&mut self, id: i32) {
        self.sessions.remove(&id);
    }

    /// Keeps a new session; its id, or `None` if there is no room. A broker's goes before those of clients: replication
    /// must not fall back to naming every partition each time.
    pub fn open(&mut self, now: MonotonicMs, reader: Reader, session: S) -> Option<i32> {
        let is_replaced =
            |cached: &Cached<S>| reader.node().is_some() && cached.reader.node() == reader.node();
        self.sessions.retain(|_, cached| !is_replaced(cached));
        self.evict_unused(now);
        if self.sessions.len() >= self.slots_max {
            let of_clients = self.sessions.iter().filter(|(_, cached)| cached.reader.node().is_none());
            let oldest = of_clients.min_by_key(|(_, cached)| cached.last_used).map(|(id, _)| *id);
            let oldest = oldest.filter(|_| reader.node().is_some())?;
            self.sessions.remove(&oldest);
        }
        let id = self.fresh_id();
        self.sessions.insert(id, Cached { session, reader, last_used: now });
        Some(id)
    }

    /// Ends the sessions that nobody used for long.
    pub fn evict_unused(&mut self, now: MonotonicMs) {
        self.sessions.retain(|_, cached| now.since(cached.last_used) < EVICTABLE_AFTER);
    }

    fn fresh_id(&mut self) -> i32 {
        loop {
            // SplitMix64's increment and finalizer: ids that a client cannot guess from its own.
            self.next_id_seed = self.next_id_seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.next_id_seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let id = ((mixed ^ (mixed >> 27)) as i32) & i32::MAX;
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::NodeId;

    use super::*;

    const NOW: MonotonicMs = MonotonicMs(1);

    fn follower(node: i32) -> Reader {
        Reader::Follower { node: NodeId(node), epoch: None }
    }

    #[test]
    fn a_full_cache_takes_a_session_of_clients_only_in_place_of_an_old_one() {
        let mut sessions = FetchSessions::new(1, 7);
        let first = sessions.open(NOW, Reader::Client, 'a').expect("there is room");
        assert_eq!(sessions.open(NOW, Reader::Client, 'b'), None);
        let later = NOW.plus(EVICTABLE_AFTER);
        assert!(sessions.open(later, Reader::Client, 'c').is_some());
        assert_eq!((sessions.session_count(), sessions.find(later, first)), (1, None));
    }

    #[test]
    fn a_brokers_session_takes_the_place_of_the_clients_one_that_was_used_least_lately() {
        let mut sessions = FetchSessions::new(2, 7);
        let ids = ['a', 'b'].map(|session| sessions.open(NOW, Reader::Client, session).expect("room"));
        sessions.find(MonotonicMs(2), ids[0]);
        assert!(sessions.open(MonotonicMs(3), follower(1), 'c').is_some());
        assert_eq!(ids.map(|id| sessions.find(MonotonicMs(3), id)), [Some('a'), None]);
        assert!(sessions.open(MonotonicMs(4), follower(2), 'd').is_some());
        assert_eq!(sessions.open(MonotonicMs(5), follower(3), 'e'), None, "brokers spare each other");
    }

    #[test]
    fn a_brokers_new_session_replaces_its_former_one() {
        let mut sessions = FetchSessions::new(5, 7);
        let former = sessions.open(NOW, follower(1), 'a').expect("room");
        let other = sessions.open(NOW, follower(2), 'b').expect("room");
        let new = sessions.open(NOW, follower(1), 'c').expect("room");
        assert_eq!([former, other, new].map(|id| sessions.find(NOW, id)), [None, Some('b'), Some('c')]);
        sessions.close(other);
        assert_eq!(sessions.session_count(), 1);
    }

    #[test]
    fn sessions_that_nobody_uses_end_when_another_one_is_opened() {
        let mut sessions = FetchSessions::new(5, 7);
        let old = sessions.open(NOW, Reader::Client, 'a').expect("room");
        let later = NOW.plus(EVICTABLE_AFTER);
        sessions.open(later, Reader::Client, 'b');
        assert_eq!((sessions.find(later, old), sessions.session_count()), (None, 1));
    }
}
