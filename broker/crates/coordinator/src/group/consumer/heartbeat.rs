//! A member's heartbeat: it joins, says what it wants and what it has, and learns what it shall have. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker_types::{DurationMs, MonotonicMs, TopicId};
use regex::RegexBuilder;

use crate::group::consumer::assignors::{Assignor, Subscriber};
use crate::group::consumer::error::{ConsumerHeartbeatError, InvalidHeartbeat};
use crate::group::consumer::group::ConsumerGroup;
use crate::group::consumer::member::{
    ConsumerMember, ConsumerMetadata, CurrentAssignment, MemberState, held_bytes,
};
use crate::group::consumer::partitions::Partitions;
use crate::group::consumer::reconcile::{Target, next_assignment};
use crate::group::consumer::record::{ConsumerGroupValue, ConsumerRecord, PatternTopics};
use crate::group::consumer::topics::Topics;
use crate::group::ids::{GroupEpoch, GroupId, InstanceId, MemberId};
use crate::group::limits::GroupLimits;
use crate::group::record::GroupRecord;
use crate::runtime::budget::Budget;
use crate::runtime::shard::Turn;

/// Bytes that a compiled pattern may take; what would need more is refused, so that one member cannot fill the memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Different patterns in one group; each is matched against every topic when topics change. Groups have one or two.
const PATTERNS_MAX: usize = 100;

/// What a member wants of its membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To become a member (Kafka's epoch 0).
    Join,
    /// To stay one, in the epoch that it has reached.
    Stay(GroupEpoch),
    /// To leave (-1).
    Leave,
    /// To be away for a while and come back under the static name (-2).
    LeaveForAWhile,
}

impl Intent {
    /// What an epoch on the wire means; `None` for those below all that mean something.
    pub const fn from_wire(epoch: i32) -> Option<Intent> {
        match epoch {
            0 => Some(Intent::Join),
            -1 => Some(Intent::Leave),
            -2 => Some(Intent::LeaveForAWhile),
            1.. => Some(Intent::Stay(GroupEpoch(epoch))),
            _ => None,
        }
    }
}

/// A ConsumerGroupHeartbeat. What is `None` has not changed since the last one.
#[derive(Clone, Debug)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: GroupId,
    /// Who asks; `None` for a joining member that leaves it to the coordinator to make an id.
    pub member: Option<MemberId>,
    /// What for.
    pub intent: Intent,
    /// The name of a static member.
    pub instance: Option<InstanceId>,
    /// Where it is.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give partitions up.
    pub rebalance_timeout: Option<DurationMs>,
    /// The topics that it names.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// The pattern of the topics that it wants beside those; an empty one takes it back.
    pub pattern: Option<Arc<str>>,
    /// The assignor that it asks for.
    pub assignor: Option<Arc<str>>,
    /// The partitions that it has.
    pub owned: Option<Partitions>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
}

impl ConsumerHeartbeat {
    /// Refuses what contradicts itself, in Kafka's order.
    pub(crate) fn validate(&self, limits: &GroupLimits) -> Result<(), ConsumerHeartbeatError> {
        match self.intent {
            Intent::Join if self.rebalance_timeout.is_none() => {
                Err(InvalidHeartbeat::NoRebalanceTimeout.into())
            }
            Intent::Join if !self.owned.as_ref().is_some_and(Partitions::is_empty) => {
                Err(InvalidHeartbeat::Owning.into())
            }
            Intent::Join if self.topics.is_none() && self.pattern.is_none() => {
                Err(InvalidHeartbeat::NoSubscription.into())
            }
            Intent::Stay(_) | Intent::Leave | Intent::LeaveForAWhile if self.member.is_none() => {
                Err(InvalidHeartbeat::NoMember.into())
            }
            Intent::LeaveForAWhile if self.instance.is_none() => Err(InvalidHeartbeat::NoInstance.into()),
            _ => match &self.assignor {
                Some(name) => limits.assignor_named(name).map(drop),
                None => Ok(()),
            },
        }
    }

