//! UnregisterBroker: a broker is gone for good. No I/O.

use ottla_broker_types::NodeId;

use super::decision::{Context, Decision};
use super::isr_updates::broker_leaves;
use crate::record::{ConfigResource, Record};

/// Why a broker stays registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnregisterBrokerError {
    /// No broker has this id.
    #[error("broker {broker} is not registered")]
    NotRegistered {
        /// As asked.
        broker: NodeId,
    },
    /// It runs and holds replicas, which would be lost.
    #[error("broker {broker} still holds {held} replicas: move them away or stop it first")]
    HoldsReplicas {
        /// Which is not fenced.
        broker: NodeId,
        /// How many replicas are assigned to it.
        held: usize,
    },
}

/// Forgets a broker and what is set on it.
///
/// Stricter than Kafka: a broker that is unfenced and holds replicas is refused, so that a scale-down can never drop a
/// replica by mistake. A fenced one goes, as the way to be rid of a dead broker; its replicas stay listed until they
/// are reassigned.
pub fn unregister_broker(
    context: Context<'_>,
    broker: NodeId,
) -> Result<Decision<()>, UnregisterBrokerError> {
    let registration = context.image.broker(broker).ok_or(UnregisterBrokerError::NotRegistered { broker })?;
    let held = context.image.partitions().filter(|(_, _, p)| p.replicas.contains(&broker)).count();
    if held > 0 && !registration.fenced {
        return Err(UnregisterBrokerError::HoldsReplicas { broker, held });
    }
    let mut records = broker_leaves(context, broker, false);
    let resource = ConfigResource::Broker(Some(broker));
    let names = context.image.config(&resource).keys();
    records.extend(names.map(|name| Record::Config {
        resource: resource.clone(),
        name: name.clone(),
        value: None,
    }));
    records.push(Record::UnregisterBroker { broker, epoch: registration.epoch });
    Ok(Decision { records, reply: () })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    #[test]
    fn a_running_broker_with_replicas_is_kept() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        let refused = unregister_broker(cluster.context(), NodeId(2)).expect_err("it holds a replica");
        assert_eq!(refused, UnregisterBrokerError::HoldsReplicas { broker: NodeId(2), held: 1 });
    }

    #[test]
    fn an_empty_broker_goes_with_its_settings() {
        let mut cluster = Cluster::of(2);
        let resource = ConfigResource::Broker(Some(NodeId(2)));
        cluster.set(resource.clone(), "cordoned.log.dirs", "*");
        let decision = unregister_broker(cluster.context(), NodeId(2)).expect("it is empty");
        cluster.take(decision);
        assert!(cluster.image.broker(NodeId(2)).is_none());
        assert!(cluster.image.config(&resource).is_empty());
    }

    #[test]
    fn a_dead_broker_goes_although_it_is_listed() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.fence(2);
        let decision = unregister_broker(cluster.context(), NodeId(2)).expect("it is fenced");
        cluster.take(decision);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![1], vec![], Some(1)));
    }

    #[test]
    fn an_unknown_broker_is_refused() {
        let refused = unregister_broker(Cluster::of(1).context(), NodeId(7)).expect_err("unknown");
        assert_eq!(refused, UnregisterBrokerError::NotRegistered { broker: NodeId(7) });
    }
}
