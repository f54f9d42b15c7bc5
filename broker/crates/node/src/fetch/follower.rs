//! The follower's side of a fetch session: what the next request to one leader names, and what it leaves out. No I/O.
//!
//! Invariants: a partition is named when the leader does not know the position that it is wanted from; one that fails
//! leaves the session until its pause is over; after an answer that was lost, or that the leader could not give in the
//! session, the next request names everything.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{DurationMs, MonotonicMs};

use super::rest::{Pause, Rests};

/// The epoch by which a new session is asked for.
const EPOCH_NEW: i32 = 0;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<K, P> {
    /// Send a request.
    Ask(Ask<K, P>),
    /// Nothing can be asked for until a partition is followed, or until then.
    Wait(Option<MonotonicMs>),
}

/// A request; the partitions are in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<K, P> {
    /// The session's id; zero for none.
    pub session_id: i32,
    /// The session's epoch; zero asks for a new session.
    pub session_epoch: i32,
    /// The partitions to name, and where they are wanted from.
    pub named: Vec<(K, P)>,
    /// The partitions that leave the session.
    pub forgotten: Vec<K>,
}

#[derive(Clone, Copy, Debug)]
struct Member<P> {
    /// The position that the leader's session has.
    asked_at: Option<P>,
}

/// The partitions that follow one leader; `K` names one and `P` is where it wants to fetch from.
#[derive(Debug)]
pub struct FollowerSession<K, P> {
    id: i32,
    next_epoch: i32,
    members: BTreeMap<K, Member<P>>,
    /// Members whose position may be another than the leader's session has.
    moved: BTreeSet<K>,
    /// Partitions of the leader's session that shall leave it.
    forgotten: BTreeSet<K>,
    rests: Rests<K>,
}

impl<K: Ord + Clone, P: Copy + PartialEq> FollowerSession<K, P> {
    /// Follows nothing yet; `seed` scatters pauses.
    pub fn new(seed: u64) -> FollowerSession<K, P> {
        FollowerSession {
            id: 0,
            next_epoch: EPOCH_NEW,
            members: BTreeMap::new(),
            moved: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            rests: Rests::new(seed),
        }
    }

    /// A partition follows this leader from now on, or does so in another state: it is fetched without a pause.
    pub fn follow(&mut self, key: K) {
        self.rests.end(&key);
        self.members.entry(key.clone()).or_insert(Member { asked_at: None });
        self.forgotten.remove(&key);
        self.moved.insert(key);
    }

    /// A partition follows this leader no longer; whether it did.
    pub fn leave(&mut self, key: &K) -> bool {
        self.rests.end(key);
        self.moved.remove(key);
        let Some(member) = self.members.remove(key) else { return false };
        if member.asked_at.is_some() {
            self.forgotten.insert(key.clone());
        }
        true
    }

    /// The partitions whose position must be looked up for the next request. Whoever looks them up need not hold this
    /// session meanwhile: what changes until [`FollowerSession::turn`] is looked up for the request after that.
    pub fn to_look_up(&mut self, now: MonotonicMs) -> Vec<K> {
        let due = self.rests.take_due(now);
        self.moved.extend(due);
        if self.next_epoch == EPOCH_NEW {
            self.forgotten.clear();
            self.members.values_mut().for_each(|member| member.asked_at = None);
            self.moved = self.members.keys().filter(|key| !self.rests.is_resting(key)).cloned().collect();
        }
        std::mem::take(&mut self.moved).into_iter().collect()
    }

    /// The next request, or how long there is none. `positions` says where the partitions that were to be looked up want
    /// to fetch from; `None` for one that does not fetch from this leader.
    pub fn turn(&mut self, positions: impl IntoIterator<Item = (K, Option<P>)>) -> Turn<K, P> {
        let mut named = Vec::new();
        for (key, wanted) in positions {
            let Some(member) = self.members.get_mut(&key).filter(|member| member.asked_at != wanted) else {
                continue;
            };
            member.asked_at = wanted;
            match wanted {
                Some(position) => {
                    // The leader takes what it shall forget out after it has put in what is named.
                    self.forgotten.remove(&key);
                    named.push((key, position));
                }
                None => {
                    self.forgotten.insert(key);
                }
            }
        }
        if !self.members.values().any(|member| member.asked_at.is_some()) {
            // The leader would answer a session without partitions at once, each time.
            self.lost();
            return Turn::Wait(self.rests.next_due());
        }
        let forgotten = std::mem::take(&mut self.forgotten).into_iter().collect();
        Turn::Ask(Ask { session_id: self.id, session_epoch: self.next_epoch, named, forgotten })
    }

    /// The position that the last request, or one before it, gave for a partition.
    pub fn asked_at(&self, key: &K) -> Option<P> {
        self.members.get(key)?.asked_at
    }

    /// When the first of the partitions that rest is to be named again.
    pub fn next_due(&self) -> Option<MonotonicMs> {
        self.rests.next_due()
    }

    /// The leader answered the last request in the session of this id; zero if it keeps none.
    pub fn answered(&mut self, session_id: i32) {
        self.next_epoch = match (session_id, self.next_epoch) {
            (0, _) => EPOCH_NEW,
            (id, EPOCH_NEW | i32::MAX) if id != 0 => 1,
            (_, epoch) => epoch + 1,
        };
        self.id = session_id;
    }

    /// The last request has no answer, or one that ends the session: the next one names everything.
    pub fn lost(&mut self) {
        self.next_epoch = EPOCH_NEW;
    }

