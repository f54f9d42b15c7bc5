//! Messages round trip, and no bytes make a decoder panic.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};
use ottla_broker_types::{DirectoryId, NodeId, Uuid};
use proptest::prelude::*;

use super::messages::*;
use super::types::{Address, Batch, Entry, Payload, RaftMembership, SnapshotMeta, Stored, log_id, vote};
use crate::codec::Fields;
use crate::{Term, VoterId};

fn voter(node: i32) -> VoterId {
    VoterId { node: NodeId(node), directory: DirectoryId(Uuid([node as u8; 16])) }
}

fn membership() -> RaftMembership {
    let configs = vec![BTreeSet::from([voter(1), voter(2)]), BTreeSet::from([voter(2), voter(3)])];
    let nodes: BTreeMap<_, _> = (1..=4).map(|node| (voter(node), Address(format!("n{node}:9091")))).collect();
    RaftMembership::new(configs, nodes).unwrap()
}

fn append() -> AppendEntriesRequest<super::types::Types> {
    let records = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"ccc")];
    let payloads = [Payload::Blank, Payload::Normal(Batch::new(&records)), Payload::Membership(membership())];
    let entries =
        payloads.into_iter().zip(8..).map(|(payload, at)| Entry { log_id: log_id(Term(3), at), payload });
    AppendEntriesRequest {
        vote: vote(Term(3), voter(1), true),
        prev_log_id: Some(log_id(Term(2), 7)),
        entries: entries.collect(),
        leader_commit: None,
    }
}

/// Encodes, appends a field of some later version, decodes.
fn through<T, E: std::fmt::Debug>(
    put: impl Fn(&mut Vec<u8>),
    take: impl Fn(&mut Fields) -> Result<T, E>,
) -> T {
    let mut out = Vec::new();
    put(&mut out);
    out.extend_from_slice(b"later");
    take(&mut Fields::new(out.into())).unwrap()
}

#[test]
fn requests_round_trip() {
    let request = append();
    let decoded = through(|out| put_append(out, &request), take_append);
    assert_eq!(decoded.vote, request.vote);
    assert_eq!(decoded.prev_log_id, request.prev_log_id);
    assert_eq!(decoded.entries, request.entries);
    assert_eq!(decoded.leader_commit, request.leader_commit);

    let mut request = VoteRequest::new(vote(Term(9), voter(2), false), Some(log_id(Term(1), 0)));
    request.leadership_transfer = true;
    assert_eq!(through(|out| put_vote_request(out, &request), take_vote_request), request);

    let request = TransferLeaderRequest::new(vote(Term(9), voter(2), true), voter(3), None);
    assert_eq!(through(|out| put_transfer(out, &request), take_transfer), request);

    let last_membership = Stored::new(Some(log_id(Term(1), 4)), membership());
    let meta = SnapshotMeta { last_log_id: Some(log_id(Term(1), 5)), last_membership };
    let bytes = Bytes::from_static(b"part");
    let part = SnapshotPart { vote: vote(Term(1), voter(1), true), meta, total: 9, position: 5, bytes };
    assert_eq!(through(|out| put_snapshot_part(out, &part), take_snapshot_part), part);
}

#[test]
fn answers_round_trip() {
    let higher = vote(Term(5), voter(1), false);
    for answer in [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(Some(log_id(Term(2), 3))),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(higher),
    ] {
        assert_eq!(through(|out| put_append_answer(out, &answer), take_append_answer), answer);
    }
    let answer = VoteResponse::new(higher, None, true);
    assert_eq!(through(|out| put_vote_answer(out, &answer), take_vote_answer), answer);
    let changed =
        TransferLeaderError::VoteChanged { expected: higher, actual: vote(Term(6), voter(2), true) };
    let behind = TransferLeaderError::LogNotFlushed { expected: Some(log_id(Term(1), 1)), actual: None };
    for answer in [Ok(()), Err(changed), Err(behind)] {
        assert_eq!(through(|out| put_transfer_answer(out, &answer), take_transfer_answer), answer);
    }
    for answer in [SnapshotAnswer::GoOn(77), SnapshotAnswer::Done(SnapshotResponse::new(higher))] {
        assert_eq!(through(|out| put_snapshot_answer(out, &answer), take_snapshot_answer), answer);
    }
    let answer = HelloAnswer { id: voter(3), has_log: true, leads: false };
    assert_eq!(through(|out| put_hello_answer(out, answer), take_hello_answer), answer);
    let route = Route { to: voter(1), from: voter(2) };
    assert_eq!(take_route(&mut Fields::new(request(route).into())), Ok(route));
    assert_eq!(take_status(&mut Fields::new(answer_bytes(Status::Misdirected))), Ok(Status::Misdirected));
}

fn answer_bytes(status: Status) -> Bytes {
    super::messages::answer(status).into()
}

#[test]
fn entries_that_do_not_follow_each_other_are_refused() {
    let mut request = append();
    request.entries.remove(1);
    let mut out = Vec::new();
    put_append(&mut out, &request);
    assert!(take_append(&mut Fields::new(out.into())).is_err());
}

/// Every decoder, on the same bytes.
fn decode_all(bytes: &Bytes) {
    let fields = || Fields::new(bytes.clone());
    let _ = take_route(&mut fields());
    let _ = take_status(&mut fields());
    let _ = take_append(&mut fields());
    let _ = take_append_answer(&mut fields());
    let _ = take_vote_request(&mut fields());
    let _ = take_vote_answer(&mut fields());
    let _ = take_transfer(&mut fields());
    let _ = take_transfer_answer(&mut fields());
    let _ = take_snapshot_part(&mut fields());
    let _ = take_snapshot_answer(&mut fields());
    let _ = take_hello_answer(&mut fields());
}

proptest! {
    #[test]
    fn random_bytes_are_never_worse_than_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        decode_all(&bytes.into());
    }

    #[test]
    fn a_flipped_bit_in_entries_is_an_error_or_outside_of_them(at in 0usize..200, bit in 0u8..8) {
        let request = append();
        let mut out = Vec::new();
        put_append(&mut out, &request);
        let at = at % out.len();
        out[at] ^= 1 << bit;
        let bytes = Bytes::from(out);
        decode_all(&bytes);
        if let Ok(decoded) = take_append(&mut Fields::new(bytes)) {
            prop_assert!(request.entries.starts_with(&decoded.entries));
        }
    }
}
