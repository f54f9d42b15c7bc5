//! What can happen. Plain values, no I/O.

use ottla_broker_types::NodeId;

use crate::client::ClientTimer;
use crate::message::{FetchedRecords, Message, Reply, Request};
use crate::net::Endpoint;
use crate::node::Timer;
use crate::quorum::ProposalId;

/// One event.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message arrives.
    Arrive { to: Endpoint, message: Message },
    /// A node's alarm.
    Timer { node: NodeId, run: u32, timer: Timer },
    /// A client's alarm.
    ClientTimer { client: u32, timer: ClientTimer },
    /// A group member's alarm.
    MemberTimer(u32),
    /// A client learns that a connection of its is lost.
    Disconnected { client: u32, node: NodeId, connection: u32 },
    /// A node's process was seen to end, by who leads the quorum.
    FoundDead(NodeId),
    /// A call's deadline.
    Deadline { caller: Endpoint, run: u32, number: u64 },
    /// A proposal may be committed by now.
    Commit { node: NodeId, run: u32, term: u64, proposal: ProposalId },
    /// The quorum looks after its leader.
    QuorumTick,
    /// A former leader of the quorum learns that it is one.
    Deposed { node: NodeId, run: u32, term: u64 },
    /// The next fault.
    Chaos,
    /// A node starts, if it is down.
    Start(NodeId),
    /// A node goes on, if it is paused.
    Resume(NodeId),
    /// All cuts of the network end.
    Reconnect,
    /// The faults end.
    Heal,
    /// The clients end.
    StopClients,
    /// The run ends.
    End,
}

impl Event {
    /// The node that has to run for the event to happen.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Event::Arrive { to: Endpoint::Node(node), .. }
            | Event::Timer { node, .. }
            | Event::Deadline { caller: Endpoint::Node(node), .. }
            | Event::Commit { node, .. }
            | Event::Deposed { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// A short text that differs when the event does.
    pub(crate) fn label(&self) -> String {
        match self {
            Event::Arrive { to, message } => {
                let (id, what) = match message {
                    Message::Request(id, request) => (id, request_label(request)),
                    Message::Reply(id, reply) => (id, reply_label(reply)),
                };
                format!("{:?}>{to:?} {}.{} {what}", id.caller, id.run, id.number)
            }
            other => format!("{other:?}"),
        }
    }
}

fn request_label(request: &Request) -> String {
    match request {
        Request::Produce(partition, batch) => format!("Produce {partition} {}", batch.len()),
        Request::Register(request) => format!("Register {}", request.broker),
        other => format!("{other:?}"),
    }
}

fn reply_label(reply: &Reply) -> String {
    match reply {
        Reply::Fetched(Ok(answer)) => {
            let rows = answer.rows.iter().map(|((_, partition), row)| match row {
                Ok(FetchedRecords { high_watermark, log_start, diverging, records }) => {
                    format!("{partition} {high_watermark} {log_start} {diverging:?} {}", records.len())
                }
                Err(code) => format!("{partition} {}", code.name()),
            });
            format!("Fetched {} {}", answer.session_id, rows.collect::<Vec<_>>().join(", "))
        }
        Reply::Metadata(Ok(batches)) => format!("Metadata {}", batches.len()),
        Reply::Leaders(leaders) => format!("Leaders {}", leaders.len()),
        other => format!("{other:?}"),
    }
}
