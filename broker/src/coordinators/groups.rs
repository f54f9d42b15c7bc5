//! The groups coordinated here, and what their APIs ask of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_broker_config::GroupsConfig;
use ottla_broker_coordinator::{
    Assignor, Budget, Caller, CommitOffsetError, CommitOffsetsError, CommitRequest, ConsumerGroupDescription,
    ConsumerHeartbeat, ConsumerHeartbeatError, ConsumerHeartbeatReply, DecideError, DeleteGroupError,
    Generation, GroupDescription, GroupId, GroupLimits, GroupListing, GroupMemory, GroupShard,
    HeartbeatError, JoinReply, JoinRequest, Leaver, MemberError, PerPart, Reply, StillSubscribed,
    SubscribedTopic, SyncReply, SyncRequest, Topics, Unanswered,
};
use ottla_broker_metadata::ImageChanges;
use ottla_broker_types::{DurationMs, TopicPartition};

use super::answers::{Answered, Parked};
use super::hosted_shard::HostedShard;
use super::registry::{Coordinators, Kind};
use crate::broker::Broker;
use crate::view::View;

pub use super::registry::partition_for;

/// The topic of groups and their offsets.
pub const OFFSETS_TOPIC: &str = GroupShard::TOPIC;

/// An odd step, so that seeds repeat only after all others; large, so that their sequences stay apart.
const SEED_STEP: u64 = 0x5851_f42d_4c95_7f2d;

/// The groups of one broker.
pub type Groups = Coordinators<OfGroups>;

/// What this broker tells its shards of groups.
pub struct OfGroups {
    limits: GroupLimits,
    pub(super) memory: GroupMemory,
    commit_timeout: DurationMs,
    seed: AtomicU64,
}

impl Kind for OfGroups {
    type Shard = GroupShard;

    const TOPIC: &str = OFFSETS_TOPIC;

    fn empty(&self) -> GroupShard {
        let seed = self.seed.fetch_add(SEED_STEP, Ordering::Relaxed);
        GroupShard::new(self.limits.clone(), self.memory.clone(), seed)
    }

    fn commit_timeout(&self) -> DurationMs {
        self.commit_timeout
    }

    /// Topics may have been deleted while nobody coordinated these groups.
    fn begun(&self, broker: &Arc<Broker>, hosted: &HostedShard<GroupShard>) {
        let view = broker.view();
        let topics = hosted.look(GroupShard::topics).unwrap_or_default();
        for topic in topics.iter().filter(|topic| view.topic(topic.as_str()).is_none()) {
            // What cannot be written now goes at the next load.
            let _ = hosted.decide_at_once(|shard, _| ((), shard.topic_deleted(topic)));
        }
    }

    fn metadata_changed(&self, changes: &ImageChanges, hosted: &HostedShard<GroupShard>) {
        for (name, _) in &changes.topics_removed {
            // A shard that is loading drops them at the end of it.
            let _ = hosted.decide_at_once(|shard, _| ((), shard.topic_deleted(name)));
        }
        if !changes.topics_sized.is_empty() || !changes.topics_removed.is_empty() {
            // One that is loading looks at all topics at the end of it.
            let _ = hosted.decide_at_once(|shard, _| ((), shard.topics_changed()));
        }
    }
}

/// The topics as they are known here at the moment.
struct KnownTopics(Arc<View>);

impl Topics for KnownTopics {
    fn find(&self, name: &str) -> Option<SubscribedTopic> {
        let topic = self.0.topic(name)?;
        let partition_count = u32::try_from(topic.partition_count()).unwrap_or(u32::MAX);
        Some(SubscribedTopic { id: topic.id, partition_count })
    }

    fn each_name(&self, tell: &mut dyn FnMut(&str)) {
        self.0.topics().filter(|topic| !topic.name.is_internal()).for_each(|topic| tell(topic.name.as_str()));
    }
}

impl Groups {
    /// No shards yet; member ids come from `seed`, which must not be guessed. What members say and what is committed
    /// may each take `bytes_max`.
    pub fn new(config: &GroupsConfig, bytes_max: usize, seed: u64) -> Groups {
        let limits = GroupLimits {
            session_timeout_min: config.session_timeout_ms_min,
            session_timeout_max: config.session_timeout_ms_max,
            initial_rebalance_delay: config.initial_rebalance_delay_ms,
            members_max: config.members_max as usize,
            consumer_session_timeout: config.consumer_session_timeout_ms,
            consumers_max: config.consumers_max as usize,
            assignors: config.consumer_assignors.iter().filter_map(|name| Assignor::named(name)).collect(),
            offset_metadata_bytes_max: config.offset_metadata_bytes_max as usize,
            offsets_retention: config.offsets_retention_ms,
            offsets_retention_check: config.offsets_retention_check_ms,
        };
        Coordinators::of(OfGroups {
            limits,
            memory: GroupMemory { members: Budget::new(bytes_max), offsets: Budget::new(bytes_max) },
            commit_timeout: config.offsets_commit_timeout_ms,
            seed: AtomicU64::new(seed),
        })
    }

