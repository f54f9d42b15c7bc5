//! The plan of a cluster, made after asking the brokers about the restart it depends on; a plan with a fault is refused.

use std::net::SocketAddr;

use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_planner::{Defaults, Input, Observed, Plan, lint, question};

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

/// A plan that may be executed.
pub struct Planned {
    /// The plan; one that does nothing if the plan was refused.
    pub plan: Plan,
    /// Why it was refused, in a sentence.
    pub refused: Option<String>,
}

/// Makes the plan and lints it. `ready` are ready brokers and where they serve HTTP; what they say of a restart's safety is added to
/// `observed`.
pub async fn plan(request: &Request<'_>, observed: &mut Observed, ready: &[(NodeId, SocketAddr)]) -> Planned {
    let fresh = clock::fresh_id().to_string();
    if let Some(broker) = question(&request.input(observed, &fresh)) {
        let safety = safety::ask(broker, ready).await;
        observed.safety.insert(broker, safety);
    }
    let input = request.input(observed, &fresh);
    let plan = ottla_operator_planner::plan(&input);
    let faults = lint(&input, &plan);
    match faults.first() {
        None => Planned { plan, refused: None },
        Some(fault) => {
            let refused =
                format!("the plan is refused, {} faults were found in it, such as: {fault}", faults.len());
            Planned { plan: Plan::refused(request.former), refused: Some(refused) }
        }
    }
}

impl Request<'_> {
    fn input<'a>(&'a self, observed: &'a Observed, fresh_cluster_id: &'a str) -> Input<'a> {
        let Request { cluster, former, defaults, now } = *self;
        Input { cluster, former, observed, defaults, fresh_cluster_id, now }
    }
}
