//! The leader's side of one fetch session: which of its partitions have news, in the order in which they are served.
//! No I/O; whoever holds the partitions marks those of which there is something new.
//!
//! Invariants: a session's epoch grows by one with each request (wrapping from `i32::MAX` to 1); a partition is due from
//! the moment in which it is named or marked until it was read and there was nothing to tell; one that got records goes
//! behind the others, and one for which there was no room keeps its place; the work of a request depends on the
//! partitions that are due, not on those of the session.

use std::collections::BTreeMap;

use ottla_broker_types::{BrokerEpoch, NodeId, PartitionIndex};

use super::budget::FetchBudget;
use super::target::{FetchTarget, Standing, TopicRef};

/// Why a session cannot go on; answered at the top level, without partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Evicted, closed, or never there.
    #[error("the fetch session does not exist")]
    NotFound,
    /// A request was lost or repeated.
    #[error("the fetch session is at another epoch")]
    Epoch,
    /// Topics by name in a session that began with ids, or the reverse.
    #[error("the fetch session mixes topic names and topic ids")]
    MixedTopicNaming,
}

/// Who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A client: sees committed records.
    Client,
    /// A follower: sees all records, and its fetches count as its progress.
    Follower {
        /// The follower.
        node: NodeId,
        /// The registration under which it fetches.
        epoch: Option<BrokerEpoch>,
    },
}

impl Reader {
    /// The follower.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Reader::Client => None,
            Reader::Follower { node, .. } => Some(node),
        }
    }

    /// Whether it is a follower.
    pub fn is_follower(self) -> bool {
        self.node().is_some()
    }
}

/// What a request changes in its session.
#[derive(Clone, Debug)]
pub struct SessionChange {
    /// The epoch that the request gives.
    pub epoch: i32,
    /// Partitions that are new or wanted from elsewhere.
    pub targets: Vec<FetchTarget>,
    /// Partitions that leave the session.
    pub forgotten: Vec<(TopicRef, PartitionIndex)>,
}

/// A partition to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Its place in the session.
    pub place: usize,
    /// What is wanted of it.
    pub target: FetchTarget,
    /// How the fetcher stands with it.
    pub standing: Standing,
    /// Whether the request named it, so that it is read even if the answer has no room: a follower tells its progress so.
    pub is_named: bool,
}

/// What reading a partition found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The partition cannot be read; what is wrong is told each time.
    Error,
    /// The state of the partition.
    State {
        /// As it stands now; the session remembers what the reader was told.
        high_watermark: i64,
        /// The log's start.
        log_start: i64,
        /// Whether the answer carries records of it, or the point where the logs part.
        has_part: bool,
        /// Whether there are records to read, in this answer or, for lack of room, in a later one.
        is_behind: bool,
        /// How the fetcher stands with it by now.
        standing: Standing,
    },
}

/// What the last answer said about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Entry {
    target: FetchTarget,
    told: Option<Told>,
    standing: Standing,
    /// Its turn while it is due.
    turn: Option<u64>,
    is_named: bool,
}

/// One session.
#[derive(Debug)]
pub struct FetchSession {
    next_epoch: i32,
    by_id: bool,
    reader: Reader,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    places: BTreeMap<(TopicRef, PartitionIndex), usize>,
    due: BTreeMap<(Standing, u64), usize>,
    next_turn: u64,
    catching_up_count: usize,
}

impl FetchSession {
    /// A session of `reader` with the partitions of its first request, all of which are due.
    pub fn new(reader: Reader, targets: Vec<FetchTarget>) -> FetchSession {
        let by_id = matches!(targets.first(), Some(FetchTarget { topic: TopicRef::Id(_), .. }));
        let mut session = FetchSession {
            next_epoch: 1,
            by_id,
            reader,
            entries: Vec::new(),
            free: Vec::new(),
            places: BTreeMap::new(),
            due: BTreeMap::new(),
            next_turn: 0,
            catching_up_count: 0,
        };
        targets.into_iter().for_each(|target| session.name(target));
        session
    }

