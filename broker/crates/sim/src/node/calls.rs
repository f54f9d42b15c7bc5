//! Calls: who waits for which answer, and where requests and answers go. No I/O.

use ottla_broker_replication::{FetchPosition, IsrProposal};
use ottla_broker_types::{NodeId, TopicPartition};

use super::out::Out;
use super::process::Process;
use crate::message::{CallId, NotController, Reply, Request};
use crate::queue::SimTime;

/// What an answer is for.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Register,
    Heartbeat,
    Metadata,
    AlterPartition(TopicPartition, IsrProposal),
    Fetch(NodeId),
    LeaderRange(TopicPartition, FetchPosition),
}

impl Process {
    /// Calls `to`; the answer, or word that there is none, comes with `pending`.
    pub(crate) fn call(&mut self, to: NodeId, request: Request, pending: Pending, out: &mut Out) {
        let number = self.next_call;
        self.next_call += 1;
        self.calls.insert(number, pending);
        out.calls.push((
            to,
            CallId { caller: self.endpoint(), run: self.run, number, connection: None },
            request,
        ));
    }

    /// A request arrived.
    pub fn request(&mut self, at: SimTime, call: CallId, request: Request, out: &mut Out) {
        match request {
            Request::Register(_) | Request::Heartbeat(_) | Request::AlterPartition(_) => {
                self.ask_controller(at, call, request, out);
            }
            Request::FetchMetadata(from) => {
                // The committed log itself is the quorum's; whoever leads may read it.
                if self.active.is_none() {
                    out.replies.push((call, Reply::Metadata(Err(NotController))));
                } else {
                    self.answer_metadata(call, from, out);
                }
            }
            Request::Fetch(request) => self.serve_fetch(at, call, request, out),
            Request::LeaderRange(partition, epoch) => self.serve_range(call, &partition, epoch, out),
            Request::Leaders => self.serve_leaders(call, out),
            Request::Produce(partition, batch) => self.serve_produce(at, call, &partition, batch, out),
            Request::Group(request) => self.serve_group(at, call, request, out),
            Request::Read(partition, offset) => self.serve_read(at, call, &partition, offset, out),
        }
    }

    /// An answer arrived, or (`None`) its deadline passed.
    pub fn reply(&mut self, at: SimTime, number: u64, reply: Option<Reply>, out: &mut Out) {
        let Some(pending) = self.calls.remove(&number) else { return };
        match (pending, reply) {
            (Pending::Register, Some(Reply::Registered(result))) => self.registered(result, out),
            (Pending::Heartbeat, Some(Reply::Heartbeat(result))) => self.heartbeat_answered(at, result, out),
            (Pending::Register | Pending::Heartbeat, _) => self.controller_lost(out),
            (Pending::Metadata, Some(Reply::Metadata(Ok(batches)))) => {
                self.metadata_arrived(at, &batches, out)
            }
            (Pending::Metadata, _) => self.metadata_missing(out),
            (Pending::AlterPartition(partition, proposal), reply) => {
                let decided = match reply {
                    Some(Reply::AlterPartition(Ok(Ok(results)))) => results.into_iter().next(),
                    _ => None,
                };
                self.isr_answered(at, &partition, &proposal, decided, out);
            }
            (Pending::Fetch(leader), reply) => {
                let answer = match reply {
                    Some(Reply::Fetched(answer)) => Some(answer),
                    _ => None,
                };
                self.fetched(at, leader, answer, out);
            }
            (Pending::LeaderRange(partition, position), reply) => {
                let range = match reply {
                    Some(Reply::LeaderRange(Ok(range))) => Some(range),
                    _ => None,
                };
                self.range_arrived(at, &partition, &position, range, out);
            }
        }
    }
}
