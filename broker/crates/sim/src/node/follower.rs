//! Fetching from the leader. I/O on the simulated disk only.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{
    FetchFacts, FetchPosition, FollowerFetched, FollowerId, FollowerStep, Isolation, LeaderOffsets,
};
use ottla_broker_types::TopicPartition;

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::{Process, now_at};
use crate::message::{FetchedRecords, Request};
use crate::queue::SimTime;

/// Pause when the leader had nothing new: stands for its long poll.
const IDLE_MS: u64 = 8;
const BACK_OFF_MS: u64 = 50;
const AWAIT_METADATA_MS: u64 = 100;
/// Small, so that a follower needs several fetches to catch up.
const FETCH_BYTES_MAX: usize = 2_000;

impl Process {
    /// Begins to fetch, unless it is under way.
    pub(crate) fn start_fetching(&mut self, partition: &TopicPartition, out: &mut Out) {
        let Some(hosted) = self.hosted.get_mut(partition).filter(|hosted| !hosted.is_fetching) else {
            return;
        };
        hosted.is_fetching = true;
        out.timers.push((0, Timer::Fetch(partition.clone())));
    }

    pub(crate) fn fetch(&mut self, partition: &TopicPartition, out: &mut Out) {
        let Some(hosted) = self.hosted.get_mut(partition) else { return };
        let Some(position) = hosted.replica.fetch_position() else {
            hosted.is_fetching = false;
            return;
        };
        let follower = FollowerId { node: self.id, broker_epoch: self.membership.epoch, isr_eligible: false };
        let facts = FetchFacts {
            replica: Some(follower),
            fetch_offset: position.fetch_offset,
            current_leader_epoch: Some(position.leader_epoch),
            last_fetched_epoch: position.last_fetched_epoch,
            log_start: Some(position.log_start),
            max_bytes: FETCH_BYTES_MAX,
            at_least_one: true,
            isolation: Isolation::LogEnd,
        };
        let pending = Pending::Fetch(partition.clone(), position);
        self.call(position.leader, Request::Fetch(partition.clone(), facts), pending, out);
    }

    pub(crate) fn fetched(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        position: &FetchPosition,
        answer: Result<FetchedRecords, ErrorCode>,
        out: &mut Out,
    ) {
        let Some(hosted) = self.hosted.get_mut(partition) else { return };
        let idle = answer.as_ref().is_ok_and(|fetched| fetched.records.is_empty());
        let answer = answer.as_ref().map_err(|error| *error).map(|fetched| FollowerFetched {
            high_watermark: Some(fetched.high_watermark),
            log_start: Some(fetched.log_start),
            diverging: fetched.diverging,
            records: &fetched.records,
        });
        let followed = hosted.replica.handle_fetch_response(now_at(at), position, answer);
        let (step, effects) = followed.unwrap_or_else(|error| panic!("a sound answer is taken: {error}"));
        self.take_effects(partition, effects, out);
        self.next_step(partition, position, step, idle, out);
    }

    pub(crate) fn range_arrived(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        position: &FetchPosition,
        range: Option<LeaderOffsets>,
        out: &mut Out,
    ) {
        let Some(hosted) = self.hosted.get_mut(partition) else { return };
        let Some(range) = range else {
            out.timers.push((BACK_OFF_MS, Timer::Fetch(partition.clone())));
            return;
        };
        let moved = hosted.replica.leader_offsets(now_at(at), position, range);
        let (step, effects) = moved.unwrap_or_else(|error| panic!("the disk works: {error}"));
        self.take_effects(partition, effects, out);
        self.next_step(partition, position, step, false, out);
    }

    fn next_step(
        &mut self,
        partition: &TopicPartition,
        position: &FetchPosition,
        step: FollowerStep,
        idle: bool,
        out: &mut Out,
    ) {
        let pause_ms = match step {
            FollowerStep::Continue if idle => IDLE_MS,
            FollowerStep::Continue | FollowerStep::Stale => 0,
            FollowerStep::BackOff => BACK_OFF_MS,
            FollowerStep::AwaitMetadata => AWAIT_METADATA_MS,
            FollowerStep::NeedLeaderOffsets => {
                let request = Request::LeaderRange(partition.clone(), position.leader_epoch);
                self.call(position.leader, request, Pending::LeaderRange(partition.clone(), *position), out);
                return;
            }
        };
        out.timers.push((pause_ms, Timer::Fetch(partition.clone())));
    }
}
