//! Fencing: a broker whose lease ran out must not lead or count for acks. No I/O.

use ottla_broker_types::{BrokerEpoch, NodeId};

use super::decision::{Context, Decision, Refused};
use super::isr_updates::broker_leaves;
use crate::record::{BrokerRegistrationChange, Record};

/// Fences a broker: it leaves every ISR, and others are elected where it led.
///
/// `epoch` is the registration whose lease ran out. A broker that is fenced already stays so, without a record.
/// Errors: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH.
pub fn fence_broker(
    context: Context<'_>,
    broker: NodeId,
    epoch: BrokerEpoch,
) -> Result<Decision<()>, Refused> {
    if context.registered(broker, epoch)?.fenced {
        return Ok(Decision::reply(()));
    }
    Ok(Decision { records: fencing_records(context, broker, epoch), reply: () })
}

pub(crate) fn fencing_records(context: Context<'_>, broker: NodeId, epoch: BrokerEpoch) -> Vec<Record> {
    let mut records = broker_leaves(context, broker, false);
    records.push(Record::BrokerRegistrationChange(BrokerRegistrationChange {
        broker,
        epoch,
        fenced: Some(true),
        in_controlled_shutdown: None,
        log_dirs: None,
    }));
    records
}
