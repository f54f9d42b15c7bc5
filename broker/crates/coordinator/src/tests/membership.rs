//! Joining, rebalancing, syncing, leaving.

use super::stage::{INITIAL_DELAY, REBALANCE, SESSION, Stage, consumer, dynamic, group, join_request};
use crate::{
    Caller, Generation, GroupState, HeartbeatError, JoinError, MemberError, MemberId,
    NEW_MEMBER_JOIN_TIMEOUT, Protocol, SyncError,
};

fn two_stable(stage: &mut Stage) -> (MemberId, MemberId) {
    let (first, second) = (stage.join_new(), stage.join_new());
    stage.pass(INITIAL_DELAY * 2);
    let (a, b) = (stage.member(first), stage.member(second));
    let leader = stage.joined(first).leader.clone().unwrap();
    let follower = if leader == a { b.clone() } else { a.clone() };
    stage.sync(dynamic(&follower), 1, &[]);
    stage.sync(dynamic(&leader), 1, &[(&leader, b"L"), (&follower, b"F")]);
    (leader, follower)
}

fn state(stage: &Stage) -> GroupState {
    stage.shard().describe(&group()).map_or(GroupState::Dead, |described| described.state)
}

#[test]
fn the_first_generation_waits_for_more_members() {
    let mut stage = Stage::new();
    let first = stage.join_new();
    stage.pass(INITIAL_DELAY - 1);
    let second = stage.join_new();
    stage.pass(2);
    assert!(stage.is_parked(first), "a join during the delay extends it");
    stage.pass(INITIAL_DELAY);
    assert_eq!(stage.joined(first).generation, Generation(1));
    assert_eq!(stage.joined(second).leader, Some(stage.member(first)));
    assert_eq!(stage.joined(first).members.len(), 2);
    assert!(stage.joined(second).members.is_empty(), "only the leader learns of the members");
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut stage = Stage::new();
    let mut request = join_request(Caller::default());
    request.rebalance_timeout = ottla_broker_types::DurationMs(INITIAL_DELAY * 2);
    let first = stage.join(&request);
    for _ in 0..2 {
        stage.pass(INITIAL_DELAY - 10);
        stage.join(&request);
    }
    stage.pass(20);
    assert!(!stage.is_parked(first));
}

#[test]
fn a_new_member_without_an_id_gets_one_first() {
    let mut stage = Stage::new();
    let mut request = join_request(Caller::default());
    request.requires_known_member = true;
    let refused = stage.join(&request);
    assert_eq!(stage.join_result(refused), Err(JoinError::MemberIdRequired));
    let id = stage.member(refused);
    request.caller = dynamic(&id);
    let token = stage.join(&request);
    stage.pass(INITIAL_DELAY);
    assert_eq!(stage.join_result(token), Ok(()));
    assert_eq!(stage.member(token), id);
}

#[test]
fn an_unused_id_lapses_with_the_session_and_leaves_no_group() {
    let mut stage = Stage::new();
    let mut request = join_request(Caller::default());
    request.requires_known_member = true;
    let refused = stage.join(&request);
    stage.pass(SESSION);
    assert_eq!(stage.shard().list().count(), 0);
    request.caller = dynamic(&stage.member(refused));
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(MemberError::Unknown.into()));
}

#[test]
fn followers_wait_for_the_leaders_assignment() {
    let mut stage = Stage::new();
    let (first, second) = (stage.join_new(), stage.join_new());
    stage.pass(INITIAL_DELAY * 2);
    let (leader, follower) = (stage.member(first), stage.member(second));
    let waiting = stage.sync(dynamic(&follower), 1, &[]);
    assert!(stage.is_parked(waiting));
    let led = stage.sync(dynamic(&leader), 1, &[(&leader, b"L")]);
    assert_eq!(&stage.synced(led).assignment[..], b"L");
    assert_eq!(stage.sync_result(waiting), Ok(()));
    assert!(stage.synced(waiting).assignment.is_empty(), "who was left out gets nothing");
    assert_eq!(state(&stage), GroupState::Stable);
    let again = stage.sync(dynamic(&follower), 1, &[]);
    assert_eq!(stage.sync_result(again), Ok(()));
}

#[test]
fn the_assignment_is_answered_only_when_its_record_is_committed() {
    let mut stage = Stage::new();
    let first = stage.join_new();
    stage.pass(INITIAL_DELAY);
    let leader = stage.member(first);
    stage.log.hold_commits();
    let waiting = stage.sync(dynamic(&leader), 1, &[(&leader, b"all")]);
    assert!(stage.is_parked(waiting));
    stage.commit_all();
    assert_eq!(&stage.synced(waiting).assignment[..], b"all");
}

