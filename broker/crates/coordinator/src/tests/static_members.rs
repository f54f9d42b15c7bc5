//! Static members (KIP-345, KIP-814).

use super::stage::{INITIAL_DELAY, REBALANCE, SESSION, Stage, consumer, join_request, static_caller};
use crate::{Generation, JoinError, MemberError, MemberId};

fn stable(stage: &mut Stage) -> MemberId {
    let token = stage.join(&join_request(static_caller(None, "pod-0")));
    stage.pass(INITIAL_DELAY);
    let id = stage.member(token);
    stage.sync(static_caller(Some(&id), "pod-0"), 1, &[(&id, b"all")]);
    id
}

#[test]
fn a_static_member_needs_no_second_join() {
    let mut stage = Stage::new();
    let mut request = join_request(static_caller(None, "pod-0"));
    request.requires_known_member = true;
    let token = stage.join(&request);
    stage.pass(INITIAL_DELAY);
    assert_eq!(stage.join_result(token), Ok(()));
}

#[test]
fn a_restarted_static_member_comes_back_without_a_rebalance() {
    let mut stage = Stage::new();
    let former = stable(&mut stage);
    let token = stage.join(&join_request(static_caller(None, "pod-0")));
    let reply = stage.joined(token).clone();
    assert_eq!(reply.generation, Generation(1));
    assert!(reply.skip_assignment, "the leader must not assign again");
    let id = reply.member;
    assert_ne!(id, former);
    let synced = stage.sync(static_caller(Some(&id), "pod-0"), 1, &[]);
    assert_eq!(&stage.synced(synced).assignment[..], b"all");
    assert_eq!(stage.heartbeat(&static_caller(Some(&former), "pod-0"), 1), Err(MemberError::Fenced.into()));
    assert_eq!(stage.reloaded().heartbeat(&static_caller(Some(&id), "pod-0"), 1), Ok(()));
}

#[test]
fn an_old_client_is_not_told_that_it_leads_again() {
    let mut stage = Stage::new();
    let former = stable(&mut stage);
    let mut request = join_request(static_caller(None, "pod-0"));
    request.can_skip_assignment = false;
    let token = stage.join(&request);
    let reply = stage.joined(token);
    assert_eq!(reply.leader.as_ref(), Some(&former));
    assert!(!reply.skip_assignment);
}

#[test]
fn a_restart_with_another_choice_of_protocols_rebalances() {
    let mut stage = Stage::new();
    stable(&mut stage);
    let mut request = join_request(static_caller(None, "pod-0"));
    request.protocols = consumer(&["t"]);
    request.protocols[0].name = "sticky".into();
    let token = stage.join(&request);
    assert_eq!(stage.join_result(token), Err(JoinError::Protocols));
    request.protocols.push(consumer(&["t"]).remove(0));
    let token = stage.join(&request);
    assert_eq!(stage.joined(token).generation, Generation(2));
}

#[test]
fn a_former_self_that_is_parked_is_fenced() {
    let mut stage = Stage::new();
    let first = stage.join(&join_request(static_caller(None, "pod-0")));
    let second = stage.join(&join_request(static_caller(None, "pod-0")));
    assert_eq!(stage.join_result(first), Err(MemberError::Fenced.into()));
    stage.pass(INITIAL_DELAY * 2);
    assert_eq!(stage.join_result(second), Ok(()));
}

#[test]
fn a_missing_static_member_keeps_its_place_until_its_session_ends() {
    let mut stage = Stage::new();
    let id = stable(&mut stage);
    let other = stage.join_new();
    let _ = stage.heartbeat(&static_caller(Some(&id), "pod-0"), 1);
    stage.pass(SESSION - 1);
    assert!(stage.is_parked(other));
    stage.pass(1);
    assert_eq!(stage.joined(other).generation, Generation(2));
    assert_eq!(stage.joined(other).members.len(), 1);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_name() {
    let mut stage = Stage::new();
    stable(&mut stage);
    assert_eq!(stage.leave(&[static_caller(None, "pod-9")]), [Err(MemberError::Unknown)]);
    assert_eq!(stage.leave(&[static_caller(None, "pod-0")]), [Ok(())]);
    stage.pass(REBALANCE);
    assert_eq!(stage.leave(&[static_caller(None, "pod-0")]), [Err(MemberError::Unknown)]);
}
