//! The coordinator: the shipped runtime around the shipped shard of groups, on the replica of the offsets partition.
//! I/O on the simulated disk only.

use ottla_broker_coordinator::{
    Answer, Answers, Assignor, Budget, Caller, ClientOffset, CommitRequest, Coordinator as Serving, GroupId,
    GroupLimits, GroupMemory, GroupShard, Hosting, JoinRequest, Loading, MemberId, NotWritten,
    OffsetToCommit, Outcome, Protocol, Reply as ShardReply, ShardLog, SyncRequest, Turn, Unanswered,
};
use ottla_broker_replication::{Became, Effects, Remedy, Replica};
use ottla_broker_types::{DurationMs, LeaderEpoch, Now, Offset, TopicPartition};

use super::out::{LoadedOffsets, Out, Timer};
use super::process::{Process, now_at};
use super::setup::{GROUP, offsets_partition};
use crate::group_message::{GroupRefusal, GroupReply, GroupRequest};
use crate::judge::bytes_of;
use crate::message::{CallId, Reply};
use crate::queue::SimTime;

const TICK_MS: u64 = 25;
const SESSION: DurationMs = DurationMs(1_500);
const REBALANCE: DurationMs = DurationMs(800);
/// How long an answer waits for its commit; members ask again after about as long.
const COMMIT_TIMEOUT: DurationMs = DurationMs(700);
const READ_BYTES: usize = 1 << 20;
/// More than the members and offsets of a run ever hold.
const MEMORY_BYTES: usize = 1 << 20;

/// Who waits for a commit, and with which answer.
type Waiter = (CallId, GroupReply);

/// The coordinator of one epoch of the offsets partition.
pub(crate) struct Coordinator {
    epoch: LeaderEpoch,
    hosting: Hosting<GroupShard, CallId, Waiter>,
    /// What is read of the log while it loads.
    loading: Option<Loading<GroupShard>>,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The offsets partition as the coordinator's log at one moment; what its appends ask for is done afterwards.
struct ReplicaLog<'a> {
    replica: &'a mut Replica,
    epoch: LeaderEpoch,
    now: Now,
    effects: Vec<Effects>,
}

impl ShardLog for ReplicaLog<'_> {
    fn batch_bytes_max(&self) -> usize {
        self.replica.batch_bytes_max()
    }

    fn append(&mut self, mut batch: Vec<u8>, _record_count: usize) -> Result<Offset, NotWritten> {
        let produced = self.replica.append_in(self.now, &mut batch, self.epoch);
        let produced = produced.map_err(|error| match error.remedy() {
            Remedy::AnotherLeader => NotWritten::NotCoordinator,
            Remedy::Later => NotWritten::Unavailable,
            Remedy::Smaller => NotWritten::TooLarge,
            Remedy::Nothing => NotWritten::Failed,
        })?;
        self.effects.push(produced.effects);
        Ok(produced.wait.end)
    }

    fn committed_end(&self) -> Option<Offset> {
        self.replica.committed_end_in(self.epoch)
    }
}

