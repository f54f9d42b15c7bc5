//! This broker's life in the cluster: register, send heartbeats, be unfenced, leave in order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::controller::{HeartbeatReply, supported_features};
use ottla_broker_node::{Contact, Heartbeats, Membership, NextStep};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_broker_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;
use ottla_broker_protocol::messages::broker_registration_request::{
    BrokerRegistrationRequest, Feature, Listener,
};
use ottla_broker_types::{BrokerEpoch, DurationMs, MonotonicMs, Uuid};
use tokio::sync::watch;

use super::client::{ControllerCallError, LOOK_PAUSE};
use crate::broker::Broker;
use crate::clock;
use crate::stop::until_true;

/// How long a broker whose rack comes from a file waits for the platform to write it. Replicas are placed by rack, so
/// registering too early would place them wrongly; a platform that never writes it must not keep the broker away.
const RACK_PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at the file with the rack of a broker that is registered. Nothing depends on a rack that came late.
const RACK_LOOK: Duration = Duration::from_secs(1);

/// Where this broker stands in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Not registered yet.
    #[default]
    Starting,
    /// Registered, but out of service until it has caught up with the metadata.
    Fenced,
    /// In service.
    Active,
    /// Handing its leaderships over.
    Leaving,
    /// It may stop: nobody depends on it.
    Left,
}

/// Runs until the broker has left.
pub async fn run(broker: Arc<Broker>, mut leave: watch::Receiver<bool>) {
    let incarnation = Uuid(clock::entropy());
    let mut membership = Membership::new(broker.config.quorum.heartbeat_interval_ms);
    let mut registered: Option<Registration> = None;
    loop {
        if *leave.borrow() && !membership.is_leaving() {
            membership.leave(broker.clock.now().mono);
            broker.controller.set_standing(Standing::Leaving);
        }
        let pause = match membership.next(broker.clock.now().mono) {
            NextStep::Stop => {
                broker.controller.set_standing(Standing::Left);
                return;
            }
            NextStep::Register if !broker.controller.is_active_known() => LOOK_PAUSE,
            NextStep::Register => {
                registered = register(&broker, incarnation).await;
                match &registered {
                    Some(registration) => {
                        membership.registered(registration.epoch);
                        continue;
                    }
                    None => membership.not_registered().to_std(),
                }
            }
            NextStep::Beat(_) => {
                let registration = registered.as_mut().expect("a broker that beats is registered");
                if !membership.is_leaving()
                    && registration.looks_moved(&broker)
                    && let Some(again) = register(&broker, incarnation).await
                {
                    membership.registered(again.epoch);
                    *registration = again;
                }
                let beat = beat(&broker, registration.epoch, membership.is_leaving()).await;
                registration.note_contact(&broker, &beat);
                match beat {
                    Ok(reply) => {
                        let now = broker.clock.now().mono;
                        membership.answered(now, &reply, wants_fence(&broker)).to_std()
                    }
                    Err(Beat::RegisterAgain) => {
                        membership.forgotten();
                        continue;
                    }
                    Err(Beat::NoController) => clock::jittered(membership.unanswered().to_std()),
                }
            }
        };
        wait(&mut leave, pause).await;
    }
}

/// What the controller knows of this broker.
struct Registration {
    epoch: BrokerEpoch,
    rack: Option<String>,
    next_look: MonotonicMs,
    heartbeats: Heartbeats,
}

impl Registration {
    fn new(broker: &Broker, epoch: BrokerEpoch, rack: Option<String>) -> Registration {
        let now = broker.clock.now().mono;
        let heartbeats = Heartbeats::new(broker.config.quorum.broker_lease_ms, now);
        Registration { epoch, rack, next_look: now.plus(in_ms(RACK_LOOK)), heartbeats }
    }

    /// Notes whether a controller answered, and says so when this broker is cut off or no longer.
    fn note_contact(&mut self, broker: &Broker, beat: &Result<HeartbeatReply, Beat>) {
        let now = broker.clock.now().mono;
        let contact = match beat {
            Err(Beat::NoController) => self.heartbeats.failed(now),
            Ok(_) | Err(Beat::RegisterAgain) => self.heartbeats.answered(now),
        };
        match contact {
            Contact::AsBefore => {}
            Contact::CutOff => {
                tracing::warn!(
                    "cut off: no controller answers; others may take this broker's partitions over"
                );
            }
            Contact::Restored(silent) => {
                tracing::info!(silent_ms = silent.0, "a controller answers again");
            }
        }
        broker.controller.set_cut_off(self.heartbeats.is_cut_off());
    }

    /// Whether the platform names another rack by now, looked at once in a while.
    fn looks_moved(&mut self, broker: &Broker) -> bool {
        let now = broker.clock.now().mono;
        if broker.config.rack_file.is_none() || now < self.next_look {
            return false;
        }
        self.next_look = now.plus(in_ms(RACK_LOOK));
        has_moved(self.rack.as_deref(), broker.rack().as_deref())
    }
}