    /// Those of `targets` that are not in the session yet.
    pub fn new_among<'a>(&self, targets: &'a [FetchTarget]) -> impl Iterator<Item = &'a FetchTarget> {
        targets.iter().filter(|target| !self.places.contains_key(&(target.topic.clone(), target.partition)))
    }

    /// Takes a further request of `reader` in; the places of the partitions that have left the session.
    pub fn advance(&mut self, reader: Reader, change: SessionChange) -> Result<Vec<usize>, SessionError> {
        // A broker that has registered anew tells its progress anew, too.
        if reader != self.reader {
            return Err(SessionError::NotFound);
        }
        if self.next_epoch != change.epoch {
            return Err(SessionError::Epoch);
        }
        let named = change.targets.iter().map(|target| &target.topic);
        let forgotten = change.forgotten.iter().map(|(topic, _)| topic);
        if named.chain(forgotten).any(|topic| matches!(topic, TopicRef::Id(_)) != self.by_id) {
            return Err(SessionError::MixedTopicNaming);
        }
        self.next_epoch = if self.next_epoch == i32::MAX { 1 } else { self.next_epoch + 1 };
        let gone = change.forgotten.iter().filter_map(|key| self.forget(key)).collect();
        change.targets.into_iter().for_each(|target| self.name(target));
        Ok(gone)
    }

    /// Who reads in it.
    pub fn reader(&self) -> Reader {
        self.reader
    }

    /// Whether it has no partitions.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// There is news of the partitions at `places`; one that has left the session is passed over.
    pub fn mark(&mut self, places: impl IntoIterator<Item = usize>) {
        for place in places {
            if self.entries.get(place).is_some_and(|entry| entry.as_ref().is_some_and(|e| e.turn.is_none())) {
                self.queue(place);
            }
        }
    }

    /// Of `places` those that the fetcher is known to catch up with. It may be in sync by now: before news of them is
    /// marked, [`FetchSession::stand`] tells, or what producers wait for comes in the turn of what nobody waits for.
    pub fn catching_up(&self, places: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let is_catching_up = |place: &usize| {
            let entry = self.entries.get(*place).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.standing == Standing::CatchingUp)
        };
        places.into_iter().filter(is_catching_up).collect()
    }

    /// How the fetcher stands with the partition at `place` by now.
    pub fn stand(&mut self, place: usize, standing: Standing) {
        self.set_standing(place, standing);
    }

    /// The partitions that are due, those in sync before those that catch up, each in its turn.
    pub fn due(&self) -> Vec<Visit> {
        self.due.values().filter_map(|place| self.visit(*place)).collect()
    }

    /// The partition at `place`, if it is still there.
    pub fn visit(&self, place: usize) -> Option<Visit> {
        let entry = self.entries.get(place)?.as_ref()?;
        let (target, standing) = (entry.target.clone(), entry.standing);
        Some(Visit { place, target, standing, is_named: entry.is_named })
    }

    /// The bytes of an answer of `bytes_max`, as the partitions of the session share them.
    pub fn budget(&self, bytes_max: usize) -> FetchBudget {
        let in_sync = self.places.len() > self.catching_up_count;
        let catching_up = self.due.range((Standing::CatchingUp, 0)..).next().is_some();
        FetchBudget::new(bytes_max, in_sync, catching_up)
    }

    /// The answer will say `found` of the partition at `place`. Whether it must: an incremental answer leaves out what has
    /// not changed.
    pub fn answered(&mut self, place: usize, found: Found) -> bool {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else { return true };
        entry.is_named = false;
        let Found::State { high_watermark, log_start, has_part, is_behind, standing } = found else {
            entry.told = None;
            self.queue(place);
            return true;
        };
        let telling = Told { high_watermark, log_start };
        let changed = entry.told != Some(telling);
        entry.told = Some(telling);
        self.set_standing(place, standing);
        if has_part {
            self.queue(place);
        } else if !is_behind {
            self.unqueue(place);
        }
        changed || has_part
    }

    fn name(&mut self, target: FetchTarget) {
        let key = (target.topic.clone(), target.partition);
        let place = match self.places.get(&key).copied() {
            Some(place) => {
                if let Some(entry) = &mut self.entries[place] {
                    (entry.target, entry.is_named) = (target, true);
                }
                place
            }
            None => {
                // What a follower begins to fetch it has to catch up with more often than not; its first fetch tells.
                let standing = match self.reader {
                    Reader::Client => Standing::InSync,
                    Reader::Follower { .. } => Standing::CatchingUp,
                };
                self.catching_up_count += usize::from(standing == Standing::CatchingUp);
                let entry = Entry { target, told: None, standing, turn: None, is_named: true };
                let place = self.free.pop().unwrap_or(self.entries.len());
                if place == self.entries.len() {
                    self.entries.push(None);
                }
                self.entries[place] = Some(entry);
                self.places.insert(key, place);
                place
            }
        };
        self.mark([place]);
    }

    fn forget(&mut self, key: &(TopicRef, PartitionIndex)) -> Option<usize> {
        let place = self.places.remove(key)?;
        self.set_standing(place, Standing::default());
        self.unqueue(place);
        self.entries[place] = None;
        self.free.push(place);
        Some(place)
    }

    fn set_standing(&mut self, place: usize, standing: Standing) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else { return };
        let before = std::mem::replace(&mut entry.standing, standing);
        if let Some(turn) = entry.turn.filter(|_| before != standing) {
            self.due.remove(&(before, turn));
            self.due.insert((standing, turn), place);
        }
        self.catching_up_count -= usize::from(before == Standing::CatchingUp);
        self.catching_up_count += usize::from(standing == Standing::CatchingUp);
    }

    /// Makes it the last one that is due.
    fn queue(&mut self, place: usize) {
        self.unqueue(place);
        let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else { return };
        entry.turn = Some(self.next_turn);
        self.due.insert((entry.standing, self.next_turn), place);
        self.next_turn += 1;
    }

    fn unqueue(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else { return };
        if let Some(turn) = entry.turn.take() {
            self.due.remove(&(entry.standing, turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{TopicId, TopicName, Uuid};

    use super::*;

    const FOLLOWER: Reader = Reader::Follower { node: NodeId(2), epoch: Some(BrokerEpoch(7)) };

    fn target(partition: i32, offset: i64) -> FetchTarget {
        FetchTarget {
            topic: TopicRef::Id(TopicId(Uuid([1; 16]))),
            partition: PartitionIndex(partition),
            fetch_offset: offset,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            log_start: None,
            bytes_max: 1,
        }
    }

    fn session(partition_count: i32) -> FetchSession {
        FetchSession::new(FOLLOWER, (0..partition_count).map(|partition| target(partition, 0)).collect())
    }

    fn change(epoch: i32, targets: Vec<FetchTarget>) -> SessionChange {
        SessionChange { epoch, targets, forgotten: Vec::new() }
    }

    fn forget(epoch: i32, partition: i32) -> SessionChange {
        let key = (target(partition, 0).topic, PartitionIndex(partition));
        SessionChange { epoch, targets: Vec::new(), forgotten: vec![key] }
    }

    fn state(high_watermark: i64, has_part: bool) -> Found {
        let (is_behind, standing) = (has_part, Standing::InSync);
        Found::State { high_watermark, log_start: 0, has_part, is_behind, standing }
    }

    fn due(session: &FetchSession) -> Vec<i32> {
        session.due().iter().map(|visit| visit.target.partition.0).collect()
    }

    /// A session that has told everything there is.
    fn quiet(partition_count: i32) -> FetchSession {
        let mut session = session(partition_count);
        for visit in session.due() {
            assert!(session.answered(visit.place, state(0, false)), "the first answer names all");
        }
        session
    }

    #[test]
    fn a_request_reads_only_what_it_names_and_what_has_news() {
        let mut session = quiet(1_000);
        assert_eq!(due(&session), []);
        session.mark([700, 3, 700]);
        assert_eq!(session.advance(FOLLOWER, change(1, vec![target(5, 9)])), Ok(vec![]));
        assert_eq!(due(&session), [700, 3, 5]);
        let visits = session.due();
        assert_eq!(visits.iter().map(|visit| visit.is_named).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(visits[2].target.fetch_offset, 9);
    }

    #[test]
    fn news_is_told_once() {
        let mut session = quiet(2);
        session.mark([0]);
        assert!(session.answered(0, state(5, false)), "a new high watermark");
        session.mark([0]);
        assert!(!session.answered(0, state(5, false)));
        let start = Found::State {
            high_watermark: 5,
            log_start: 2,
            has_part: false,
            is_behind: false,
            standing: Standing::InSync,
        };
        assert!(session.answered(0, start), "a new log start");
        assert_eq!(due(&session), []);
    }

    #[test]
    fn what_was_not_read_for_lack_of_room_stays_due() {
        let mut session = quiet(3);
        session.mark([0, 1, 2]);
        session.answered(0, state(1, true));
        assert_eq!(due(&session), [1, 2, 0], "one that got records goes behind the others");
    }

    #[test]
    fn what_was_read_without_room_for_its_records_keeps_its_turn() {
        let mut session = quiet(2);
        session.mark([0, 1]);
        let starved = Found::State {
            high_watermark: 0,
            log_start: 0,
            has_part: false,
            is_behind: true,
            standing: Standing::InSync,
        };
        assert!(!session.answered(0, starved), "there is nothing to tell");
        session.answered(1, state(0, true));
        assert_eq!(due(&session), [0, 1]);
    }

    #[test]
    fn an_error_is_told_each_time_and_so_is_the_recovery_from_it() {
        let mut session = quiet(1);
        session.mark([0]);
        assert!(session.answered(0, Found::Error));
        assert_eq!(due(&session), [0]);
        assert!(session.answered(0, Found::Error));
        assert!(session.answered(0, state(0, false)));
        assert_eq!(due(&session), []);
    }

    #[test]
    fn partitions_that_catch_up_come_behind_those_in_sync() {
        let mut session = session(3);
        let behind = Found::State {
            high_watermark: 9,
            log_start: 0,
            has_part: true,
            is_behind: true,
            standing: Standing::CatchingUp,
        };
        session.answered(0, behind);
        session.answered(1, behind);
        session.answered(2, state(0, false));
        session.mark([2]);
        assert_eq!(due(&session), [2, 0, 1]);
        assert_eq!(session.budget(100).share(Standing::InSync, 100).bytes_max, 75);
        assert_eq!(session.budget(100).share(Standing::CatchingUp, 100).bytes_max, 25);
        session.answered(0, state(9, false));
        session.answered(1, state(9, false));
        assert_eq!(session.budget(100).share(Standing::InSync, 100).bytes_max, 100);
    }

    #[test]
    fn a_partition_that_has_come_in_sync_comes_before_those_that_have_not() {
        let mut session = session(3);
        session.mark([0, 1, 2]);
        assert_eq!(session.catching_up([2, 1, 9]), [2, 1]);
        session.stand(2, Standing::InSync);
        assert_eq!(due(&session), [2, 0, 1]);
        assert_eq!(session.catching_up([2, 1]), [1]);
        assert_eq!(session.budget(100).share(Standing::InSync, 100).bytes_max, 75);
    }

    #[test]
    fn a_forgotten_partition_is_no_longer_read_and_its_place_is_given_on() {
        let mut session = quiet(2);
        session.mark([0]);
        assert_eq!(session.advance(FOLLOWER, forget(1, 0)), Ok(vec![0]));
        session.mark([0, 99]);
        assert_eq!(due(&session), []);
        assert_eq!(session.advance(FOLLOWER, change(2, vec![target(8, 0)])), Ok(vec![]));
        assert_eq!(
            session.due(),
            [Visit { place: 0, target: target(8, 0), standing: Standing::CatchingUp, is_named: true }]
        );
        assert!(session.answered(0, state(0, false)), "nothing was told of it");
        assert_eq!(session.advance(FOLLOWER, forget(3, 1)), Ok(vec![1]));
        assert_eq!(session.advance(FOLLOWER, forget(4, 8)), Ok(vec![0]));
        assert!(session.is_empty());
    }

    #[test]
    fn a_repeated_epoch_is_refused() {
        let mut session = session(1);
        assert_eq!(session.advance(FOLLOWER, change(1, vec![])), Ok(vec![]));
        assert_eq!(session.advance(FOLLOWER, change(1, vec![])), Err(SessionError::Epoch));
        session.next_epoch = i32::MAX;
        assert_eq!(session.advance(FOLLOWER, change(i32::MAX, vec![])), Ok(vec![]));
        assert_eq!(session.advance(FOLLOWER, change(1, vec![])), Ok(vec![]));
    }

    #[test]
    fn a_follower_that_registered_anew_begins_anew() {
        let mut session = session(1);
        let anew = Reader::Follower { node: NodeId(2), epoch: Some(BrokerEpoch(8)) };
        assert_eq!(session.advance(anew, change(1, vec![])), Err(SessionError::NotFound));
        assert_eq!(session.advance(Reader::Client, change(1, vec![])), Err(SessionError::NotFound));
    }

    #[test]
    fn names_in_a_session_of_ids_are_refused() {
        let mut named = target(0, 0);
        named.topic = TopicRef::Name(TopicName::new("t").unwrap());
        let result = session(1).advance(FOLLOWER, change(1, vec![named]));
        assert_eq!(result, Err(SessionError::MixedTopicNaming));
    }
}
