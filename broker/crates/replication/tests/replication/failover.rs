//! What producers and consumers may rely on when leaders change.

use ottla_broker_log::AppendError;
use ottla_broker_replication::{AckState, AckWaits, Isolation, ListOffsetsError, OffsetSpec, ProduceError};
use ottla_broker_types::{LeaderEpoch, Offset, TimestampMs};

use crate::harness::{Model, N1, N2, N3, Producer, consumer};

#[test]
fn acks_all_waits_for_the_high_watermark() {
    let mut model = Model::new();
    let wait = model.write(N1, &[1])[0];
    assert_eq!(model.ack_state(N1, wait), AckState::Pending);
    for node in [N2, N3] {
        let _ = model.fetch(node);
    }
    assert_eq!(model.ack_state(N1, wait), AckState::Pending, "sent is not received");
    let _ = model.fetch(N2);
    assert_eq!(model.ack_state(N1, wait), AckState::Pending, "one of two followers");
    let _ = model.fetch(N3);
    assert_eq!(model.ack_state(N1, wait), AckState::Committed);
}

#[test]
fn a_wait_of_an_earlier_epoch_is_never_acknowledged() {
    let mut model = Model::new();
    let wait = model.write(N1, &[1])[0];
    model.elect_uncleanly(N2);
    let _ = model.deliver(N2);
    let _ = model.deliver(N1);
    assert_eq!(model.ack_state(N1, wait), AckState::NotLeaderOrFollower);
    // Leading again does not bring the record back, even if others take its offset.
    model.elect(N1);
    model.settle();
    model.write(N1, &[2]);
    model.settle();
    assert_eq!(model.ack_state(N1, wait), AckState::NotLeaderOrFollower);
}

#[test]
fn a_deposed_leader_that_nobody_told_acknowledges_nothing() {
    let mut model = Model::new();
    model.elect(N2);
    let _ = model.deliver(N2);
    let _ = model.deliver(N3);
    let wait = model.write(N1, &[1])[0];
    for _ in 0..3 {
        let _ = model.fetch(N3);
        model.wait(1_000);
        let _ = model.tick(N1);
        while model.decide().is_some() {}
    }
    assert_eq!(model.ack_state(N1, wait), AckState::Pending);
}

#[test]
fn krabka_1_a_retry_at_the_new_leader_is_a_duplicate() {
    let mut model = Model::new();
    let producer = Producer { id: 7, sequence: 0 };
    let first = model.produce(N1, 1, Some(producer)).expect("appended").appended;
    let second = model.produce(N1, 2, Some(Producer { sequence: 1, ..producer })).expect("appended").appended;
    model.settle();
    model.kill(N1);
    model.elect(N2);
    model.deliver_all();
    let retry = model.produce(N2, 2, Some(Producer { sequence: 1, ..producer })).expect("known").appended;
    assert!(retry.duplicate);
    assert_eq!((retry.base_offset, first.base_offset.next()), (second.base_offset, second.base_offset));
    assert_eq!(model.values(N2), [1, 2]);
    let gap = model.produce(N2, 9, Some(Producer { sequence: 5, ..producer }));
    assert!(matches!(gap, Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. }))));
}

#[test]
fn producer_state_outlives_a_restart_and_forgets_what_was_truncated() {
    let mut model = Model::new();
    let producer = |sequence| Some(Producer { id: 7, sequence });
    let _ = model.produce(N1, 1, producer(0)).expect("appended");
    model.settle();
    let _ = model.produce(N1, 2, producer(1)).expect("appended, and never replicated");
    model.kill(N1);
    model.elect_uncleanly(N2);
    model.restart_cleanly(N1);
    model.settle();
    assert_eq!(model.values(N1), [1]);
    model.elect(N1);
    model.settle();
    let again = model.produce(N1, 2, producer(1)).expect("it is gone, so it is new").appended;
    assert!(!again.duplicate);
    let known = model.produce(N1, 1, producer(0)).expect("known").appended;
    assert!(known.duplicate);
}

#[test]
fn too_few_replicas_in_sync_refuse_acks_all_before_the_append() {
    let mut model = Model::new();
    for node in [N2, N3] {
        model.kill(node);
    }
    model.elect(N1);
    let _ = model.deliver(N1);
    let refused = model.produce(N1, 1, None);
    assert!(matches!(refused, Err(ProduceError::NotEnoughReplicas { in_sync: 1, required: 2 })));
    assert_eq!(model.log_end(N1), 0);
}