#[test]
fn a_new_member_calls_the_others_together() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let third = stage.join_new();
    assert_eq!(stage.heartbeat(&dynamic(&leader), 1), Err(HeartbeatError::Rebalancing));
    let refused = stage.sync(dynamic(&follower), 1, &[]);
    assert_eq!(stage.sync_result(refused), Err(SyncError::Rebalancing));
    stage.join(&join_request(dynamic(&leader)));
    assert!(stage.is_parked(third));
    let last = stage.join(&join_request(dynamic(&follower)));
    assert_eq!(stage.joined(last).generation, Generation(2));
    assert!(!stage.is_parked(third), "everybody is there, so nobody waits any longer");
    assert_eq!(stage.heartbeat(&dynamic(&leader), 2), Ok(()));
    assert_eq!(stage.heartbeat(&dynamic(&leader), 1), Err(HeartbeatError::IllegalGeneration));
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let token = stage.join(&join_request(dynamic(&leader)));
    for _ in 0..REBALANCE / 5_000 {
        let _ = stage.heartbeat(&dynamic(&follower), 1);
        stage.pass(5_000);
    }
    assert_eq!(stage.joined(token).generation, Generation(2));
    assert_eq!(stage.joined(token).members.len(), 1);
    assert_eq!(stage.heartbeat(&dynamic(&follower), 2), Err(MemberError::Unknown.into()));
}

#[test]
fn a_silent_member_is_out_when_its_session_ends() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    stage.pass(SESSION - 1);
    assert_eq!(stage.heartbeat(&dynamic(&leader), 1), Ok(()));
    stage.pass(1);
    assert_eq!(stage.heartbeat(&dynamic(&leader), 1), Err(HeartbeatError::Rebalancing));
    assert_eq!(stage.heartbeat(&dynamic(&follower), 1), Err(MemberError::Unknown.into()));
}

#[test]
fn a_parked_join_keeps_a_known_member_alive() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let token = stage.join(&join_request(dynamic(&leader)));
    for _ in 0..4 {
        assert_eq!(stage.heartbeat(&dynamic(&follower), 1), Err(HeartbeatError::Rebalancing));
        stage.pass(SESSION / 2);
    }
    assert!(stage.is_parked(token));
    stage.join(&join_request(dynamic(&follower)));
    assert_eq!(stage.join_result(token), Ok(()));
}

#[test]
fn a_new_members_join_is_given_up_after_five_minutes() {
    let mut stage = Stage::new();
    let mut slow = join_request(Caller::default());
    slow.rebalance_timeout = ottla_broker_types::DurationMs(2 * NEW_MEMBER_JOIN_TIMEOUT.0);
    let first = stage.join(&slow);
    stage.pass(INITIAL_DELAY);
    let leader = dynamic(&stage.member(first));
    stage.sync(leader.clone(), 1, &[]);
    let abandoned = stage.join_new();
    for _ in 0..NEW_MEMBER_JOIN_TIMEOUT.0 / 5_000 {
        assert!(stage.is_parked(abandoned));
        assert_eq!(stage.heartbeat(&leader, 1), Err(HeartbeatError::Rebalancing));
        stage.pass(5_000);
    }
    assert_eq!(stage.join_result(abandoned), Err(MemberError::Unknown.into()));
}

#[test]
fn a_rejoin_with_nothing_new_repeats_the_generation() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let again = stage.join(&join_request(dynamic(&follower)));
    assert_eq!(stage.joined(again).generation, Generation(1));
    assert_eq!(state(&stage), GroupState::Stable);
    let led = stage.join(&join_request(dynamic(&leader)));
    assert!(stage.is_parked(led), "the leader's rejoin asks for a new assignment");
}

#[test]
fn changed_metadata_rebalances() {
    let mut stage = Stage::new();
    let (_, follower) = two_stable(&mut stage);
    let mut request = join_request(dynamic(&follower));
    request.protocols = consumer(&["t", "u"]);
    let token = stage.join(&request);
    assert!(stage.is_parked(token));
    assert_eq!(state(&stage), GroupState::PreparingRebalance);
}

#[test]
fn a_lost_join_answer_is_repeated_while_the_assignment_is_awaited() {
    let mut stage = Stage::new();
    let first = stage.join_new();
    stage.pass(INITIAL_DELAY);
    let id = stage.member(first);
    let again = stage.join(&join_request(dynamic(&id)));
    assert_eq!(stage.joined(again), stage.joined(first));
}