    /// Whether it tells everything anew, and wants to be told everything.
    fn is_full(&self) -> bool {
        self.intent == Intent::Join
            || (self.rebalance_timeout.is_some()
                && (self.topics.is_some() || self.pattern.is_some())
                && self.owned.is_some())
    }

    /// What the member says of itself by now.
    fn metadata(&self, former: Option<&ConsumerMetadata>) -> ConsumerMetadata {
        let pattern = match &self.pattern {
            Some(pattern) => Some(pattern.clone()).filter(|pattern| !pattern.is_empty()),
            None => former.and_then(|former| former.pattern.clone()),
        };
        ConsumerMetadata {
            instance: self.instance.clone().or_else(|| former?.instance.clone()),
            rack: self.rack.clone().or_else(|| former?.rack.clone()),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topics: self.topics.clone().or_else(|| Some(former?.topics.clone())).unwrap_or_default(),
            pattern,
            rebalance_timeout: self
                .rebalance_timeout
                .or_else(|| Some(former?.rebalance_timeout))
                .unwrap_or_default(),
            assignor: self.assignor.clone().or_else(|| former?.assignor.clone()),
        }
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeatReply {
    /// Who was answered.
    pub member: MemberId,
    /// The epoch that it has reached; `None` for one that has left.
    pub epoch: Option<GroupEpoch>,
    /// What it may consume, if that is news or was asked for.
    pub assignment: Option<Partitions>,
}

/// The facts of one heartbeat.
pub(crate) struct Facts<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) limits: &'a GroupLimits,
    pub(crate) memory: &'a Arc<Budget>,
    pub(crate) topics: &'a dyn Topics,
    /// Gives an id to a member that comes without one.
    pub(crate) new_id: &'a dyn Fn() -> MemberId,
}

/// What a heartbeat comes to.
pub(crate) struct Decided {
    pub(crate) reply: ConsumerHeartbeatReply,
    pub(crate) records: Vec<GroupRecord>,
    /// Until when its partitions have to be given up.
    pub(crate) revokes_until: Option<MonotonicMs>,
}

/// Who sent a heartbeat.
struct Sender<'a> {
    id: MemberId,
    known: Option<&'a ConsumerMember>,
    /// The id under which the static member was known before.
    replaces: Option<MemberId>,
}

impl ConsumerGroup {
    /// Decides on a heartbeat of who joins or stays.
    pub(crate) fn heartbeat(
        &self,
        facts: &Facts<'_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<Decided, ConsumerHeartbeatError> {
        let sender = self.sender(facts, heartbeat)?;
        let former = sender.known.map(|member| &*member.metadata);
        let metadata = Arc::new(heartbeat.metadata(former));
        self.has_room(facts, &sender, &metadata)?;
        let mut records = Vec::new();
        if let Some(replaced) = &sender.replaces {
            records.extend(self.member_tombstones(replaced));
        }
        let is_new = sender.known.is_none() || sender.replaces.is_some();
        if is_new || former != Some(&*metadata) {
            records.push(self.record(ConsumerRecord::Member(sender.id.clone(), Some(metadata.clone()))));
        }
        let is_changed = metadata.changes_assignment(former);
        let (epoch, target) = match is_changed || self.is_stale || self.epoch > self.assignment_epoch {
            true => self.assign(facts, &sender, &metadata, &mut records)?,
            false => (self.assignment_epoch, self.standing_target(&sender, &mut records)),
        };
        let current = self.current(&sender);
        let target = Target { epoch, partitions: &target };
        let next = next_assignment(&current, &target, heartbeat.owned.as_ref(), |topic, partition| {
            let owner = self.owners.get(&(topic, partition));
            owner.is_none_or(|owner| *owner == sender.id || Some(owner) == sender.replaces.as_ref())
        });
        let is_news = next.assigned != current.assigned;
        if next != current || is_new {
            records.push(self.record(ConsumerRecord::Current(sender.id.clone(), Some(next.clone()))));
        }
        let is_revoking = next.state == MemberState::UnrevokedPartitions;
        let former_limit = sender
            .known
            .filter(|member| member.current.epoch == next.epoch)
            .and_then(|member| member.revokes_until);
        let limit = former_limit.unwrap_or_else(|| facts.turn.now.mono.plus(metadata.rebalance_timeout));
        Ok(Decided {
            revokes_until: is_revoking.then_some(limit),
            reply: ConsumerHeartbeatReply {
                member: sender.id,
                epoch: next.epoch,
                assignment: (heartbeat.is_full() || is_news).then_some(next.assigned),
            },
            records,
        })
    }

