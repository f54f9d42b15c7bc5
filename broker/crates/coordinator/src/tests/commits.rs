//! Committed offsets: who may write them, and how they end.

use ottla_broker_types::{DurationMs, TopicName};

use super::stage::{
    INITIAL_DELAY, RETENTION, RETENTION_CHECK, SESSION, Stage, at, dynamic, group, join_request,
};
use crate::{
    Caller, ClientOffset, CommitOffsetError, CommitOffsetsError, CommitRequest, DecideError,
    DeleteGroupError, Generation, HeartbeatError, MemberError, MemberId, NotWritten, OffsetToCommit, Shard,
    StillSubscribed, Unanswered,
};

fn request(topic: &str) -> CommitRequest {
    CommitRequest {
        group: group(),
        caller: Caller::default(),
        generation: None,
        retention: None,
        offsets: vec![OffsetToCommit {
            at: at(topic, 0),
            offset: ClientOffset(5),
            leader_epoch: None,
            metadata: "".into(),
        }],
    }
}

#[test]
fn a_commit_round_trips_with_epoch_and_note() {
    let mut stage = Stage::new();
    stage.commit(Caller::default(), -1, 42).unwrap();
    for stage in [&stage, &stage.reloaded()] {
        let committed = stage.shard().committed(&group(), &at("t", 0)).unwrap();
        assert_eq!(committed.offset.0, 42);
        assert_eq!(committed.leader_epoch.unwrap().0, 7);
        assert_eq!(&*committed.metadata, "note");
    }
}

#[test]
fn a_negative_offset_is_kept_as_it_came() {
    let mut stage = Stage::new();
    for offset in [-1, -2, i64::MIN] {
        assert_eq!(stage.commit(Caller::default(), -1, offset), Ok(vec![Ok(())]));
        assert_eq!(stage.committed("t"), Some(offset));
        assert_eq!(stage.reloaded().committed("t"), Some(offset));
    }
}

#[test]
fn a_commit_counts_only_when_its_record_is_in_the_log() {
    let mut stage = Stage::new();
    stage.log.refuses = Some(NotWritten::Unavailable);
    assert_eq!(stage.commit_as(request("t")), Err(Unanswered::from(NotWritten::Unavailable).into()));
    assert_eq!(stage.committed("t"), None);
    stage.log.refuses = None;
    assert_eq!(stage.commit_as(request("t")), Ok(vec![Ok(())]));
    assert_eq!(stage.committed("t"), Some(5));
}

#[test]
fn who_is_no_member_commits_only_to_an_empty_group() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    assert_eq!(
        stage.commit(Caller::default(), -1, 1),
        Err(DecideError::Refused(MemberError::Unknown.into()))
    );
    assert_eq!(stage.commit(dynamic(&id), 1, 1), Ok(vec![Ok(())]));
    stage.leave(&[dynamic(&id)]);
    assert_eq!(stage.commit(Caller::default(), -1, 2), Ok(vec![Ok(())]));
    assert_eq!(stage.committed("t"), Some(2));
}

#[test]
fn a_members_commit_needs_its_generation() {
    let mut stage = Stage::new();
    let nobody = MemberId::new("nobody").unwrap();
    let unknown = DecideError::Refused(CommitOffsetsError::UnknownGroup);
    assert_eq!(stage.commit(dynamic(&nobody), 1, 1), Err(unknown));
    let id = stage.stable_alone();
    assert_eq!(stage.commit(dynamic(&nobody), 1, 1), Err(DecideError::Refused(MemberError::Unknown.into())));
    assert_eq!(
        stage.commit(dynamic(&id), 2, 1),
        Err(DecideError::Refused(CommitOffsetsError::IllegalGeneration))
    );
}

#[test]
fn commits_succeed_while_members_gather_but_not_while_the_assignment_is_awaited() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    let other = stage.join_new();
    assert_eq!(stage.heartbeat(&dynamic(&id), 1), Err(HeartbeatError::Rebalancing));
    assert_eq!(stage.commit(dynamic(&id), 1, 3), Ok(vec![Ok(())]));
    stage.join(&join_request(dynamic(&id)));
    assert_eq!(stage.joined(other).generation, Generation(2));
    assert_eq!(stage.commit(dynamic(&id), 2, 4), Err(DecideError::Refused(CommitOffsetsError::Rebalancing)));
    assert_eq!(stage.committed("t"), Some(3));
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    for _ in 0..3 {
        stage.pass(SESSION - 1);
        assert_eq!(stage.commit(dynamic(&id), 1, 3), Ok(vec![Ok(())]));
    }
}