fn limits() -> GroupLimits {
    GroupLimits {
        session_timeout_min: DurationMs(100),
        session_timeout_max: DurationMs(60_000),
        initial_rebalance_delay: DurationMs(50),
        members_max: 100,
        consumer_session_timeout: DurationMs(45_000),
        consumers_max: 1_000,
        assignors: vec![Assignor::Uniform, Assignor::Range],
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
            self.coordinator = Some(Coordinator { epoch, hosting: Hosting::Loading, loading: None });
        }
    }

    /// Another node coordinates by now.
    pub(crate) fn end_coordinator(&mut self, out: &mut Out) {
        if let Some(mut coordinator) = self.coordinator.take() {
            deliver(coordinator.hosting.unload(), out);
        }
    }

    /// Time passes for the groups: shards are loaded, sessions and rebalances end.
    pub(crate) fn groups_due(&mut self, at: SimTime, out: &mut Out) {
        out.timers.push((TICK_MS, Timer::Groups));
        self.load_groups(at, out);
        let _ =
            self.with_coordinator(at, out, |serving, now, log| match serving.next_deadline() <= now.mono {
                true => ((), serving.tick(now, log)),
                false => ((), Vec::new()),
            });
    }

    fn load_groups(&mut self, at: SimTime, out: &mut Out) {
        let Some(hosted) = self.hosted.get(&offsets_partition()) else { return };
        let Some(coordinator) = &mut self.coordinator else { return };
        if !matches!(coordinator.hosting, Hosting::Loading) {
            return;
        }
        let loading = coordinator.loading.get_or_insert_with(|| {
            let node = u64::from(self.id.get().unsigned_abs());
            read(&hosted.replica, (node << 48) ^ (u64::from(self.run) << 24) ^ at.0)
        });
        let committed_end = hosted.replica.committed_end_in(coordinator.epoch);
        if loading.may_serve(committed_end)
            && let Some(loading) = coordinator.loading.take()
        {
            coordinator.hosting.serve(loading.serve(now_at(at), COMMIT_TIMEOUT));
            out.loaded = self.group_offsets();
        }
    }

    /// What the shard here holds as committed, if it serves.
    pub fn group_offsets(&self) -> Option<LoadedOffsets> {
        let coordinator = self.coordinator.as_ref()?;
        let Hosting::Serving(serving) = &coordinator.hosting else { return None };
        let offsets = serving
            .shard()
            .every_committed()
            .map(|(_, at, value)| (at.clone(), Offset::clamped(value.offset.0)))
            .collect();
        Some(LoadedOffsets { epoch: coordinator.epoch, offsets })
    }

    /// A member asks.
    pub(crate) fn serve_group(&mut self, at: SimTime, call: CallId, request: GroupRequest, out: &mut Out) {
        let served = self.ask_coordinator(at, call, request, out);
        if let Err(refusal) = served {
            out.replies.push((call, Reply::Group(Err(refusal))));
        }
    }

    fn ask_coordinator(
        &mut self,
        at: SimTime,
        call: CallId,
        request: GroupRequest,
        out: &mut Out,
    ) -> Result<(), GroupRefusal> {
        let epoch = self.coordinator.as_ref().map_or(LeaderEpoch(0), |coordinator| coordinator.epoch);
        match request {
            GroupRequest::Join(member) => {
                let join = join_request(member);
                self.with_coordinator(at, out, |serving, now, log| {
                    let decide = |shard: &GroupShard, turn: &Turn, token| shard.join(turn, &join, token);
                    ((), serving.decide_parked(now, log, call, decide))
                })?;
                Ok(())
            }
            GroupRequest::Sync(member, generation, assignments) => {
                let sync = SyncRequest {
                    group: group(),
                    caller: caller(member),
                    generation: Some(generation),
                    protocol_type: None,
                    protocol: None,
                    assignments,
                };
                self.with_coordinator(at, out, |serving, now, log| {
                    let decide = |shard: &GroupShard, turn: &Turn, token| shard.sync(turn, sync, token);
                    ((), serving.decide_parked(now, log, call, decide))
                })?;
                Ok(())
            }
            GroupRequest::Heartbeat(member, generation) => {
                let told = self.with_coordinator(at, out, |serving, now, log| {
                    serving.decide(now, log, |shard, turn| {
                        let (group, caller) = (group(), caller(member));
                        Ok::<_, GroupRefusal>(shard.heartbeat(turn, &group, &caller, Some(generation)))
                    })
                })?;
                told??;
                out.replies.push((call, Reply::Group(Ok(GroupReply::Alive))));
                Ok(())
            }
            GroupRequest::Commit(member, generation, partition, offset) => {
                let commit = commit_request(member, generation, partition, offset);
                self.answer_committed(at, call, out, |shard, turn| {
                    let (results, outcome) = shard.commit_offsets(turn, &commit)?;
                    results.into_iter().collect::<Result<Vec<()>, _>>()?;
                    Ok((GroupReply::Committed(epoch), outcome))
                })
            }
            GroupRequest::Fetch(partition) => self.answer_committed(at, call, out, |shard, _| {
                let committed = shard.committed(&group(), &partition);
                let offset = committed.map(|committed| Offset::clamped(committed.offset.0));
                Ok((GroupReply::Fetched(epoch, offset), Outcome::default()))
            }),
        }
    }

    /// Decides, and answers once everything that is written is committed.
    fn answer_committed(
        &mut self,
        at: SimTime,
        call: CallId,
        out: &mut Out,
        decide: impl FnOnce(&GroupShard, &Turn) -> Result<(GroupReply, Outcome<GroupShard>), GroupRefusal>,
    ) -> Result<(), GroupRefusal> {
        let reply = self.with_coordinator(at, out, |serving, now, log| {
            let (decided, answers) = serving.decide(now, log, decide);
            let reply =
                decided.map_err(GroupRefusal::from).and_then(|reply| match serving.is_committed(log) {
                    true => Ok(Some(reply)),
                    false => match serving.wait_for_commit(now, (call, reply)) {
                        Ok(()) => Ok(None),
                        Err(_) => Err(Unanswered::TooManyWait.into()),
                    },
                });
            (reply, answers)
        })??;
        out.replies.extend(reply.map(|reply| (call, Reply::Group(Ok(reply)))));
        Ok(())
    }

    fn with_coordinator<T>(
        &mut self,
        at: SimTime,
        out: &mut Out,
        act: impl FnOnce(
            &mut Serving<GroupShard, CallId, Waiter>,
            Now,
            &mut ReplicaLog<'_>,
        ) -> (T, Answers<GroupShard, CallId, Waiter>),
    ) -> Result<T, Unanswered> {
        let partition = offsets_partition();
        let hosted = self.hosted.get_mut(&partition).ok_or(Unanswered::NotCoordinator)?;
        let coordinator = self.coordinator.as_mut().ok_or(Unanswered::NotCoordinator)?;
        let serving = coordinator.hosting.serving()?;
        let (replica, epoch) = (&mut hosted.replica, coordinator.epoch);
        let mut log = ReplicaLog { replica, epoch, now: now_at(at), effects: Vec::new() };
        let (value, answers) = act(serving, now_at(at), &mut log);
        let effects = log.effects;
        deliver(answers, out);
        for effects in effects {
            self.take_effects(&partition, effects, out);
        }
        Ok(value)
    }

    /// The high watermark may have moved.
    pub(crate) fn answer_group(&mut self, out: &mut Out) {
        let Some(hosted) = self.hosted.get_mut(&offsets_partition()) else { return };
        let Some(coordinator) = &mut self.coordinator else { return };
        let (replica, epoch) = (&mut hosted.replica, coordinator.epoch);
        let log = ReplicaLog { replica, epoch, now: Now::default(), effects: Vec::new() };
        if let Ok(serving) = coordinator.hosting.serving() {
            deliver(serving.committed(&log), out);
        }
    }
}

