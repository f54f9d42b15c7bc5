//! The coordinator: the shipped shard of groups on the offsets partition, loaded, appended to and answered as the
//! broker does it. I/O on the simulated disk only.

use ottla_broker_coordinator::{
    Caller, ClientOffset, CommitRequest, GroupId, GroupLimits, GroupRecord, GroupShard, JoinRequest,
    MemberId, NotWritten, OffsetToCommit, Outcome, Parking, Protocol, Reply as ShardReply, ReplyToken,
    SyncRequest, encode_batch,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{AckState, AckWait, AckWaits, Acks, Became, Replica};
use ottla_broker_types::{DurationMs, LeaderEpoch, Offset, TopicPartition};

use super::out::{LoadedOffsets, Out, Timer};
use super::process::{Process, now_at};
use super::setup::{GROUP, offsets_partition};
use crate::group_message::{GroupReply, GroupRequest};
use crate::judge::bytes_of;
use crate::message::{CallId, Reply};
use crate::queue::SimTime;

const TICK_MS: u64 = 25;
/// Pause before a shard is loaded again whose records could not be written.
const RELOAD_MS: u64 = 100;
const SESSION: DurationMs = DurationMs(1_500);
const REBALANCE: DurationMs = DurationMs(800);
const READ_BYTES: usize = 1 << 20;

/// The coordinator of one epoch of the offsets partition.
#[derive(Debug)]
pub(crate) struct Coordinator {
    epoch: LeaderEpoch,
    state: State,
    parking: Parking<CallId>,
    /// What was appended last.
    last: Option<AckWait>,
    waits: AckWaits<(CallId, GroupReply)>,
}

#[derive(Debug)]
enum State {
    /// The log is read from then on.
    Unread(SimTime),
    /// Opens once the high watermark has reached the end of what was read.
    Read(Box<GroupShard>, Offset),
    Ready(Box<GroupShard>),
}

impl Coordinator {
    /// Answers once everything that was appended is committed.
    fn reply_committed(&mut self, call: CallId, reply: GroupReply, out: &mut Out) {
        match self.last {
            Some(wait) => self.waits.push(wait, (call, reply)),
            None => out.replies.push((call, Reply::Group(Ok(reply)))),
        }
    }
}

fn limits() -> GroupLimits {
    GroupLimits {
        session_timeout_min: DurationMs(100),
        session_timeout_max: DurationMs(60_000),
        initial_rebalance_delay: DurationMs(50),
        members_max: 100,
        offset_metadata_bytes_max: 100,
        offsets_retention: DurationMs(86_400_000),
        offsets_retention_check: DurationMs(600_000),
    }
}

fn group() -> GroupId {
    GroupId::new(GROUP).expect("a name")
}

fn caller(member: MemberId) -> Caller {
    Caller { member: Some(member), instance: None }
}

impl Process {
    /// The role of a replica changed; that of the offsets partition makes and ends coordinators.
    pub(crate) fn coordinate(&mut self, partition: &TopicPartition, became: Became, out: &mut Out) {
        if *partition != offsets_partition() {
            return;
        }
        self.end_coordinator(out);
        if let Became::Leader { epoch, .. } = became {
            self.coordinator = Some(Coordinator {
                epoch,
                state: State::Unread(SimTime::default()),
                parking: Parking::default(),
                last: None,
                waits: AckWaits::default(),
            });
        }
    }

    /// Another node coordinates by now: everybody who waits here is sent there.
    pub(crate) fn end_coordinator(&mut self, out: &mut Out) {
        let Some(mut coordinator) = self.coordinator.take() else { return };
        let parked = coordinator.parking.take_all().into_iter();
        for call in parked.chain(coordinator.waits.take_all().into_iter().map(|(call, _)| call)) {
            out.replies.push((call, Reply::Group(Err(ErrorCode::NotCoordinator))));
        }
    }

    /// Time passes for the groups: shards are loaded, sessions and rebalances end.
    pub(crate) fn groups_due(&mut self, at: SimTime, out: &mut Out) {
        out.timers.push((TICK_MS, Timer::Groups));
        self.load_groups(at, out);
        let is_due = self.coordinator.as_ref().is_some_and(|coordinator| match &coordinator.state {
            State::Ready(shard) => shard.next_deadline() <= now_at(at).mono,
            _ => false,
        });
        if is_due {
            // Without a caller there is nobody to tell; the next turn tries again.
            let _ = self.decide_group(at, out, |shard, _| shard.tick(now_at(at)));
        }
        self.answer_group(out);
    }

    fn load_groups(&mut self, at: SimTime, out: &mut Out) {
        let Some(hosted) = self.hosted.get(&offsets_partition()) else { return };
        let Some(coordinator) = &mut self.coordinator else { return };
        if let State::Unread(from) = coordinator.state
            && at >= from
        {
            let node = u64::from(self.id.get().unsigned_abs());
            let seed = (node << 48) ^ (u64::from(self.run) << 24) ^ at.0;
            let mut shard = GroupShard::new(limits(), seed);
            replay(&hosted.replica, &mut shard);
            coordinator.state = State::Read(Box::new(shard), hosted.replica.log().log_end());
        }
        if matches!(&coordinator.state, State::Read(_, end) if hosted.replica.high_watermark() >= *end) {
            let read = std::mem::replace(&mut coordinator.state, State::Unread(at));
            let State::Read(mut shard, _) = read else { return };
            shard.loaded(now_at(at));
            let offsets = shard
                .every_committed()
                .map(|(_, at, value)| (at.clone(), Offset::clamped(value.offset.0)))
                .collect();
            out.loaded = Some(LoadedOffsets { epoch: coordinator.epoch, offsets });
            coordinator.state = State::Ready(shard);
        }
    }

    /// What the shard here holds as committed, if it serves.
    pub fn group_offsets(&self) -> Option<LoadedOffsets> {
        let coordinator = self.coordinator.as_ref()?;
        let State::Ready(shard) = &coordinator.state else { return None };
        let offsets = shard
            .every_committed()
            .map(|(_, at, value)| (at.clone(), Offset::clamped(value.offset.0)))
            .collect();
        Some(LoadedOffsets { epoch: coordinator.epoch, offsets })
    }

    /// A member asks.
    pub(crate) fn serve_group(&mut self, at: SimTime, call: CallId, request: GroupRequest, out: &mut Out) {
        let refused = match &self.coordinator {
            None => Some(ErrorCode::NotCoordinator),
            Some(Coordinator { state: State::Ready(_), .. }) => None,
            Some(_) => Some(ErrorCode::CoordinatorLoadInProgress),
        };
        let served = match refused {
            Some(code) => Err(code),
            None => self.ask_shard(at, call, request, out),
        };
        match served {
            Ok(Some(reply)) => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.reply_committed(call, reply, out);
                }
            }
            Ok(None) => {}
            Err(code) => out.replies.push((call, Reply::Group(Err(code)))),
        }
        self.answer_group(out);
    }

    /// The answer that is due once everything that was appended is committed; `None` for one that is parked.
    fn ask_shard(
        &mut self,
        at: SimTime,
        call: CallId,
        request: GroupRequest,
        out: &mut Out,
    ) -> Result<Option<GroupReply>, ErrorCode> {
        let now = now_at(at);
        match request {
            GroupRequest::Join(member) => {
                let token = self.park(call);
                let join = join_request(member);
                self.decide_group(at, out, |shard, _| shard.join(now, &join, token))?;
                Ok(None)
            }
            GroupRequest::Sync(member, generation, assignments) => {
                let token = self.park(call);
                let sync = SyncRequest {
                    group: group(),
                    caller: caller(member),
                    generation: Some(generation),
                    protocol_type: None,
                    protocol: None,
                    assignments,
                };
                self.decide_group(at, out, |shard, _| shard.sync(now, sync, token))?;
                Ok(None)
            }
            GroupRequest::Heartbeat(member, generation) => {
                let Some(Coordinator { state: State::Ready(shard), .. }) = &mut self.coordinator else {
                    return Err(ErrorCode::NotCoordinator);
                };
                match shard.heartbeat(now, &group(), &caller(member), Some(generation)) {
                    ErrorCode::None => out.replies.push((call, Reply::Group(Ok(GroupReply::Alive)))),
                    code => return Err(code),
                }
                Ok(None)
            }
            GroupRequest::Commit(member, generation, partition, offset) => {
                let commit = CommitRequest {
                    group: group(),
                    caller: caller(member),
                    generation: Some(generation),
                    retention: None,
                    knows_group_id_not_found: true,
                    offsets: vec![OffsetToCommit {
                        at: partition,
                        offset: ClientOffset(offset.get()),
                        leader_epoch: None,
                        metadata: "".into(),
                    }],
                };
                let mut code = ErrorCode::None;
                let epoch =
                    self.decide_group(at, out, |shard, _| match shard.commit_offsets(now, &commit) {
                        Ok((codes, outcome)) => {
                            code = codes.first().copied().unwrap_or(ErrorCode::UnknownServerError);
                            outcome
                        }
                        Err(refused) => {
                            code = refused;
                            Outcome::default()
                        }
                    })?;
                if code == ErrorCode::None { Ok(Some(GroupReply::Committed(epoch))) } else { Err(code) }
            }
            GroupRequest::Fetch(partition) => {
                let Some(Coordinator { epoch, state: State::Ready(shard), .. }) = &self.coordinator else {
                    return Err(ErrorCode::NotCoordinator);
                };
                let committed = shard
                    .committed(&group(), &partition)
                    .map(|committed| Offset::clamped(committed.offset.0));
                Ok(Some(GroupReply::Fetched(*epoch, committed)))
            }
        }
    }

    fn park(&mut self, call: CallId) -> ReplyToken {
        let Some(coordinator) = &mut self.coordinator else { return ReplyToken(0) };
        coordinator.parking.park(call)
    }

    /// Decides, appends what was decided, and hands out the answers. Returns the coordinator's epoch.
    fn decide_group(
        &mut self,
        at: SimTime,
        out: &mut Out,
        decide: impl FnOnce(&mut GroupShard, LeaderEpoch) -> Outcome,
    ) -> Result<LeaderEpoch, ErrorCode> {
        let Some(mut coordinator) = self.coordinator.take() else { return Err(ErrorCode::NotCoordinator) };
        let epoch = coordinator.epoch;
        let State::Ready(shard) = &mut coordinator.state else {
            self.coordinator = Some(coordinator);
            return Err(ErrorCode::CoordinatorLoadInProgress);
        };
        let outcome = decide(shard, epoch);
        let append = |records: &[GroupRecord]| self.append_group(at, epoch, records, out);
        let ended = match coordinator.parking.settle(shard, outcome, append) {
            Ok(settled) => {
                coordinator.last = settled.appended.or(coordinator.last);
                for (call, reply) in settled.now {
                    out.replies.push((call, Reply::Group(Ok(reply_of(reply)))));
                }
                for (call, reply) in settled.after_commit {
                    coordinator.reply_committed(call, reply_of(reply), out);
                }
                Ok(epoch)
            }
            Err(NotWritten { code, refused, must_reload }) => {
                for call in refused {
                    out.replies.push((call, Reply::Group(Err(code))));
                }
                if must_reload {
                    coordinator.state = State::Unread(at.plus_ms(RELOAD_MS));
                    for call in coordinator.parking.take_all() {
                        out.replies.push((call, Reply::Group(Err(ErrorCode::NotCoordinator))));
                    }
                }
                Err(code)
            }
        };
        self.coordinator = Some(coordinator);
        ended
    }

    fn append_group(
        &mut self,
        at: SimTime,
        epoch: LeaderEpoch,
        records: &[GroupRecord],
        out: &mut Out,
    ) -> Result<AckWait, ErrorCode> {
        let partition = offsets_partition();
        let hosted = self.hosted.get_mut(&partition).ok_or(ErrorCode::NotCoordinator)?;
        if hosted.replica.leader_epoch() != Some(epoch) {
            return Err(ErrorCode::NotCoordinator);
        }
        let mut batch = encode_batch(records, now_at(at).wall).expect("a few small records");
        let produced = hosted
            .replica
            .append(now_at(at), &mut batch, Acks::All)
            .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        self.take_effects(&partition, produced.effects, out);
        Ok(produced.wait)
    }

    /// Answers whose records are committed.
    pub(crate) fn answer_group(&mut self, out: &mut Out) {
        let Some(hosted) = self.hosted.get(&offsets_partition()) else { return };
        let Some(coordinator) = &mut self.coordinator else { return };
        for ((call, reply), state) in coordinator.waits.take_ended(&hosted.replica) {
            match state {
                // The high watermark has passed it; fewer replicas in sync since then take nothing back.
                AckState::Pending | AckState::Committed | AckState::NotEnoughReplicas => {
                    out.replies.push((call, Reply::Group(Ok(reply))));
                }
                AckState::NotLeaderOrFollower => {
                    out.replies.push((call, Reply::Group(Err(ErrorCode::NotCoordinator))));
                }
            }
        }
    }
}

fn join_request(member: Option<MemberId>) -> JoinRequest {
    JoinRequest {
        group: group(),
        caller: Caller { member, instance: None },
        client_id: "member".into(),
        client_host: "/198.18.0.1".into(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "simulated".into(),
        protocols: vec![Protocol { name: "even".into(), metadata: bytes::Bytes::new() }],
        requires_known_member: false,
        can_skip_assignment: false,
    }
}

fn reply_of(reply: ShardReply) -> GroupReply {
    match reply {
        ShardReply::Join(join) => GroupReply::Joined(join),
        ShardReply::Sync(sync) => GroupReply::Synced(sync),
    }
}

/// Reads the whole log into the shard.
fn replay(replica: &Replica, shard: &mut GroupShard) {
    let end = replica.log().log_end();
    let mut from = replica.log().log_start();
    while from < end {
        let read = replica.log().read(from, READ_BYTES, end, true).expect("the log is readable");
        let replayed = shard.replay_batches(&bytes_of(&read.segments)).expect("the log holds whole batches");
        assert!(replayed.skipped.is_empty(), "the log holds groups' records: {:?}", replayed.skipped);
        let Some(next) = replayed.next else { return };
        from = next;
    }
}
