//! What the runtime promises whatever the shard: writing before counting, commits found out, answers once.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::stage::{
    COMMIT_TIMEOUT, INITIAL_DELAY, RETENTION, RETENTION_CHECK, SESSION, Stage, at, dynamic, group,
    join_request, now,
};

use crate::{
    Caller, ClientOffset, CommitRequest, EXPIRY_GROUPS_MAX, EXPIRY_RECORDS_MAX, GroupId, GroupState, Hosting,
    MemberId, NotWritten, OffsetToCommit, REST_AFTER_FAILURE, Unanswered,
};

fn commit_of(name: &str, partitions: std::ops::Range<i32>) -> CommitRequest {
    let offset = |partition| OffsetToCommit {
        at: at("t", partition),
        offset: ClientOffset(1),
        leader_epoch: None,
        metadata: "".into(),
    };
    CommitRequest {
        group: GroupId::or_unnamed(name),
        caller: Caller::default(),
        generation: None,
        retention: None,
        offsets: partitions.map(offset).collect(),
    }
}

/// Two members whose leader has to assign, and a member of another group.
fn two_groups(stage: &mut Stage) -> (MemberId, MemberId, MemberId) {
    let (first, second) = (stage.join_new(), stage.join_new());
    let mut other = join_request(Caller::default());
    other.group = GroupId::or_unnamed("other");
    let other = stage.join(&other);
    stage.pass(INITIAL_DELAY * 2);
    (stage.member(first), stage.member(second), stage.member(other))
}

#[test]
fn an_assignment_that_fits_no_batch_fails_that_sync_alone() {
    let mut stage = Stage::new();
    let (leader, follower, other) = two_groups(&mut stage);
    let waiting = stage.sync(dynamic(&follower), 1, &[]);
    let large = BTreeMap::from([(leader.clone(), Bytes::from(vec![0; 2 << 20]))]);
    let refused = stage.sync_as(dynamic(&leader), 1, large);
    assert_eq!(stage.answers[&refused], Err(NotWritten::TooLarge.into()));
    let (name, generation) = (GroupId::or_unnamed("other"), crate::Generation::from_wire(1));
    let beat = stage.certain(|shard, turn| shard.heartbeat(turn, &name, &dynamic(&other), generation));
    assert_eq!(beat, Ok(()), "the other group goes on");
    assert!(stage.is_parked(waiting), "who waits for the assignment still does");
    let led = stage.sync(dynamic(&leader), 1, &[(&leader, b"L"), (&follower, b"F")]);
    assert_eq!(
        (&stage.synced(led).assignment[..], &stage.synced(waiting).assignment[..]),
        (&b"L"[..], &b"F"[..])
    );
}

#[test]
fn a_decision_that_cannot_be_written_has_not_happened() {
    let mut stage = Stage::new();
    let (leader, ..) = two_groups(&mut stage);
    let before = stage.shard().describe(&group());
    stage.log.refuses = Some(NotWritten::Unavailable);
    let refused = stage.sync(dynamic(&leader), 1, &[(&leader, b"L")]);
    assert_eq!(stage.answers[&refused], Err(NotWritten::Unavailable.into()));
    assert_eq!(stage.shard().describe(&group()), before);
    stage.log.refuses = None;
    let led = stage.sync(dynamic(&leader), 1, &[(&leader, b"L")]);
    assert_eq!(stage.sync_result(led), Ok(()));
}

#[test]
fn a_commit_that_timed_out_says_nothing_of_the_next_answer() {
    let mut stage = Stage::new();
    stage.log.hold_commits();
    stage.commit(Caller::default(), -1, 7).unwrap();
    let first = stage.await_commit().unwrap();
    stage.pass(COMMIT_TIMEOUT);
    assert_eq!(stage.commits[&first], Err(Unanswered::NotCommitted));
    let second = stage.await_commit().expect("it is not committed yet");
    stage.commit_all();
    assert_eq!(stage.commits[&second], Ok(()));
    assert_eq!(stage.await_commit(), None, "now it is");
}

#[test]
fn answers_wait_for_their_own_records_and_no_later_ones() {
    let mut stage = Stage::new();
    stage.log.hold_commits();
    stage.commit(Caller::default(), -1, 7).unwrap();
    let first = stage.await_commit().unwrap();
    stage.commit_all();
    stage.commit(Caller::default(), -1, 8).unwrap();
    let second = stage.await_commit().unwrap();
    assert_eq!(stage.commits.get(&first), Some(&Ok(())));
    assert_eq!(stage.commits.get(&second), None);
}

#[test]
fn a_deposed_coordinator_never_answers_success() {
    let mut stage = Stage::new();
    stage.log.hold_commits();
    stage.commit(Caller::default(), -1, 7).unwrap();
    let waiting = stage.await_commit().unwrap();
    stage.log.leads = false;
    // Another leader's records may lie at the same offsets.
    stage.commit_all();
    assert_eq!(stage.commits[&waiting], Err(Unanswered::NotCoordinator));
    assert!(stage.await_commit().is_some(), "nothing that was written is known to be committed");
}

