//! This broker's place in the cluster: registration, heartbeats, and leaving in order. No I/O but the close.

use ottla_broker_metadata::controller::{
    HeartbeatReply, HeartbeatRequest, RegisterBrokerError, RegisterRequest, RegistrationError,
    supported_features,
};
use ottla_broker_metadata::record::Endpoint as Listener;
use ottla_broker_node::{Membership as Place, NextStep};
use ottla_broker_types::{BrokerEpoch, DirectoryId, DurationMs, NodeId, Uuid};

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::{Process, now_at};
use crate::message::{NotController, Request};
use crate::queue::SimTime;

const HEARTBEAT: DurationMs = DurationMs(100);

/// What a broker knows of its own membership.
#[derive(Debug)]
pub(crate) struct Membership {
    incarnation: Uuid,
    previous_epoch: Option<BrokerEpoch>,
    place: Place,
    /// The node that is asked first as the controller.
    pub(crate) controller: NodeId,
    /// The node that is asked first for new metadata.
    pub(crate) metadata_from: NodeId,
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
            place: Place::new(HEARTBEAT),
            controller,
            metadata_from: controller,
        }
    }

    /// The epoch of this run, once registered.
    pub(crate) fn epoch(&self) -> Option<BrokerEpoch> {
        self.place.epoch()
    }
}

impl Process {
    /// Starts to leave in order.
    pub fn leave(&mut self, at: SimTime) {
        self.membership.place.leave(now_at(at).mono);
    }

    pub(crate) fn membership_due(&mut self, at: SimTime, out: &mut Out) {
        let controller = self.membership.controller;
        match self.membership.place.next(now_at(at).mono) {
            NextStep::Stop => self.stop(out),
            NextStep::Register => {
                let request = self.registration();
                self.call(controller, Request::Register(request), Pending::Register, out);
            }
            NextStep::Beat(epoch) => {
                let request = HeartbeatRequest {
                    broker: self.id,
                    epoch,
                    applied_end: self.image.applied_end(),
                    want_fence: false,
                    want_shut_down: self.membership.place.is_leaving(),
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
                self.membership.place.registered(epoch);
                out.timers.push((0, Timer::Membership));
            }
            Err(NotController) => self.controller_lost(out),
            // A duplicate until the lease of the former run has passed.
            Ok(Err(_)) => {
                let pause = self.membership.place.not_registered();
                out.timers.push((pause.0, Timer::Membership));
            }
        }
    }

    pub(crate) fn heartbeat_answered(
        &mut self,
        at: SimTime,
        result: Result<Result<HeartbeatReply, RegistrationError>, NotController>,
        out: &mut Out,
    ) {
        match result {
            Ok(Ok(reply)) => {
                let pause = self.membership.place.answered(now_at(at).mono, &reply, false);
                out.timers.push((pause.0, Timer::Membership));
            }
            Ok(Err(RegistrationError::StaleEpoch { .. } | RegistrationError::NotRegistered { .. })) => {
                self.membership.place.forgotten();
                out.timers.push((0, Timer::Membership));
            }
            Err(NotController) => self.controller_lost(out),
        }
    }

    /// Nobody answers as the controller: another voter is asked next.
    pub(crate) fn controller_lost(&mut self, out: &mut Out) {
        self.membership.controller = self.voter_after(self.membership.controller);
        out.timers.push((self.membership.place.unanswered().0, Timer::Membership));
    }

    /// The voter to ask when `voter` is of no help.
    pub(crate) fn voter_after(&self, voter: NodeId) -> NodeId {
        let voters = &self.setup.voters;
        let at = voters.iter().position(|other| *other == voter).unwrap_or(0);
        voters[(at + 1) % voters.len()]
    }

    fn stop(&mut self, out: &mut Out) {
        if let Some(epoch) = self.membership.epoch() {
            self.close(epoch);
        }
        out.stopped = true;
    }
}
