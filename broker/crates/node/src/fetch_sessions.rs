//! Incremental fetch sessions (KIP-227): a client names its partitions once, then only what changed.
//!
//! Does no I/O. Invariants: `sessions <= slots_max`; a session's epoch grows by one with each answer
//! (wrapping from `i32::MAX` to 1); an unchanged partition is left out of an incremental answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_types::{DurationMs, LeaderEpoch, MonotonicMs, Offset, PartitionIndex, TopicId, TopicName};

/// A session unused for this long may make room for a new one (Kafka's fixed limit).
const EVICTABLE_AFTER: DurationMs = DurationMs(120_000);
/// The epoch by which a client asks for a new session.
const EPOCH_NEW: i32 = 0;
/// The epoch by which a client ends a session or asks for none.
const EPOCH_FINAL: i32 = -1;

/// How a request names a topic: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// Version 13 and later.
    Id(TopicId),
    /// Up to version 12.
    Name(TopicName),
    /// Up to version 12, as sent: no topic can have the name, so none of it exists.
    Unnamable(Arc<str>),
}

/// One partition as a fetcher asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    /// The topic.
    pub topic: TopicRef,
    /// The partition within it.
    pub partition: PartitionIndex,
    /// First offset wanted; as sent, since a negative one must be answered with an error.
    pub fetch_offset: i64,
    /// The leader epoch that the fetcher knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record that a follower has.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The follower's log start.
    pub log_start: Option<Offset>,
    /// Upper bound for this partition's records, in bytes.
    pub bytes_max: i32,
}

/// The part of a Fetch request that concerns the session.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// Zero for none.
    pub session_id: i32,
    /// 0 = new, -1 = none or close, else the next epoch of the session.
    pub session_epoch: i32,
    /// Partitions named in this request.
    pub targets: Vec<FetchTarget>,
    /// Partitions that leave the session.
    pub forgotten: Vec<(TopicRef, PartitionIndex)>,
}

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

/// What to read for a request, and how to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlan {
    /// The session's id for the answer; zero without a session.
    pub session_id: i32,
    /// Whether unchanged partitions are left out of the answer.
    pub incremental: bool,
    /// Every partition to read, in the order of serving.
    pub targets: Vec<FetchTarget>,
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
    /// Partitions that got records move behind the others, so that a busy one starves none.
    turn: u64,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    by_id: bool,
    entries: BTreeMap<(TopicRef, PartitionIndex), Entry>,
    last_used: MonotonicMs,
    next_turn: u64,
}

/// All sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    slots_max: usize,
    next_id_seed: u64,
}

