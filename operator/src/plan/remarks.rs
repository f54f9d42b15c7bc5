//! What a person must know beside the plan, from what the cluster told. No I/O.

use ottla_broker_types::TopicPartition;
use ottla_operator_planner::rebalance::{Move, Plan, lint};

use super::live::Live;

/// What speaks against the plan, or must be known beside it.
pub(super) fn remarks(live: &Live, plan: &Plan) -> Vec<String> {
    let mut remarks = live.remarks.clone();
    let waiting: Vec<&Move> = match live.behind.is_empty() {
        true => Vec::new(),
        false => plan.moves().iter().filter(|step| waits(live, step)).collect(),
    };
    if let Some(first) = waiting.first() {
        remarks.push(format!(
            "{} partitions, {}-{} first, keep a replica that is not in sync: their moves end once it has caught up",
            waiting.len(),
            first.topic,
            first.partition
        ));
    }
    remarks.extend(lint(&live.model, plan).iter().map(ToString::to_string));
    remarks
}

/// Whether a move cannot end yet: Kafka waits until every replica of the new list is in sync, those that stay, too.
fn waits(live: &Live, step: &Move) -> bool {
    let partition = TopicPartition { topic: step.topic.clone(), partition: step.partition };
    let mut kept = step.target.iter().filter(|id| step.original.contains(id));
    step.adding().next().is_some() && kept.any(|id| live.behind.contains(&(partition.clone(), *id)))
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{NodeId, PartitionIndex, TopicName};
    use ottla_operator_planner::rebalance::{Broker, BrokerState, Model, Options, Partition, plan};

    use super::*;

    /// Broker 0 shall go, and its two partitions lie on brokers 0 and 1.
    fn live() -> Live {
        let topic = TopicName::new("t").expect("a valid name");
        let list = vec![NodeId(0), NodeId(1)];
        let mut model = Model {
            brokers: (0..3).map(|id| Broker::new(NodeId(id), None)).collect(),
            partitions: (0..2)
                .map(|index| Partition::new(topic.clone(), PartitionIndex(index), list.clone()))
                .collect(),
        };
        model.brokers[0].state = BrokerState::Draining;
        Live { model, ..Live::default() }
    }

    fn said(live: &Live) -> Vec<String> {
        remarks(live, &plan(&live.model, &Options::default()).expect("a plan"))
    }

    #[test]
    fn a_move_that_keeps_a_lagging_replica_is_told() {
        let mut live = live();
        assert!(said(&live).is_empty());
        let topic = TopicName::new("t").expect("a valid name");
        let partition = TopicPartition { topic, partition: PartitionIndex(1) };
        live.behind.insert((partition.clone(), NodeId(0)));
        assert!(said(&live).is_empty(), "what leaves need not catch up");
        live.behind.insert((partition, NodeId(1)));
        let said = said(&live);
        assert!(
            said[0].starts_with("1 partitions, t-1 first, keep a replica that is not in sync"),
            "{said:?}"
        );
    }

    #[test]
    fn a_partition_without_a_source_is_told() {
        let mut live = live();
        live.model.brokers[0].state = BrokerState::Dead;
        live.model.partitions[0].replicas = vec![NodeId(0)];
        let said = said(&live);
        assert!(
            said.iter().any(|line| line.contains("t-0 has no replica on a broker that serves")),
            "{said:?}"
        );
    }
}
