//! Plays the shell: appends at once, answers in the order of the outcome, keeps the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_broker_protocol::persisted::encode_versioned;
use ottla_broker_types::{
    DurationMs, MonotonicMs, Now, PartitionIndex, TimestampMs, TopicName, TopicPartition,
};

use crate::{
    Caller, ClientOffset, CommitRequest, Generation, GroupId, GroupLimits, GroupRecord, GroupShard,
    InstanceId, JoinReply, JoinRequest, MemberId, OffsetToCommit, Outcome, Protocol, Reply, ReplyToken,
    SyncReply, SyncRequest,
};

pub const SESSION: u64 = 10_000;
pub const REBALANCE: u64 = 60_000;
pub const INITIAL_DELAY: u64 = 3_000;
pub const RETENTION: u64 = 1_000_000;
pub const RETENTION_CHECK: u64 = 600_000;

pub fn limits() -> GroupLimits {
    GroupLimits {
        session_timeout_min: DurationMs(6_000),
        session_timeout_max: DurationMs(1_800_000),
        initial_rebalance_delay: DurationMs(INITIAL_DELAY),
        members_max: 4,
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

pub struct Stage {
    pub shard: GroupShard,
    pub now: u64,
    pub log: Vec<GroupRecord>,
    pub answers: BTreeMap<ReplyToken, Reply>,
    next_token: u64,
}

impl Stage {
    pub fn new() -> Stage {
        let mut shard = GroupShard::new(limits(), 1);
        shard.loaded(now(0));
        Stage { shard, now: 0, log: Vec::new(), answers: BTreeMap::new(), next_token: 0 }
    }

    /// A shard that has read this one's log from its bytes.
    pub fn reloaded(&self) -> Stage {
        let mut shard = GroupShard::new(limits(), 2);
        for record in &self.log {
            let (key, value) = record.encode().unwrap();
            shard.replay(&GroupRecord::decode(&key, value.as_deref()).unwrap().unwrap());
        }
        shard.loaded(now(self.now));
        Stage { shard, now: self.now, log: self.log.clone(), answers: BTreeMap::new(), next_token: 0 }
    }

    pub fn settle(&mut self, outcome: Outcome) {
        self.shard.appended(&outcome.records);
        self.log.extend(outcome.records);
        for (token, reply) in outcome.replies_now.into_iter().chain(outcome.replies_after_commit) {
            let former = self.answers.insert(token, reply);
            assert_eq!(former, None, "a request is answered once");
        }
    }

    pub fn token(&mut self) -> ReplyToken {
        self.next_token += 1;
        ReplyToken(self.next_token)
    }

    pub fn tokens(&self) -> u64 {
        self.next_token
    }

    pub fn join(&mut self, request: &JoinRequest) -> ReplyToken {
        let token = self.token();
        let outcome = self.shard.join(now(self.now), request, token);
        self.settle(outcome);
        token
    }

    pub fn join_new(&mut self) -> ReplyToken {
        self.join(&join_request(Caller::default()))
    }

    pub fn sync(
        &mut self,
        caller: Caller,
        generation: i32,
        assignments: &[(&MemberId, &'static [u8])],
    ) -> ReplyToken {
        let token = self.token();
        let assignments =
            assignments.iter().map(|(id, bytes)| ((*id).clone(), Bytes::from_static(bytes))).collect();
        let generation = Generation::from_wire(generation);
        let request = SyncRequest {
            group: group(),
            caller,
            generation,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        let outcome = self.shard.sync(now(self.now), request, token);
        self.settle(outcome);
        token
    }

    pub fn heartbeat(&mut self, caller: &Caller, generation: i32) -> ErrorCode {
        self.shard.heartbeat(now(self.now), &group(), caller, Generation::from_wire(generation))
    }

    pub fn leave(&mut self, leavers: &[Caller]) -> Vec<ErrorCode> {
        let (codes, outcome) = self.shard.leave(now(self.now), &group(), leavers);
        self.settle(outcome);
        codes
    }

    pub fn commit(
        &mut self,
        caller: Caller,
        generation: i32,
        offset: i64,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.commit_as(CommitRequest {
            group: group(),
            caller,
            generation: Generation::from_wire(generation),
            retention: None,
            knows_group_id_not_found: true,
            offsets: vec![OffsetToCommit {
                at: at("t", 0),
                offset: ClientOffset(offset),
                leader_epoch: Some(ottla_broker_types::LeaderEpoch(7)),
                metadata: "note".into(),
            }],
        })
    }

    pub fn commit_as(&mut self, request: CommitRequest) -> Result<Vec<ErrorCode>, ErrorCode> {
        let (codes, outcome) = self.shard.commit_offsets(now(self.now), &request)?;
        self.settle(outcome);
        Ok(codes)
    }

    /// Lets time pass, with every tick at its time.
    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.shard.next_deadline().0 <= end {
            self.now = self.now.max(self.shard.next_deadline().0);
            let outcome = self.shard.tick(now(self.now));
            self.settle(outcome);
        }
        self.now = end;
    }

    pub fn joined(&self, token: ReplyToken) -> &JoinReply {
        match self.answers.get(&token) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("no join was answered: {other:?}"),
        }
    }

    pub fn synced(&self, token: ReplyToken) -> &SyncReply {
        match self.answers.get(&token) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("no sync was answered: {other:?}"),
        }
    }

    pub fn is_parked(&self, token: ReplyToken) -> bool {
        !self.answers.contains_key(&token)
    }

    pub fn member(&self, token: ReplyToken) -> MemberId {
        self.joined(token).member.clone().unwrap()
    }

    pub fn committed(&self, topic: &str) -> Option<i64> {
        self.shard.committed(&group(), &at(topic, 0)).map(|offset| offset.offset.0)
    }

    /// A stable group of one; returns its member.
    pub fn stable_alone(&mut self) -> MemberId {
        let token = self.join_new();
        self.pass(INITIAL_DELAY);
        let id = self.member(token);
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