impl FetchSessions {
    /// At most `slots_max` sessions (`max.incremental.fetch.session.cache.slots`); `seed` scatters their ids.
    pub fn new(slots_max: usize, seed: u64) -> FetchSessions {
        FetchSessions { sessions: BTreeMap::new(), slots_max, next_id_seed: seed }
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Begins a request: opens, continues or closes its session.
    pub fn begin(&mut self, now: MonotonicMs, request: SessionRequest) -> Result<SessionPlan, SessionError> {
        match request.session_epoch {
            EPOCH_FINAL => {
                self.sessions.remove(&request.session_id);
                Ok(SessionPlan { session_id: 0, incremental: false, targets: request.targets })
            }
            EPOCH_NEW => {
                self.sessions.remove(&request.session_id);
                Ok(self.open(now, request))
            }
            _ => self.advance(now, request),
        }
    }

    fn open(&mut self, now: MonotonicMs, request: SessionRequest) -> SessionPlan {
        let by_id = matches!(request.targets.first(), Some(FetchTarget { topic: TopicRef::Id(_), .. }));
        let targets = request.targets;
        if targets.is_empty() || !self.make_room(now) {
            return SessionPlan { session_id: 0, incremental: false, targets };
        }
        let session_id = self.fresh_id();
        let mut session =
            Session { next_epoch: 1, by_id, entries: BTreeMap::new(), last_used: now, next_turn: 0 };
        for target in &targets {
            session.upsert(target.clone());
        }
        self.sessions.insert(session_id, session);
        SessionPlan { session_id, incremental: false, targets }
    }

    fn advance(&mut self, now: MonotonicMs, request: SessionRequest) -> Result<SessionPlan, SessionError> {
        let session = self.sessions.get_mut(&request.session_id).ok_or(SessionError::NotFound)?;
        if session.next_epoch != request.session_epoch {
            return Err(SessionError::Epoch);
        }
        let named = request.targets.iter().map(|target| &target.topic);
        let forgotten = request.forgotten.iter().map(|(topic, _)| topic);
        if named.chain(forgotten).any(|topic| matches!(topic, TopicRef::Id(_)) != session.by_id) {
            return Err(SessionError::MixedTopicNaming);
        }
        session.next_epoch = if session.next_epoch == i32::MAX { 1 } else { session.next_epoch + 1 };
        session.last_used = now;
        for key in &request.forgotten {
            session.entries.remove(key);
        }
        for target in request.targets {
            session.upsert(target);
        }
        let mut in_turn: Vec<&Entry> = session.entries.values().collect();
        in_turn.sort_by_key(|entry| entry.turn);
        let targets = in_turn.into_iter().map(|entry| entry.target.clone()).collect();
        Ok(SessionPlan { session_id: request.session_id, incremental: true, targets })
    }

    /// Whether an incremental answer must name a partition that has neither records nor an error, because
    /// its high watermark or log start moved. Remembers what the answer says.
    pub fn must_tell(
        &mut self,
        session_id: i32,
        target: &FetchTarget,
        high_watermark: i64,
        log_start: i64,
        has_records: bool,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else { return true };
        let next_turn = session.next_turn + 1;
        let Some(entry) = session.entries.get_mut(&(target.topic.clone(), target.partition)) else {
            return true;
        };
        let telling = Told { high_watermark, log_start };
        let changed = entry.told != Some(telling);
        entry.told = Some(telling);
        if has_records {
            entry.turn = next_turn;
            session.next_turn = next_turn;
        }
        changed || has_records
    }

    /// Forgets what was told of a partition that was answered with an error, so that its recovery is told.
    pub fn told_error(&mut self, session_id: i32, target: &FetchTarget) {
        let key = (target.topic.clone(), target.partition);
        if let Some(entry) =
            self.sessions.get_mut(&session_id).and_then(|session| session.entries.get_mut(&key))
        {
            entry.told = None;
        }
    }

    fn make_room(&mut self, now: MonotonicMs) -> bool {
        if self.sessions.len() < self.slots_max {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
        match oldest.map(|(id, session)| (*id, session.last_used)) {
            Some((id, last_used)) if now.since(last_used) >= EVICTABLE_AFTER => {
                self.sessions.remove(&id);
                true
            }
            _ => false,
        }
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

impl Session {
    fn upsert(&mut self, target: FetchTarget) {
        let turn = self.next_turn;
        self.entries
            .entry((target.topic.clone(), target.partition))
            .and_modify(|entry| entry.target = target.clone())
            .or_insert(Entry { target, told: None, turn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_broker_types::Uuid;

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

    fn request(session_id: i32, session_epoch: i32, targets: Vec<FetchTarget>) -> SessionRequest {
        SessionRequest { session_id, session_epoch, targets, forgotten: Vec::new() }
    }

    fn open(sessions: &mut FetchSessions, targets: Vec<FetchTarget>) -> i32 {
        sessions.begin(MonotonicMs(0), request(0, 0, targets)).map(|plan| plan.session_id).unwrap_or(0)
    }

    #[test]
    fn an_incremental_request_reads_every_partition_of_the_session() {
        let mut sessions = FetchSessions::new(10, 7);
        let id = open(&mut sessions, vec![target(0, 0), target(1, 0)]);
        let plan = sessions.begin(MonotonicMs(1), request(id, 1, vec![target(1, 5)])).unwrap();
        assert!(plan.incremental);
        assert_eq!(plan.targets, vec![target(0, 0), target(1, 5)]);
    }

    #[test]
    fn a_repeated_epoch_is_refused() {
        let mut sessions = FetchSessions::new(10, 7);
        let id = open(&mut sessions, vec![target(0, 0)]);
        assert!(sessions.begin(MonotonicMs(1), request(id, 1, vec![])).is_ok());
        assert_eq!(sessions.begin(MonotonicMs(2), request(id, 1, vec![])), Err(SessionError::Epoch));
    }

    #[test]
    fn an_unknown_session_is_not_found() {
        let mut sessions = FetchSessions::new(10, 7);
        assert_eq!(sessions.begin(MonotonicMs(0), request(99, 1, vec![])), Err(SessionError::NotFound));
    }

    #[test]
    fn names_in_a_session_of_ids_are_refused() {
        let mut sessions = FetchSessions::new(10, 7);
        let id = open(&mut sessions, vec![target(0, 0)]);
        let mut named = target(0, 0);
        named.topic = TopicRef::Name(TopicName::new("t").unwrap());
        let result = sessions.begin(MonotonicMs(0), request(id, 1, vec![named]));
        assert_eq!(result, Err(SessionError::MixedTopicNaming));
    }

    #[test]
    fn an_unchanged_partition_is_told_once() {
        let mut sessions = FetchSessions::new(10, 7);
        let id = open(&mut sessions, vec![target(0, 0)]);
        assert!(sessions.must_tell(id, &target(0, 0), 5, 0, false));
        assert!(!sessions.must_tell(id, &target(0, 0), 5, 0, false));
        assert!(sessions.must_tell(id, &target(0, 0), 6, 0, false), "a new high watermark is told");
        sessions.told_error(id, &target(0, 0));
        assert!(sessions.must_tell(id, &target(0, 0), 6, 0, false), "recovery from an error is told");
    }

    #[test]
    fn a_partition_that_got_records_goes_behind_the_others() {
        let mut sessions = FetchSessions::new(10, 7);
        let id = open(&mut sessions, vec![target(0, 0), target(1, 0)]);
        assert!(sessions.must_tell(id, &target(0, 0), 5, 0, true));
        let plan = sessions.begin(MonotonicMs(1), request(id, 1, vec![])).unwrap();
        assert_eq!(plan.targets, vec![target(1, 0), target(0, 0)]);
    }

    #[test]
    fn a_full_cache_serves_without_a_session_until_one_is_old() {
        let mut sessions = FetchSessions::new(1, 7);
        assert_ne!(open(&mut sessions, vec![target(0, 0)]), 0);
        assert_eq!(open(&mut sessions, vec![target(0, 0)]), 0);
        let later = MonotonicMs(EVICTABLE_AFTER.0);
        let plan = sessions.begin(later, request(0, 0, vec![target(0, 0)])).unwrap();
        assert_ne!(plan.session_id, 0);
        assert_eq!(sessions.session_count(), 1);
    }
}