#[test]
fn a_member_that_never_syncs_is_out_after_the_rebalance_timeout() {
    let mut stage = Stage::new();
    let (first, second) = (stage.join_new(), stage.join_new());
    stage.pass(INITIAL_DELAY * 2);
    let (leader, follower) = (stage.member(first), stage.member(second));
    stage.sync(dynamic(&leader), 1, &[]);
    for _ in 0..REBALANCE / 5_000 {
        let _ = stage.heartbeat(&dynamic(&leader), 1);
        let _ = stage.heartbeat(&dynamic(&follower), 1);
        stage.pass(5_000);
    }
    assert_eq!(stage.heartbeat(&dynamic(&follower), 1), Err(MemberError::Unknown.into()));
}

#[test]
fn protocols_without_common_ground_are_refused() {
    let mut stage = Stage::new();
    stage.join_new();
    let mut request = join_request(Caller::default());
    request.protocols = vec![Protocol { name: "sticky".into(), metadata: bytes::Bytes::new() }];
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(JoinError::Protocols));
    request.protocols.clear();
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(JoinError::Protocols));
    let mut request = join_request(Caller::default());
    request.protocol_type = "connect".into();
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(JoinError::Protocols));
}

#[test]
fn the_protocol_that_most_prefer_is_chosen_among_those_of_all() {
    let mut stage = Stage::new();
    let offer = |names: &[&str]| {
        let mut request = join_request(Caller::default());
        let offered =
            names.iter().map(|name| Protocol { name: (*name).into(), metadata: bytes::Bytes::new() });
        request.protocols = offered.collect();
        request
    };
    stage.join(&offer(&["a", "b", "c"]));
    stage.join(&offer(&["c", "b", "x"]));
    let last = stage.join(&offer(&["x", "c", "b"]));
    stage.pass(INITIAL_DELAY * 2);
    assert_eq!(stage.joined(last).protocol.as_deref(), Some("c"));
}

#[test]
fn sessions_outside_the_bounds_are_refused() {
    let mut stage = Stage::new();
    let mut request = join_request(Caller::default());
    request.session_timeout = ottla_broker_types::DurationMs(1);
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(JoinError::SessionTimeout));
    assert_eq!(stage.shard().list().count(), 0);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut stage = Stage::new();
    let joins: Vec<_> = (0..5).map(|_| stage.join_new()).collect();
    let refused = joins.iter().filter(|token| !stage.is_parked(**token)).count();
    assert_eq!(refused, 1);
    assert_eq!(stage.join_result(joins[4]), Err(JoinError::GroupFull));
}

#[test]
fn who_leaves_frees_its_part_at_once() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let nobody = MemberId::new("nobody").unwrap();
    let left = stage.leave(&[dynamic(&follower), dynamic(&nobody)]);
    assert_eq!(left, [Ok(()), Err(MemberError::Unknown)]);
    assert_eq!(stage.heartbeat(&dynamic(&leader), 1), Err(HeartbeatError::Rebalancing));
    assert_eq!(stage.leave(&[dynamic(&leader)]), [Ok(())]);
    assert_eq!(state(&stage), GroupState::Empty);
    assert_eq!(state(&stage.reloaded()), GroupState::Empty, "the empty generation is written");
}

#[test]
fn a_loaded_group_goes_on_with_its_generation() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let mut reloaded = stage.reloaded();
    assert_eq!(reloaded.heartbeat(&dynamic(&leader), 1), Ok(()));
    assert_eq!(reloaded.heartbeat(&dynamic(&follower), 1), Ok(()));
    let synced = reloaded.sync(dynamic(&follower), 1, &[]);
    assert_eq!(&reloaded.synced(synced).assignment[..], b"F");
    reloaded.pass(SESSION);
    assert_eq!(state(&reloaded), GroupState::Empty, "sessions begin anew at the load, and end");
}

#[test]
fn a_retried_join_takes_the_place_of_the_former() {
    let mut stage = Stage::new();
    let (leader, follower) = two_stable(&mut stage);
    let first = stage.join(&join_request(dynamic(&leader)));
    let second = stage.join(&join_request(dynamic(&leader)));
    assert_eq!(stage.join_result(first), Err(JoinError::AskedAgain));
    stage.join(&join_request(dynamic(&follower)));
    assert_eq!(stage.join_result(second), Ok(()));
}