    /// Joins; the answer comes when the group's members are together.
    pub fn join(&self, broker: &Broker, join: &JoinRequest) -> Result<Parked<JoinReply, Reply>, Unanswered> {
        let shard = self.shard(broker, join.group.as_str())?;
        shard.decide_parked(|shard, turn, token| shard.join(turn, join, token))
    }

    /// Syncs; the answer comes when the leader's assignment is committed.
    pub fn sync(&self, broker: &Broker, sync: SyncRequest) -> Result<Parked<SyncReply, Reply>, Unanswered> {
        let shard = self.shard(broker, sync.group.as_str())?;
        shard.decide_parked(|shard, turn, token| shard.sync(turn, sync, token))
    }

    /// A heartbeat, which writes nothing.
    pub fn heartbeat(
        &self,
        broker: &Broker,
        group: &GroupId,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> Result<(), DecideError<HeartbeatError>> {
        let shard = self.shard(broker, group.as_str())?;
        let told = shard.decide_at_once(|shard, turn| shard.heartbeat(turn, group, caller, generation))?;
        told.map_err(DecideError::Refused)
    }

    /// A heartbeat of the consumer protocol, answered when what it changes is committed.
    pub fn consumer_heartbeat(
        &self,
        broker: &Broker,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<Answered<ConsumerHeartbeatReply>, DecideError<ConsumerHeartbeatError>> {
        let shard = self.shard(broker, heartbeat.group.as_str())?;
        // The topics are looked at within the decision: what changes after it makes the group look again.
        shard.decide(|shard, turn| shard.consumer_heartbeat(turn, heartbeat, &KnownTopics(broker.view())))
    }

    /// A group of the consumer protocol as administrators see it; `None` if there is no such group.
    pub fn describe_consumers(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<Option<ConsumerGroupDescription>, Unanswered> {
        self.shard(broker, group.as_str())?.look(|shard| shard.describe_consumers(group))
    }

    /// Leaves; a result for each leaver.
    pub fn leave(
        &self,
        broker: &Broker,
        group: &GroupId,
        leavers: &[Leaver],
    ) -> Result<Answered<PerPart<MemberError>>, DecideError<Infallible>> {
        let shard = self.shard(broker, group.as_str())?;
        shard.decide(|shard, turn| Ok(shard.leave(turn, group, leavers)))
    }

    /// Commits offsets; a result for each.
    pub fn commit_offsets(
        &self,
        broker: &Broker,
        commit: &CommitRequest,
    ) -> Result<Answered<PerPart<CommitOffsetError>>, DecideError<CommitOffsetsError>> {
        let shard = self.shard(broker, commit.group.as_str())?;
        shard.decide(|shard, turn| shard.commit_offsets(turn, commit))
    }

    /// Deletes offsets; a result for each.
    pub fn delete_offsets(
        &self,
        broker: &Broker,
        group: &GroupId,
        wanted: &[TopicPartition],
    ) -> Result<Answered<PerPart<StillSubscribed>>, DecideError<DeleteGroupError>> {
        let shard = self.shard(broker, group.as_str())?;
        shard.decide(|shard, _| shard.delete_offsets(group, wanted))
    }

    /// Deletes a group that has no members.
    pub fn delete_group(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<Answered<()>, DecideError<DeleteGroupError>> {
        let shard = self.shard(broker, group.as_str())?;
        shard.decide(|shard, _| Ok(((), shard.delete_group(group)?)))
    }

    /// Reads the shard of a group; what was read may be told when it is committed.
    pub fn read<T>(
        &self,
        broker: &Broker,
        group: &GroupId,
        read: impl FnOnce(&GroupShard) -> T,
    ) -> Result<Answered<T>, Unanswered> {
        self.shard(broker, group.as_str())?.read(read)
    }

    /// A group as administrators see it; `None` if there is no such group.
    pub fn describe(&self, broker: &Broker, group: &GroupId) -> Result<Option<GroupDescription>, Unanswered> {
        self.shard(broker, group.as_str())?.look(|shard| shard.describe(group))
    }

    /// The groups of all shards that are loaded, and whether some are not yet.
    pub fn list(&self) -> (Vec<GroupListing>, bool) {
        let mut listed = Vec::new();
        let mut is_loading = false;
        for shard in self.shards() {
            match shard.look(|shard| shard.list().collect::<Vec<_>>()) {
                Ok(groups) => listed.extend(groups),
                Err(why) => is_loading |= why == Unanswered::Loading,
            }
        }
        (listed, is_loading)
    }
}
