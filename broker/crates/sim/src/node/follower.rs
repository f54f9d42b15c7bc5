//! Fetching from leaders: the shipped sessions and pauses, one session a leader. I/O on the simulated disk only.

use std::collections::BTreeMap;

use ottla_broker_node::{Ask, FetchTarget, FollowerSession, Reader, SessionError, TopicRef, Turn};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{
    BACK_OFF, Became, FetchPosition, FetchRefusal, FollowerFetched, FollowerStep, LeaderOffsets,
};
use ottla_broker_types::{BrokerEpoch, NodeId, PartitionIndex, TopicId, TopicPartition};

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::{Process, now_at};
use crate::message::{FetchAnswer, FetchRequest, FetchedRecords, Request};
use crate::queue::SimTime;

/// Pause when the leader had nothing new: stands for its long poll.
const IDLE_MS: u64 = 8;
/// Small, so that a follower needs several fetches to catch up.
const FETCH_BYTES_MAX: i32 = 2_000;

type Key = (TopicId, PartitionIndex);

/// What follows one leader.
#[derive(Debug)]
pub(crate) struct Following {
    session: FollowerSession<Key, FetchPosition>,
    partitions: BTreeMap<Key, TopicPartition>,
    /// The registration under which the session was opened.
    registration: Option<BrokerEpoch>,
    is_asking: bool,
    /// The alarm that counts; earlier ones are void.
    alarm: u64,
}

impl Following {
    fn new(seed: u64) -> Following {
        Following {
            session: FollowerSession::new(seed),
            partitions: BTreeMap::new(),
            registration: None,
            is_asking: false,
            alarm: 0,
        }
    }
}

impl Process {
    /// A replica has taken a role.
    pub(crate) fn follow(&mut self, partition: &TopicPartition, became: Became, out: &mut Out) {
        let leader = match became {
            Became::Follower { leader, .. } => Some(leader),
            Became::Leader { .. } | Became::Idle { .. } => None,
        };
        let Some(hosted) = self.hosted.get(partition) else { return };
        let key = (hosted.replica.log().topic_id(), partition.partition);
        self.leave_all(&key, leader);
        let Some(leader) = leader else { return };
        let seed = u64::from(self.run) << 32 | leader.get().unsigned_abs() as u64;
        let following = self.following.entry(leader).or_insert_with(|| Following::new(seed));
        following.partitions.insert(key, partition.clone());
        following.session.follow(key);
        self.set_alarm(leader, 0, out);
    }

    /// The partition follows nobody but `leader`.
    pub(crate) fn leave_all(&mut self, key: &Key, leader: Option<NodeId>) {
        for (_, following) in self.following.iter_mut().filter(|(node, _)| Some(**node) != leader) {
            following.session.leave(key);
            following.partitions.remove(key);
        }
    }

    fn set_alarm(&mut self, leader: NodeId, pause_ms: u64, out: &mut Out) {
        let Some(following) = self.following.get_mut(&leader).filter(|following| !following.is_asking) else {
            return;
        };
        following.alarm += 1;
        out.timers.push((pause_ms, Timer::Fetch(leader, following.alarm)));
    }

    pub(crate) fn fetch(&mut self, at: SimTime, leader: NodeId, alarm: u64, out: &mut Out) {
        let now = now_at(at).mono;
        let epoch = self.membership.epoch();
        let Some(following) = self.following.get_mut(&leader).filter(|following| following.alarm == alarm)
        else {
            return;
        };
        if std::mem::replace(&mut following.registration, epoch) != epoch {
            following.session.lost();
        }
        let positions: Vec<_> = following
            .session
            .to_look_up(now)
            .into_iter()
            .map(|key| {
                let hosted = following.partitions.get(&key).and_then(|id| self.hosted.get(id));
                let position = hosted.and_then(|hosted| hosted.replica.fetch_position());
                (key, position.filter(|position| position.leader == leader))
            })
            .collect();
        match following.session.turn(positions) {
            Turn::Ask(ask) => {
                following.is_asking = true;
                let request = self.request_of(ask);
                self.call(leader, Request::Fetch(request), Pending::Fetch(leader), out);
            }
            Turn::Wait(Some(until)) => self.set_alarm(leader, until.since(now).0, out),
            Turn::Wait(None) => {}
        }
    }

