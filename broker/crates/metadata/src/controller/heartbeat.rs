//! BrokerHeartbeat: unfencing a broker that has caught up, and letting one stop in peace (KIP-631). No I/O.
//!
//! The lease itself is the shell's: it renews it on every heartbeat of the present epoch.

use ottla_broker_types::{BrokerEpoch, NodeId, Offset};

use super::decision::{Context, Decision, RegistrationError};
use super::fence_broker::fencing_records;
use super::isr_updates::{broker_leaves, broker_returns};
use crate::image::Broker;
use crate::record::{BrokerRegistrationChange, Record};

/// What a broker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// Who speaks.
    pub broker: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Exclusive end of the metadata that it has applied.
    pub applied_end: Offset,
    /// Whether it wants to be fenced, since it cannot serve yet.
    pub want_fence: bool,
    /// Whether it wants to stop.
    pub want_shut_down: bool,
}

/// What the controller knows besides the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatFacts {
    /// Exclusive end of the batch that took this broker's leaderships away, once there was one.
    pub handed_over_end: Option<Offset>,
    /// The lowest `applied_end` among the other active brokers; `None` if there is none.
    pub others_applied_end: Option<Offset>,
}

/// What the broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// Whether it has applied its own registration.
    pub caught_up: bool,
    /// Whether it is fenced.
    pub fenced: bool,
    /// Whether it may stop now: it leads nothing, and every other broker knows.
    pub should_shut_down: bool,
}

/// Takes a heartbeat.
pub fn heartbeat(
    context: Context<'_>,
    request: &HeartbeatRequest,
    facts: &HeartbeatFacts,
) -> Result<Decision<HeartbeatReply>, RegistrationError> {
    let broker = context.registered(request.broker, request.epoch)?;
    let caught_up = request.applied_end.get() > broker.epoch.get();
    let reply = |fenced, should_shut_down| HeartbeatReply { caught_up, fenced, should_shut_down };
    let stay = Ok(Decision::reply(reply(broker.fenced, false)));
    if request.want_shut_down {
        if broker.fenced {
            return Ok(Decision::reply(reply(true, true)));
        }
        if request.want_fence || may_stop(context, broker, facts) {
            let records = fencing_records(context, broker.id, broker.epoch);
            return Ok(Decision { records, reply: reply(true, true) });
        }
        if broker.in_controlled_shutdown {
            return stay;
        }
        return Ok(Decision { records: hand_over(context, broker), reply: reply(false, false) });
    }
    match (broker.fenced, request.want_fence) {
        // There is no way back from a shutdown but another registration.
        (true, false) if caught_up && !broker.in_controlled_shutdown => {
            Ok(Decision { records: unfence(context, broker), reply: reply(false, false) })
        }
        (false, true) => {
            let records = fencing_records(context, broker.id, broker.epoch);
            Ok(Decision { records, reply: reply(true, false) })
        }
        _ => stay,
    }
}

fn may_stop(context: Context<'_>, broker: &Broker, facts: &HeartbeatFacts) -> bool {
    if context.image.partitions().any(|(_, _, partition)| partition.leader == Some(broker.id)) {
        return false;
    }
    if !broker.in_controlled_shutdown {
        return true;
    }
    match (facts.handed_over_end, facts.others_applied_end) {
        (Some(needed), Some(applied)) => applied >= needed,
        // A new controller does not know the batch; its own image holds it, so that end is enough.
        (None, Some(applied)) => applied >= context.image.applied_end(),
        (_, None) => true,
    }
}

fn hand_over(context: Context<'_>, broker: &Broker) -> Vec<Record> {
    let mut records = broker_leaves(context, broker.id, false);
    records.push(Record::BrokerRegistrationChange(BrokerRegistrationChange {
        broker: broker.id,
        epoch: broker.epoch,
        fenced: None,
        in_controlled_shutdown: Some(true),
        log_dirs: None,
    }));
    records
}

