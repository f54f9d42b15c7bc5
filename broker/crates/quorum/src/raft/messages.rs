//! Messages between voters as bytes (`FORMAT.md`). No I/O.
//!
//! Every message names whom it is for and whom it is from by full identity: one that was meant for the owner of
//! a disk that is gone is refused, so a node with an emptied disk neither votes nor acknowledges in its name.
//! Decoders ignore what follows the last field they know, so fields can be added at the end.

use bytes::{BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::types::{SnapshotMeta, Types, Vote};
use super::wire::{
    put_frame, put_log_id, put_stored_membership, put_vote, take_frame, take_log_id, take_stored_membership,
    take_vote,
};
use crate::VoterId;
use crate::codec::{DecodeError, Fields, put_byte_string, put_voter_id};

/// The layout of messages; a receiver refuses others.
const VERSION: u8 = 1;

/// What a message asks for; the numbers travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Append = 1,
    Vote = 2,
    PreVote = 3,
    Snapshot = 4,
    TransferLeader = 5,
    Hello = 6,
}

impl Kind {
    pub(crate) fn from_wire(kind: i8) -> Option<Kind> {
        [Kind::Append, Kind::Vote, Kind::PreVote, Kind::Snapshot, Kind::TransferLeader, Kind::Hello]
            .into_iter()
            .find(|known| *known as i8 == kind)
    }
}

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    /// The bytes make no sense, or are of a version that is not known.
    Malformed = 1,
    /// The message is for another identity than the one that lives here.
    Misdirected = 2,
    /// The receiver has stopped or its disk has failed.
    Stopped = 3,
}

/// Whom a message is for; without a directory, for whoever has the node's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: VoterId,
    pub(crate) from: VoterId,
}

/// Begins a message.
pub(crate) fn request(route: Route) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_voter_id(&mut out, route.to);
    put_voter_id(&mut out, route.from);
    out
}

/// Takes the beginning of a message off.
pub(crate) fn take_route(fields: &mut Fields) -> Result<Route, DecodeError> {
    take_version(fields)?;
    Ok(Route { to: fields.voter_id("receiver")?, from: fields.voter_id("sender")? })
}

/// Begins an answer.
pub(crate) fn answer(status: Status) -> Vec<u8> {
    vec![VERSION, status as u8]
}

/// Takes the beginning of an answer off.
pub(crate) fn take_status(fields: &mut Fields) -> Result<Status, DecodeError> {
    take_version(fields)?;
    match fields.u8("status")? {
        0 => Ok(Status::Ok),
        1 => Ok(Status::Malformed),
        2 => Ok(Status::Misdirected),
        3 => Ok(Status::Stopped),
        value => Err(DecodeError::Value { what: "status", value: value.into() }),
    }
}

fn take_version(fields: &mut Fields) -> Result<(), DecodeError> {
    match fields.u8("message version")? {
        VERSION => Ok(()),
        value => Err(DecodeError::Value { what: "message version", value: value.into() }),
    }
}

pub(crate) fn put_append(out: &mut Vec<u8>, request: &AppendEntriesRequest<Types>) {
    put_vote(out, &request.vote);
    put_log_id(out, request.prev_log_id.as_ref());
    put_log_id(out, request.leader_commit.as_ref());
    out.put_u32(request.entries.len() as u32);
    for entry in &request.entries {
        put_frame(out, entry);
    }
}

pub(crate) fn take_append(fields: &mut Fields) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let vote = take_vote(fields)?;
    let prev_log_id = take_log_id(fields)?;
    let leader_commit = take_log_id(fields)?;
    let count = fields.u32("count of entries")?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(take_frame(fields)?);
    }
    let positions = prev_log_id.map_or(0, |id| id.index + 1)..;
    if let Some((position, _)) =
        positions.zip(&entries).find(|(position, entry)| entry.log_id.index != *position)
    {
        return Err(DecodeError::Value { what: "position of an entry", value: position });
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(crate) fn put_append_answer(out: &mut Vec<u8>, answer: &AppendEntriesResponse<Types>) {
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(matched) => {
            out.put_u8(1);
            put_log_id(out, matched.as_ref());
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(out, vote);
        }
    }
}

pub(crate) fn take_append_answer(fields: &mut Fields) -> Result<AppendEntriesResponse<Types>, DecodeError> {
    match fields.u8("answer to entries")? {
        0 => Ok(AppendEntriesResponse::Success),
        1 => Ok(AppendEntriesResponse::PartialSuccess(take_log_id(fields)?)),
        2 => Ok(AppendEntriesResponse::Conflict),
        3 => Ok(AppendEntriesResponse::HigherVote(take_vote(fields)?)),
        value => Err(DecodeError::Value { what: "answer to entries", value: value.into() }),
    }
}

pub(crate) fn put_vote_request(out: &mut Vec<u8>, request: &VoteRequest<Types>) {
    put_vote(out, &request.vote);
    put_log_id(out, request.last_log_id.as_ref());
    out.put_u8(request.leadership_transfer.into());
}

pub(crate) fn take_vote_request(fields: &mut Fields) -> Result<VoteRequest<Types>, DecodeError> {
    let mut request = VoteRequest::new(take_vote(fields)?, take_log_id(fields)?);
    request.leadership_transfer = fields.bool("leadership transfer")?;
    Ok(request)
}