#[test]
fn a_note_that_is_too_long_costs_only_its_own_partition() {
    let mut stage = Stage::new();
    let mut both = request("t");
    both.offsets[0].metadata = "x".repeat(17).into();
    both.offsets.push(request("u").offsets.remove(0));
    assert_eq!(stage.commit_as(both), Ok(vec![Err(CommitOffsetError::MetadataTooLarge), Ok(())]));
    assert_eq!((stage.committed("t"), stage.committed("u")), (None, Some(5)));
}

#[test]
fn offsets_without_members_expire_and_the_group_with_them() {
    let mut stage = Stage::new();
    stage.commit(Caller::default(), -1, 1).unwrap();
    stage.pass(RETENTION - 1);
    assert_eq!(stage.committed("t"), Some(1));
    stage.pass(RETENTION_CHECK);
    assert_eq!(stage.committed("t"), None);
    assert_eq!(stage.shard().list().count(), 0);
    assert_eq!(stage.reloaded().shard().list().count(), 0, "tombstones are in the log");
}

#[test]
fn offsets_of_a_group_at_work_do_not_expire() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    stage.commit(dynamic(&id), 1, 1).unwrap();
    for _ in 0..(RETENTION + 2 * RETENTION_CHECK) / 5_000 {
        assert_eq!(stage.heartbeat(&dynamic(&id), 1), Ok(()));
        stage.pass(5_000);
    }
    assert_eq!(stage.committed("t"), Some(1));
    stage.leave(&[dynamic(&id)]);
    stage.pass(RETENTION - 1);
    assert_eq!(stage.committed("t"), Some(1), "their time begins when the last member goes");
    stage.pass(RETENTION_CHECK);
    assert_eq!(stage.committed("t"), None);
}

#[test]
fn a_commit_may_bring_its_own_retention() {
    let mut stage = Stage::new();
    let mut brief = request("t");
    brief.retention = Some(DurationMs(10));
    stage.commit_as(brief).unwrap();
    stage.pass(RETENTION_CHECK);
    assert_eq!(stage.committed("t"), None);
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut stage = Stage::new();
    assert_eq!(stage.delete_group(), Err(DecideError::Refused(DeleteGroupError::Unknown)));
    let id = stage.stable_alone();
    stage.commit(dynamic(&id), 1, 1).unwrap();
    assert_eq!(stage.delete_group(), Err(DecideError::Refused(DeleteGroupError::NotEmpty)));
    stage.leave(&[dynamic(&id)]);
    assert_eq!(stage.delete_group(), Ok(()));
    assert_eq!(stage.shard().describe(&group()), None);
    assert_eq!(stage.reloaded().shard().list().count(), 0);
}

#[test]
fn offsets_of_a_consumed_topic_are_not_deleted() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    let mut both = request("t");
    both.caller = dynamic(&id);
    both.generation = Some(Generation(1));
    both.offsets.push(request("u").offsets.remove(0));
    stage.commit_as(both).unwrap();
    let deleted = stage.decide(|shard, _| shard.delete_offsets(&group(), &[at("t", 0), at("u", 0)]));
    assert_eq!(deleted, Ok(vec![Err(StillSubscribed), Ok(())]));
    assert_eq!((stage.committed("t"), stage.committed("u")), (Some(5), None));
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut stage = Stage::new();
    stage.commit_as(request("t")).unwrap();
    stage.commit_as(request("u")).unwrap();
    let topic = TopicName::new("t").unwrap();
    stage.certain(|shard, _| ((), shard.topic_deleted(&topic)));
    assert_eq!((stage.committed("t"), stage.committed("u")), (None, Some(5)));
    assert_eq!(stage.reloaded().committed("t"), None);
}

#[test]
fn deadlines_follow_the_nearest_event() {
    let mut stage = Stage::new();
    assert_eq!(stage.shard().next_deadline().0, RETENTION_CHECK);
    stage.join_new();
    assert_eq!(stage.shard().next_deadline().0, INITIAL_DELAY);
}