    fn sender(
        &self,
        facts: &Facts<'_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<Sender<'_>, ConsumerHeartbeatError> {
        let id = heartbeat.member.clone().unwrap_or_else(|| (facts.new_id)());
        let joins = heartbeat.intent == Intent::Join;
        let holder = heartbeat.instance.as_ref().and_then(|instance| self.instances.get(instance));
        let is_known = self.members.contains_key(&id) || (joins && holder.is_some());
        if !is_known && self.members.len() >= facts.limits.consumers_max {
            return Err(ConsumerHeartbeatError::GroupFull);
        }
        if let (true, Some(instance), Some(holder)) = (joins, &heartbeat.instance, holder) {
            let held = self.members.get(holder).ok_or(ConsumerHeartbeatError::UnknownMember)?;
            if held.current.epoch.is_some() {
                return Err(ConsumerHeartbeatError::UnreleasedInstance {
                    instance: instance.clone(),
                    holder: holder.clone(),
                });
            }
            return Ok(Sender { id, known: Some(held), replaces: Some(holder.clone()) });
        }
        let known = match joins {
            true => self.members.get(&id),
            false => {
                Some(self.holder(&id, heartbeat.instance.as_ref())?).and_then(|id| self.members.get(&id))
            }
        };
        if let Some(member) = known {
            check_epoch(member, heartbeat)?;
        }
        Ok(Sender { id, known, replaces: None })
    }

    fn has_room(
        &self,
        facts: &Facts<'_>,
        sender: &Sender<'_>,
        metadata: &ConsumerMetadata,
    ) -> Result<(), ConsumerHeartbeatError> {
        if metadata.bytes() > facts.turn.record_bytes_max {
            return Err(ConsumerHeartbeatError::TooLarge);
        }
        let held = sender.known.map_or(0, |member| member.charge.bytes());
        let wanted = held_bytes(&sender.id, metadata, &self.current(sender));
        match facts.memory.has_room(wanted.saturating_sub(held)) {
            true => Ok(()),
            false => Err(ConsumerHeartbeatError::NoMemory),
        }
    }

    /// What the sender has; a static member that comes back begins with what waited for it.
    fn current(&self, sender: &Sender<'_>) -> CurrentAssignment {
        let known = sender.known.map(|member| member.current.clone()).unwrap_or_default();
        if known.epoch.is_some() && sender.replaces.is_none() {
            return known;
        }
        let before = Some(GroupEpoch::default());
        CurrentAssignment { epoch: before, previous_epoch: before, state: MemberState::Stable, ..known }
    }

    /// All members' words, with the sender's new ones.
    fn members_with<'a>(
        &'a self,
        sender: &'a Sender<'a>,
        metadata: &'a ConsumerMetadata,
    ) -> BTreeMap<&'a MemberId, &'a ConsumerMetadata> {
        let others = self.members.iter().filter(|(id, _)| Some(*id) != sender.replaces.as_ref());
        let mut members: BTreeMap<_, _> = others.map(|(id, member)| (id, &*member.metadata)).collect();
        members.insert(&sender.id, metadata);
        members
    }