fn unfence(context: Context<'_>, broker: &Broker) -> Vec<Record> {
    let mut records = vec![Record::BrokerRegistrationChange(BrokerRegistrationChange {
        broker: broker.id,
        epoch: broker.epoch,
        fenced: Some(false),
        in_controlled_shutdown: None,
        log_dirs: None,
    })];
    records.extend(broker_returns(context, broker.id));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    fn request(cluster: &Cluster, id: i32) -> HeartbeatRequest {
        HeartbeatRequest {
            broker: NodeId(id),
            epoch: cluster.epoch(id),
            applied_end: cluster.end(),
            want_fence: false,
            want_shut_down: false,
        }
    }

    fn beat(cluster: &Cluster, request: HeartbeatRequest, facts: HeartbeatFacts) -> Decision<HeartbeatReply> {
        heartbeat(cluster.context(), &request, &facts).expect("the broker is registered")
    }

    #[test]
    fn a_broker_is_unfenced_only_once_it_has_applied_its_registration() {
        let mut cluster = Cluster::new(&[]);
        cluster.register(&cluster.registration(1, 1), false).expect("it registers");
        let behind = Offset::clamped(cluster.epoch(1).get());
        let early = HeartbeatRequest { applied_end: behind, ..request(&cluster, 1) };
        let reply = beat(&cluster, early, HeartbeatFacts::default()).reply;
        assert_eq!(reply, HeartbeatReply { caught_up: false, fenced: true, should_shut_down: false });
        let reply = beat(&cluster, request(&cluster, 1), HeartbeatFacts::default()).reply;
        assert_eq!(reply, HeartbeatReply { caught_up: true, fenced: false, should_shut_down: false });
    }

    #[test]
    fn a_broker_may_ask_to_be_fenced() {
        let mut cluster = Cluster::of(1);
        assert!(cluster.beat(1, true, false).fenced);
        assert!(cluster.image.broker(NodeId(1)).expect("registered").fenced);
    }

    #[test]
    fn an_active_broker_that_says_nothing_new_writes_nothing() {
        let cluster = Cluster::of(1);
        let decision = beat(&cluster, request(&cluster, 1), HeartbeatFacts::default());
        assert!(decision.records.is_empty());
        assert!(!decision.reply.fenced);
    }

    #[test]
    fn a_stopping_broker_first_hands_over_and_leaves_once_all_know() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        assert!(!cluster.beat(1, false, true).should_shut_down);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![2], vec![], Some(2)));
        let stopping = HeartbeatRequest { want_shut_down: true, ..request(&cluster, 1) };
        let known = |handed_over, others| {
            let facts = HeartbeatFacts {
                handed_over_end: Some(Offset::clamped(handed_over)),
                others_applied_end: Some(Offset::clamped(others)),
            };
            beat(&cluster, stopping, facts).reply.should_shut_down
        };
        assert!(!known(9, 8));
        assert!(known(9, 9));
    }

    #[test]
    fn a_broker_that_leads_nothing_may_stop_at_once() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        let reply = cluster.beat(2, false, true);
        assert!(reply.should_shut_down && reply.fenced);
        assert_eq!(cluster.state("t", 0).1, [1]);
    }

    #[test]
    fn the_only_replica_stops_leading_but_stays_in_the_isr() {
        let mut cluster = Cluster::of(1);
        cluster.topic("t", &[&[1]], &[]);
        assert!(!cluster.beat(1, false, true).should_shut_down);
        assert_eq!(cluster.state("t", 0), (vec![1], vec![1], vec![], None));
        assert!(cluster.beat(1, false, true).should_shut_down);
    }

    #[test]
    fn a_fenced_broker_may_stop_at_once() {
        let mut cluster = Cluster::of(1);
        cluster.fence(1);
        assert!(cluster.beat(1, false, true).should_shut_down);
    }

    #[test]
    fn a_stopped_broker_is_not_unfenced_without_another_registration() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.beat(1, false, true);
        cluster.fence(1);
        assert!(cluster.beat(1, false, false).fenced);
        cluster.restart(1, 2, true);
        assert!(!cluster.beat(1, false, false).fenced);
    }
}
