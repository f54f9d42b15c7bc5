//! Requests to the active controller, wherever it is: here, or on another broker over the private listener.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_broker_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_broker_protocol::messages::alter_partition_request::AlterPartitionRequest;
use ottla_broker_protocol::messages::alter_partition_response::AlterPartitionResponse;
use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_broker_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;
use ottla_broker_protocol::messages::broker_registration_request::BrokerRegistrationRequest;
use ottla_broker_protocol::messages::broker_registration_response::BrokerRegistrationResponse;
use ottla_broker_protocol::messages::forward_admin_request::ForwardAdminRequest;
use ottla_broker_protocol::messages::forward_admin_response::ForwardAdminResponse;
use ottla_broker_protocol::{ApiKey, ErrorCode};
use ottla_broker_quorum::MetadataLog;
use ottla_broker_types::{BrokerEpoch, NodeId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::active::Active;
use super::registration::Standing;
use crate::api;
use crate::broker::Broker;
use crate::peers::{self, CallError};

/// How long the controller may take for one of the brokers' own requests.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client's admin request may look for a controller before it is told that there is none.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between looks whether a controller is known. A look sends nothing, and a starting broker waits for it.
pub const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a forwarded request is sent again.
const FORWARD_RETRY_PAUSE: Duration = Duration::from_millis(30);

/// Versions of the brokers' own requests.
const ALTER_PARTITION_VERSION: i16 = 3;
const REGISTRATION_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;
const PRODUCER_IDS_VERSION: i16 = 0;
const FORWARD_VERSION: i16 = 0;

/// Why a request reached no controller.
#[derive(Debug, thiserror::Error)]
pub enum ControllerCallError {
    /// No active controller is known.
    #[error("no active controller is known")]
    NoController,
    /// The controller did not answer.
    #[error("the controller {0}")]
    Call(#[from] CallError),
}

/// This broker's tie to the active controller.
pub struct Controller {
    self_id: NodeId,
    /// The quorum's log, where this node takes part in it.
    pub log: Option<Arc<dyn MetadataLog>>,
    /// What this node decides while it is the active controller.
    pub active: Active,
    /// The active controller as an observer hears of it.
    observed: Mutex<Option<NodeId>>,
    epoch: watch::Sender<Option<BrokerEpoch>>,
    previous_epoch: Option<BrokerEpoch>,
    standing: watch::Sender<Standing>,
}

impl Controller {
    /// Not registered yet.
    pub fn new(
        self_id: NodeId,
        log: Option<Arc<dyn MetadataLog>>,
        active: Active,
        previous_epoch: Option<BrokerEpoch>,
    ) -> Controller {
        Controller {
            self_id,
            log,
            active,
            observed: Mutex::default(),
            epoch: watch::Sender::new(None),
            previous_epoch,
            standing: watch::Sender::new(Standing::Starting),
        }
    }

    /// The active controller, as far as this node knows.
    pub fn active_id(&self) -> Option<NodeId> {
        match &self.log {
            // A voter that is not a member of the quorum (again) yet learns of the leader as observers do.
            Some(log) => log.leadership().borrow().leader.or(*self.observed.lock()),
            None => *self.observed.lock(),
        }
    }

    /// Whether a request to the controller has a chance: a new leader of the quorum takes a moment to begin.
    pub fn is_active_known(&self) -> bool {
        self.active_id().is_some_and(|node| node != self.self_id || self.active.leadership().is_some())
    }

    /// An observer learned who leads.
    pub fn observe_leader(&self, leader: Option<NodeId>) {
        *self.observed.lock() = leader;
    }

    /// The present registration of this broker.
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        *self.epoch.borrow()
    }

    /// The registration before this start, which a clean shutdown leaves behind.
    pub fn previous_epoch(&self) -> Option<BrokerEpoch> {
        self.previous_epoch
    }

    /// The controller has accepted a registration.
    pub fn registered(&self, epoch: BrokerEpoch) {
        self.epoch.send_replace(Some(epoch));
    }

    /// The present registration, and each later one.
    pub fn registrations(&self) -> watch::Receiver<Option<BrokerEpoch>> {
        self.epoch.subscribe()
    }

    /// Where this broker stands; the present value at once, then each change.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Notes where this broker stands.
    pub fn set_standing(&self, standing: Standing) {
        self.standing.send_if_modified(|current| std::mem::replace(current, standing) != standing);
    }

    /// A hint that a connection to `node` broke.
    pub fn peer_unreachable(&self, node: NodeId) {
        if let Some(log) = &self.log {
            log.peer_unreachable(node);
        }
    }

    fn target(&self) -> Result<Option<NodeId>, ControllerCallError> {
        match self.active_id() {
            Some(node) if node == self.self_id => Ok(None),
            Some(node) => Ok(Some(node)),
            None => Err(ControllerCallError::NoController),
        }
    }

    /// BrokerRegistration.
    pub async fn register(
        &self,
        broker: &Arc<Broker>,
        request: &BrokerRegistrationRequest<'_>,
    ) -> Result<BrokerRegistrationResponse, ControllerCallError> {
        let Some(node) = self.target()? else { return Ok(api::register_broker(broker, request).await) };
        let body = broker.peers.call(node, request, REGISTRATION_VERSION, CALL_TIMEOUT).await?;
        Ok(peers::decode(&body, REGISTRATION_VERSION)?)
    }

    /// BrokerHeartbeat.
    pub async fn heartbeat(
        &self,
        broker: &Arc<Broker>,
        request: &BrokerHeartbeatRequest,
    ) -> Result<BrokerHeartbeatResponse, ControllerCallError> {
        let Some(node) = self.target()? else { return Ok(api::heartbeat(broker, request).await) };
        let called = broker.peers.call(node, request, HEARTBEAT_VERSION, CALL_TIMEOUT).await;
        if called.is_err() {
            self.peer_unreachable(node);
        }
        Ok(peers::decode(&called?, HEARTBEAT_VERSION)?)
    }

    /// AlterPartition.
    pub async fn alter_partition(
        &self,
        broker: &Arc<Broker>,
        request: &AlterPartitionRequest,
    ) -> Result<AlterPartitionResponse, ControllerCallError> {
        let Some(node) = self.target()? else { return Ok(api::alter_partition(broker, request).await) };
        let body = broker.peers.call(node, request, ALTER_PARTITION_VERSION, CALL_TIMEOUT).await?;
        Ok(peers::decode(&body, ALTER_PARTITION_VERSION)?)
    }

    /// AllocateProducerIds.
    pub async fn allocate_producer_ids(
        &self,
        broker: &Arc<Broker>,
        request: &AllocateProducerIdsRequest,
    ) -> Result<AllocateProducerIdsResponse, ControllerCallError> {
        let Some(node) = self.target()? else { return Ok(api::allocate_producer_ids(broker, request).await) };
        let body = broker.peers.call(node, request, PRODUCER_IDS_VERSION, CALL_TIMEOUT).await?;
        Ok(peers::decode(&body, PRODUCER_IDS_VERSION)?)
    }

    /// Has an admin request decided by the active controller; looks for one until [`FORWARD_TIMEOUT`].
    ///
    /// The answer is the body of the response at the request's version.
    pub async fn forward(
        &self,
        broker: &Arc<Broker>,
        key: ApiKey,
        version: i16,
        client_id: &str,
        body: Bytes,
    ) -> Result<Bytes, ErrorCode> {
        let attempts = async {
            loop {
                while !self.is_active_known() {
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                match self.forward_once(broker, key, version, client_id, &body).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(ErrorCode::NotController)) => {}
                    Ok(Err(code)) => return Err(code),
                    Err(error) => {
                        tracing::debug!(%error, api = key.name(), "request cannot be forwarded; trying again");
                    }
                }
                tokio::time::sleep(FORWARD_RETRY_PAUSE).await;
            }
        };
        tokio::time::timeout(FORWARD_TIMEOUT, attempts).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    async fn forward_once(
        &self,
        broker: &Arc<Broker>,
        key: ApiKey,
        version: i16,
        client_id: &str,
        body: &Bytes,
    ) -> Result<Result<Bytes, ErrorCode>, ControllerCallError> {
        let Some(node) = self.target()? else {
            return Ok(api::decide_admin(broker, key, version, body).await);
        };
        let request = ForwardAdminRequest {
            principal: "User:ANONYMOUS".into(),
            client_id: Some(client_id.into()),
            api_key: key.code(),
            api_version: version,
            body: body.as_ref().into(),
            ..Default::default()
        };
        let answer = broker.peers.call(node, &request, FORWARD_VERSION, FORWARD_TIMEOUT).await?;
        let response: ForwardAdminResponse<'_> = peers::decode(&answer, FORWARD_VERSION)?;
        Ok(match ErrorCode::from_wire(response.error_code) {
            ErrorCode::None => Ok(Bytes::copy_from_slice(&response.body)),
            code => Err(code),
        })
    }
}
