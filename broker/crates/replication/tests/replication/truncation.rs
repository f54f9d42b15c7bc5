//! Where a follower cuts its log: KIP-101, KIP-279 and KIP-320 as regressions.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{Became, EpochEnd, FetchError, FollowerStep, LeadershipError};
use ottla_broker_types::{LeaderEpoch, Offset};

use crate::harness::{Model, N1, N2, N3, Stored, consumer};

fn stored(offset: i64, epoch: i32, value: u64) -> Stored {
    Stored { offset, epoch, value }
}

#[test]
fn kip_101_a_restarted_follower_keeps_what_lies_above_its_high_watermark() {
    let mut model = Model::new();
    let waits = model.write(N1, &[1, 2]);
    model.settle();
    model.write(N1, &[3]);
    for node in [N2, N3] {
        let _ = model.fetch(node);
        let _ = model.fetch(node);
    }
    assert_eq!(model.high_watermark(N1), 3);
    assert!(model.high_watermark(N2) < 3, "the follower has not heard of the last commit");
    model.kill(N2);
    model.restart_cleanly(N2);
    let _ = model.deliver(N2);
    assert_eq!(model.fetch(N2), Some(FollowerStep::Continue));
    model.kill(N1);
    model.elect(N2);
    model.settle();
    assert_eq!(model.values(N2), [1, 2, 3]);
    assert_eq!(waits.len(), 2);
}

#[test]
fn kip_101_different_records_at_one_offset_are_found_by_their_epochs() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    model.settle();
    model.write(N1, &[2]);
    model.kill(N1);
    model.elect_uncleanly(N2);
    model.deliver_all();
    model.write(N2, &[3]);
    model.restart_cleanly(N1);
    model.settle();
    assert_eq!(model.contents(N1), [stored(0, 0, 1), stored(1, 1, 3)]);
    assert_eq!(model.contents(N1), model.contents(N2));
    assert_eq!(model.contents(N1), model.contents(N3));
}

#[test]
fn a_new_replica_takes_a_batch_that_the_log_start_lies_within() {
    let mut model = Model::new();
    model.write_batch(N1, &[1, 2]);
    model.write_batch(N1, &[3, 4, 5]);
    model.settle();
    model.delete_before(N1, 3);
    model.settle();
    model.lose_disk(N3);
    model.restart(N3);
    model.settle();
    assert_eq!(model.log_end(N3), 5);
    assert_eq!(model.replica(N3).log().log_start(), Offset::clamped(3));
    assert_eq!(model.contents(N3), model.contents(N1));
}

#[test]
fn kip_279_logs_that_parted_in_several_epochs_become_equal() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    model.settle();
    // Each leads alone for a while and writes what no other sees.
    model.write(N1, &[10, 11, 12]);
    model.kill(N1);
    model.elect_uncleanly(N2);
    model.deliver_all();
    model.write(N2, &[20]);
    model.kill(N2);
    model.restart_cleanly(N1);
    model.elect_uncleanly(N1);
    let _ = model.deliver(N1);
    model.write(N1, &[30]);
    model.kill(N1);
    model.restart_cleanly(N2);
    model.elect_uncleanly(N2);
    let _ = model.deliver(N2);
    model.write(N2, &[40, 41]);
    model.restart_cleanly(N1);
    model.settle();
    let expected = [stored(0, 0, 1), stored(1, 1, 20), stored(2, 3, 40), stored(3, 3, 41)];
    for node in [N1, N2, N3] {
        assert_eq!(model.contents(node), expected, "{node}");
    }
}

#[test]
fn kip_279_an_epoch_that_the_leader_never_had_is_cut_away_whole() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    model.settle();
    model.elect_uncleanly(N2);
    let _ = model.deliver(N2);
    model.write(N2, &[20, 21]);
    model.elect_uncleanly(N1);
    let _ = model.deliver(N1);
    model.write(N1, &[30]);
    let _ = model.deliver(N2);
    let position = model.replica(N2).fetch_position().expect("it follows");
    assert_eq!(position.last_fetched_epoch, Some(LeaderEpoch(1)));
    let _ = model.fetch(N2);
    assert_eq!(model.log_end(N2), 1, "both records of epoch 1 are gone at once");
    model.settle();
    assert_eq!(model.contents(N2), [stored(0, 0, 1), stored(1, 2, 30)]);
}

