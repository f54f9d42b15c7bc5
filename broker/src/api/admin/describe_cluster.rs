//! DescribeCluster (key 60): the cluster's id, its controller, and its brokers.

use std::borrow::Cow;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_broker_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};

use crate::api::call::Call;
use crate::api::data::metadata::controller_for_clients;
use crate::api::{Answer, Malformed, authorized_operations};
use crate::broker::Broker;

/// The endpoint type of brokers; controllers have no listener for clients here.
const ENDPOINT_BROKERS: i8 = 1;
/// The endpoint type of controllers.
const ENDPOINT_CONTROLLERS: i8 = 2;

/// Handles a DescribeCluster.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeClusterRequest = call.request()?;
    if request.endpoint_type != ENDPOINT_BROKERS {
        let code = match request.endpoint_type {
            ENDPOINT_CONTROLLERS => ErrorCode::MismatchedEndpointType,
            _ => ErrorCode::UnsupportedEndpointType,
        };
        let response = DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(Cow::Borrowed("ask for brokers: controllers have no listener for clients")),
            cluster_authorized_operations: authorized_operations::of_cluster(false),
            ..Default::default()
        };
        return Ok(Answer::now(call.reply(&response)));
    }
    let view = broker.view();
    let brokers = view
        .endpoints(&call.peer.session.listener)
        .filter(|endpoint| request.include_fenced_brokers || !endpoint.fenced);
    let response = DescribeClusterResponse {
        endpoint_type: ENDPOINT_BROKERS,
        cluster_id: Cow::Owned(broker.cluster_id.0.clone()),
        controller_id: controller_for_clients(broker, &view, &call.peer.session.listener),
        brokers: brokers
            .map(|endpoint| DescribeClusterBroker {
                broker_id: endpoint.node.0,
                host: Cow::Owned(endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.map(Cow::Owned),
                is_fenced: endpoint.fenced,
                ..Default::default()
            })
            .collect(),
        cluster_authorized_operations: authorized_operations::of_cluster(
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    };
    Ok(Answer::now(call.reply(&response)))
}