pub(crate) fn put_vote_answer(out: &mut Vec<u8>, answer: &VoteResponse<Types>) {
    put_vote(out, &answer.vote);
    out.put_u8(answer.vote_granted.into());
    put_log_id(out, answer.last_log_id.as_ref());
}

pub(crate) fn take_vote_answer(fields: &mut Fields) -> Result<VoteResponse<Types>, DecodeError> {
    let vote = take_vote(fields)?;
    let granted = fields.bool("vote granted")?;
    Ok(VoteResponse::new(vote, take_log_id(fields)?, granted))
}

pub(crate) fn put_transfer(out: &mut Vec<u8>, request: &TransferLeaderRequest<Types>) {
    put_vote(out, request.from_leader());
    put_voter_id(out, *request.to_node_id());
    put_log_id(out, request.last_log_id());
}

pub(crate) fn take_transfer(fields: &mut Fields) -> Result<TransferLeaderRequest<Types>, DecodeError> {
    let from = take_vote(fields)?;
    let to = fields.voter_id("next leader")?;
    Ok(TransferLeaderRequest::new(from, to, take_log_id(fields)?))
}

pub(crate) fn put_transfer_answer(out: &mut Vec<u8>, answer: &TransferLeaderResponse<Types>) {
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(out, expected);
            put_vote(out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_log_id(out, expected.as_ref());
            put_log_id(out, actual.as_ref());
        }
    }
}

pub(crate) fn take_transfer_answer(
    fields: &mut Fields,
) -> Result<TransferLeaderResponse<Types>, DecodeError> {
    match fields.u8("answer to a transfer")? {
        0 => Ok(Ok(())),
        1 => {
            let (expected, actual) = (take_vote(fields)?, take_vote(fields)?);
            Ok(Err(TransferLeaderError::VoteChanged { expected, actual }))
        }
        2 => {
            let (expected, actual) = (take_log_id(fields)?, take_log_id(fields)?);
            Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual }))
        }
        value => Err(DecodeError::Value { what: "answer to a transfer", value: value.into() }),
    }
}

/// A part of a snapshot; parts of one snapshot come in order, each after the answer to the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotPart {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    /// Length of the whole snapshot.
    pub(crate) total: u64,
    /// Where this part begins.
    pub(crate) position: u64,
    pub(crate) bytes: Bytes,
}

pub(crate) fn put_snapshot_part(out: &mut Vec<u8>, part: &SnapshotPart) {
    put_vote(out, &part.vote);
    put_log_id(out, part.meta.last_log_id.as_ref());
    put_stored_membership(out, &part.meta.last_membership);
    out.put_u64(part.total);
    out.put_u64(part.position);
    put_byte_string(out, &part.bytes);
}

pub(crate) fn take_snapshot_part(fields: &mut Fields) -> Result<SnapshotPart, DecodeError> {
    let vote = take_vote(fields)?;
    let last_log_id = take_log_id(fields)?;
    let last_membership = take_stored_membership(fields)?;
    let meta = SnapshotMeta { last_log_id, last_membership };
    let (total, position) = (fields.u64("snapshot's length")?, fields.u64("position in the snapshot")?);
    Ok(SnapshotPart { vote, meta, total, position, bytes: fields.byte_string("part of a snapshot")? })
}

/// The answer to a part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotAnswer {
    /// Go on at this position; another one than the end of the part means that the receiver lost the others.
    GoOn(u64),
    /// All of it was taken or a higher vote is known; this is the receiver's vote.
    Done(SnapshotResponse<Types>),
}

pub(crate) fn put_snapshot_answer(out: &mut Vec<u8>, answer: &SnapshotAnswer) {
    match answer {
        SnapshotAnswer::GoOn(position) => {
            out.put_u8(0);
            out.put_u64(*position);
        }
        SnapshotAnswer::Done(response) => {
            out.put_u8(1);
            put_vote(out, &response.vote);
        }
    }
}

pub(crate) fn take_snapshot_answer(fields: &mut Fields) -> Result<SnapshotAnswer, DecodeError> {
    match fields.u8("answer to a snapshot")? {
        0 => Ok(SnapshotAnswer::GoOn(fields.u64("position in the snapshot")?)),
        1 => Ok(SnapshotAnswer::Done(SnapshotResponse::new(take_vote(fields)?))),
        value => Err(DecodeError::Value { what: "answer to a snapshot", value: value.into() }),
    }
}

/// What a voter that was greeted says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HelloAnswer {
    /// Who lives there.
    pub(crate) id: VoterId,
    /// Whether it holds a log or has voted.
    pub(crate) has_log: bool,
    /// Whether it leads, or believes so.
    pub(crate) leads: bool,
}

pub(crate) fn put_hello_answer(out: &mut Vec<u8>, answer: HelloAnswer) {
    put_voter_id(out, answer.id);
    out.put_u8(answer.has_log.into());
    out.put_u8(answer.leads.into());
}

pub(crate) fn take_hello_answer(fields: &mut Fields) -> Result<HelloAnswer, DecodeError> {
    let id = fields.voter_id("identity")?;
    Ok(HelloAnswer { id, has_log: fields.bool("has a log")?, leads: fields.bool("leads")? })
}
