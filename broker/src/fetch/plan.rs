//! Which partitions a request reads: those that it names, or those of its session that have news.
//!
//! A session watches its partitions for as long as it lives. Every partition that moved is marked in its rules before a
//! request leaves it out, so a fetch that is given up loses nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use ottla_broker_node::{
    FetchBudget, FetchSession, FetchSessions, FetchTarget, Found, Reader, SessionChange, SessionError,
    Standing, TopicRef, Visit,
};
use ottla_broker_types::{MonotonicMs, PartitionIndex};
use parking_lot::Mutex;

use crate::client_memory::{Charge, ClientMemory};
use crate::partitions::{FetchWaiter, HostedPartition};

/// The epoch by which a client asks for a new session.
const EPOCH_NEW: i32 = 0;
/// The epoch by which a client ends a session or asks for none.
const EPOCH_FINAL: i32 = -1;
/// What a partition takes in a session beside its topic's name, generously.
const ENTRY_BYTES: usize = 320;

/// The sessions of a broker; locked to find one, never while partitions are read.
pub type Sessions = Mutex<FetchSessions<Arc<Session>>>;

/// One session: its rules, and what it watches.
pub struct Session {
    rules: Mutex<FetchSession>,
    waiter: Arc<FetchWaiter>,
    /// By place, the partition that is watched for it.
    watched: Mutex<Vec<Weak<HostedPartition>>>,
    /// What a client's session counts as; it only grows, since its memory is given back with the whole session.
    charge: Option<Mutex<Charge>>,
}

impl Session {
    fn new(reader: Reader, targets: Vec<FetchTarget>, charge: Option<Charge>) -> Session {
        let rules = Mutex::new(FetchSession::new(reader, targets));
        Session { rules, waiter: Arc::default(), watched: Mutex::default(), charge: charge.map(Mutex::new) }
    }

    /// Counts what a request adds; false if there is no room for it.
    fn has_room(&self, targets: &[FetchTarget]) -> bool {
        let Some(charge) = &self.charge else { return true };
        let bytes = self.rules.lock().new_among(targets).map(bytes_of).sum();
        charge.lock().grow(bytes)
    }

    /// Marks the partitions that have moved, and says which they are.
    fn mark_moved(&self) -> BTreeSet<usize> {
        let moved = self.waiter.take_moved();
        let (reader, catching_up) = {
            let rules = self.rules.lock();
            (rules.reader(), rules.catching_up(moved.iter().copied()))
        };
        // Nothing else is held while a partition is asked: it may wait for its disk.
        let watched = |place: usize| self.watched.lock().get(place).and_then(Weak::upgrade);
        let stand = |place| Some((place, watched(place)?.standing(reader)));
        let standings: Vec<_> = catching_up.into_iter().filter_map(stand).collect();
        let mut rules = self.rules.lock();
        standings.into_iter().for_each(|(place, standing)| rules.stand(place, standing));
        rules.mark(moved.iter().copied());
        moved
    }

    fn watch(&self, partition: &Arc<HostedPartition>, place: usize, reader: Reader) {
        let mut watched = self.watched.lock();
        if watched.len() <= place {
            watched.resize_with(place + 1, Weak::new);
        }
        if std::ptr::eq(watched[place].as_ptr(), Arc::as_ptr(partition)) {
            return;
        }
        let former = std::mem::replace(&mut watched[place], Arc::downgrade(partition));
        drop(watched);
        partition.watch(&self.waiter, place, reader);
        self.unwatch(&former, place);
    }

    fn unwatch(&self, former: &Weak<HostedPartition>, place: usize) {
        if let Some(partition) = former.upgrade() {
            partition.unwatch(&self.waiter, place);
        }
    }

    fn forget(&self, places: Vec<usize>) {
        for place in places {
            let former = self.watched.lock().get_mut(place).map(std::mem::take);
            if let Some(former) = former {
                self.unwatch(&former, place);
            }
        }
    }
}

/// About what a partition takes in a session.
fn bytes_of(target: &FetchTarget) -> usize {
    let name = match &target.topic {
        TopicRef::Id(_) => 0,
        TopicRef::Name(name) => name.as_str().len(),
        TopicRef::Unnamable(name) => name.0.len(),
    };
    ENTRY_BYTES + name
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
    /// Whom a session is counted for; `None` for another broker, whose sessions are not.
    pub client: Option<IpAddr>,
}

/// What to read for a request, and how to answer it.
pub struct Plan {
    /// The session's id for the answer; zero without a session.
    pub session_id: i32,
    /// Whether unchanged partitions are left out of the answer.
    is_incremental: bool,
    session: Option<Arc<Session>>,
    waiter: Arc<FetchWaiter>,
    visits: Vec<Visit>,
}

