//! The plan of a cluster, once its brokers were asked about the restart that it hangs on.

use std::net::SocketAddr;

use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_planner::{Defaults, Input, Observed, Plan, question};

use super::safety;
use crate::clock;

/// What a plan is made from beside what is observed.
pub struct Request<'a> {
    /// What is asked for.
    pub cluster: &'a ValidatedCluster,
    /// The status as it is.
    pub former: &'a KafkaClusterStatus,
    /// What the operator was started with.
    pub defaults: &'a Defaults,
    /// The time.
    pub now: TimestampMs,
}

/// Makes the plan. `ready` are ready brokers and where they serve HTTP; what they say of a restart's safety is added to
/// `observed`.
pub async fn plan(request: &Request<'_>, observed: &mut Observed, ready: &[(NodeId, SocketAddr)]) -> Plan {
    let fresh = clock::fresh_id().to_string();
    if let Some(broker) = question(&request.input(observed, &fresh)) {
        let safety = safety::ask(broker, ready).await;
        observed.safety.insert(broker, safety);
    }
    ottla_operator_planner::plan(&request.input(observed, &fresh))
}

impl Request<'_> {
    fn input<'a>(&'a self, observed: &'a Observed, fresh_cluster_id: &'a str) -> Input<'a> {
        let Request { cluster, former, defaults, now } = *self;
        Input { cluster, former, observed, defaults, fresh_cluster_id, now }
    }
}