#[test]
fn kip_320_readers_with_another_epoch_are_told_whose_is_older() {
    let mut model = Model::new();
    model.elect(N1);
    model.elect(N1);
    let _ = model.deliver(N1);
    let now = model.now;
    let leader = model.replica(N1);
    let error = |result: Result<_, FetchError>| result.map(|_| ()).map_err(|error| error.code());
    assert_eq!(error(leader.handle_fetch(now, &consumer(0, Some(1)))), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(error(leader.handle_fetch(now, &consumer(0, Some(3)))), Err(ErrorCode::UnknownLeaderEpoch));
    assert_eq!(error(leader.handle_fetch(now, &consumer(0, Some(2)))), Ok(()));
    assert_eq!(error(leader.handle_fetch(now, &consumer(0, None))), Ok(()));
    assert_eq!(
        leader.epoch_end(LeaderEpoch(0), Some(LeaderEpoch(1))),
        Err(LeadershipError::FencedLeaderEpoch)
    );
}

#[test]
fn kip_320_a_deposed_leader_and_a_late_follower_are_fenced() {
    let mut model = Model::new();
    model.elect(N2);
    let _ = model.deliver(N2);
    let _ = model.deliver(N3);
    // Node 3 asks node 2 in the new epoch, node 1 still believes that it leads the old one.
    let position = model.replica(N3).fetch_position().expect("it follows");
    assert_eq!(position.leader, N2);
    let to_the_old_leader = ottla_broker_replication::FetchPosition { leader: N1, ..position };
    assert_eq!(model.ask(N3, &to_the_old_leader).err(), Some(ErrorCode::UnknownLeaderEpoch));
    model.elect(N2);
    let _ = model.deliver(N2);
    assert_eq!(model.fetch(N3), Some(FollowerStep::AwaitMetadata));
}

#[test]
fn the_end_of_an_epoch_is_that_of_the_largest_one_not_above_it() {
    let mut model = Model::new();
    model.write(N1, &[1, 2]);
    model.settle();
    for _ in 0..4 {
        model.elect(N1);
    }
    model.deliver_all();
    model.write(N1, &[3]);
    let leader = model.replica(N1);
    let end = |epoch, end| Ok(Some(EpochEnd { epoch: LeaderEpoch(epoch), end: Offset::clamped(end) }));
    assert_eq!(leader.epoch_end(LeaderEpoch(0), None), end(0, 2));
    assert_eq!(leader.epoch_end(LeaderEpoch(3), None), end(0, 2));
    assert_eq!(leader.epoch_end(LeaderEpoch(4), None), end(4, 3));
}

#[test]
fn a_follower_behind_the_leaders_start_begins_anew_there() {
    let mut model = Model::new();
    model.kill(N3);
    model.write(N1, &[1, 2, 3]);
    model.leave_out_laggards(N1);
    model.settle();
    model.delete_before(N1, 2);
    model.restart(N3);
    model.settle();
    assert_eq!(model.contents(N3).first().map(|record| record.offset), Some(2));
    assert_eq!(model.log_end(N3), 3);
}

#[test]
fn an_answer_to_an_earlier_position_is_ignored() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    let position = model.replica(N2).fetch_position().expect("it follows");
    let first = model.ask(N2, &position);
    let second = first.clone();
    assert_eq!(model.answer(N2, &position, first), FollowerStep::Continue);
    assert_eq!(model.answer(N2, &position, second), FollowerStep::Stale);
    assert_eq!(model.values(N2), [1]);
}

#[test]
fn a_state_that_is_not_newer_changes_nothing() {
    let mut model = Model::new();
    let old = model.state.clone();
    model.elect(N2);
    let became = model.deliver(N2).became;
    assert_eq!(became, Some(Became::Leader { epoch: LeaderEpoch(1), epoch_start: Offset::ZERO }));
    let now = model.now;
    assert!(model.replica(N2).apply_assignment(now, &old).is_empty());
    assert!(model.deliver(N2).is_empty());
    assert!(model.replica(N2).is_leader());
}
