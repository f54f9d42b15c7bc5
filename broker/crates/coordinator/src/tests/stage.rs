//! Plays the shell around a coordinator, on a log in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_broker_protocol::persisted::encode_versioned;
use ottla_broker_types::{
    DurationMs, MonotonicMs, Now, Offset, PartitionIndex, TimestampMs, TopicName, TopicPartition,
};

use crate::runtime::batches::encode_batches;
use crate::{
    Answer, Answers, Assignor, Budget, Caller, ClientOffset, CommitOffsetError, CommitOffsetsError,
    CommitRequest, Coordinator, DecideError, DeleteGroupError, Generation, GroupId, GroupLimits, GroupMemory,
    GroupRecord, GroupShard, HeartbeatError, InstanceId, JoinError, JoinRequest, Joined, Loading,
    MemberError, MemberId, NotWritten, OffsetToCommit, Outcome, PerPart, Protocol, Reply, ShardLog,
    SyncError, SyncRequest, Synced, Turn, Unanswered,
};

pub const SESSION: u64 = 10_000;
pub const REBALANCE: u64 = 60_000;
pub const INITIAL_DELAY: u64 = 3_000;
pub const RETENTION: u64 = 1_000_000;
pub const RETENTION_CHECK: u64 = 600_000;
pub const COMMIT_TIMEOUT: u64 = 5_000;
/// Bytes that members, and offsets, may hold.
pub const MEMORY: usize = 8 << 20;

pub fn limits() -> GroupLimits {
    GroupLimits {
        session_timeout_min: DurationMs(6_000),
        session_timeout_max: DurationMs(1_800_000),
        initial_rebalance_delay: DurationMs(INITIAL_DELAY),
        members_max: 4,
        consumer_session_timeout: DurationMs(45_000),
        consumers_max: 1_000,
        assignors: vec![Assignor::Uniform, Assignor::Range],
        offset_metadata_bytes_max: 16,
        offsets_retention: DurationMs(RETENTION),
        offsets_retention_check: DurationMs(RETENTION_CHECK),
    }
}

pub fn group() -> GroupId {
    GroupId::new("group").unwrap()
}

pub fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionIndex(partition) }
}

/// What a consumer of `topics` offers.
pub fn consumer(topics: &[&str]) -> Vec<Protocol> {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        ..ConsumerProtocolSubscription::default()
    };
    let metadata = encode_versioned(&subscription, 1).unwrap();
    vec![Protocol { name: "range".into(), metadata }]
}

pub fn join_request(caller: Caller) -> JoinRequest {
    JoinRequest {
        group: group(),
        caller,
        client_id: "client".into(),
        client_host: "/198.18.0.1".into(),
        session_timeout: DurationMs(SESSION),
        rebalance_timeout: DurationMs(REBALANCE),
        protocol_type: "consumer".into(),
        protocols: consumer(&["t"]),
        requires_known_member: false,
        can_skip_assignment: true,
    }
}

pub fn dynamic(member: &MemberId) -> Caller {
    Caller { member: Some(member.clone()), instance: None }
}

pub fn static_caller(member: Option<&MemberId>, instance: &str) -> Caller {
    Caller { member: member.cloned(), instance: InstanceId::new(instance) }
}

/// A shard's log in memory.
pub struct MemoryLog {
    pub batches: Vec<Vec<u8>>,
    pub end: Offset,
    committed_end: Offset,
    holds_commits: bool,
    pub leads: bool,
    pub batch_bytes_max: usize,
    pub refuses: Option<NotWritten>,
    /// Appends that succeed before `refuses` counts.
    pub takes_before: usize,
}

impl MemoryLog {
    pub fn new() -> MemoryLog {
        MemoryLog {
            batches: Vec::new(),
            end: Offset::ZERO,
            committed_end: Offset::ZERO,
            holds_commits: false,
            leads: true,
            batch_bytes_max: 1 << 20,
            refuses: None,
            takes_before: 0,
        }
    }

    /// From now on nothing that is appended is committed by itself.
    pub fn hold_commits(&mut self) {
        self.holds_commits = true;
    }
}

impl ShardLog for MemoryLog {
    fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    fn append(&mut self, mut batch: Vec<u8>, record_count: usize) -> Result<Offset, NotWritten> {
        if let Some(why) = self.refuses {
            self.takes_before = self.takes_before.checked_sub(1).ok_or(why)?;
        }
        assert!(batch.len() <= self.batch_bytes_max);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.record_count as usize, record_count);
        let base = self.end.get();
        batch[..8].copy_from_slice(&base.to_be_bytes());
        self.batches.push(batch);
        self.end = self.end.plus(record_count as i64);
        if !self.holds_commits {
            self.committed_end = self.end;
        }
        Ok(self.end)
    }

    fn committed_end(&self) -> Option<Offset> {
        self.leads.then_some(self.committed_end)
    }
}