/// Whether a broker belongs to another rack than it has registered. One that is no longer named is still believed: a file
/// that cannot be read moves no machine.
fn has_moved(registered: Option<&str>, named: Option<&str>) -> bool {
    named.is_some() && named != registered
}

/// Waits, but no longer than until the broker is told to leave.
async fn wait(leave: &mut watch::Receiver<bool>, longest: Duration) {
    let already = *leave.borrow();
    let told = async {
        if already {
            std::future::pending::<()>().await;
        }
        until_true(leave).await;
    };
    let _ = tokio::time::timeout(longest, told).await;
}

fn in_ms(duration: Duration) -> DurationMs {
    DurationMs(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

async fn register(broker: &Arc<Broker>, incarnation: Uuid) -> Option<Registration> {
    let rack = broker.rack();
    let waits_for_rack = broker.config.rack_file.is_some() && rack.is_none();
    if waits_for_rack && broker.clock.now().mono < MonotonicMs::default().plus(in_ms(RACK_PATIENCE)) {
        return None;
    }
    let listeners = broker.config.advertised_listeners.iter().map(|listener| Listener {
        name: Cow::Owned(listener.name.clone()),
        host: Cow::Owned(listener.host.clone()),
        port: listener.port,
        security_protocol: 0,
        ..Default::default()
    });
    let features = supported_features().into_iter().map(|feature| Feature {
        name: Cow::Owned(feature.name),
        min_supported_version: feature.level_min,
        max_supported_version: feature.level_max,
        ..Default::default()
    });
    let request = BrokerRegistrationRequest {
        broker_id: broker.node_id.0,
        cluster_id: Cow::Owned(broker.cluster_id.0.clone()),
        incarnation_id: incarnation,
        listeners: listeners.collect(),
        features: features.collect(),
        rack: rack.as_deref().map(Cow::Borrowed),
        log_dirs: vec![broker.directory_id.0],
        previous_broker_epoch: broker.controller.previous_epoch().map_or(-1, |epoch| epoch.0),
        ..Default::default()
    };
    match broker.controller.register(&request).await {
        Ok(response) if response.error_code == 0 => {
            let epoch = BrokerEpoch(response.broker_epoch);
            broker.controller.registered(epoch);
            tracing::info!(epoch = epoch.0, rack, "registered with the controller");
            Some(Registration::new(broker, epoch, rack))
        }
        Ok(response) => {
            let code = ErrorCode::from_wire(response.error_code);
            // A restarted broker is a duplicate until the lease of its former self has run out.
            if code == ErrorCode::DuplicateBrokerRegistration {
                tracing::debug!("another registration of this id is still live; trying again");
            } else {
                tracing::warn!(
                    code = code.name(),
                    message = code.message(),
                    "registration is refused; trying again"
                );
            }
            None
        }
        Err(error) => {
            tracing::debug!(%error, "no controller takes the registration");
            None
        }
    }
}

/// Whether other brokers had better serve: this one's data disk is stuck, or was and its partitions still have to be
/// brought in line, and there are others.
fn wants_fence(broker: &Broker) -> bool {
    (broker.disk.stuck_for().is_some() || broker.is_hosting_behind())
        && broker.view().brokers().any(|other| other.id != broker.node_id && !other.fenced)
}

enum Beat {
    RegisterAgain,
    NoController,
}

/// Sends a heartbeat.
async fn beat(broker: &Arc<Broker>, epoch: BrokerEpoch, leaving: bool) -> Result<HeartbeatReply, Beat> {
    let request = BrokerHeartbeatRequest {
        broker_id: broker.node_id.0,
        broker_epoch: epoch.0,
        current_metadata_offset: broker.view().applied_end().get(),
        want_fence: !leaving && wants_fence(broker),
        want_shut_down: leaving,
        ..Default::default()
    };
    let response: BrokerHeartbeatResponse = match broker.controller.heartbeat(&request).await {
        Ok(response) => response,
        Err(ControllerCallError::NoController | ControllerCallError::Call(_)) => {
            return Err(Beat::NoController);
        }
    };
    match ErrorCode::from_wire(response.error_code) {
        ErrorCode::None => {}
        ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered => {
            tracing::info!("the controller no longer knows this registration; registering again");
            return Err(Beat::RegisterAgain);
        }
        _ => return Err(Beat::NoController),
    }
    if !leaving {
        let standing = if response.is_fenced { Standing::Fenced } else { Standing::Active };
        broker.controller.set_standing(standing);
    }
    Ok(HeartbeatReply {
        caught_up: response.is_caught_up,
        fenced: response.is_fenced,
        should_shut_down: leaving && response.should_shut_down,
    })
}

#[cfg(test)]
mod tests {
    use super::has_moved;

    #[test]
    fn a_rack_that_comes_late_or_changes_is_registered_and_one_that_goes_is_kept() {
        assert!(has_moved(None, Some("a")));
        assert!(has_moved(Some("a"), Some("b")));
        for (registered, named) in [(None, None), (Some("a"), Some("a")), (Some("a"), None)] {
            assert!(!has_moved(registered, named), "{registered:?} {named:?}");
        }
    }
}
