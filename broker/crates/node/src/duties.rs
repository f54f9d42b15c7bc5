//! What the active controller does by itself, beside the requests that it decides on: fence brokers whose lease ran
//! out, elect leaders where none was eligible, give leaderships back. No I/O, no clock of its own.

use std::collections::BTreeSet;

use ottla_broker_metadata::Image;
use ottla_broker_metadata::controller::{
    Context, Decision, HeartbeatFacts, HeartbeatRequest, elect_leaderless, fence_broker, rebalance_leaders,
};
use ottla_broker_types::{BrokerEpoch, DurationMs, MonotonicMs, NodeId, PartitionIndex, TopicId};

use crate::leader_return::{LeaderReturn, Left};
use crate::leases::Leases;

/// Leaderships that one round gives back; the rest follows in the next.
const RETURNED_LEADERS_MAX: usize = 1_000;

impl Leases {
    /// The leases of a controller that begins on the node `own`. Every broker of the image gets a whole one but the
    /// controller's own former self, which it has replaced and which would keep it from registering: `is_registered`
    /// says whether this run of its broker is.
    pub fn begin(
        own: NodeId,
        lease: DurationMs,
        now: MonotonicMs,
        image: &Image,
        is_registered: bool,
    ) -> Leases {
        let ids = image.brokers().map(|broker| broker.id);
        Leases::new(own, lease, now, ids.filter(|id| is_registered || *id != own))
    }

    /// A heartbeat arrived. It counts only under the broker's present registration.
    pub fn heartbeat(&mut self, now: MonotonicMs, image: &Image, request: &HeartbeatRequest) {
        if image.broker(request.broker).is_some_and(|broker| broker.epoch == request.epoch) {
            self.heard(now, request.broker);
            self.applied(request.broker, request.applied_end);
        }
    }

    /// What a heartbeat of `node` is decided on beside the image.
    pub fn heartbeat_facts(&self, image: &Image, node: NodeId) -> HeartbeatFacts {
        let others = image.brokers().filter(|other| other.is_active() && other.id != node);
        HeartbeatFacts {
            handed_over_end: self.handed_over_end(node),
            others_applied_end: self.lowest_applied(others.map(|other| other.id)),
        }
    }

    /// The registrations to be fenced, in the order of ids: not fenced yet, without a lease. Brokers that are registered
    /// no longer are forgotten.
    pub fn to_fence(&mut self, now: MonotonicMs, image: &Image) -> Vec<(NodeId, BrokerEpoch)> {
        let mut due = Vec::new();
        for node in self.expired(now) {
            match image.broker(node) {
                Some(broker) if !broker.fenced => due.push((node, broker.epoch)),
                Some(_) => {}
                None => self.forget(node),
            }
        }
        due
    }

    /// Fences a registration, unless the broker was heard of, or has registered anew, while the decision waited for its
    /// turn.
    pub fn fence(
        &mut self,
        now: MonotonicMs,
        context: Context<'_>,
        (node, epoch): (NodeId, BrokerEpoch),
    ) -> Decision<()> {
        let fenced = match self.is_live(now, node) {
            true => None,
            false => fence_broker(context, node, epoch).ok(),
        };
        fenced.unwrap_or_else(|| Decision::reply(()))
    }
}

/// A round over the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Leaders for partitions that have none.
    ElectLeaderless,
    /// Leaderships back to the preferred replicas.
    ReturnLeaders,
}

/// When the rounds of a controller come.
#[derive(Debug)]
pub struct Duties {
    leader_return: Option<LeaderReturn>,
    leaderless: Leaderless,
}

impl Duties {
    /// The duties of a controller that begins. Leaderships go back at least every `return_interval`; never without one
    /// (`auto.leader.rebalance.enable`).
    pub fn new(return_interval: Option<DurationMs>, now: MonotonicMs) -> Duties {
        let leader_return = return_interval.map(|interval| LeaderReturn::new(interval, now));
        Duties { leader_return, leaderless: Leaderless::default() }
    }