pub struct Stage {
    pub coordinator: Coordinator<GroupShard, u64, u64>,
    pub log: MemoryLog,
    pub memory: GroupMemory,
    pub now: u64,
    /// The answers to parked requests.
    pub answers: BTreeMap<u64, Result<Reply, Unanswered>>,
    /// How waits for commits ended.
    pub commits: BTreeMap<u64, Result<(), Unanswered>>,
    asked: u64,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::of(&[])
    }

    /// A coordinator whose log holds `records`.
    pub fn of(records: &[GroupRecord]) -> Stage {
        let mut log = MemoryLog::new();
        for batch in encode_batches(records, TimestampMs(1), log.batch_bytes_max).unwrap_or_default() {
            log.append(batch.bytes, batch.record_count).unwrap();
        }
        Stage::on(log, 0)
    }

    /// A coordinator that has read `log`.
    pub fn on(log: MemoryLog, milliseconds: u64) -> Stage {
        let memory = GroupMemory { members: Budget::new(MEMORY), offsets: Budget::new(MEMORY) };
        let shard = GroupShard::new(limits(), memory.clone(), 1 + milliseconds);
        let mut loading = Loading::new(shard, Offset::ZERO, log.end);
        for batch in &log.batches {
            assert!(loading.next().is_some());
            assert_eq!(loading.read(batch).unwrap().len(), 0);
        }
        assert_eq!(loading.next(), None);
        let coordinator = loading.serve(now(milliseconds), DurationMs(COMMIT_TIMEOUT));
        let (answers, commits) = (BTreeMap::new(), BTreeMap::new());
        Stage { coordinator, log, memory, now: milliseconds, answers, commits, asked: 0 }
    }

    pub fn shard(&self) -> &GroupShard {
        self.coordinator.shard()
    }

    /// Another coordinator that has read this one's log from its bytes.
    pub fn reloaded(&self) -> Stage {
        let mut log = MemoryLog::new();
        log.batches.clone_from(&self.log.batches);
        (log.end, log.committed_end) = (self.log.end, self.log.end);
        Stage::on(log, self.now)
    }

    fn take(&mut self, answers: Answers<GroupShard, u64, u64>) {
        for answer in answers {
            let former = match answer {
                Answer::Reply(asked, reply) => self.answers.insert(asked, reply).map(drop),
                Answer::Commit(asked, ended) => self.commits.insert(asked, ended).map(drop),
            };
            assert_eq!(former, None, "a request is answered once");
        }
    }

    fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// How many requests could have been parked.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    pub fn join(&mut self, request: &JoinRequest) -> u64 {
        let asked = self.ask();
        let answers =
            self.coordinator.decide_parked(now(self.now), &mut self.log, asked, |shard, turn, token| {
                shard.join(turn, request, token)
            });
        self.take(answers);
        asked
    }

    pub fn join_new(&mut self) -> u64 {
        self.join(&join_request(Caller::default()))
    }

    pub fn sync(
        &mut self,
        caller: Caller,
        generation: i32,
        assignments: &[(&MemberId, &'static [u8])],
    ) -> u64 {
        let assignments =
            assignments.iter().map(|(id, bytes)| ((*id).clone(), Bytes::from_static(bytes))).collect();
        self.sync_as(caller, generation, assignments)
    }

    pub fn sync_as(
        &mut self,
        caller: Caller,
        generation: i32,
        assignments: BTreeMap<MemberId, Bytes>,
    ) -> u64 {
        self.sync_in(group(), caller, generation, assignments)
    }

    /// The first generation of `name` is led by `member`, who assigns nothing.
    pub fn sync_group(&mut self, name: &str, member: &MemberId) -> u64 {
        self.sync_in(GroupId::or_unnamed(name), dynamic(member), 1, BTreeMap::new())
    }

    fn sync_in(
        &mut self,
        group: GroupId,
        caller: Caller,
        generation: i32,
        assignments: BTreeMap<MemberId, Bytes>,
    ) -> u64 {
        let asked = self.ask();
        let request = SyncRequest {
            group,
            caller,
            generation: Generation::from_wire(generation),
            protocol_type: None,
            protocol: None,
            assignments,
        };
        let answers =
            self.coordinator.decide_parked(now(self.now), &mut self.log, asked, |shard, turn, token| {
                shard.sync(turn, request, token)
            });
        self.take(answers);
        asked
    }

    pub fn decide<T, E>(
        &mut self,
        decide: impl FnOnce(&GroupShard, &Turn) -> Result<(T, Outcome<GroupShard>), E>,
    ) -> Result<T, DecideError<E>> {
        let (decided, answers) = self.coordinator.decide(now(self.now), &mut self.log, decide);
        self.take(answers);
        decided
    }

    /// Waits for the commit of what is written by now; `None` if it is committed.
    pub fn await_commit(&mut self) -> Option<u64> {
        if self.coordinator.is_committed(&self.log) {
            return None;
        }
        let asked = self.ask();
        self.coordinator.wait_for_commit(now(self.now), asked).unwrap();
        Some(asked)
    }

    /// All that is appended is committed.
    pub fn commit_all(&mut self) {
        self.log.committed_end = self.log.end;
        self.look_at_log();
    }

    /// The log is looked at.
    pub fn look_at_log(&mut self) {
        let answers = self.coordinator.committed(&self.log);
        self.take(answers);
    }

    pub fn heartbeat(&mut self, caller: &Caller, generation: i32) -> Result<(), HeartbeatError> {
        let generation = Generation::from_wire(generation);
        self.certain(|shard, turn| shard.heartbeat(turn, &group(), caller, generation))
    }

    pub fn leave(&mut self, leavers: &[Caller]) -> PerPart<MemberError> {
        self.certain(|shard, turn| shard.leave(turn, &group(), leavers))
    }

    /// What is not refused and can be written.
    pub fn certain<T>(&mut self, decide: impl FnOnce(&GroupShard, &Turn) -> (T, Outcome<GroupShard>)) -> T {
        self.decide(|shard, turn| Ok::<_, Infallible>(decide(shard, turn))).expect("it is written")
    }

    pub fn delete_group(&mut self) -> Result<(), DecideError<DeleteGroupError>> {
        self.decide(|shard, _| Ok(((), shard.delete_group(&group())?)))
    }

    pub fn commit(
        &mut self,
        caller: Caller,
        generation: i32,
        offset: i64,
    ) -> Result<PerPart<CommitOffsetError>, DecideError<CommitOffsetsError>> {
        self.commit_as(CommitRequest {
            group: group(),
            caller,
            generation: Generation::from_wire(generation),
            retention: None,
            offsets: vec![OffsetToCommit {
                at: at("t", 0),
                offset: ClientOffset(offset),
                leader_epoch: Some(ottla_broker_types::LeaderEpoch(7)),
                metadata: "note".into(),
            }],
        })
    }

    pub fn commit_as(
        &mut self,
        request: CommitRequest,
    ) -> Result<PerPart<CommitOffsetError>, DecideError<CommitOffsetsError>> {
        self.decide(|shard, turn| shard.commit_offsets(turn, &request))
    }

    pub fn tick(&mut self) {
        let answers = self.coordinator.tick(now(self.now), &mut self.log);
        self.take(answers);
    }

    /// Lets time pass, with every tick at its time.
    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.coordinator.next_deadline().0 <= end {
            self.now = self.now.max(self.coordinator.next_deadline().0);
            self.tick();
        }
        self.now = end;
    }

    pub fn joined(&self, asked: u64) -> &Joined {
        match self.answers.get(&asked) {
            Some(Ok(Reply::Join(Ok(joined)))) => joined,
            other => panic!("no join was answered: {other:?}"),
        }
    }

    /// How a join ended that the coordinator answered.
    pub fn join_result(&self, asked: u64) -> Result<(), JoinError> {
        match self.answers.get(&asked) {
            Some(Ok(Reply::Join(joined))) => joined.as_ref().map(|_| ()).map_err(|refused| refused.error),
            other => panic!("no join was answered: {other:?}"),
        }
    }

    pub fn synced(&self, asked: u64) -> &Synced {
        match self.answers.get(&asked) {
            Some(Ok(Reply::Sync(Ok(synced)))) => synced,
            other => panic!("no sync was answered: {other:?}"),
        }
    }

    /// How a sync ended that the coordinator answered.
    pub fn sync_result(&self, asked: u64) -> Result<(), SyncError> {
        match self.answers.get(&asked) {
            Some(Ok(Reply::Sync(synced))) => synced.as_ref().map(|_| ()).map_err(|error| *error),
            other => panic!("no sync was answered: {other:?}"),
        }
    }

    pub fn is_parked(&self, asked: u64) -> bool {
        !self.answers.contains_key(&asked)
    }

    /// The id under which a join was answered.
    pub fn member(&self, asked: u64) -> MemberId {
        match self.answers.get(&asked) {
            Some(Ok(Reply::Join(Err(refused)))) => refused.member.clone().unwrap(),
            _ => self.joined(asked).member.clone(),
        }
    }

    pub fn committed(&self, topic: &str) -> Option<i64> {
        self.shard().committed(&group(), &at(topic, 0)).map(|offset| offset.offset.0)
    }

    /// A stable group of one; returns its member.
    pub fn stable_alone(&mut self) -> MemberId {
        let asked = self.join_new();
        self.pass(INITIAL_DELAY);
        let id = self.member(asked);
        self.sync(dynamic(&id), 1, &[(&id, b"all")]);
        id
    }
}

pub fn now(milliseconds: u64) -> Now {
    Now {
        mono: MonotonicMs(milliseconds),
        wall: TimestampMs(1_700_000_000_000 + i64::try_from(milliseconds).unwrap()),
    }
}
