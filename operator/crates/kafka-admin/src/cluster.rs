//! Who is in the cluster.

use std::collections::BTreeMap;

use ottla_broker_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_broker_protocol::messages::describe_cluster_response::DescribeClusterResponse;
use ottla_broker_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_broker_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_broker_types::NodeId;

use crate::client::AdminClient;
use crate::error::{AdminError, CallError};

/// The endpoint type of brokers in DescribeCluster.
const ENDPOINT_BROKERS: i8 = 1;

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its id.
    pub id: NodeId,
    /// Where clients reach it.
    pub host: String,
    /// Where clients reach it.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether the controller keeps it out of service: it is down, or not caught up yet.
    pub fenced: bool,
}

/// What DescribeCluster tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The active controller, as far as the broker asked knows.
    pub controller: Option<NodeId>,
    /// Every registered broker, fenced ones included, in the order of ids.
    pub brokers: Vec<BrokerInfo>,
}

impl AdminClient {
    /// The cluster's id, controller and brokers; from then on calls find each broker.
    ///
    /// Kafka before 4.0 does not tell of fenced brokers: they are missing then.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let found = match self.describe_brokers(true).await {
            Err(AdminError::Call(CallError::Unencodable(_))) => self.describe_brokers(false).await?,
            found => found?,
        };
        let addresses = found.brokers.iter().filter(|broker| !broker.fenced);
        let addresses: BTreeMap<_, _> =
            addresses.map(|broker| (broker.id, address(&broker.host, broker.port))).collect();
        self.learn(addresses).await;
        Ok(found)
    }

    async fn describe_brokers(&self, with_fenced: bool) -> Result<ClusterDescription, AdminError> {
        let request = DescribeClusterRequest {
            endpoint_type: ENDPOINT_BROKERS,
            include_fenced_brokers: with_fenced,
            ..Default::default()
        };
        self.call_any(&request, |response: DescribeClusterResponse<'_>| {
            AdminError::check(response.error_code, response.error_message.as_deref())?;
            Ok(description(&response))
        })
        .await?
    }

    /// Takes a broker that is gone for good out of the cluster; refused while it is needed.
    pub async fn unregister_broker(&self, broker: NodeId) -> Result<(), AdminError> {
        let request = UnregisterBrokerRequest { broker_id: broker.0, ..Default::default() };
        self.call_any(&request, |response: UnregisterBrokerResponse<'_>| {
            AdminError::check(response.error_code, response.error_message.as_deref())
        })
        .await?
    }
}

/// Where to connect; an IPv6 address needs brackets before its port.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn description(response: &DescribeClusterResponse<'_>) -> ClusterDescription {
    let mut brokers: Vec<BrokerInfo> = response
        .brokers
        .iter()
        .filter_map(|broker| {
            Some(BrokerInfo {
                id: NodeId::from_wire(broker.broker_id)?,
                host: broker.host.clone().into_owned(),
                port: u16::try_from(broker.port).ok()?,
                rack: broker.rack.as_deref().map(str::to_owned),
                fenced: broker.is_fenced,
            })
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    ClusterDescription {
        cluster_id: response.cluster_id.clone().into_owned(),
        controller: NodeId::from_wire(response.controller_id),
        brokers,
    }
}