#[test]
fn who_waits_is_sent_on_when_the_shard_is_given_up() {
    let mut stage = Stage::new();
    let parked = stage.join_new();
    stage.log.hold_commits();
    stage.commit_as(commit_of("other", 0..1)).unwrap();
    let waiting = stage.await_commit().unwrap();
    let mut hosting = Hosting::Loading;
    assert_eq!(hosting.serving().err(), Some(Unanswered::Loading));
    assert!(hosting.serve(stage.coordinator));
    let why = Unanswered::NotCoordinator;
    let expected = [crate::Answer::Commit(waiting, Err(why)), crate::Answer::Reply(parked, Err(why))];
    assert_eq!(hosting.unload(), expected);
    assert_eq!(hosting.serving().err(), Some(why));
    assert!(!hosting.serve(Stage::new().coordinator), "what is given up is not opened again");
}

#[test]
fn a_large_group_is_deleted_in_several_batches() {
    let mut stage = Stage::new();
    stage.log.batch_bytes_max = 20_000;
    stage.commit_as(commit_of("group", 0..5_000)).unwrap();
    let before = stage.log.batches.len();
    assert!(before > 1, "a commit of many offsets is split");
    assert_eq!(stage.delete_group(), Ok(()));
    assert!(stage.log.batches.len() > before + 1);
    assert_eq!(stage.reloaded().shard().list().count(), 0);
}

#[test]
fn a_deletion_that_is_cut_short_can_be_made_again() {
    let mut stage = Stage::new();
    stage.log.batch_bytes_max = 20_000;
    stage.commit_as(commit_of("group", 0..5_000)).unwrap();
    (stage.log.refuses, stage.log.takes_before) = (Some(NotWritten::Unavailable), 2);
    assert_eq!(stage.delete_group(), Err(Unanswered::from(NotWritten::Unavailable).into()));
    let left = |stage: &Stage| stage.shard().all_committed(&group()).count();
    assert!((1..5_000).contains(&left(&stage)));
    assert_eq!(left(&stage.reloaded()), left(&stage), "what counts is what is in the log");
    stage.log.refuses = None;
    assert_eq!(stage.delete_group(), Ok(()));
    assert_eq!(stage.reloaded().shard().list().count(), 0);
}

#[test]
fn very_many_offsets_expire_turn_by_turn() {
    let mut stage = Stage::new();
    stage.log.batch_bytes_max = 20_000;
    let many = i32::try_from(EXPIRY_RECORDS_MAX).unwrap() * 2 + 1;
    stage.commit_as(commit_of("a", 0..many)).unwrap();
    for group in 0..EXPIRY_GROUPS_MAX + 1 {
        stage.commit_as(commit_of(&format!("b{group}"), 0..1)).unwrap();
    }
    stage.pass(RETENTION + RETENTION_CHECK);
    assert_eq!(stage.shard().list().count(), 0);
    assert_eq!(stage.reloaded().shard().list().count(), 0);
}

#[test]
fn a_group_that_cannot_be_written_keeps_no_other_from_its_time() {
    let mut stage = Stage::new();
    let (first, second) = (GroupId::or_unnamed(&"a".repeat(500)), GroupId::or_unnamed("b"));
    for id in [&first, &second] {
        let mut request = join_request(Caller::default());
        request.group = id.clone();
        stage.join(&request);
    }
    stage.pass(INITIAL_DELAY);
    // The records of the empty groups: only the second one's fits.
    stage.log.batch_bytes_max = 300;
    stage.pass(SESSION);
    let state = |id: &GroupId| stage.shard().describe(id).map(|described| described.state);
    assert_eq!(
        (state(&first), state(&second)),
        (Some(GroupState::CompletingRebalance), Some(GroupState::Empty))
    );
    stage.log.batch_bytes_max = 1 << 20;
    stage.pass(REST_AFTER_FAILURE.0);
    assert_eq!(stage.shard().describe(&first).map(|described| described.state), Some(GroupState::Empty));
}

#[test]
fn timers_rest_while_the_partition_takes_no_records() {
    let mut stage = Stage::new();
    stage.stable_alone();
    stage.log.refuses = Some(NotWritten::Unavailable);
    stage.pass(SESSION);
    let due = stage.coordinator.next_deadline();
    assert!(due > now(stage.now).mono && due <= now(stage.now).mono.plus(REST_AFTER_FAILURE));
    stage.log.refuses = None;
    stage.pass(REST_AFTER_FAILURE.0);
    assert_eq!(stage.shard().describe(&group()).unwrap().state, GroupState::Empty);
}
