//! What clients can make the groups hold, and who is refused when it is too much.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::stage::{
    INITIAL_DELAY, MEMORY, REBALANCE, RETENTION, RETENTION_CHECK, SESSION, Stage, at, consumer, dynamic,
    join_request,
};
use crate::{
    Caller, ClientOffset, CommitOffsetError, CommitRequest, GroupId, JoinError, JoinRequest,
    NEW_MEMBER_JOIN_TIMEOUT, OffsetToCommit, PROTOCOLS_BYTES_MAX, Protocol, SyncError, TEXT_BYTES_MAX,
};

fn protocol(name: &str, bytes: usize) -> Protocol {
    Protocol { name: name.into(), metadata: Bytes::from(vec![0; bytes]) }
}

fn join_of(group: &str, bytes: usize) -> JoinRequest {
    let protocols = vec![protocol("range", bytes)];
    JoinRequest { group: GroupId::or_unnamed(group), protocols, ..join_request(Caller::default()) }
}

fn commit_of(group: &str, partition: i32, metadata: &str) -> CommitRequest {
    CommitRequest {
        group: GroupId::or_unnamed(group),
        caller: Caller::default(),
        generation: None,
        retention: None,
        offsets: vec![OffsetToCommit {
            at: at("t", partition),
            offset: ClientOffset(1),
            leader_epoch: None,
            metadata: metadata.into(),
        }],
    }
}

#[test]
fn metadata_that_no_record_could_hold_is_refused() {
    let mut stage = Stage::new();
    let refused = stage.join(&join_of("group", 1 << 20));
    assert_eq!(stage.join_result(refused), Err(JoinError::TooLarge));
    let mut many = join_of("group", 0);
    many.protocols = (0..60).map(|at| protocol(&format!("p{at}"), 1_000_000)).collect();
    assert!(many.protocols.len() * 1_000_000 > PROTOCOLS_BYTES_MAX);
    let refused = stage.join(&many);
    assert_eq!(stage.join_result(refused), Err(JoinError::TooLarge));
    assert_eq!(stage.memory.members.held_bytes(), 0);
}

#[test]
fn a_name_that_no_record_could_hold_is_refused() {
    let mut stage = Stage::new();
    for bytes in [TEXT_BYTES_MAX, TEXT_BYTES_MAX - 40] {
        let mut request = join_of("group", 10);
        request.client_id = "c".repeat(bytes).into();
        let asked = stage.join(&request);
        stage.pass(INITIAL_DELAY * 2);
        if stage.join_result(asked) == Ok(()) {
            let member = stage.member(asked);
            let synced = stage.sync_group("group", &member);
            assert_eq!(stage.sync_result(synced), Ok(()), "what is let in can be written");
        } else {
            assert_eq!(stage.join_result(asked), Err(JoinError::TooLarge));
        }
    }
    assert_eq!(stage.shard().list().count(), 1);
}

#[test]
fn a_member_with_which_the_group_could_not_be_written_is_refused_and_the_others_stay() {
    let mut stage = Stage::new();
    let first = stage.join(&join_of("group", 600_000));
    let second = stage.join(&join_of("group", 600_000));
    assert_eq!(stage.join_result(second), Err(JoinError::GroupFull));
    let third = stage.join(&join_of("group", 300_000));
    stage.pass(INITIAL_DELAY * 2);
    assert_eq!((stage.join_result(first), stage.join_result(third)), (Ok(()), Ok(())));
    let grown = JoinRequest { caller: dynamic(&stage.member(third)), ..join_of("group", 600_000) };
    let refused = stage.join(&grown);
    assert_eq!(stage.join_result(refused), Err(JoinError::GroupFull));
}

#[test]
fn a_full_budget_refuses_newcomers_and_never_who_is_in() {
    let mut stage = Stage::new();
    let mine = stage.join(&join_of("mine", 1_000));
    let others: Vec<_> = (0..20).map(|at| stage.join(&join_of(&format!("g{at}"), 1_000_000))).collect();
    let refused = others.iter().filter(|asked| !stage.is_parked(**asked)).copied().collect::<Vec<_>>();
    assert!(!refused.is_empty() && refused.len() < others.len());
    assert!(refused.iter().all(|asked| stage.join_result(*asked) == Err(JoinError::NoMemory)));
    assert!(stage.memory.members.held_bytes() <= MEMORY);
    let pending = JoinRequest { requires_known_member: true, ..join_of("mine", 1_000_000) };
    let refused = stage.join(&pending);
    assert_eq!(stage.join_result(refused), Err(JoinError::NoMemory));
    stage.pass(INITIAL_DELAY);
    let member = stage.member(mine);
    let again = stage.join(&JoinRequest { caller: dynamic(&member), ..join_of("mine", 1_000) });
    assert_eq!(stage.join_result(again), Ok(()));
    let synced = stage.sync_group("mine", &member);
    assert_eq!(stage.sync_result(synced), Ok(()));
    stage.pass(SESSION + REBALANCE);
    let later = stage.join(&join_of("later", 1_000_000));
    assert!(stage.is_parked(later), "who has gone has made room");
}

#[test]
fn an_assignment_beyond_the_budget_is_refused() {
    let mut stage = Stage::new();
    let mine = stage.join(&join_of("group", 1_000));
    for at in 0..20 {
        stage.join(&join_of(&format!("g{at}"), 990_000));
    }
    stage.pass(INITIAL_DELAY);
    let member = stage.member(mine);
    let large = BTreeMap::from([(member.clone(), Bytes::from(vec![0; 900_000]))]);
    let refused = stage.sync_as(dynamic(&member), 1, large);
    assert_eq!(stage.sync_result(refused), Err(SyncError::NoMemory));
    let synced = stage.sync_group("group", &member);
    assert_eq!(stage.sync_result(synced), Ok(()));
}

#[test]
fn a_full_budget_of_offsets_takes_what_moves_on_and_nothing_new() {
    let mut stage = Stage::new();
    let mut partition = 0;
    let refused = loop {
        let results = stage.commit_as(commit_of("g", partition, "0123456789")).unwrap();
        if results[0].is_err() {
            break results[0];
        }
        partition += 1;
    };
    assert_eq!(refused, Err(CommitOffsetError::NoMemory));
    assert!(stage.memory.offsets.held_bytes() <= MEMORY);
    assert_eq!(stage.commit_as(commit_of("g", 0, "0123456789")), Ok(vec![Ok(())]));
    let refused = stage.commit_as(commit_of("other", 0, ""));
    assert_eq!(refused, Ok(vec![Err(CommitOffsetError::NoMemory)]));
}

#[test]
fn nothing_is_held_when_everybody_has_gone() {
    let mut stage = Stage::new();
    stage.stable_alone();
    stage.commit_as(commit_of("g", 0, "note")).unwrap();
    let pending = JoinRequest { requires_known_member: true, ..join_request(Caller::default()) };
    stage.join(&pending);
    let mut changed = join_request(Caller::default());
    changed.protocols = consumer(&["t", "u"]);
    stage.join(&changed);
    assert!(stage.memory.members.held_bytes() > 0 && stage.memory.offsets.held_bytes() > 0);
    let reloaded = stage.reloaded();
    assert_eq!(reloaded.memory.offsets.held_bytes(), stage.memory.offsets.held_bytes());
    assert!(reloaded.memory.members.held_bytes() > 0, "what the log holds counts");
    stage.pass(NEW_MEMBER_JOIN_TIMEOUT.0 + RETENTION + RETENTION_CHECK);
    assert_eq!((stage.memory.members.held_bytes(), stage.memory.offsets.held_bytes()), (0, 0));
}
