//! This broker's place in the cluster: registration, heartbeats, and leaving in order. No I/O but the close.

use ottla_broker_metadata::controller::{
    HeartbeatReply, HeartbeatRequest, RegisterBrokerError, RegisterRequest, RegistrationError,
    supported_features,
};
use ottla_broker_metadata::record::Endpoint as Listener;
use ottla_broker_types::{BrokerEpoch, DirectoryId, NodeId, Uuid};

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::Process;
use crate::message::{NotController, Request};
use crate::queue::SimTime;

const HEARTBEAT_MS: u64 = 100;
const RETRY_MS: u64 = 25;
/// How long leaving in order may take before the broker stops anyway.
const LEAVE_MAX_MS: u64 = 4_000;

/// What a broker knows of its own membership.
#[derive(Debug)]
pub(crate) struct Membership {
    incarnation: Uuid,
    previous_epoch: Option<BrokerEpoch>,
    /// The epoch of this run, once registered.
    pub(crate) epoch: Option<BrokerEpoch>,
    /// The node that is asked first as the controller.
    pub(crate) controller: NodeId,
    /// The node that is asked first for new metadata.
    pub(crate) metadata_from: NodeId,
    leaving_until: Option<SimTime>,
}

impl Membership {
    pub(crate) fn new(
        incarnation: Uuid,
        previous_epoch: Option<BrokerEpoch>,
        controller: NodeId,
    ) -> Membership {
        Membership {
            incarnation,
            previous_epoch,
            epoch: None,
            controller,
            metadata_from: controller,
            leaving_until: None,
        }
    }
}

impl Process {
    /// Starts to leave in order.
    pub fn leave(&mut self, at: SimTime) {
        self.membership.leaving_until.get_or_insert(at.plus_ms(LEAVE_MAX_MS));
    }

    pub(crate) fn membership_due(&mut self, at: SimTime, out: &mut Out) {
        if self.membership.leaving_until.is_some_and(|until| at >= until) {
            self.stop(out);
            return;
        }
        let controller = self.membership.controller;
        match self.membership.epoch {
            None => {
                let request = self.registration();
                self.call(controller, Request::Register(request), Pending::Register, out);
            }
            Some(epoch) => {
                let request = HeartbeatRequest {
                    broker: self.id,
                    epoch,
                    applied_end: self.image.applied_end(),
                    want_fence: false,
                    want_shut_down: self.membership.leaving_until.is_some(),
                };
                self.call(controller, Request::Heartbeat(request), Pending::Heartbeat, out);
            }
        }
    }

    fn registration(&self) -> RegisterRequest {
        let mut directory = [0xd1; 16];
        directory[..4].copy_from_slice(&self.id.get().to_be_bytes());
        RegisterRequest {
            broker: self.id,
            cluster_id: self.setup.cluster_id.clone(),
            incarnation: self.membership.incarnation,
            endpoints: vec![Listener {
                listener: "INTERNAL".to_owned(),
                host: format!("node-{}", self.id),
                port: 9091,
                security_protocol: 0,
            }],
            features: supported_features(),
            rack: None,
            log_dirs: vec![DirectoryId(Uuid(directory))],
            previous_epoch: self.membership.previous_epoch,
        }
    }

    pub(crate) fn registered(
        &mut self,
        result: Result<Result<BrokerEpoch, RegisterBrokerError>, NotController>,
        out: &mut Out,
    ) {
        match result {
            Ok(Ok(epoch)) => {
                self.membership.epoch = Some(epoch);
                out.timers.push((0, Timer::Membership));
            }
            Err(NotController) => self.controller_lost(out),
            // A duplicate until the lease of the former run has passed.
            Ok(Err(_)) => out.timers.push((RETRY_MS, Timer::Membership)),
        }
    }

    pub(crate) fn heartbeat_answered(
        &mut self,
        result: Result<Result<HeartbeatReply, RegistrationError>, NotController>,
        out: &mut Out,
    ) {
        let leaving = self.membership.leaving_until.is_some();
        match result {
            Ok(Ok(reply)) if leaving && reply.should_shut_down => self.stop(out),
            Ok(Ok(_)) => out.timers.push((if leaving { RETRY_MS } else { HEARTBEAT_MS }, Timer::Membership)),
            Ok(Err(RegistrationError::StaleEpoch { .. } | RegistrationError::NotRegistered { .. })) => {
                self.membership.epoch = None;
                out.timers.push((RETRY_MS, Timer::Membership));
            }
            Err(NotController) => self.controller_lost(out),
        }
    }

    /// Nobody answers as the controller: another voter is asked next.
    pub(crate) fn controller_lost(&mut self, out: &mut Out) {
        self.membership.controller = self.voter_after(self.membership.controller);
        out.timers.push((RETRY_MS, Timer::Membership));
    }

    /// The voter to ask when `voter` is of no help.
    pub(crate) fn voter_after(&self, voter: NodeId) -> NodeId {
        let voters = &self.setup.voters;
        let at = voters.iter().position(|other| *other == voter).unwrap_or(0);
        voters[(at + 1) % voters.len()]
    }

    fn stop(&mut self, out: &mut Out) {
        if let Some(epoch) = self.membership.epoch {
            self.close(epoch);
        }
        out.stopped = true;
    }
}