    /// What the patterns of all members stand for. They are matched again when topics may have changed.
    fn patterns(
        &self,
        facts: &Facts<'_>,
        sender: &Sender<'_>,
        metadata: &ConsumerMetadata,
        records: &mut Vec<GroupRecord>,
    ) -> Result<BTreeMap<Arc<str>, PatternTopics>, ConsumerHeartbeatError> {
        let others = self.members.iter().filter(|(id, _)| **id != sender.id);
        let others = others.filter_map(|(_, member)| member.metadata.pattern.as_ref());
        let wanted: BTreeSet<&Arc<str>> = others.chain(metadata.pattern.as_ref()).collect();
        if wanted.is_empty() && self.patterns.is_empty() {
            return Ok(BTreeMap::new());
        }
        if wanted.len() > PATTERNS_MAX {
            return Err(ConsumerHeartbeatError::Pattern(format!(
                "the group has more than {PATTERNS_MAX} patterns"
            )));
        }
        let mut patterns = BTreeMap::new();
        for pattern in wanted {
            let known = self.patterns.get(pattern);
            let topics = match known {
                Some(known) if !self.is_stale => known.clone(),
                _ => match resolve(facts, pattern) {
                    Ok(topics) => topics,
                    Err(error) if metadata.pattern.as_ref() == Some(pattern) => return Err(error),
                    // Others' patterns, taken by another release or by Kafka, must not stop this member.
                    Err(_) => known.cloned().unwrap_or_default(),
                },
            };
            let more = topics.bytes().saturating_sub(known.map_or(0, PatternTopics::bytes));
            if !facts.memory.has_room(more) {
                return Err(ConsumerHeartbeatError::NoMemory);
            }
            if known.is_none_or(|known| known.topics != topics.topics) {
                records.push(self.record(ConsumerRecord::Pattern(pattern.clone(), Some(topics.clone()))));
            }
            patterns.insert(pattern.clone(), topics);
        }
        let gone = self.patterns.keys().filter(|pattern| !patterns.contains_key(*pattern));
        records.extend(gone.map(|pattern| self.record(ConsumerRecord::Pattern(pattern.clone(), None))));
        Ok(patterns)
    }

    /// What the sender shall have while the group is as it was.
    fn standing_target(&self, sender: &Sender<'_>, records: &mut Vec<GroupRecord>) -> Partitions {
        let target = self.former_target(sender, &sender.id).cloned().unwrap_or_default();
        if sender.replaces.is_some() {
            records.push(self.record(ConsumerRecord::Target(sender.id.clone(), Some(target.clone()))));
        }
        target
    }

    fn former_target(&self, sender: &Sender<'_>, id: &MemberId) -> Option<&Partitions> {
        let known = sender.replaces.as_ref().filter(|_| *id == sender.id).unwrap_or(id);
        self.targets.get(known)
    }

    /// Looks at what all members want and at the topics as they are; if either has changed, the group gets its next
    /// epoch, and who shall have what is decided anew. The epoch of the assignment, and what the sender shall have.
    fn assign(
        &self,
        facts: &Facts<'_>,
        sender: &Sender<'_>,
        metadata: &ConsumerMetadata,
        records: &mut Vec<GroupRecord>,
    ) -> Result<(GroupEpoch, Partitions), ConsumerHeartbeatError> {
        let patterns = self.patterns(facts, sender, metadata, records)?;
        let members = self.members_with(sender, metadata);
        let topics_hash = topics_hash(&members, &patterns, facts.topics);
        let is_changed = metadata.changes_assignment(sender.known.map(|member| &*member.metadata));
        let mut epoch = self.epoch;
        if is_changed || topics_hash != self.topics_hash {
            epoch = epoch.next();
            let value = ConsumerGroupValue { epoch, topics_hash };
            // First: whatever part of the rest is written, the group is assigned anew.
            records.insert(0, self.record(ConsumerRecord::Group(Some(value))));
        }
        if epoch <= self.assignment_epoch {
            return Ok((self.assignment_epoch, self.standing_target(sender, records)));
        }
        let none = Partitions::default();
        let mut counts: BTreeMap<TopicId, u32> = BTreeMap::new();
        let mut subscribers: Vec<Subscriber<'_>> = Vec::with_capacity(members.len());
        for (id, metadata) in &members {
            let found = subscribed(metadata, &patterns).filter_map(|name| facts.topics.find(name));
            let found: Vec<_> = found.map(|topic| (topic.id, topic.partition_count)).collect();
            counts.extend(found.iter().copied());
            subscribers.push(Subscriber {
                member: id,
                instance: metadata.instance.as_ref(),
                topics: found.into_iter().map(|(topic, _)| topic).collect(),
                former: self.former_target(sender, id).unwrap_or(&none),
            });
        }
        let assignor = preferred(members.values().copied()).unwrap_or(facts.limits.default_assignor());
        let mut own = Partitions::default();
        for (subscriber, target) in subscribers.iter().zip(assignor.assign(&subscribers, &counts)) {
            // What the former self of a static member should have ends with it, though it be under the same id.
            let is_replaced = sender.replaces.is_some() && *subscriber.member == sender.id;
            if is_replaced || self.targets.get(subscriber.member) != Some(&target) {
                let record = ConsumerRecord::Target(subscriber.member.clone(), Some(target.clone()));
                records.push(self.record(record));
            }
            if *subscriber.member == sender.id {
                own = target;
            }
        }
        records.push(self.record(ConsumerRecord::Assignment(Some(epoch))));
        Ok((epoch, own))
    }
}

