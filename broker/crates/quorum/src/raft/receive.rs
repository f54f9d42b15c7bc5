//! Answers the messages of peers. No I/O of its own.

use bytes::{Bytes, BytesMut};
use openraft::ServerState;
use openraft::raft::SnapshotResponse;
use parking_lot::Mutex;

use super::messages::{self, HelloAnswer, Kind, SnapshotAnswer, SnapshotPart, Status};
use super::node::Raft;
use super::types::{Snapshot, SnapshotMeta, Vote};
use crate::codec::{DecodeError, Fields};
use crate::{SNAPSHOT_BYTES_MAX, VoterId};

/// Answers messages for one node.
pub(crate) struct Receiver {
    me: VoterId,
    raft: Raft,
    /// The one snapshot that is being received; another one takes its place.
    incoming: Mutex<Option<Incoming>>,
}

struct Incoming {
    vote: Vote,
    meta: SnapshotMeta,
    total: u64,
    bytes: BytesMut,
}

/// Why there is no proper answer.
enum Refusal {
    Malformed(DecodeError),
    Stopped,
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Refusal {
        Refusal::Malformed(error)
    }
}

impl<E> From<openraft::errors::RaftError<super::types::Types, E>> for Refusal {
    fn from(_: openraft::errors::RaftError<super::types::Types, E>) -> Refusal {
        Refusal::Stopped
    }
}

impl Receiver {
    pub(crate) fn new(me: VoterId, raft: Raft) -> Receiver {
        Receiver { me, raft, incoming: Mutex::new(None) }
    }

    /// See [`handle_message`](crate::MetadataLog::handle_message).
    pub(crate) async fn handle(&self, kind: i8, payload: Bytes) -> Bytes {
        let Some(kind) = Kind::from_wire(kind) else {
            return messages::answer(Status::Malformed).into();
        };
        let mut fields = Fields::new(payload);
        let route = match messages::take_route(&mut fields) {
            Ok(route) => route,
            Err(error) => {
                tracing::debug!(%error, ?kind, "malformed quorum message");
                return messages::answer(Status::Malformed).into();
            }
        };
        // A hello asks who lives here; everything else is for one identity alone.
        let is_for_me = route.to == self.me || (kind == Kind::Hello && route.to.node == self.me.node);
        if !is_for_me {
            return messages::answer(Status::Misdirected).into();
        }
        match self.answer(kind, fields).await {
            Ok(answer) => answer.into(),
            Err(Refusal::Malformed(error)) => {
                tracing::debug!(%error, ?kind, from = %route.from, "malformed quorum message");
                messages::answer(Status::Malformed).into()
            }
            Err(Refusal::Stopped) => messages::answer(Status::Stopped).into(),
        }
    }

    async fn answer(&self, kind: Kind, mut fields: Fields) -> Result<Vec<u8>, Refusal> {
        let mut out = messages::answer(Status::Ok);
        match kind {
            Kind::Append => {
                let answer = self.raft.append_entries(messages::take_append(&mut fields)?).await?;
                messages::put_append_answer(&mut out, &answer);
            }
            Kind::Vote => {
                let answer = self.raft.vote(messages::take_vote_request(&mut fields)?).await?;
                messages::put_vote_answer(&mut out, &answer);
            }
            Kind::PreVote => {
                let answer = self.raft.pre_vote(messages::take_vote_request(&mut fields)?).await?;
                messages::put_vote_answer(&mut out, &answer);
            }
            Kind::Snapshot => {
                let answer = self.take_part(messages::take_snapshot_part(&mut fields)?).await?;
                messages::put_snapshot_answer(&mut out, &answer);
            }
            Kind::TransferLeader => {
                let request = messages::take_transfer(&mut fields)?;
                let answer = self.raft.handle_transfer_leader(request).await.map_err(|_| Refusal::Stopped)?;
                messages::put_transfer_answer(&mut out, &answer);
            }
            Kind::Hello => {
                let has_log = self.raft.is_initialized().await.map_err(|_| Refusal::Stopped)?;
                let leads =
                    self.raft.with_raft_state(|state| state.server_state == ServerState::Leader).await;
                let leads = leads.map_err(|_| Refusal::Stopped)?;
                messages::put_hello_answer(&mut out, HelloAnswer { id: self.me, has_log, leads });
            }
        }
        Ok(out)
    }

    async fn take_part(&self, part: SnapshotPart) -> Result<SnapshotAnswer, Refusal> {
        let (vote, meta) = (part.vote, part.meta.clone());
        match self.collect(part)? {
            Collected::GoOn(position) => Ok(SnapshotAnswer::GoOn(position)),
            Collected::All(bytes) => {
                let snapshot = Snapshot { meta, snapshot: bytes };
                let response: SnapshotResponse<_> =
                    self.raft.install_full_snapshot(vote, snapshot).await.map_err(|_| Refusal::Stopped)?;
                Ok(SnapshotAnswer::Done(response))
            }
        }
    }

    /// Puts a part behind those before it.
    fn collect(&self, part: SnapshotPart) -> Result<Collected, DecodeError> {
        if part.total > SNAPSHOT_BYTES_MAX as u64 {
            return Err(DecodeError::Value { what: "snapshot's length", value: part.total });
        }
        let mut incoming = self.incoming.lock();
        let goes_on =
            |held: &Incoming| held.vote == part.vote && held.meta == part.meta && held.total == part.total;
        if part.position == 0 {
            let bytes = BytesMut::new();
            *incoming = Some(Incoming { vote: part.vote, meta: part.meta.clone(), total: part.total, bytes });
        }
        let Some(held) = incoming.as_mut().filter(|held| goes_on(held)) else {
            return Ok(Collected::GoOn(0));
        };
        let position = held.bytes.len() as u64;
        if part.position != position || part.bytes.len() as u64 > held.total - position {
            return Ok(Collected::GoOn(position));
        }
        held.bytes.extend_from_slice(&part.bytes);
        if (held.bytes.len() as u64) < held.total {
            return Ok(Collected::GoOn(held.bytes.len() as u64));
        }
        let whole = incoming.take().map(|held| held.bytes.freeze()).unwrap_or_default();
        Ok(Collected::All(whole))
    }
}

enum Collected {
    GoOn(u64),
    All(Bytes),
}