    /// What was fetched was taken over: the next position is another one, and the partition works.
    pub fn fetched(&mut self, key: &K) -> bool {
        if self.members.contains_key(key) {
            self.moved.insert(key.clone());
        }
        self.rests.end(key)
    }

    /// A partition cannot be fetched: it leaves the session for a pause, of `first` if it is the first one.
    pub fn failed(&mut self, key: &K, now: MonotonicMs, first: DurationMs) -> Option<Pause> {
        let member = self.members.get_mut(key)?;
        if member.asked_at.take().is_some() {
            self.forgotten.insert(key.clone());
        }
        self.moved.remove(key);
        Some(self.rests.failed(key, now, first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonotonicMs = MonotonicMs(1_000);
    const FIRST: DurationMs = DurationMs(20);

    type Session = FollowerSession<u8, u64>;

    fn following(keys: &[u8]) -> Session {
        let mut session = Session::new(1);
        keys.iter().for_each(|key| session.follow(*key));
        session
    }

    /// The turn at `now`, with the positions dropped.
    fn turn(session: &mut Session, now: MonotonicMs, position: impl Fn(&u8) -> Option<u64>) -> Turn<u8, ()> {
        let positions: Vec<_> =
            session.to_look_up(now).into_iter().map(|key| (key, position(&key))).collect();
        match session.turn(positions) {
            Turn::Ask(Ask { session_id, session_epoch, named, forgotten }) => {
                let named = named.into_iter().map(|(key, _)| (key, ())).collect();
                Turn::Ask(Ask { session_id, session_epoch, named, forgotten })
            }
            Turn::Wait(until) => Turn::Wait(until),
        }
    }

    fn ask(session_id: i32, session_epoch: i32, named: &[u8], forgotten: &[u8]) -> Turn<u8, ()> {
        let (named, forgotten) = (named.iter().map(|key| (*key, ())).collect(), forgotten.to_vec());
        Turn::Ask(Ask { session_id, session_epoch, named, forgotten })
    }

    /// A session that the leader knows as 9, with all of `keys` at position 5.
    fn established(keys: &[u8]) -> Session {
        let mut session = following(keys);
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(0, 0, keys, &[]));
        session.answered(9);
        session
    }

    #[test]
    fn the_first_request_names_all_and_the_next_ones_what_moved() {
        let mut session = established(&[1, 2, 3]);
        session.fetched(&2);
        session.fetched(&3);
        let position = |key: &u8| Some(if *key == 2 { 6 } else { 5 });
        assert_eq!(turn(&mut session, NOW, position), ask(9, 1, &[2], &[]), "3 stands where it stood");
        session.answered(9);
        assert_eq!(turn(&mut session, NOW, position), ask(9, 2, &[], &[]));
        assert_eq!((session.asked_at(&2), session.asked_at(&3)), (Some(6), Some(5)));
    }

    #[test]
    fn partitions_come_and_go() {
        let mut session = established(&[1, 2]);
        assert!(session.leave(&1) && !session.leave(&1));
        session.follow(3);
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(9, 1, &[3], &[1]));
        session.answered(9);
        session.leave(&3);
        session.follow(3);
        assert_eq!(
            turn(&mut session, NOW, |_| Some(5)),
            ask(9, 2, &[3], &[]),
            "one that came back is named anew"
        );
    }

    #[test]
    fn a_lost_answer_and_a_lost_session_begin_anew() {
        let mut session = established(&[1, 2]);
        session.leave(&1);
        session.lost();
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(9, 0, &[2], &[]));
        session.answered(0);
        assert_eq!(
            turn(&mut session, NOW, |_| Some(5)),
            ask(0, 0, &[2], &[]),
            "a leader without room for sessions"
        );
        session.answered(7);
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(7, 1, &[], &[]));
        session.next_epoch = i32::MAX;
        session.answered(7);
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(7, 1, &[], &[]), "zero would be a new session");
    }

    #[test]
    fn a_failing_partition_rests_outside_of_the_session() {
        let mut session = established(&[1, 2]);
        let pause = session.failed(&1, NOW, FIRST).expect("it follows");
        assert!(pause.is_first);
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), ask(9, 1, &[], &[1]));
        session.answered(9);
        assert_eq!(turn(&mut session, pause.until, |_| Some(5)), ask(9, 2, &[1], &[]));
        session.answered(9);
        assert!(session.fetched(&1), "its spell is over");
        assert!(!session.fetched(&1));
    }

    #[test]
    fn a_partition_that_is_followed_anew_rests_no_longer() {
        let mut session = established(&[1, 2]);
        session.failed(&1, NOW, FIRST);
        session.follow(1);
        assert_eq!(turn(&mut session, NOW, |_| Some(6)), ask(9, 1, &[1], &[]));
        assert_eq!(session.failed(&3, NOW, FIRST), None, "it does not follow");
    }

    #[test]
    fn nothing_is_asked_while_all_rest() {
        let mut session = established(&[1]);
        let pause = session.failed(&1, NOW, FIRST).expect("it follows");
        assert_eq!(turn(&mut session, NOW, |_| Some(5)), Turn::Wait(Some(pause.until)));
        assert_eq!(turn(&mut session, pause.until, |_| Some(5)), ask(9, 0, &[1], &[]));
        assert_eq!(turn(&mut following(&[]), NOW, |_| Some(5)), Turn::Wait(None));
        assert_eq!(
            turn(&mut following(&[1]), NOW, |_| None),
            Turn::Wait(None),
            "its leader is another one by now"
        );
    }
}