#[test]
fn an_isr_that_shrank_below_the_minimum_shows_in_the_answer() {
    let mut model = Model::new();
    let wait = model.write(N1, &[1])[0];
    model.settle();
    assert_eq!(model.ack_state(N1, wait), AckState::Committed);
    model.write(N1, &[2]);
    model.wait(1_000);
    let _ = model.tick(N1);
    while model.decide().is_some() {}
    assert_eq!(model.ack_state(N1, wait), AckState::NotEnoughReplicas);
}

#[test]
fn waits_end_in_their_order_and_with_the_leadership() {
    let mut model = Model::new();
    let mut waits = AckWaits::default();
    for (wait, asker) in model.write(N1, &[1, 2]).into_iter().zip(["first", "second"]) {
        waits.push(wait, asker);
    }
    assert_eq!(waits.take_ended(model.replica(N1)), []);
    model.settle();
    let committed = [("first", AckState::Committed), ("second", AckState::Committed)];
    assert_eq!(waits.take_ended(model.replica(N1)), committed);
    let wait = model.write(N1, &[3])[0];
    waits.push(wait, "third");
    model.elect(N2);
    let _ = model.deliver(N1);
    assert_eq!(waits.take_ended(model.replica(N1)), [("third", AckState::NotLeaderOrFollower)]);
    assert_eq!(waits.count(), 0);
}

#[test]
fn a_replica_that_is_about_to_join_counts_for_the_answer_after_the_commit() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    model.settle();
    for node in [N2, N3] {
        model.kill(node);
    }
    model.write(N1, &[2]);
    model.leave_out_laggards(N1);
    assert!(model.replica(N1).lacks_replicas_after_commit());
    model.restart(N2);
    let _ = model.deliver(N2);
    while model.proposals.is_empty() {
        let _ = model.fetch(N2);
    }
    assert!(model.replica(N1).is_under_min_isr());
    assert!(!model.replica(N1).lacks_replicas_after_commit());
}

#[test]
fn consumers_see_nothing_above_the_high_watermark() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    model.settle();
    model.write(N1, &[2]);
    let now = model.now;
    let leader = model.replica(N1);
    let seen = leader.handle_fetch(now, &consumer(0, None)).expect("in range");
    assert_eq!(seen.high_watermark, Offset::clamped(1));
    let all = leader.log().size_bytes();
    assert!(seen.read.bytes > 0 && (seen.read.bytes as u64) < all);
    assert_eq!(leader.handle_fetch(now, &consumer(1, None)).expect("in range").read.bytes, 0);
    assert!(leader.handle_fetch(now, &consumer(3, None)).is_err());
}

#[test]
fn kip_207_a_new_leader_names_no_latest_offset_before_it_knows_what_is_committed() {
    let mut model = Model::new();
    model.write(N1, &[1, 2]);
    for node in [N2, N3] {
        let _ = model.fetch(node);
        let _ = model.fetch(node);
    }
    assert_eq!(model.high_watermark(N1), 2);
    model.kill(N1);
    model.elect(N2);
    model.deliver_all();
    assert!(model.high_watermark(N2) < 2);
    let latest = |model: &mut Model| {
        model.replica(N2).list_offset(OffsetSpec::Latest, None, Isolation::ReadUncommitted)
    };
    assert!(matches!(latest(&mut model), Err(ListOffsetsError::OffsetNotAvailable)));
    let _ = model.fetch(N3);
    let listed = latest(&mut model).expect("committed").expect("there is a latest offset");
    assert_eq!((listed.offset, listed.leader_epoch), (Offset::clamped(2), Some(LeaderEpoch(1))));
}

#[test]
fn offsets_are_listed_with_the_epoch_of_the_record() {
    let mut model = Model::new();
    model.write(N1, &[1]);
    let first_at = model.now.wall;
    model.settle();
    model.wait(50);
    model.elect(N1);
    model.deliver_all();
    model.write(N1, &[2]);
    let leader = |model: &mut Model, spec| {
        let listed =
            model.replica(N1).list_offset(spec, None, Isolation::ReadUncommitted).expect("available");
        listed.map(|listed| (listed.offset.get(), listed.leader_epoch.map(LeaderEpoch::get)))
    };
    let later = OffsetSpec::AtOrAfter(TimestampMs(first_at.0 + 1));
    assert_eq!(leader(&mut model, later), None, "not committed yet");
    model.settle();
    model.elect(N1);
    model.settle();
    assert_eq!(leader(&mut model, later), Some((1, Some(1))));
    assert_eq!(leader(&mut model, OffsetSpec::AtOrAfter(first_at)), Some((0, Some(0))));
    assert_eq!(leader(&mut model, OffsetSpec::MaxTimestamp), Some((1, Some(1))));
    assert_eq!(leader(&mut model, OffsetSpec::Earliest), Some((0, Some(0))));
    assert_eq!(leader(&mut model, OffsetSpec::Latest), Some((2, Some(2))));
}
