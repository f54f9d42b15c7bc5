//! BrokerRegistration (key 62): a broker joins the cluster, or comes back.

use std::sync::Arc;

use ottla_broker_metadata::controller;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_broker_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_broker_types::{BrokerEpoch, ClusterId, DirectoryId, NodeId};

use crate::controller::{Active, Decided};
use crate::errors::KafkaError;

/// Decides on a registration, if this node is the active controller.
pub async fn decide(
    active: &Arc<Active>,
    request: &BrokerRegistrationRequest<'_>,
) -> BrokerRegistrationResponse {
    let refused =
        |code: ErrorCode| BrokerRegistrationResponse { error_code: code.code(), ..Default::default() };
    let Some(asked) = registration(request) else { return refused(ErrorCode::InvalidRequest) };
    let node = asked.broker;
    let decided = active.decide_ahead(|context, now, _| {
        let lease_held = active.leases(|leases| leases.is_live(now.mono, node)).unwrap_or(false);
        let facts = controller::RegisterFacts { cluster_id: &active.parts.cluster_id, lease_held };
        controller::register_broker(context, &asked, &facts)
    });
    match decided.await {
        Err(_) => refused(ErrorCode::NotController),
        Ok(Err(error)) => {
            tracing::info!(broker = node.0, %error, "registration refused");
            refused(error.code())
        }
        Ok(Ok(Decided { .. })) => {
            let now = active.now();
            active.leases(|leases| leases.heard(now.mono, node));
            let epoch = active.view().broker_epoch(node);
            BrokerRegistrationResponse {
                broker_epoch: epoch.map_or(-1, |epoch| epoch.0),
                ..Default::default()
            }
        }
    }
}

fn registration(request: &BrokerRegistrationRequest<'_>) -> Option<controller::RegisterRequest> {
    let endpoints = request.listeners.iter().map(|listener| ottla_broker_metadata::record::Endpoint {
        listener: listener.name.clone().into_owned(),
        host: listener.host.clone().into_owned(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = request.features.iter().map(|feature| ottla_broker_metadata::record::FeatureRange {
        name: feature.name.clone().into_owned(),
        level_min: feature.min_supported_version,
        level_max: feature.max_supported_version,
    });
    Some(controller::RegisterRequest {
        broker: NodeId::from_wire(request.broker_id)?,
        cluster_id: ClusterId(request.cluster_id.clone().into_owned()),
        incarnation: request.incarnation_id,
        endpoints: endpoints.collect(),
        features: features.collect(),
        rack: request.rack.as_deref().map(str::to_owned),
        previous_epoch: BrokerEpoch::from_wire(request.previous_broker_epoch),
        log_dirs: request.log_dirs.iter().filter_map(|id| DirectoryId::from_wire(id.0)).collect(),
    })
}
