//! The leader's side of fetch sessions: the shipped rules, fed with what changed. I/O on the simulated disk only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ottla_broker_node::{
    FetchSession, FetchSessions, FetchTarget, Found, Reader, SessionChange, SessionError, Standing, TopicRef,
    Visit,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{FetchFacts, FollowerId, Isolation, Replica};
use ottla_broker_types::{NodeId, Offset, PartitionIndex, TopicPartition};

use super::out::Out;
use super::process::{Process, now_at};
use crate::judge::bytes_of;
use crate::message::{CallId, FetchAnswer, FetchRequest, FetchedRecords, Reply};
use crate::queue::SimTime;

/// Bytes of one answer: small, so that partitions wait for their turn.
const ANSWER_BYTES_MAX: usize = 3_000;
/// Far more than there are nodes.
const SESSIONS_MAX: usize = 100;

/// One session, and the places that its partitions have in it.
type Session = Rc<RefCell<(FetchSession, BTreeMap<(TopicRef, PartitionIndex), usize>)>>;

/// The sessions that other brokers have with this one.
#[derive(Debug)]
pub(crate) struct Served {
    cache: FetchSessions<Session>,
    /// The sessions in which a change is marked; those that nobody has any more are passed over by their readers.
    open: Vec<Session>,
}

impl Served {
    pub(crate) fn new(seed: u64) -> Served {
        Served { cache: FetchSessions::new(SESSIONS_MAX, seed), open: Vec::new() }
    }

    fn begin(&mut self, at: SimTime, request: FetchRequest) -> Result<(i32, Session), SessionError> {
        let now = now_at(at).mono;
        let FetchRequest { reader, session_id, session_epoch: epoch, named: targets, forgotten } = request;
        if epoch == 0 {
            let session = Rc::new(RefCell::new((FetchSession::new(reader, targets), BTreeMap::new())));
            let id = self.cache.open(now, reader, Rc::clone(&session)).ok_or(SessionError::NotFound)?;
            self.open.retain(|session| Rc::strong_count(session) > 1);
            self.open.push(Rc::clone(&session));
            return Ok((id, session));
        }
        let session = self.cache.find(now, session_id).ok_or(SessionError::NotFound)?;
        session.borrow_mut().0.advance(reader, SessionChange { epoch, targets, forgotten })?;
        Ok((session_id, session))
    }
}

impl Process {
    /// A partition has news for those that follow it.
    pub(crate) fn mark_news(&mut self, partition: &TopicPartition) {
        let Some(hosted) = self.hosted.get(partition) else { return };
        let key = (TopicRef::Id(hosted.replica.log().topic_id()), partition.partition);
        for session in &self.sessions.open {
            let (rules, places) = &mut *session.borrow_mut();
            let Some(place) = places.get(&key).copied() else { continue };
            if let ([_], Some(node)) = (rules.catching_up([place]).as_slice(), rules.reader().node()) {
                rules.stand(place, standing(&hosted.replica, node));
            }
            rules.mark([place]);
        }
    }

    /// As the shipped broker does once it has published what the followers are judged by.
    pub(crate) fn want_followers(&mut self, partition: &TopicPartition) {
        if self.hosted.get(partition).is_some_and(|hosted| hosted.replica.awaits_fetches()) {
            self.mark_news(partition);
        }
    }

    pub(crate) fn serve_fetch(&mut self, at: SimTime, call: CallId, request: FetchRequest, out: &mut Out) {
        let reader = request.reader;
        let (session_id, session) = match self.sessions.begin(at, request) {
            Ok(begun) => begun,
            Err(error) => {
                out.replies.push((call, Reply::Fetched(Err(error))));
                return;
            }
        };
        let (visits, mut budget) = {
            let (rules, places) = &mut *session.borrow_mut();
            let visits = rules.due();
            places.extend(
                visits
                    .iter()
                    .map(|visit| ((visit.target.topic.clone(), visit.target.partition), visit.place)),
            );
            (visits, rules.budget(ANSWER_BYTES_MAX))
        };
        let mut rows = Vec::new();
        for Visit { place, target, standing, is_named } in visits {
            if !is_named && budget.is_spent(standing) {
                continue;
            }
            let wanted = usize::try_from(target.bytes_max).unwrap_or(0);
            let share = budget.share(standing, wanted);
            let (found, read) = self.read_for(at, reader, &target, share.bytes_max, share.at_least_one, out);
            budget.take(standing, read.as_ref().map_or(0, |fetched| fetched.records.len()));
            let is_told = session.borrow_mut().0.answered(place, found);
            if let TopicRef::Id(topic) = target.topic
                && is_told
            {
                rows.push(((topic, target.partition), read));
            }
        }
        out.replies.push((call, Reply::Fetched(Ok(FetchAnswer { session_id, rows }))));
    }

    fn read_for(
        &mut self,
        at: SimTime,
        reader: Reader,
        target: &FetchTarget,
        max_bytes: usize,
        at_least_one: bool,
        out: &mut Out,
    ) -> (Found, Result<FetchedRecords, ErrorCode>) {
        let unknown = (Found::Error, Err(ErrorCode::UnknownTopicId));
        let Some(partition) = self.partition_of(target) else { return unknown };
        let Reader::Follower { node, epoch: broker_epoch } = reader else { return unknown };
        let isr_eligible = self.image.is_isr_eligible(node, broker_epoch);
        let fetch_offset = Offset::clamped(target.fetch_offset);
        let facts = FetchFacts {
            replica: Some(FollowerId { node, broker_epoch, isr_eligible }),
            fetch_offset,
            current_leader_epoch: target.current_leader_epoch,
            last_fetched_epoch: target.last_fetched_epoch,
            log_start: target.log_start,
            max_bytes,
            at_least_one,
            isolation: Isolation::LogEnd,
        };
        let outcome = match self.handle_fetch(at, &partition, &facts, out) {
            Ok(outcome) => outcome,
            Err(code) => return (Found::Error, Err(code)),
        };
        let replica = self.hosted.get(&partition).map(|hosted| &hosted.replica);
        let records = bytes_of(&outcome.read.segments);
        let found = Found::State {
            high_watermark: outcome.high_watermark.get(),
            log_start: outcome.log_start.get(),
            has_part: !records.is_empty() || outcome.diverging.is_some(),
            is_behind: replica.is_some_and(|replica| fetch_offset < replica.log().log_end()),
            standing: replica.map_or(Standing::InSync, |replica| standing(replica, node)),
        };
        let fetched = FetchedRecords {
            high_watermark: outcome.high_watermark,
            log_start: outcome.log_start,
            diverging: outcome.diverging,
            records,
        };
        (found, Ok(fetched))
    }

    fn partition_of(&self, target: &FetchTarget) -> Option<TopicPartition> {
        let TopicRef::Id(id) = target.topic else { return None };
        let topic = self.image.topic_by_id(id)?.name.clone();
        Some(TopicPartition { topic, partition: target.partition })
    }
}

fn standing(replica: &Replica, node: NodeId) -> Standing {
    let is_in_sync = replica.isr().is_none_or(|isr| isr.contains(&node));
    if is_in_sync { Standing::InSync } else { Standing::CatchingUp }
}