/// A member may come with the epoch that it has, or with the one before if the answer with the new one was lost.
fn check_epoch(member: &ConsumerMember, heartbeat: &ConsumerHeartbeat) -> Result<(), ConsumerHeartbeatError> {
    let given = match heartbeat.intent {
        Intent::Stay(epoch) => epoch,
        Intent::Join | Intent::Leave | Intent::LeaveForAWhile => GroupEpoch::default(),
    };
    let known = member.current.epoch.unwrap_or_default();
    let is_within =
        || heartbeat.owned.as_ref().is_some_and(|owned| owned.is_within(&member.current.assigned));
    let is_before = || given < known && member.current.previous_epoch == Some(given) && is_within();
    match given == known || is_before() {
        true => Ok(()),
        false => Err(ConsumerHeartbeatError::FencedEpoch { given, known }),
    }
}

/// The names that a member wants topics of.
fn subscribed<'a>(
    metadata: &'a ConsumerMetadata,
    patterns: &'a BTreeMap<Arc<str>, PatternTopics>,
) -> impl Iterator<Item = &'a str> {
    let matched = metadata.pattern.as_ref().and_then(|pattern| patterns.get(pattern));
    let matched = matched.into_iter().flat_map(|pattern| &pattern.topics);
    metadata.topics.iter().chain(matched).map(|name| &**name)
}

/// The assignor that most members ask for; none if nobody does.
pub(crate) fn preferred<'a>(members: impl Iterator<Item = &'a ConsumerMetadata>) -> Option<Assignor> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in members.filter_map(|metadata| metadata.assignor.as_deref()) {
        *votes.entry(name).or_default() += 1;
    }
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    most.and_then(|(name, _)| Assignor::named(name))
}

/// The topics that a pattern matches as a whole name, as RE2 does in time linear in the name.
fn resolve(facts: &Facts<'_>, pattern: &str) -> Result<PatternTopics, ConsumerHeartbeatError> {
    let anchored = format!("^(?:{pattern})$");
    let regex =
        RegexBuilder::new(&anchored).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
    let regex = regex.map_err(|error| ConsumerHeartbeatError::Pattern(error.to_string()))?;
    let mut topics = BTreeSet::new();
    facts.topics.each_name(&mut |name| {
        if regex.is_match(name) {
            topics.insert(Arc::from(name));
        }
    });
    Ok(PatternTopics { topics, resolved_at: facts.turn.now.wall })
}

/// Stands for ids and sizes of the topics that somebody wants (FNV-1a, 64 bits).
fn topics_hash(
    members: &BTreeMap<&MemberId, &ConsumerMetadata>,
    patterns: &BTreeMap<Arc<str>, PatternTopics>,
    topics: &dyn Topics,
) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let names: BTreeSet<&str> =
        members.values().flat_map(|metadata| subscribed(metadata, patterns)).collect();
    for topic in names.into_iter().filter_map(|name| topics.find(name)) {
        for byte in topic.id.0.0.into_iter().chain(topic.partition_count.to_be_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.cast_signed()
}
