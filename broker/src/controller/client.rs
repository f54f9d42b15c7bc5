//! Requests to the active controller, wherever it is: here, or on another broker over the private listener.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_node::Heartbeats;
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
use ottla_broker_protocol::{ApiKey, ErrorCode, Request};
use ottla_broker_quorum::MetadataLog;
use ottla_broker_types::{BrokerEpoch, NodeId};
use tokio::sync::watch;

use super::active::{Active, NotActive};
use super::registration::Standing;
use super::requests::{
    AdminAnswer, AdminApi, allocate_producer_ids, alter_partition, broker_heartbeat, broker_registration,
};
use crate::clock;
use crate::listener::Principal;
use crate::peers::{Answer, CallError, Lane, Peers};

/// How long the controller may take for one of the brokers' own requests.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client's admin request may look for a controller before it is told that there is none.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between looks whether a controller is known. A look sends nothing, and a starting broker waits for it.
pub const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Pause before a forwarded request is sent again.
const FORWARD_RETRY_PAUSE: Duration = Duration::from_millis(30);

/// Versions of the brokers' own requests that this release speaks; brokers of two releases use the newest common one.
const ALTER_PARTITION_VERSIONS: RangeInclusive<i16> = 3..=3;
const REGISTRATION_VERSIONS: RangeInclusive<i16> = 4..=4;
const HEARTBEAT_VERSIONS: RangeInclusive<i16> = 1..=1;
const PRODUCER_IDS_VERSIONS: RangeInclusive<i16> = 0..=0;
const FORWARD_VERSIONS: RangeInclusive<i16> = 0..=0;

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

/// On whose behalf an admin request is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Whose request it is.
    pub principal: &'a Principal,
    /// The client's own name for itself; empty if it gave none.
    pub client_id: &'a str,
}

/// This broker's tie to the active controller.
pub struct Controller {
    /// What this node decides while it is the active controller.
    pub active: Arc<Active>,
    /// Connections to the other brokers.
    pub peers: Arc<Peers>,
    /// The active controller as an observer hears of it.
    observed: watch::Sender<Option<NodeId>>,
    epoch: watch::Sender<Option<BrokerEpoch>>,
    previous_epoch: Option<BrokerEpoch>,
    standing: watch::Sender<Standing>,
    cut_off: AtomicBool,
}

impl Controller {
    /// Not registered yet.
    pub fn new(
        active: Arc<Active>,
        peers: Arc<Peers>,
        previous_epoch: Option<BrokerEpoch>,
    ) -> Arc<Controller> {
        Arc::new(Controller {
            active,
            peers,
            observed: watch::Sender::new(None),
            epoch: watch::Sender::new(None),
            previous_epoch,
            standing: watch::Sender::new(Standing::Starting),
            cut_off: AtomicBool::new(false),
        })
    }

    /// The quorum's log, where this node takes part in it.
    pub fn log(&self) -> Option<&Arc<dyn MetadataLog>> {
        self.active.parts.log.as_ref()
    }

    /// The active controller, as far as this node knows.
    pub fn active_id(&self) -> Option<NodeId> {
        match self.log() {
            // A voter that is not a member of the quorum (again) yet learns of the leader as observers do.
            Some(log) => log.leadership().borrow().leader.or(*self.observed.borrow()),
            None => *self.observed.borrow(),
        }
    }

    /// Whether a request to the controller has a chance: a new leader of the quorum takes a moment to begin.
    pub fn is_active_known(&self) -> bool {
        self.active_id()
            .is_some_and(|node| node != self.active.node_id() || self.active.leadership().is_some())
    }

    /// An observer learned who leads.
    pub fn observe_leader(&self, leader: Option<NodeId>) {
        self.observed.send_if_modified(|observed| std::mem::replace(observed, leader) != leader);
    }

    /// A node from which an observer learned who leads does not answer: if it was itself, nobody is known to lead.
    pub fn lost_sight_of(&self, node: NodeId) {
        if *self.observed.borrow() == Some(node) {
            self.observe_leader(None);
        }
    }

