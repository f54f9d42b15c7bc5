//! What becomes of a partition when its disk is full, broken or slow, and who hears of its batches.

use futures::FutureExt;
use ottla_broker_log::{SimDisk, SimError, SimFault, SimOp};
use ottla_broker_node::Reader;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::Compression;
use ottla_broker_replication::{AckWait, FetchFacts, FollowerFetched, FollowerId, FollowerStep, Isolation};
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::leader::AppendedBatch;
use super::*;
use crate::partitions::waiters::{FetchWaiter, PRODUCE_WAITERS_MAX};
use crate::testing::{Rig, batch};

fn append(rig: &Rig, hosted: &HostedPartition) -> Result<AppendedBatch, AppendFailure> {
    hosted.append(rig.broker.clock.now(), &mut batch(Compression::None), RequiredAcks::Leader)
}

#[test]
fn a_full_disk_refuses_records_and_goes_on_by_itself() {
    let disk = SimDisk::new(1);
    let mut rig = Rig::on_simulated(&disk);
    let hosted = rig.topic("t", &[1]);
    append(&rig, &hosted).unwrap();
    disk.set_capacity_bytes(0);
    rig.broker.partitions.opener().space().measure();
    let failure = append(&rig, &hosted).unwrap_err();
    assert_eq!(failure.code, ErrorCode::KafkaStorageError);
    assert!(failure.message.unwrap().contains("has 0.0 MiB left"));
    disk.set_capacity_bytes(u64::MAX);
    rig.broker.partitions.opener().space().measure();
    append(&rig, &hosted).unwrap();
    assert_eq!(rig.fatal().reported().now_or_never(), None);
}

#[test]
fn only_an_error_of_the_device_is_final() {
    let disk = SimDisk::new(1);
    let mut rig = Rig::on_simulated(&disk);
    let hosted = rig.topic("t", &[1]);
    for error in [SimError::NoSpace, SimError::TooManyFiles] {
        disk.inject(SimFault { op: SimOp::Write, skip: 0, error });
        let failure = append(&rig, &hosted).unwrap_err();
        assert_eq!(failure.code, ErrorCode::KafkaStorageError, "{failure:?}");
        append(&rig, &hosted).unwrap();
        disk.inject(SimFault { op: SimOp::Open, skip: 0, error: SimError::TooManyFiles });
        assert!(hosted.maintain("flush", |replica| Ok((replica.flush()?, Effects::default()))).is_none());
        disk.clear_faults();
    }
    assert!(!hosted.is_offline() && rig.fatal().reported().now_or_never().is_none());
    disk.inject(SimFault { op: SimOp::Write, skip: 0, error: SimError::Io });
    assert!(append(&rig, &hosted).is_err());
    let reported = rig.fatal().reported().now_or_never().unwrap();
    assert!(reported.contains("append of t-0") && reported.contains("the device"), "{reported}");
}

#[tokio::test]
async fn a_follower_without_space_learns_what_its_leader_has_deleted() {
    let disk = SimDisk::new(1);
    let mut rig = Rig::on_simulated(&disk);
    let hosted = rig.topic("t", &[2, 1]);
    let now = rig.broker.clock.now();
    let fetched = |records, log_start| FollowerFetched {
        high_watermark: Offset::new(1),
        log_start: Offset::new(log_start),
        diverging: None,
        records,
    };
    let records = batch(Compression::None);
    let position = hosted.next_fetch().unwrap().position;
    let step = hosted.apply_fetched(now, &position, Ok(fetched(&records, 0)));
    assert_eq!(step, Some(FollowerStep::Continue));
    disk.set_capacity_bytes(0);
    rig.broker.partitions.opener().space().measure();
    let position = hosted.next_fetch().unwrap().position;
    let step = hosted.apply_fetched(now, &position, Ok(fetched(&records, 1)));
    assert_eq!(step, Some(FollowerStep::AwaitMetadata), "it does not ask again at once");
    let range = hosted.read(|replica| (replica.log().log_start(), replica.log().log_end()));
    assert_eq!(range, Some((Offset::clamped(1), Offset::clamped(1))));
}

/// An append that the disk holds up keeps the replica; who only looks, or waits for news, is not kept.
#[test]
fn a_partition_that_waits_for_its_disk_can_be_looked_at_and_waited_for() {
    let mut rig = Rig::new();
    let hosted = rig.topic("t", &[1]);
    let before = rig.broker.partitions.facts();
    let _writes = hosted.state.lock();
    let waiter = Arc::new(FetchWaiter::default());
    hosted.watch(&waiter, 0, Reader::Client);
    assert_eq!(hosted.watcher_count(), 1);
    let facts = rig.broker.partitions.facts();
    assert_eq!(facts.len(), 1);
    assert_eq!((&facts[0].id, facts[0].is_leader), (&before[0].id, true));
}

#[test]
fn followers_hear_of_a_batch_whose_producer_cannot_wait() {
    let mut rig = Rig::new();
    let hosted = rig.topic("t", &[1, 2]);
    let fill = |waiters: &mut Waiters| {
        let never = AckWait { end: Offset::MAX, leader_epoch: LeaderEpoch(0) };
        (0..PRODUCE_WAITERS_MAX).map(|_| waiters.wait_committed(never)).collect()
    };
    let full: Vec<_> = fill(&mut hosted.waiters.lock());
    let waiter = Arc::new(FetchWaiter::default());
    let follower = Reader::Follower { node: NodeId(2), epoch: None };
    hosted.watch(&waiter, 0, follower);
    let mut batch = batch(Compression::None);
    let failure = hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::All).unwrap_err();
    assert_eq!(failure.code, ErrorCode::RequestTimedOut, "{failure:?}");
    assert!(waiter.woken().now_or_never().is_some(), "the follower sleeps on");
    drop(full);
}

#[test]
fn a_replica_that_is_about_to_join_counts_for_the_answer_after_the_commit() {
    let mut rig = Rig::new();
    let hosted = rig.topic("t", &[1, 2]);
    rig.set("t", "min.insync.replicas", "2");
    let now = rig.broker.clock.now();
    let alone = Assignment {
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(1),
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1)],
        ..Assignment::default()
    };
    hosted.apply_assignment(now, &alone);
    assert_eq!(hosted.check_min_isr_after_commit(), Err(ErrorCode::NotEnoughReplicasAfterAppend));
    let joining = FollowerId { node: NodeId(2), broker_epoch: Some(BrokerEpoch(1)), isr_eligible: true };
    let facts = FetchFacts {
        replica: Some(joining),
        fetch_offset: Offset::ZERO,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        log_start: None,
        max_bytes: 1,
        at_least_one: true,
        isolation: Isolation::LogEnd,
    };
    hosted.change(|replica| replica.handle_fetch(now, &facts).unwrap().effects);
    assert_eq!(hosted.check_min_isr_after_commit(), Ok(()));
}
