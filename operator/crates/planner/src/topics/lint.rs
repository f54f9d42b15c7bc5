//! A second look at a topic's plan before it is executed, by rules of its own rather than the planner's: what one mistake
//! in it could cost is records or a person's settings. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, TopicPartition};

use super::{TopicAction, TopicFacts, TopicInput, TopicPlan};
use crate::action::Reassignment;
use crate::rebalance::{self, Broker, BrokerState, Model, Move, Partition};

/// What speaks against executing a topic's plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A topic would be made that is there.
    #[error("it makes a topic that exists")]
    Exists,
    /// Something would be changed of a topic that is not there.
    #[error("it changes a topic that does not exist")]
    Missing,
    /// The number of partitions would not grow, or beyond what is asked for.
    #[error("it goes from {now} partitions to {planned}")]
    Partitions {
        /// Partitions that there are.
        now: usize,
        /// Partitions that the plan wants.
        planned: i32,
    },
    /// A setting would change that the object neither names nor has set.
    #[error("it changes the setting {0}, which is not this object's")]
    OthersSetting(String),
    /// A partition of another topic would change.
    #[error("it moves {0}, which is of another topic")]
    OtherTopic(TopicPartition),
    /// No replica that is in sync would stay.
    #[error("{0} would keep none of its replicas in sync")]
    NoneStays(TopicPartition),
    /// A reassignment that must not be started.
    #[error(transparent)]
    Move(#[from] rebalance::Fault),
}

/// Everything that speaks against executing `plan`, which was made from `input`. Nothing of a plan with a fault is done.
pub fn lint(input: &TopicInput<'_>, plan: &TopicPlan) -> Vec<Fault> {
    plan.actions.iter().flat_map(|action| lint_action(input, action)).collect()
}

fn lint_action(input: &TopicInput<'_>, action: &TopicAction) -> Vec<Fault> {
    let facts = match (action, input.facts) {
        (TopicAction::Create { .. }, None) => return vec![],
        (TopicAction::Create { .. }, Some(_)) => return vec![Fault::Exists],
        (_, None) => return vec![Fault::Missing],
        (_, Some(facts)) => facts,
    };
    match action {
        TopicAction::Create { .. } => vec![],
        TopicAction::Grow { partitions } => grow(input, facts, *partitions).into_iter().collect(),
        TopicAction::Configure { set, delete } => {
            let named = &input.topic.config;
            let own = |name: &String| input.former.managed_config.contains(name) && !named.contains_key(name);
            let set = set.iter().filter(|(name, value)| named.get(*name) != Some(*value));
            let delete = delete.iter().filter(|name| !own(name));
            let wrong = set.map(|(name, _)| name).chain(delete);
            wrong.map(|name| Fault::OthersSetting(name.clone())).collect()
        }
        TopicAction::Reassign(changes) => reassign(input, facts, changes),
    }
}

fn grow(input: &TopicInput<'_>, facts: &TopicFacts, planned: i32) -> Option<Fault> {
    let now = facts.partitions.len();
    let grows = usize::try_from(planned).is_ok_and(|planned| planned > now);
    (!grows || input.topic.partitions != Some(planned)).then_some(Fault::Partitions { now, planned })
}

fn reassign(input: &TopicInput<'_>, facts: &TopicFacts, changes: &[Reassignment]) -> Vec<Fault> {
    let mut faults = vec![];
    let mut model = Model { brokers: brokers(input, facts), partitions: vec![] };
    let mut moves = vec![];
    for change in changes {
        let name = &change.partition;
        if name.topic != input.topic.topic {
            faults.push(Fault::OtherTopic(name.clone()));
            continue;
        }
        let now = facts.partitions.get(&name.partition);
        if now
            .is_some_and(|now| !now.isr.is_empty() && !now.isr.iter().any(|id| change.replicas.contains(id)))
        {
            faults.push(Fault::NoneStays(name.clone()));
        }
        model.partitions.extend(now.map(|now| {
            let mut partition = Partition::new(name.topic.clone(), name.partition, now.target());
            partition.reassigning = now.moves();
            partition.replication_factor =
                input.topic.replication_factor.and_then(|copies| copies.try_into().ok());
            partition
        }));
        let original = now.map(|now| now.replicas.clone()).unwrap_or_default();
        let (topic, partition, target) = (name.topic.clone(), name.partition, change.replicas.clone());
        moves.push(Move { topic, partition, original, target, bytes: 0 });
    }
    moves.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    let originals: BTreeMap<_, &Vec<NodeId>> =
        moves.iter().map(|step| (step.partition, &step.original)).collect();
    // A replica on a broker that is away stays where it is: only another that comes must find its broker.
    let stays = |fault: &rebalance::Fault| match fault {
        rebalance::Fault::Target { partition, broker } => {
            originals.get(&partition.partition).is_some_and(|original| original.contains(broker))
        }
        _ => false,
    };
    let found = rebalance::lint_moves(&model, &moves);
    faults.extend(found.into_iter().filter(|fault| !stays(fault)).map(Fault::Move));
    faults
}