/// Begins a request: opens, continues or closes its session. A client is served without one where there is no room for it
/// in `kept`.
pub fn begin(
    sessions: &Sessions,
    memory: &Arc<ClientMemory>,
    now: MonotonicMs,
    reader: Reader,
    request: SessionRequest,
) -> Result<Plan, SessionError> {
    match request.session_epoch {
        EPOCH_FINAL => {
            sessions.lock().close(request.session_id);
            Ok(Plan::without_session(request.targets))
        }
        EPOCH_NEW => {
            sessions.lock().close(request.session_id);
            if request.targets.is_empty() {
                return Ok(Plan::without_session(request.targets));
            }
            let mut charge = None;
            if let Some(client) = request.client {
                let bytes = request.targets.iter().map(bytes_of).sum();
                charge = memory.charge(client, bytes).or_else(|| {
                    // Sessions of clients that went away may hold it.
                    sessions.lock().evict_unused(now);
                    memory.charge(client, bytes)
                });
                if charge.is_none() {
                    return Ok(Plan::without_session(request.targets));
                }
            }
            let session = Arc::new(Session::new(reader, request.targets.clone(), charge));
            let opened = sessions.lock().open(now, reader, Arc::clone(&session));
            Ok(opened
                .map_or_else(|| Plan::without_session(request.targets), |id| Plan::of(session, id, false)))
        }
        epoch => {
            let found = sessions.lock().find(now, request.session_id);
            let session = found.ok_or(SessionError::NotFound)?;
            if !session.has_room(&request.targets) {
                // The client begins anew, and goes on without a session.
                sessions.lock().close(request.session_id);
                return Err(SessionError::NotFound);
            }
            let change = SessionChange { epoch, targets: request.targets, forgotten: request.forgotten };
            let gone = session.rules.lock().advance(reader, change)?;
            session.forget(gone);
            Ok(Plan::of(session, request.session_id, true))
        }
    }
}

impl Plan {
    fn without_session(targets: Vec<FetchTarget>) -> Plan {
        let visits = targets.into_iter().enumerate().map(|(place, target)| Visit {
            place,
            target,
            standing: Standing::InSync,
            is_named: true,
        });
        Plan {
            session_id: 0,
            is_incremental: false,
            session: None,
            waiter: Arc::default(),
            visits: visits.collect(),
        }
    }

    fn of(session: Arc<Session>, session_id: i32, is_incremental: bool) -> Plan {
        session.mark_moved();
        let visits = session.rules.lock().due();
        let waiter = Arc::clone(&session.waiter);
        Plan { session_id, is_incremental, session: Some(session), waiter, visits }
    }

    /// The partitions to read first, in the order of serving.
    pub fn visits(&self) -> &[Visit] {
        &self.visits
    }

    /// Whether nothing is fetched at all, and so nothing can be waited for.
    pub fn is_empty(&self) -> bool {
        self.session.as_ref().map_or(self.visits.is_empty(), |session| session.rules.lock().is_empty())
    }

    /// The bytes of an answer of `bytes_max`.
    pub fn budget(&self, bytes_max: usize) -> FetchBudget {
        match &self.session {
            Some(session) => session.rules.lock().budget(bytes_max),
            None => FetchBudget::new(bytes_max, true, false),
        }
    }

    /// Lets `partition` wake this fetch, and the session's later ones, when it moves on. Comes before it is read.
    pub fn watch(&self, partition: &Arc<HostedPartition>, place: usize, reader: Reader) {
        match &self.session {
            Some(session) => session.watch(partition, place, reader),
            None => partition.watch(&self.waiter, place, reader),
        }
    }

    /// Resolves when a partition has moved.
    pub async fn woken(&self) {
        self.waiter.woken().await;
    }

    /// The partitions that have moved since the last call.
    pub fn take_moved(&self) -> Vec<Visit> {
        let Some(session) = &self.session else {
            let moved = self.waiter.take_moved();
            return moved.into_iter().filter_map(|place| self.visits.get(place).cloned()).collect();
        };
        let moved = session.mark_moved();
        let rules = session.rules.lock();
        moved.into_iter().filter_map(|place| rules.visit(place)).collect()
    }

    /// Which of the partitions that were read the answer names, by place and what was found of each, in order. An
    /// incremental one leaves out what has not changed.
    pub fn answered(&self, found: impl Iterator<Item = (usize, Found)>) -> Vec<bool> {
        let Some(session) = &self.session else { return found.map(|_| true).collect() };
        let mut rules = session.rules.lock();
        found.map(|(place, found)| rules.answered(place, found) || !self.is_incremental).collect()
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{TopicId, Uuid};

    use super::*;

    const KEPT_BYTES_MAX: usize = 64 << 10;

    fn request(session_id: i32, session_epoch: i32, partitions: std::ops::Range<i32>) -> SessionRequest {
        let target = |partition| FetchTarget {
            topic: TopicRef::Id(TopicId(Uuid([1; 16]))),
            partition: PartitionIndex(partition),
            fetch_offset: 0,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            log_start: None,
            bytes_max: 1,
        };
        SessionRequest {
            session_id,
            session_epoch,
            targets: partitions.map(target).collect(),
            forgotten: Vec::new(),
            client: Some([127, 0, 0, 1].into()),
        }
    }

    #[test]
    fn partitions_that_nobody_has_room_for_are_served_without_a_session() {
        let sessions = Mutex::new(FetchSessions::new(10, 7));
        let memory = ClientMemory::new(KEPT_BYTES_MAX);
        let begun_at = |now, request: SessionRequest| {
            begin(&sessions, &memory, MonotonicMs(now), Reader::Client, request).map(|plan| plan.session_id)
        };
        let begun = |request| begun_at(1, request);
        let fit = (KEPT_BYTES_MAX / 2 / ENTRY_BYTES) as i32;
        assert_eq!(begun(request(0, 0, 0..fit + 1)), Ok(0));
        let id = begun(request(0, 0, 0..fit)).unwrap();
        assert_ne!(id, 0);
        assert_eq!(begun(request(0, 0, 0..1)), Ok(0), "it has its share");
        assert_eq!(begun(request(id, 1, 0..fit)), Ok(id), "what it has is no more when it is named again");
        assert_eq!(begun(request(id, 2, fit..fit + 1)), Err(SessionError::NotFound));
        assert_ne!(begun(request(0, 0, 0..fit)), Ok(0), "the session has given back what it held");
        assert_ne!(begun_at(200_000, request(0, 0, 0..fit)), Ok(0), "so does one that nobody uses any more");
    }
}