    /// The rounds that are due, in their order. Each is to be decided on before the next look.
    pub fn due(&mut self, now: MonotonicMs, image: &Image) -> Vec<Round> {
        let mut due = Vec::new();
        if self.leaderless.look(image) {
            due.push(Round::ElectLeaderless);
        }
        let in_service = image.brokers().filter(|broker| broker.is_active()).map(|broker| broker.id);
        if let Some(leader_return) = &mut self.leader_return
            && leader_return.is_due(now, in_service.collect())
        {
            due.push(Round::ReturnLeaders);
        }
        due
    }

    /// Decides on a round.
    pub fn decide(&mut self, now: MonotonicMs, context: Context<'_>, round: Round) -> Decision<()> {
        let records = match round {
            Round::ElectLeaderless => elect_leaderless(context).records,
            Round::ReturnLeaders => {
                let decision = rebalance_leaders(context, RETURNED_LEADERS_MAX);
                let left = match decision.reply.left {
                    0 => Left::Nothing,
                    _ if decision.reply.elected >= RETURNED_LEADERS_MAX => Left::More,
                    _ => Left::Away,
                };
                if let Some(leader_return) = &mut self.leader_return {
                    leader_return.done(now, left);
                }
                decision.records
            }
        };
        Decision { records, reply: () }
    }
}

/// The partitions without a leader, kept up with the metadata by what changes in it.
#[derive(Debug, Default)]
struct Leaderless {
    looked_at: Image,
    partitions: BTreeSet<(TopicId, PartitionIndex)>,
}

impl Leaderless {
    /// Whether the metadata has changed and there are any: something may let one of them get a leader.
    fn look(&mut self, image: &Image) -> bool {
        if image.applied_end() == self.looked_at.applied_end() {
            return false;
        }
        let changes = image.changes_since(&self.looked_at);
        self.looked_at = image.clone();
        for (_, id) in &changes.topics_removed {
            self.partitions.retain(|(topic, _)| topic != id);
        }
        for changed in changes.partitions {
            let at = (changed.id, changed.partition);
            let topic = image.topic_by_id(changed.id);
            match topic.and_then(|topic| topic.partition(changed.partition)) {
                Some(partition) if partition.leader.is_none() => self.partitions.insert(at),
                Some(_) | None => self.partitions.remove(&at),
            };
        }
        !self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_metadata::Record;
    use ottla_broker_metadata::record::{LeaderRecoveryState, PartitionChange, PartitionRecord};
    use ottla_broker_types::{LeaderEpoch, Offset, PartitionEpoch, TopicName, Uuid};

    use super::*;

    const TOPIC: TopicId = TopicId(Uuid([1; 16]));

    fn partition(index: i32) -> Record {
        Record::Partition(PartitionRecord {
            topic: TOPIC,
            partition: PartitionIndex(index),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            removing: Vec::new(),
            adding: Vec::new(),
            leader: Some(NodeId(1)),
            recovery: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        })
    }

    fn leader(index: i32, leader: Option<i32>) -> Record {
        let none = PartitionChange::none(TOPIC, PartitionIndex(index));
        Record::PartitionChange(PartitionChange { leader: Some(leader.map(NodeId)), ..none })
    }

    #[test]
    fn elections_are_tried_at_each_change_while_a_partition_has_no_leader() {
        let (mut image, mut leaderless) = (Image::default(), Leaderless::default());
        let mut look = |records: &[Record]| {
            image.apply_batch(records, image.applied_end()).unwrap();
            leaderless.look(&image)
        };
        let topic = Record::Topic { name: TopicName::new("t").unwrap(), id: TOPIC };
        assert!(!look(&[topic, partition(0), partition(1)]));
        assert!(look(&[leader(1, None)]));
        assert!(look(&[Record::NoOp]), "a change of anything else may help");
        assert!(!look(&[leader(1, Some(1))]));
        assert!(look(&[leader(0, None)]));
        assert!(!look(&[Record::RemoveTopic { id: TOPIC }]));
    }

    #[test]
    fn an_image_is_looked_at_once() {
        let mut leaderless = Leaderless::default();
        let mut image = Image::default();
        let topic = Record::Topic { name: TopicName::new("t").unwrap(), id: TOPIC };
        image.apply_batch(&[topic, partition(0), leader(0, None)], Offset::ZERO).unwrap();
        assert!(leaderless.look(&image) && !leaderless.look(&image));
    }
}