/// Brokers that take replicas, and those that hold some besides: they can be copied from if they are in sync.
fn brokers(input: &TopicInput<'_>, facts: &TopicFacts) -> Vec<Broker> {
    let mut brokers: Vec<Broker> =
        input.hosts.iter().map(|host| Broker::new(host.id, host.rack.clone())).collect();
    let hosts: BTreeSet<NodeId> = input.hosts.iter().map(|host| host.id).collect();
    let in_sync: BTreeSet<NodeId> = facts.partitions.values().flat_map(|p| p.isr.iter().copied()).collect();
    let named: BTreeSet<NodeId> =
        facts.partitions.values().flat_map(|p| p.replicas.iter().copied()).collect();
    for id in named.difference(&hosts) {
        let mut broker = Broker::new(*id, None);
        broker.state = if in_sync.contains(id) { BrokerState::Draining } else { BrokerState::Dead };
        brokers.push(broker);
    }
    brokers
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{PartitionIndex, TimestampMs};
    use ottla_operator_crd::{KafkaTopicStatus, ValidatedTopic};

    use super::*;
    use crate::testing::{partition, topic_partition};
    use crate::topics::{Host, plan};

    fn topic(spec: serde_json::Value) -> ValidatedTopic {
        let mut spec = spec;
        spec["cluster"] = "demo".into();
        let object = serde_json::json!({
            "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaTopic", "spec": spec,
            "metadata": { "name": "t", "namespace": "default", "generation": 1 },
        });
        ValidatedTopic::new(&serde_json::from_value(object).expect("it fits the type")).expect("it is valid")
    }

    /// What is found in a plan of these actions for a topic `t` with one partition on brokers 0 and 1 of four, of which
    /// three copies, two partitions and a retention are asked for.
    fn faults(exists: bool, actions: Vec<TopicAction>) -> Vec<Fault> {
        let spec =
            serde_json::json!({ "partitions": 2, "replicationFactor": 3, "config": { "retention.ms": 5 } });
        let topic = topic(spec);
        let partitions = BTreeMap::from([(PartitionIndex(0), partition(&[0, 1], &[0, 1]))]);
        let facts = TopicFacts { id: None, partitions, config: None };
        let hosts: Vec<Host> = (0..4).map(|id| Host { id: NodeId(id), rack: None, replicas: 1 }).collect();
        let former = KafkaTopicStatus::default();
        let input = TopicInput {
            topic: &topic,
            former: &former,
            facts: exists.then_some(&facts),
            hosts: &hosts,
            now: TimestampMs(0),
        };
        let made = TopicPlan { actions, ..plan(&input) };
        lint(&input, &made)
    }

    fn reassignment(topic: &str, replicas: &[i32]) -> TopicAction {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        TopicAction::Reassign(vec![Reassignment { partition: topic_partition(topic, 0), replicas }])
    }

    fn configure(set: &[(&str, &str)], delete: &[&str]) -> TopicAction {
        TopicAction::Configure {
            set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            delete: delete.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn what_a_plan_may_do_is_no_fault() {
        let create =
            TopicAction::Create { partitions: None, replication_factor: None, config: BTreeMap::new() };
        assert_eq!(faults(false, vec![create]), []);
        let actions = vec![
            TopicAction::Grow { partitions: 2 },
            configure(&[("retention.ms", "5")], &[]),
            reassignment("t", &[0, 1, 3]),
        ];
        assert_eq!(faults(true, actions), []);
    }

    #[test]
    fn partitions_never_shrink_nor_grow_beyond_what_is_asked_for() {
        for planned in [0, 1, 3] {
            let found = faults(true, vec![TopicAction::Grow { partitions: planned }]);
            assert_eq!(found, [Fault::Partitions { now: 1, planned }]);
        }
    }

    #[test]
    fn a_topic_that_exists_is_not_made_and_one_that_does_not_is_not_changed() {
        let create =
            TopicAction::Create { partitions: None, replication_factor: None, config: BTreeMap::new() };
        assert_eq!(faults(true, vec![create]), [Fault::Exists]);
        assert_eq!(faults(false, vec![reassignment("t", &[0, 1, 2])]), [Fault::Missing]);
    }

    #[test]
    fn settings_of_others_are_left_alone() {
        let found = faults(true, vec![configure(&[("retention.ms", "7")], &["cleanup.policy"])]);
        let expected = ["retention.ms", "cleanup.policy"].map(|name| Fault::OthersSetting(name.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn copies_are_moved_within_the_topic_to_brokers_that_are_there_and_one_in_sync_stays() {
        let name = topic_partition("t", 0);
        let other = faults(true, vec![reassignment("u", &[0, 1, 2])]);
        assert_eq!(other, [Fault::OtherTopic(topic_partition("u", 0))]);
        assert_eq!(faults(true, vec![reassignment("t", &[1, 2, 3])]), []);
        let unknown = faults(true, vec![reassignment("t", &[0, 1, 7])]);
        let target = rebalance::Fault::Target { partition: name.clone(), broker: NodeId(7) };
        assert!(unknown.contains(&Fault::Move(target)), "{unknown:?}");
        let lost = faults(true, vec![reassignment("t", &[2, 3, 2])]);
        assert!(lost.contains(&Fault::NoneStays(name)), "{lost:?}");
        let few = faults(true, vec![reassignment("t", &[0])]);
        assert!(matches!(few[..], [Fault::Move(rebalance::Fault::Replicas { .. })]), "{few:?}");
    }
}