    /// Resolves when `node` is not known as the active controller any more.
    async fn until_superseded(&self, node: NodeId) {
        let mut observed = self.observed.subscribe();
        let mut led = self.log().map(|log| log.leadership());
        let log_changed = async |led: &mut Option<watch::Receiver<_>>| {
            if let Some(led) = led
                && led.changed().await.is_ok()
            {
                return;
            }
            // Without a log, or once it has stopped, nothing is learned from it.
            std::future::pending().await
        };
        while self.active_id() == Some(node) {
            tokio::select! {
                _ = observed.changed() => {}
                () = log_changed(&mut led) => {}
            }
        }
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

    /// Whether no controller has answered for a whole lease.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Notes whether a controller answers.
    pub fn set_cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    /// A hint that a connection to `node` broke.
    pub fn peer_unreachable(&self, node: NodeId) {
        if let Some(log) = self.log() {
            log.peer_unreachable(node);
        }
    }

    fn target(&self) -> Result<Option<NodeId>, ControllerCallError> {
        match self.active_id() {
            Some(node) if node == self.active.node_id() => Ok(None),
            Some(node) => Ok(Some(node)),
            None => Err(ControllerCallError::NoController),
        }
    }

    /// BrokerRegistration.
    pub async fn register(
        &self,
        request: &BrokerRegistrationRequest<'_>,
    ) -> Result<BrokerRegistrationResponse, ControllerCallError> {
        let Some(node) = self.target()? else {
            return Ok(broker_registration::decide(&self.active, request).await);
        };
        let answer =
            self.ask((node, Lane::Heartbeats), request, &REGISTRATION_VERSIONS, CALL_TIMEOUT).await?;
        Ok(answer.decode()?)
    }

    /// Asks the active controller, `node`. Whoever replaces it must hear of this broker soon, so the wait ends with its
    /// role.
    async fn ask<R: Request>(
        &self,
        (node, lane): (NodeId, Lane),
        request: &R,
        known: &RangeInclusive<i16>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        tokio::select! {
            answered = self.peers.call(node, lane, request, known, timeout) => answered,
            () = self.until_superseded(node) => Err(CallError::Superseded),
        }
    }

    /// BrokerHeartbeat: abandoned when another controller is known, or this one is silent for too long.
    pub async fn heartbeat(
        &self,
        request: &BrokerHeartbeatRequest,
    ) -> Result<BrokerHeartbeatResponse, ControllerCallError> {
        let Some(node) = self.target()? else {
            return Ok(broker_heartbeat::answer(&self.active, request).await);
        };
        let silence_max = Heartbeats::silence_max(self.active.parts.config.quorum.broker_lease_ms).to_std();
        let called = self.ask((node, Lane::Heartbeats), request, &HEARTBEAT_VERSIONS, silence_max).await;
        if matches!(called, Err(CallError::Unreachable(_) | CallError::Lost)) {
            self.peer_unreachable(node);
        }
        let answer = called?;
        Ok(answer.decode()?)
    }

    /// AlterPartition.
    pub async fn alter_partition(
        &self,
        request: &AlterPartitionRequest,
    ) -> Result<AlterPartitionResponse, ControllerCallError> {
        let Some(node) = self.target()? else {
            return Ok(alter_partition::decide(&self.active, request).await);
        };
        let answer =
            self.ask((node, Lane::Brokers), request, &ALTER_PARTITION_VERSIONS, CALL_TIMEOUT).await?;
        Ok(answer.decode()?)
    }

    /// AllocateProducerIds.
    pub async fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<AllocateProducerIdsResponse, ControllerCallError> {
        let Some(node) = self.target()? else {
            return Ok(allocate_producer_ids::decide(&self.active, request).await);
        };
        let answer = self.ask((node, Lane::Brokers), request, &PRODUCER_IDS_VERSIONS, CALL_TIMEOUT).await?;
        Ok(answer.decode()?)
    }

    /// Has an admin request decided by the active controller; looks for one until [`FORWARD_TIMEOUT`]. `body` is the
    /// request as it goes to another broker.
    ///
    /// # Errors
    /// The code with which everything asked for failed.
    pub async fn admin<A: AdminApi>(
        &self,
        asker: Asker<'_>,
        version: i16,
        request: &A::Request<'_>,
        body: Bytes,
    ) -> Result<AdminAnswer<A>, ErrorCode> {
        let attempts = async {
            loop {
                while !self.is_active_known() {
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                match self.admin_once::<A>(asker, version, request, &body).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(ErrorCode::NotController)) => {}
                    Ok(Err(code)) => return Err(code),
                    Err(error) => {
                        let api = <A::Request<'_> as Request>::KEY.name();
                        tracing::debug!(%error, api, "request cannot be forwarded; trying again");
                    }
                }
                tokio::time::sleep(clock::jittered(FORWARD_RETRY_PAUSE)).await;
            }
        };
        tokio::time::timeout(FORWARD_TIMEOUT, attempts).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
    }

    async fn admin_once<A: AdminApi>(
        &self,
        asker: Asker<'_>,
        version: i16,
        request: &A::Request<'_>,
        body: &Bytes,
    ) -> Result<Result<AdminAnswer<A>, ErrorCode>, ControllerCallError> {
        let Some(node) = self.target()? else {
            let decided = A::decide(&self.active, request, version).await;
            return Ok(decided.map(AdminAnswer::Here).map_err(|NotActive| ErrorCode::NotController));
        };
        let forwarded = self.forward(node, asker, <A::Request<'_> as Request>::KEY, version, body);
        Ok(forwarded.await?.map(AdminAnswer::Elsewhere))
    }

    /// Passes an admin request on to the active controller, `node`.
    async fn forward(
        &self,
        node: NodeId,
        asker: Asker<'_>,
        key: ApiKey,
        version: i16,
        body: &Bytes,
    ) -> Result<Result<Bytes, ErrorCode>, ControllerCallError> {
        let served = self.peers.serves(node, Lane::Admin, key, version);
        if !tokio::time::timeout(FORWARD_TIMEOUT, served).await.unwrap_or(Ok(true))? {
            // A controller of the former release, amid a roll: the client asked in a version that this broker listed.
            tracing::warn!(
                api = key.name(),
                version,
                "the active controller is of a release without this version"
            );
            return Ok(Err(ErrorCode::UnsupportedVersion));
        }
        let request = ForwardAdminRequest {
            principal: asker.principal.to_string().into(),
            client_id: Some(asker.client_id.into()),
            api_key: key.code(),
            api_version: version,
            body: body.as_ref().into(),
            ..Default::default()
        };
        let answer = self.ask((node, Lane::Admin), &request, &FORWARD_VERSIONS, FORWARD_TIMEOUT).await?;
        let response: ForwardAdminResponse<'_> = answer.decode()?;
        Ok(match ErrorCode::from_wire(response.error_code) {
            ErrorCode::None => Ok(Bytes::copy_from_slice(&response.body)),
            code => Err(code),
        })
    }
}
