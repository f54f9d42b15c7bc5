//! What the HTTP endpoints tell of this broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ottla_broker_metadata::controller::Context;
use ottla_broker_metadata::{QuorumFacts, RiskList, SafetyReport, Topic, restart_safety};
use ottla_broker_protocol::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use ottla_broker_protocol::messages::describe_quorum_response::DescribeQuorumResponse;
use ottla_broker_protocol::{Decode, ErrorCode, Reader};
use ottla_broker_types::{NodeId, Offset};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::controller::requests::{self, AdminAnswer, DescribeQuorum};
use crate::controller::{Asker, Standing};
use crate::http::Facts;
use crate::listener::Principal;
use crate::metrics;

/// The version in which the quorum is asked for.
const DESCRIBE_QUORUM_VERSION: i16 = 2;
/// How long this broker may take to apply what the controller has committed before the answer is "unknown".
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// The endpoints' view of a broker.
pub struct Health {
    broker: Arc<Broker>,
}

impl Health {
    /// The view of `broker`.
    pub fn new(broker: Arc<Broker>) -> Health {
        Health { broker }
    }
}

impl Facts for Health {
    fn alive(&self) -> String {
        match self.broker.disk.stuck_for() {
            None => "ok\n".to_owned(),
            Some(time) => {
                let dirs: Vec<_> =
                    self.broker.config.logs.dirs.iter().map(|dir| dir.display().to_string()).collect();
                let (dirs, seconds) = (dirs.join(", "), time.as_secs());
                format!(
                    "ok, but the disk under {dirs} has not taken a write for {seconds} s: check the volume\n"
                )
            }
        }
    }

    fn ready(&self) -> Result<(), String> {
        let standing = *self.broker.controller.standing().borrow();
        match standing {
            Standing::Active => Ok(()),
            Standing::Starting => Err("not registered with a controller yet".to_owned()),
            Standing::Fenced if self.broker.disk.stuck_for().is_some() => {
                Err("out of service: the data disk takes no writes".to_owned())
            }
            Standing::Fenced => Err("registered, but still catching up with the metadata".to_owned()),
            Standing::Leaving | Standing::Left => Err("shutting down".to_owned()),
        }
    }

    fn restart_safety(&self, brokers: BTreeSet<NodeId>) -> BoxFuture<'static, Result<String, String>> {
        let broker = Arc::clone(&self.broker);
        async move {
            let (quorum, committed_end) = quorum_facts(&broker).await?;
            let caught_up = broker.served.wait_applied(committed_end);
            if tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up).await.is_err() {
                return Err("this broker lags behind the controller: ask again or ask another".to_owned());
            }
            let view = broker.view();
            let context = Context { image: &view, config: &broker.config };
            let min_isr = |topic: &Topic| context.min_insync_replicas(topic.name.as_str());
            Ok(render(&restart_safety(&view, &brokers, min_isr, &quorum)))
        }
        .boxed()
    }

    fn metrics(&self) -> String {
        metrics::page(&self.broker)
    }
}

/// The voters and who of them is caught up, with the committed end of the metadata, from the active controller.
async fn quorum_facts(broker: &Arc<Broker>) -> Result<(QuorumFacts, Offset), String> {
    let partition = PartitionData { partition_index: 0, ..Default::default() };
    let topic = TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = DescribeQuorumRequest { topics: vec![topic], ..Default::default() };
    let body = requests::encode(&request, DESCRIBE_QUORUM_VERSION);
    // Whoever asks over HTTP has not been asked for a name.
    let principal = Principal::anonymous();
    let asker = Asker { principal: &principal, client_id: "restart-safety" };
    let asked = broker.controller.admin::<DescribeQuorum>(asker, DESCRIBE_QUORUM_VERSION, &request, body);
    let unknown = |code: ErrorCode| format!("the metadata quorum cannot be asked: {}", code.message());
    match asked.await.map_err(unknown)? {
        AdminAnswer::Here(response) => facts_of(broker, &response),
        AdminAnswer::Elsewhere(body) => {
            let response = DescribeQuorumResponse::decode(&mut Reader::new(&body), DESCRIBE_QUORUM_VERSION)
                .map_err(|error| format!("the controller's answer cannot be read: {error}"))?;
            facts_of(broker, &response)
        }
    }
}

fn facts_of(broker: &Broker, response: &DescribeQuorumResponse<'_>) -> Result<(QuorumFacts, Offset), String> {
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.ok_or("the controller does not know its own quorum")?;
    let caught_up_at = |id: i32| {
        let voters = partition.current_voters.iter();
        voters.filter(|voter| voter.replica_id == id).map(|voter| voter.last_caught_up_timestamp).max()
    };
    let leader_time = caught_up_at(partition.leader_id).unwrap_or(-1);
    let lag_max = i64::try_from(broker.config.quorum.fetch_timeout_ms.0).unwrap_or(i64::MAX);
    let mut facts = QuorumFacts::default();
    for voter in &partition.current_voters {
        let id = NodeId(voter.replica_id);
        facts.voters.insert(id);
        if voter.last_caught_up_timestamp >= 0 && leader_time - voter.last_caught_up_timestamp < lag_max {
            facts.caught_up.insert(id);
        }
    }
    Ok((facts, Offset::clamped(partition.high_watermark)))
}

fn render(report: &SafetyReport) -> String {
    let quorum = report.quorum.as_ref().map(|risk| json!({ "left": risk.left, "needed": risk.needed }));
    let page = json!({
        "safe": report.safe,
        "offline": risks(&report.offline),
        "underMinIsr": risks(&report.under_min_isr),
        "atMinIsr": risks(&report.at_min_isr),
        "rf1Offline": risks(&report.rf1_offline),
        "noSpare": risks(&report.no_spare),
        "underReplicated": risks(&report.under_replicated),
        "quorum": quorum,
    });
    page.to_string()
}

fn risks(list: &RiskList) -> Value {
    let listed = list.listed.iter().map(|risk| {
        json!({
            "topic": risk.topic,
            "partition": risk.partition.0,
            "isrLeft": risk.isr_left,
            "isrNeeded": risk.isr_needed,
        })
    });
    json!({ "count": list.count, "listed": listed.collect::<Vec<_>>() })
}
