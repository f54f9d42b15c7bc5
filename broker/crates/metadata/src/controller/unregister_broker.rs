//! UnregisterBroker: a broker is gone for good. No I/O.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::NodeId;

use super::decision::{Context, Decision, Refused};
use super::isr_updates::broker_leaves;
use crate::record::{ConfigResource, Record};

/// Forgets a broker and what is set on it.
///
/// Stricter than Kafka: a broker that is unfenced and holds replicas is refused with INVALID_REQUEST, so that a
/// scale-down can never drop a replica by mistake. A fenced one goes, as the way to be rid of a dead broker; its
/// replicas stay listed until they are reassigned. Errors besides: BROKER_ID_NOT_REGISTERED.
pub fn unregister_broker(context: Context<'_>, broker: NodeId) -> Result<Decision<()>, Refused> {
    let Some(registration) = context.image.broker(broker) else {
        let message = format!("broker {broker} is not registered");
        return Err(Refused::new(ErrorCode::BrokerIdNotRegistered, message));
    };
    let held = context.image.partitions().filter(|(_, _, p)| p.replicas.contains(&broker)).count();
    if held > 0 && !registration.fenced {
        let message = format!("broker {broker} still holds {held} replicas: move them away or stop it first");
        return Err(Refused::new(ErrorCode::InvalidRequest, message));
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