fn deliver(answers: Answers<GroupShard, CallId, Waiter>, out: &mut Out) {
    for answer in answers {
        let (call, reply) = match answer {
            Answer::Reply(call, reply) => (call, reply.map(reply_of).map_err(GroupRefusal::from)),
            Answer::Commit((call, reply), ended) => (call, ended.map(|()| reply).map_err(GroupRefusal::from)),
        };
        out.replies.push((call, Reply::Group(reply)));
    }
}

fn commit_request(
    member: MemberId,
    generation: ottla_broker_coordinator::Generation,
    at: TopicPartition,
    offset: Offset,
) -> CommitRequest {
    CommitRequest {
        group: group(),
        caller: caller(member),
        generation: Some(generation),
        retention: None,
        offsets: vec![OffsetToCommit {
            at,
            offset: ClientOffset(offset.get()),
            leader_epoch: None,
            metadata: "".into(),
        }],
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

/// Reads the whole log into a shard.
fn read(replica: &Replica, seed: u64) -> Loading<GroupShard> {
    let memory = GroupMemory { members: Budget::new(MEMORY_BYTES), offsets: Budget::new(MEMORY_BYTES) };
    let shard = GroupShard::new(limits(), memory, seed);
    let log = replica.log();
    let mut loading = Loading::new(shard, log.log_start(), log.log_end());
    while let Some(next) = loading.next() {
        let read = log.read(next, READ_BYTES, loading.end(), true).expect("the log is readable");
        let skipped = loading.read(&bytes_of(&read.segments)).expect("the log holds whole batches");
        assert!(skipped.is_empty(), "the log holds groups' records: {skipped:?}");
    }
    loading
}
