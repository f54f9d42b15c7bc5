//! Sends the library's messages through the shell's transport.
//!
//! I/O: the shell's [`PeerTransport`]; a deadline on every call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::messages::{self, Kind, Route, SnapshotAnswer, SnapshotPart, Status};
use super::types::{Address, Snapshot, Types, Vote};
use crate::codec::Fields;
use crate::{Peer, PeerTransport, VoterId};

/// How long an answer to entries may take: the peer writes and flushes them first. Longer than any healthy disk
/// needs, so entries are not sent twice; heartbeats do not wait for it.
const APPEND_DEADLINE: Duration = Duration::from_secs(2);
/// How long an answer to a part of a snapshot may take; the last one is written and flushed first.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(10);
/// A part of a snapshot: small beside the link's capacity within the deadline, large beside a round trip.
const SNAPSHOT_PART_BYTES: usize = 1024 * 1024;
/// How often a receiver may lose the parts of a snapshot before the attempt is given up for a later one.
const SNAPSHOT_RESTARTS_MAX: u32 = 3;

/// Makes links to peers.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) me: VoterId,
    pub(crate) transport: Arc<dyn PeerTransport>,
}

/// The way to one peer.
pub(crate) struct Link {
    dial: Dial,
    to: VoterId,
    peer: Peer,
}

impl RaftNetworkFactory<Types> for Dial {
    type Network = Link;

    async fn new_client(&mut self, target: VoterId, node: &Address) -> Link {
        self.link(target, node.0.clone())
    }
}

impl Dial {
    pub(crate) fn link(&self, to: VoterId, address: String) -> Link {
        Link { dial: self.clone(), to, peer: Peer { node: to.node, address } }
    }
}

impl Link {
    /// Begins a message to the peer.
    fn message(&self) -> Vec<u8> {
        messages::request(Route { to: self.to, from: self.dial.me })
    }

    /// Sends a message and gives back the fields of the answer after its status.
    async fn call(
        &self,
        kind: Kind,
        payload: Vec<u8>,
        deadline: Duration,
    ) -> Result<Fields, RPCError<Types>> {
        let call = self.dial.transport.call(self.peer.clone(), kind as i8, payload.into());
        let answer = match tokio::time::timeout(deadline, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Unreachable::new(&error).into()),
            Err(_) => return Err(self.timeout(kind, deadline).into()),
        };
        let mut fields = Fields::new(answer);
        match messages::take_status(&mut fields) {
            Ok(Status::Ok) => Ok(fields),
            // Whoever lives there is not the peer, or is no more; asking at once again is of no use.
            Ok(status) => Err(Unreachable::from_string(format!("the peer answered {status:?}")).into()),
            Err(error) => Err(NetworkError::new(&error).into()),
        }
    }

    fn timeout(&self, kind: Kind, deadline: Duration) -> Timeout<Types> {
        let action = match kind {
            Kind::Append => RPCTypes::AppendEntries,
            Kind::Snapshot => RPCTypes::InstallSnapshot,
            Kind::TransferLeader => RPCTypes::TransferLeader,
            Kind::Vote | Kind::PreVote | Kind::Hello => RPCTypes::Vote,
        };
        Timeout { action, id: self.dial.me, target: self.to, timeout: deadline }
    }

    async fn vote_call(
        &self,
        kind: Kind,
        request: &VoteRequest<Types>,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let mut payload = self.message();
        messages::put_vote_request(&mut payload, request);
        let mut fields = self.call(kind, payload, option.hard_ttl()).await?;
        messages::take_vote_answer(&mut fields).map_err(|error| NetworkError::new(&error).into())
    }

    async fn send_part(&self, part: &SnapshotPart) -> Result<SnapshotAnswer, RPCError<Types>> {
        let mut payload = self.message();
        messages::put_snapshot_part(&mut payload, part);
        let mut fields = self.call(Kind::Snapshot, payload, SNAPSHOT_DEADLINE).await?;
        messages::take_snapshot_answer(&mut fields).map_err(|error| NetworkError::new(&error).into())
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let total = snapshot.snapshot.len();
        let mut position = 0;
        let mut restarts = 0;
        loop {
            let end = total.min(position + SNAPSHOT_PART_BYTES);
            let part = SnapshotPart {
                vote,
                meta: snapshot.meta.clone(),
                total: total as u64,
                position: position as u64,
                bytes: snapshot.snapshot.slice(position..end),
            };
            match self.send_part(&part).await? {
                SnapshotAnswer::Done(response) => return Ok(response),
                SnapshotAnswer::GoOn(next) if next == end as u64 && end < total => position = end,
                SnapshotAnswer::GoOn(_) if restarts < SNAPSHOT_RESTARTS_MAX => {
                    restarts += 1;
                    position = 0;
                }
                SnapshotAnswer::GoOn(_) => {
                    return Err(
                        NetworkError::from_string("the peer keeps losing parts of the snapshot").into()
                    );
                }
            }
        }
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let mut payload = self.message();
        messages::put_append(&mut payload, &rpc);
        let mut fields = self.call(Kind::Append, payload, APPEND_DEADLINE).await?;
        messages::take_append_answer(&mut fields).map_err(|error| NetworkError::new(&error).into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.vote_call(Kind::Vote, &rpc, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.vote_call(Kind::PreVote, &rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let mut payload = self.message();
        messages::put_transfer(&mut payload, &request);
        let mut fields = self.call(Kind::TransferLeader, payload, option.hard_ttl()).await?;
        messages::take_transfer_answer(&mut fields).map_err(|error| NetworkError::new(&error).into())
    }
}