    fn request_of(&self, ask: Ask<Key, FetchPosition>) -> FetchRequest {
        let target = |((topic, partition), position): (Key, FetchPosition)| FetchTarget {
            topic: TopicRef::Id(topic),
            partition,
            fetch_offset: position.fetch_offset.get(),
            current_leader_epoch: Some(position.leader_epoch),
            last_fetched_epoch: position.last_fetched_epoch,
            log_start: Some(position.log_start),
            bytes_max: FETCH_BYTES_MAX,
        };
        let forgotten = ask.forgotten.into_iter().map(|(topic, index)| (TopicRef::Id(topic), index));
        FetchRequest {
            reader: Reader::Follower { node: self.id, epoch: self.membership.epoch() },
            session_id: ask.session_id,
            session_epoch: ask.session_epoch,
            named: ask.named.into_iter().map(target).collect(),
            forgotten: forgotten.collect(),
        }
    }

    /// The leader has answered, or (`None`) it has not in time.
    pub(crate) fn fetched(
        &mut self,
        at: SimTime,
        leader: NodeId,
        answer: Option<Result<FetchAnswer, SessionError>>,
        out: &mut Out,
    ) {
        let Some(following) = self.following.get_mut(&leader) else { return };
        following.is_asking = false;
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => {
                following.session.lost();
                self.set_alarm(leader, 0, out);
                return;
            }
            None => {
                following.session.lost();
                self.set_alarm(leader, BACK_OFF.0, out);
                return;
            }
        };
        following.session.answered(answer.session_id);
        let is_idle = answer.rows.iter().all(|(_, row)| row.as_ref().is_ok_and(|row| row.records.is_empty()));
        for (key, row) in answer.rows {
            let following = self.following.get(&leader);
            let asked = following.and_then(|following| {
                Some((following.partitions.get(&key)?.clone(), following.session.asked_at(&key)?))
            });
            if let Some((partition, position)) = asked {
                let step = self.take_row(at, &partition, &position, row, out);
                self.step_on(at, leader, &key, &partition, &position, step, out);
            }
        }
        self.set_alarm(leader, if is_idle { IDLE_MS } else { 0 }, out);
    }

    fn take_row(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        position: &FetchPosition,
        row: Result<FetchedRecords, ErrorCode>,
        out: &mut Out,
    ) -> FollowerStep {
        let Some(hosted) = self.hosted.get_mut(partition) else { return FollowerStep::Stale };
        let answer =
            row.as_ref().map_err(|error| FetchRefusal::from(*error)).map(|fetched| FollowerFetched {
                high_watermark: Some(fetched.high_watermark),
                log_start: Some(fetched.log_start),
                diverging: fetched.diverging,
                records: &fetched.records,
            });
        let followed = hosted.replica.handle_fetch_response(now_at(at), position, answer);
        let (step, effects) = followed.unwrap_or_else(|error| panic!("a sound answer is taken: {error}"));
        self.take_effects(partition, effects, out);
        step
    }

    pub(crate) fn range_arrived(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        position: &FetchPosition,
        range: Option<LeaderOffsets>,
        out: &mut Out,
    ) {
        let (Some(hosted), Some(range)) = (self.hosted.get_mut(partition), range) else { return };
        let key = (hosted.replica.log().topic_id(), partition.partition);
        let moved = hosted.replica.leader_offsets(now_at(at), position, range);
        let (step, effects) = moved.unwrap_or_else(|error| panic!("the disk works: {error}"));
        self.take_effects(partition, effects, out);
        if let Some(following) = self.following.get_mut(&position.leader)
            && matches!(step, FollowerStep::Continue | FollowerStep::Stale)
            && following.partitions.contains_key(&key)
        {
            following.session.follow(key);
            self.set_alarm(position.leader, 0, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row of an answer, and where it came from")]
    fn step_on(
        &mut self,
        at: SimTime,
        leader: NodeId,
        key: &Key,
        partition: &TopicPartition,
        position: &FetchPosition,
        step: FollowerStep,
        out: &mut Out,
    ) {
        let Some(following) = self.following.get_mut(&leader) else { return };
        if let Some(pause) = step.pause() {
            following.session.failed(key, now_at(at).mono, pause);
        } else {
            following.session.fetched(key);
        }
        if step == FollowerStep::NeedLeaderOffsets {
            let request = Request::LeaderRange(partition.clone(), position.leader_epoch);
            self.call(leader, request, Pending::LeaderRange(partition.clone(), *position), out);
        }
    }
}
