//! From the cluster as it is to the cluster as it was asked for: drains, dead brokers, numbers of replicas. No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TopicName};
use ottla_operator_planner::rebalance::{BrokerState, Model};

use super::arguments::ReplicationFactor;

/// How many names an error lists.
const NAMED_MAX: usize = 20;

/// Why a wish cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum AdjustError {
    /// An option names a broker that is not there.
    #[error("{option} {broker}: there is no such broker, only {known}")]
    UnknownBroker {
        /// The option.
        option: &'static str,
        /// The broker.
        broker: NodeId,
        /// Those that exist.
        known: String,
    },
    /// A broker is said to be dead and to drain.
    #[error(
        "broker {0} is in both --drain and --dead: one that serves drains, one that will not come back is dead"
    )]
    DrainedAndDead(NodeId),
    /// A topic is named that is not there.
    #[error("--replication-factor {0}: there is no such topic")]
    UnknownTopic(TopicName),
}

/// Changes `model` to what is asked for.
pub(super) fn adjust(
    model: &mut Model,
    drain: &[NodeId],
    dead: &[NodeId],
    factors: &[ReplicationFactor],
) -> Result<(), AdjustError> {
    if let Some(both) = drain.iter().find(|id| dead.contains(id)) {
        return Err(AdjustError::DrainedAndDead(*both));
    }
    let wishes = [("--drain", drain, BrokerState::Draining), ("--dead", dead, BrokerState::Dead)];
    for (option, ids, state) in wishes {
        for &id in ids {
            let mut found = model.brokers.iter_mut().filter(|broker| broker.id == id).peekable();
            if found.peek().is_none() {
                drop(found);
                let known = list(model.brokers.iter().map(|broker| broker.id));
                return Err(AdjustError::UnknownBroker { option, broker: id, known });
            }
            found.for_each(|broker| broker.state = state);
        }
    }
    // What is said of one topic counts, in whatever order it is said.
    let (of_all, of_one): (Vec<_>, Vec<_>) = factors.iter().partition(|factor| factor.topic.is_none());
    for factor in of_all.into_iter().chain(of_one) {
        let mut found = false;
        for partition in &mut model.partitions {
            if factor.topic.as_ref().is_none_or(|topic| *topic == partition.topic) {
                partition.replication_factor = Some(factor.replicas);
                found = true;
            }
        }
        if let Some(topic) = factor.topic.as_ref().filter(|_| !found) {
            return Err(AdjustError::UnknownTopic(topic.clone()));
        }
    }
    Ok(())
}

/// Ids as a person lists them.
pub(super) fn list(ids: impl IntoIterator<Item = NodeId>) -> String {
    let ids: BTreeSet<NodeId> = ids.into_iter().collect();
    let mut named: Vec<String> = ids.iter().take(NAMED_MAX).map(NodeId::to_string).collect();
    if ids.len() > NAMED_MAX {
        named.push(format!("and {} more", ids.len() - NAMED_MAX));
    }
    if named.is_empty() { "none".to_owned() } else { named.join(", ") }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::PartitionIndex;
    use ottla_operator_planner::rebalance::{Broker, Partition};

    use super::*;

    fn model() -> Model {
        let topic = |name: &str| TopicName::new(name).expect("a valid name");
        Model {
            brokers: (0..3).map(|id| Broker::new(NodeId(id), None)).collect(),
            partitions: ["a", "b"]
                .map(|name| Partition::new(topic(name), PartitionIndex(0), vec![NodeId(0)]))
                .into(),
        }
    }

    #[test]
    fn drains_and_dead_brokers_get_their_state() {
        let mut model = model();
        adjust(&mut model, &[NodeId(1)], &[NodeId(2)], &[]).expect("they exist");
        let states: Vec<_> = model.brokers.iter().map(|broker| broker.state).collect();
        assert_eq!(states, [BrokerState::Alive, BrokerState::Draining, BrokerState::Dead]);
    }

    #[test]
    fn a_broker_that_is_not_there_is_refused_by_name() {
        let error = adjust(&mut model(), &[NodeId(7)], &[], &[]).expect_err("unknown");
        assert_eq!(error.to_string(), "--drain 7: there is no such broker, only 0, 1, 2");
        let error = adjust(&mut model(), &[NodeId(1)], &[NodeId(1)], &[]).expect_err("both");
        assert_eq!(error, AdjustError::DrainedAndDead(NodeId(1)));
    }

    #[test]
    fn a_topics_own_number_of_replicas_wins_over_that_of_all() {
        let mut model = model();
        let factors = ["a=2", "3"].map(|text| text.parse().expect("valid"));
        adjust(&mut model, &[], &[], &factors).expect("the topic exists");
        let wanted: Vec<_> = model.partitions.iter().map(|partition| partition.replication_factor).collect();
        assert_eq!(wanted, [Some(2), Some(3)]);
        let unknown = ["c=2".parse().expect("valid")];
        let error = adjust(&mut model, &[], &[], &unknown).expect_err("unknown");
        assert_eq!(error.to_string(), "--replication-factor c: there is no such topic");
    }
}
