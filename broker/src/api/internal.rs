//! What brokers ask of each other on the private listener; the controller's own requests are answered here, too,
//! when the controller is this very node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_metadata::controller::{self, Refused};
use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_broker_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_broker_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_broker_protocol::messages::forward_admin_request::ForwardAdminRequest;
use ottla_broker_protocol::messages::forward_admin_response::ForwardAdminResponse;
use ottla_broker_protocol::messages::metadata_fetch_request::MetadataFetchRequest;
use ottla_broker_protocol::messages::metadata_fetch_response::{MetadataEntry, MetadataFetchResponse};
use ottla_broker_protocol::messages::raft_message_request::RaftMessageRequest;
use ottla_broker_protocol::messages::raft_message_response::RaftMessageResponse;
use ottla_broker_protocol::{ApiKey, ErrorCode};
use ottla_broker_quorum::{Committed, MetadataLog};
use ottla_broker_types::{BrokerEpoch, ClusterId, DirectoryId, NodeId, Offset};

use super::call::Call;
use super::{Answer, Malformed, admin, allocate_producer_ids, alter_partition, broker_heartbeat};
use crate::broker::Broker;
use crate::controller::Decided;

/// The longest an observer may hold a metadata request open.
const METADATA_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of records per metadata answer, whatever is asked.
const METADATA_BYTES_MAX: usize = 8 << 20;

/// Handles a request of another broker.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let broker = Arc::clone(broker);
    Ok(match call.key {
        ApiKey::RaftMessage => raft_message(&broker, call)?,
        ApiKey::MetadataFetch => metadata_fetch(broker, call)?,
        ApiKey::BrokerHeartbeat => {
            let request: BrokerHeartbeatRequest = call.request()?;
            call.later(|call| async move { call.reply(&broker_heartbeat::answer(&broker, &request).await) })
        }
        ApiKey::BrokerRegistration => {
            call.request::<BrokerRegistrationRequest<'_>>()?;
            Answer::later(async move {
                match call.request::<BrokerRegistrationRequest<'_>>() {
                    Ok(request) => call.reply(&register_broker(&broker, &request).await),
                    Err(_) => crate::listener::Reply::Close("the request is malformed"),
                }
            })
        }
        ApiKey::AlterPartition => {
            let request = call.request()?;
            call.later(|call| async move { call.reply(&alter_partition::decide(&broker, &request).await) })
        }
        ApiKey::AllocateProducerIds => {
            let request = call.request()?;
            call.later(
                |call| async move { call.reply(&allocate_producer_ids::decide(&broker, &request).await) },
            )
        }
        _ => forward_admin(broker, call)?,
    })
}

fn raft_message(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: RaftMessageRequest<'_> = call.request()?;
    let (kind, payload) = (request.kind, Bytes::copy_from_slice(&request.payload));
    let Some(log) = broker.controller.log.clone() else {
        let response =
            RaftMessageResponse { error_code: ErrorCode::NotController.code(), ..Default::default() };
        return Ok(Answer::now(call.reply(&response)));
    };
    Ok(call.later(|call| async move {
        let answer = log.handle_message(kind, payload).await;
        call.reply(&RaftMessageResponse { payload: answer.as_ref().into(), ..Default::default() })
    }))
}

/// Serves the committed metadata to brokers outside of the quorum.
fn metadata_fetch(broker: Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: MetadataFetchRequest = call.request()?;
    let from = Offset::clamped(request.from_offset);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(METADATA_WAIT_MAX);
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(METADATA_BYTES_MAX);
    let Some(log) = broker.controller.log.clone() else {
        let response =
            MetadataFetchResponse { error_code: ErrorCode::NotController.code(), ..Default::default() };
        return Ok(Answer::now(call.reply(&response)));
    };
    Ok(call.later(|call| async move {
        let mut end = log.committed_end();
        let more = end.wait_for(|end| *end > from);
        let _ = tokio::time::timeout(wait, more).await;
        let parts = log.read_committed(from, bytes_max).unwrap_or_default();
        call.reply(&metadata_response(&*log, &parts))
    }))
}

fn metadata_response<'a>(log: &dyn MetadataLog, parts: &'a [Committed]) -> MetadataFetchResponse<'a> {
    let leadership = *log.leadership().borrow();
    let mut response = MetadataFetchResponse {
        leader_id: leadership.leader.map_or(-1, |node| node.0),
        term: i64::try_from(leadership.term.0).unwrap_or(i64::MAX),
        committed_end: log.committed_end().borrow().get(),
        snapshot_end: -1,
        ..Default::default()
    };
    for part in parts {
        match part {
            Committed::Snapshot { end, bytes } => {
                response.snapshot_end = end.get();
                response.snapshot = Some(bytes.as_ref().into());
            }
            Committed::Batch { offset, term, records } => response.entries.push(MetadataEntry {
                offset: offset.get(),
                term: i64::try_from(term.0).unwrap_or(i64::MAX),
                records: records.iter().map(|record| record.as_ref().into()).collect(),
                ..Default::default()
            }),
        }
    }
    response
}

fn forward_admin(broker: Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: ForwardAdminRequest<'_> = call.request()?;
    let key = ApiKey::from_i16(request.api_key).ok_or(Malformed::Field("forwarded API key"))?;
    let version = request.api_version;
    let body = Bytes::copy_from_slice(&request.body);
    Ok(call.later(|call| async move {
        let response = match admin::decide(&broker, key, version, &body).await {
            Ok(body) => ForwardAdminResponse { body: Vec::from(body).into(), ..Default::default() },
            Err(code) => ForwardAdminResponse { error_code: code.code(), ..Default::default() },
        };
        call.reply(&response)
    }))
}

/// Decides on a registration, if this node is the active controller.
pub async fn register_broker(
    broker: &Arc<Broker>,
    request: &BrokerRegistrationRequest<'_>,
) -> BrokerRegistrationResponse {
    let refused =
        |code: ErrorCode| BrokerRegistrationResponse { error_code: code.code(), ..Default::default() };
    let Some(asked) = registration(request) else { return refused(ErrorCode::InvalidRequest) };
    let node = asked.broker;
    let active = &broker.controller.active;
    let decided = active.decide_ahead(broker, |context, now, _| {
        let lease_held = active.leases(|leases| leases.is_live(now.mono, node)).unwrap_or(false);
        let facts = controller::RegisterFacts { cluster_id: &broker.cluster_id, lease_held };
        controller::register_broker(context, &asked, &facts)
    });
    match decided.await {
        Err(_) => refused(ErrorCode::NotController),
        Ok(Err(Refused { code, message })) => {
            tracing::info!(broker = node.0, code = code.name(), message, "registration refused");
            refused(code)
        }
        Ok(Ok(Decided { .. })) => {
            let now = broker.clock.now();
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
