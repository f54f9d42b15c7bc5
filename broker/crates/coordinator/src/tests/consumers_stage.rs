//! Members of the consumer protocol on the stage: clients that do what they are told.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, TopicId, Uuid};

use super::stage::{Stage, group};
use crate::{
    ConsumerHeartbeat, ConsumerHeartbeatError, ConsumerHeartbeatReply, DecideError, GroupEpoch, InstanceId,
    Intent, MemberId, Partitions, SubscribedTopic, Topics,
};

pub const REBALANCE_TIMEOUT: u64 = 30_000;
pub const CONSUMER_SESSION: u64 = 45_000;

/// The cluster's topics, each with an id made of its name and how often it was made.
#[derive(Clone, Debug, Default)]
pub struct KnownTopics(pub BTreeMap<&'static str, (u8, u32)>);

impl KnownTopics {
    pub fn of(topics: &[(&'static str, u32)]) -> KnownTopics {
        KnownTopics(topics.iter().map(|(name, count)| (*name, (0, *count))).collect())
    }
}

pub fn topic_id(name: &str, made: u8) -> TopicId {
    let mut id = [made; 16];
    for (byte, place) in name.bytes().zip(&mut id) {
        *place = byte;
    }
    TopicId(Uuid(id))
}

impl Topics for KnownTopics {
    fn find(&self, name: &str) -> Option<SubscribedTopic> {
        let (made, partition_count) = *self.0.get(name)?;
        Some(SubscribedTopic { id: topic_id(name, made), partition_count })
    }

    fn each_name(&self, tell: &mut dyn FnMut(&str)) {
        self.0.keys().for_each(|name| tell(name));
    }
}

/// A client: what it has, and what it was told.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub id: MemberId,
    pub instance: Option<InstanceId>,
    pub epoch: i32,
    pub owned: Partitions,
    pub topics: Vec<&'static str>,
    pub pattern: Option<&'static str>,
    pub assignor: Option<&'static str>,
}

impl Consumer {
    pub fn new(id: &str, topics: &[&'static str]) -> Consumer {
        Consumer {
            id: MemberId::new(id).unwrap(),
            instance: None,
            epoch: 0,
            owned: Partitions::default(),
            topics: topics.to_vec(),
            pattern: None,
            assignor: None,
        }
    }

    pub fn named(mut self, instance: &str) -> Consumer {
        self.instance = InstanceId::new(instance);
        self
    }

    /// Its heartbeat, which tells everything.
    pub fn request(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group: group(),
            member: Some(self.id.clone()),
            intent: Intent::from_wire(self.epoch).unwrap(),
            instance: self.instance.clone(),
            rack: None,
            rebalance_timeout: Some(DurationMs(REBALANCE_TIMEOUT)),
            topics: Some(self.topics.iter().map(|topic| (*topic).into()).collect()),
            pattern: self.pattern.map(Into::into),
            assignor: self.assignor.map(Into::into),
            owned: Some(self.owned.clone()),
            client_id: "client".into(),
            client_host: "/198.18.0.1".into(),
        }
    }

    /// Takes what it is told over: gives up at once, and begins with what is new.
    pub fn hear(&mut self, reply: &ConsumerHeartbeatReply) {
        self.epoch = reply.epoch.unwrap_or(GroupEpoch(-1)).0;
        if let Some(assignment) = &reply.assignment {
            self.owned = assignment.clone();
        }
    }

    pub fn indexes(&self) -> Vec<i32> {
        self.owned.iter().map(|(_, index)| index.0).collect()
    }
}

impl Stage {
    pub fn consumer_heartbeat(
        &mut self,
        request: &ConsumerHeartbeat,
        topics: &KnownTopics,
    ) -> Result<ConsumerHeartbeatReply, DecideError<ConsumerHeartbeatError>> {
        self.decide(|shard, turn| shard.consumer_heartbeat(turn, request, topics))
    }

    /// One heartbeat of a consumer, who does what it is told.
    pub fn beat(&mut self, consumer: &mut Consumer, topics: &KnownTopics) {
        let reply = self.consumer_heartbeat(&consumer.request(), topics).expect("the heartbeat is taken");
        consumer.hear(&reply);
    }

    /// Heartbeats of all in turns, until every one has settled.
    pub fn settle(&mut self, consumers: &mut [Consumer], topics: &KnownTopics) {
        for _ in 0..4 {
            for consumer in &mut *consumers {
                self.beat(consumer, topics);
            }
        }
        let state = self.shard().describe_consumers(&group()).expect("there is a group").state;
        assert_eq!(state, crate::ConsumerGroupState::Stable);
    }

    pub fn topics_changed(&mut self) {
        self.certain(|shard, _| ((), shard.topics_changed()));
    }
}
