//! A quorum of several nodes in one process, on virtual time: waits are for conditions, deadlines are virtual.

mod net;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use net::{Machine, Net, PATIENCE, cluster, leader, propose, texts, until, voters, write};
use ottla_broker_log::{RealDisk, SimError, SimFault, SimOp};
use ottla_broker_quorum::{
    BATCH_BYTES_MAX, Committed, Initialized, MembershipError, MetadataLog, MetadataOffset, ProposeError,
    Quorum, QuorumOptions, ReadError, SnapshotError, StopReason, VoterId, WriteMode,
};
use ottla_broker_types::NodeId;

#[tokio::test(start_paused = true)]
async fn a_single_voter_acknowledges_within_milliseconds_of_its_first_start_and_of_later_ones() {
    let net = Net::default();
    let mut machine = Machine::new(&net, 1, 1);
    let boot = async {
        let log = machine.start().await.clone();
        assert_eq!(log.initialize(voters(1)).await, Ok(Initialized::Created));
        until(&log, |leadership| leadership.is_self).await;
        write(&log, "first").await
    };
    tokio::time::timeout(Duration::from_millis(20), boot).await.expect("no election timeout is waited for");
    machine.kill().await;
    let again = async {
        let log = machine.start().await.clone();
        assert_eq!(log.initialize(voters(1)).await, Ok(Initialized::AlreadyMember));
        until(&log, |leadership| leadership.is_self).await;
        let offset = write(&log, "second").await;
        texts(&log, offset.next()).await
    };
    let seen = tokio::time::timeout(Duration::from_millis(20), again).await.expect("nor at a restart");
    assert_eq!(seen, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn three_nodes_agree_on_the_order_in_which_batches_were_proposed() {
    let (_net, machines) = cluster(3).await;
    let log = machines[leader(&machines).await].log();
    let proposals: Vec<_> = (0..100).map(|number| propose(log, &number.to_string()).unwrap()).collect();
    let offsets: Vec<_> =
        futures::future::join_all(proposals).await.into_iter().map(Result::unwrap).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let end = offsets.last().unwrap().next();
    let wanted: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for machine in &machines {
        assert_eq!(texts(machine.log(), end).await, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_and_comes_back_from_its_disk() {
    let (_net, mut machines) = cluster(3).await;
    let first = leader(&machines).await;
    write(machines[first].log(), "before").await;
    let term = machines[first].log().leadership().borrow().term;
    machines[first].kill().await;

    let second = leader(&machines).await;
    let log = machines[second].log();
    assert!(log.leadership().borrow().term > term);
    let offset = write(log, "after").await;
    assert_eq!(texts(log, offset.next()).await, ["before", "after"]);

    machines[first].start().await;
    assert_eq!(texts(machines[first].log(), offset.next()).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_process_is_gone_is_replaced_before_its_lease_ends() {
    let (_net, mut machines) = cluster(3).await;
    let first = leader(&machines).await;
    for machine in &machines {
        until(machine.log(), |leadership| leadership.leader.is_some()).await;
    }
    let node = machines[first].id.node;
    machines[first].kill().await;
    let failover = async {
        for machine in machines.iter().filter(|machine| machine.log.is_some()) {
            machine.log().peer_unreachable(node);
        }
        leader(&machines).await
    };
    tokio::time::timeout(Duration::from_millis(250), failover).await.expect("the lease is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_restarted_at_once_does_not_hold_its_old_lease() {
    let (_net, mut machines) = cluster(3).await;
    let first = leader(&machines).await;
    let node = machines[first].id.node;
    let term = machines[first].log().leadership().borrow().term;
    for machine in &machines {
        until(machine.log(), |leadership| leadership.leader == Some(node)).await;
    }
    machines[first].kill().await;
    machines[first].start().await;
    let failover = async {
        for machine in &machines {
            machine.log().peer_unreachable(node);
        }
        let next = leader(&machines).await;
        assert!(machines[next].log().leadership().borrow().term > term);
    };
    tokio::time::timeout(Duration::from_millis(250), failover).await.expect("the lease is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_short_loss_of_the_majority_refuses_nothing_and_keeps_the_session() {
    let (net, machines) = cluster(3).await;
    let first = leader(&machines).await;
    let log = machines[first].log();
    write(log, "before").await;
    let session = log.leadership().borrow().session;
    net.cut(machines[first].id.node.get());
    // Longer than the lease within which the library takes proposals, shorter than an election.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let proposals: Vec<_> = (0..3).map(|number| propose(log, &number.to_string()).unwrap()).collect();
    net.heal(machines[first].id.node.get());
    let mut end = MetadataOffset::ZERO;
    for proposal in proposals {
        end = proposal.await.expect("it is committed once the majority is back").next();
    }
    assert_eq!(log.leadership().borrow().session, session);
    assert_eq!(texts(log, end).await, ["before", "0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_about_a_leader_that_answers_changes_nothing() {
    let (_net, machines) = cluster(3).await;
    let first = leader(&machines).await;
    let before = *machines[first].log().leadership().borrow();
    for machine in &machines {
        until(machine.log(), |leadership| leadership.leader.is_some()).await;
        machine.log().peer_unreachable(machines[first].id.node);
    }
    write(machines[first].log(), "still here").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(*machines[first].log().leadership().borrow(), before);
}

#[tokio::test(start_paused = true)]
async fn a_minority_commits_nothing_and_stops_naming_itself_leader() {
    let (net, machines) = cluster(3).await;
    let first = leader(&machines).await;
    let log = machines[first].log();
    write(log, "agreed").await;
    let old = log.leadership().borrow().session;
    net.cut(machines[first].id.node.get());
    let lonely = propose(log, "lonely").unwrap();
    until(log, |leadership| leadership.leader.is_none() && !leadership.is_self).await;
    assert!(matches!(propose(log, "refused"), Err(ProposeError::NotLeader { leader: None })));
    assert_eq!(lonely.await, Err(ProposeError::TimedOut));

    let others: Vec<_> = machines.iter().enumerate().filter(|(index, _)| *index != first).collect();
    let waits =
        others.iter().map(|(_, machine)| Box::pin(until(machine.log(), |leadership| leadership.is_self)));
    let (_, at, _) = futures::future::select_all(waits).await;
    let offset = write(others[at].1.log(), "majority").await;
    net.heal(machines[first].id.node.get());
    assert_eq!(texts(log, offset.next()).await, ["agreed", "majority"]);
    assert!(matches!(log.propose(old, vec![]), Err(ProposeError::NotLeader { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_voter_with_an_emptied_disk_does_not_vote_and_rejoins_by_remove_and_add() {
    let (net, mut machines) = cluster(3).await;
    let first = leader(&machines).await;
    write(machines[first].log(), "kept").await;
    let victim = (first + 1) % 3;
    let old = machines[victim].id;
    machines[victim].kill().await;
    machines[victim] = Machine::new(&net, old.node.get(), 2);
    machines[victim].start().await;
    let offset = write(machines[first].log(), "two of three").await;

    // With the third voter gone, the leader and the emptied disk are no majority.
    let third = (first + 2) % 3;
    machines[third].kill().await;
    until(machines[first].log(), |leadership| !leadership.is_self).await;
    assert_eq!(*machines[victim].log().committed_end().borrow(), MetadataOffset::ZERO);
    machines[third].start().await;

    let first = leader(&machines).await;
    let log = machines[first].log();
    let new = machines[victim].member();
    let duplicate = log.add_voter(new.clone()).await;
    assert_eq!(duplicate, Err(MembershipError::DuplicateVoter { node: old.node }));
    log.remove_voter(old).await.unwrap();
    log.add_voter(new.clone()).await.unwrap();
    assert_eq!(texts(machines[victim].log(), offset.next()).await, ["kept", "two of three"]);
    let membership = log.membership();
    assert_eq!(membership.voters.len(), 3);
    assert!(membership.voters.iter().any(|member| member.id == new.id));
    assert!(membership.voters.iter().all(|member| member.id != old));
}

#[tokio::test(start_paused = true)]
async fn a_single_voter_grows_to_three_and_a_leader_that_removes_itself_hands_over() {
    let (net, mut machines) = cluster(1).await;
    leader(&machines).await;
    write(machines[0].log(), "alone").await;
    for node in [2, 3] {
        let mut machine = Machine::new(&net, node, 1);
        machine.start().await;
        machines[0].log().add_voter(machine.member()).await.unwrap();
        machines.push(machine);
    }
    let end = write(machines[0].log(), "three").await.next();
    for machine in &machines {
        assert_eq!(texts(machine.log(), end).await, ["alone", "three"]);
        assert_eq!(machine.log().membership().voters.len(), 3);
    }
    machines[0].log().remove_voter(machines[0].id).await.unwrap();
    let rest = &machines[1..];
    let next = &rest[leader(rest).await];
    let end = write(next.log(), "without the first").await.next();
    assert_eq!(next.log().membership().voters.len(), 2);
    assert_eq!(texts(rest[0].log(), end).await, ["alone", "three", "without the first"]);
    until(machines[0].log(), |leadership| !leadership.is_self).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_voter_and_strangers_cannot_be_removed() {
    let (_net, machines) = cluster(1).await;
    let log = machines[leader(&machines).await].log();
    assert_eq!(log.remove_voter(machines[0].id).await, Err(MembershipError::LastVoter));
    let stranger = VoterId { node: NodeId(9), ..machines[0].id };
    assert_eq!(log.remove_voter(stranger).await, Err(MembershipError::UnknownMember));
}

#[tokio::test(start_paused = true)]
async fn an_observer_follows_without_a_vote() {
    let (net, mut machines) = cluster(1).await;
    leader(&machines).await;
    let mut observer = Machine::new(&net, 2, 1);
    observer.start().await;
    machines[0].log().add_observer(observer.member()).await.unwrap();
    let end = write(machines[0].log(), "seen").await.next();
    assert_eq!(texts(observer.log(), end).await, ["seen"]);
    let status = machines[0].log().status();
    assert_eq!((status.voters.len(), status.observers.len()), (1, 1));
    machines[0].kill().await;
    // Long past every election timeout.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!observer.log().leadership().borrow().is_self);
}

#[tokio::test(start_paused = true)]
async fn a_node_with_an_emptied_disk_does_not_found_a_second_cluster() {
    let (net, mut machines) = cluster(3).await;
    leader(&machines).await;
    machines[0].kill().await;
    machines[0] = Machine::new(&net, 1, 2);
    let log = machines[0].start().await;
    let outcome = log.initialize(voters(3)).await.unwrap();
    assert!(matches!(outcome, Initialized::ClusterExists { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn no_quorum_is_formed_while_an_initial_voter_is_silent() {
    let net = Net::default();
    let mut machine = Machine::new(&net, 1, 1);
    let log = machine.start().await;
    let silent = vec![NodeId(2), NodeId(3)];
    let outcome = log.initialize(voters(3)).await;
    assert_eq!(outcome, Err(ottla_broker_quorum::InitializeError::Unreachable { silent }));
    assert!(log.membership().voters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_far_behind_gets_the_snapshot() {
    let (net, mut machines) = cluster(3).await;
    let first = leader(&machines).await;
    let behind = (first + 1) % 3;
    net.cut(machines[behind].id.node.get());
    let log = machines[first].log().clone();
    let mut wanted = Vec::new();
    for round in 0..3 {
        let texts: Vec<String> = (0..1000).map(|number| format!("{round}-{number}")).collect();
        let proposals: Vec<_> = texts.iter().map(|text| propose(&log, text).unwrap()).collect();
        for proposal in proposals {
            proposal.await.unwrap();
        }
        wanted.extend(texts);
    }
    let end = *log.committed_end().borrow();
    log.offer_snapshot(end, Bytes::from(wanted.join(" "))).await.unwrap();
    assert_eq!(log.snapshot_end(), Some(end));
    let last = write(&log, "last").await;
    wanted.push("last".to_owned());
    // The start of the log goes once the attempt to send it to the lost peer has failed.
    let cut = async {
        while !matches!(
            log.read_committed(MetadataOffset::ZERO, 1).as_deref(),
            Ok([Committed::Snapshot { .. }])
        ) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.expect("the log is cut");

    net.heal(machines[behind].id.node.get());
    let follower = machines[behind].log();
    assert_eq!(texts(follower, last.next()).await, wanted);
    assert_eq!(follower.snapshot_end(), Some(end), "the start of the log is gone, so it came by snapshot");

    machines[behind].kill().await;
    machines[behind].start().await;
    assert_eq!(texts(machines[behind].log(), last.next()).await, wanted);
}

#[tokio::test(start_paused = true)]
async fn acknowledged_batches_survive_a_power_cut_of_all_nodes() {
    for seed in 0..20 {
        let (_net, mut machines) = cluster(3).await;
        let log = machines[leader(&machines).await].log().clone();
        let mut last = MetadataOffset::ZERO;
        for number in 0..10 {
            last = write(&log, &number.to_string()).await;
        }
        // Some more are on their way when the power goes.
        let pending: Vec<_> = (10..20).map(|number| propose(&log, &number.to_string()).unwrap()).collect();
        tokio::task::yield_now().await;
        for (index, machine) in machines.iter_mut().enumerate() {
            machine.lose_power(seed * 3 + index as u64).await;
        }
        drop(pending);
        for machine in &mut machines {
            machine.start().await;
        }
        let log = machines[leader(&machines).await].log();
        let seen = texts(log, last.next()).await;
        let wanted: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(seen[..10], wanted, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_flush_stops_the_node_for_good() {
    let net = Net::default();
    let mut machine = Machine::new(&net, 1, 1);
    let log = machine.start().await.clone();
    log.initialize(voters(1)).await.unwrap();
    until(&log, |leadership| leadership.is_self).await;
    write(&log, "good").await;
    machine.disk.inject(SimFault { op: SimOp::SyncData, skip: 0, error: SimError::Io });
    let lost = propose(&log, "lost").unwrap();
    assert!(matches!(lost.await, Err(ProposeError::Stopped | ProposeError::LeadershipLost { .. })));
    let reason = tokio::time::timeout(PATIENCE, log.stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Failed { .. }), "{reason:?}");
    assert!(matches!(propose(&log, "refused"), Err(ProposeError::Stopped)));
    assert!(log.committed(*log.committed_end().borrow()).next().await.is_none(), "streams end");
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_on_request() {
    let (_net, machines) = cluster(3).await;
    let first = leader(&machines).await;
    let heir = (first + 1) % 3;
    let to = machines[heir].id.node;
    write(machines[first].log(), "before").await;
    let handover = machines[first].log().transfer_leadership(Some(to));
    tokio::time::timeout(Duration::from_millis(400), handover).await.expect("at once").unwrap();
    until(machines[heir].log(), |leadership| leadership.is_self).await;
    write(machines[heir].log(), "after").await;
    let refused = machines[first].log().transfer_leadership(None).await;
    assert!(matches!(refused, Err(ottla_broker_quorum::TransferError::NotLeader { .. })));
}

#[tokio::test(start_paused = true)]
async fn readers_are_told_when_they_ask_for_what_is_not_there() {
    let (_net, machines) = cluster(1).await;
    let log = machines[leader(&machines).await].log();
    let offset = write(log, "one").await;
    let end = offset.next();
    assert_eq!(log.read_committed(end, 1024), Ok(vec![]));
    let beyond = Err(ReadError::BeyondEnd { from: end.next(), committed_end: end });
    assert_eq!(log.read_committed(end.next(), 1024), beyond);
    let read = log.read_committed(offset, 0).unwrap();
    assert!(
        matches!(&read[..], [Committed::Batch { records, .. }] if records == &[Bytes::from("one")]),
        "{read:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_out_of_range_is_refused() {
    let (_net, machines) = cluster(1).await;
    let log = machines[leader(&machines).await].log();
    let session = log.leadership().borrow().session;
    let refused = log.propose(session, vec![Bytes::from(vec![0; BATCH_BYTES_MAX + 1])]);
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
    let end = write(log, "one").await.next();
    let offered = log.offer_snapshot(end.next(), Bytes::new()).await;
    assert!(matches!(offered, Err(SnapshotError::OutOfRange { .. })));
    log.offer_snapshot(end, Bytes::from("one")).await.unwrap();
    assert!(matches!(log.offer_snapshot(end, Bytes::new()).await, Err(SnapshotError::OutOfRange { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_leader_tells_how_far_everybody_is() {
    let (net, machines) = cluster(3).await;
    let first = leader(&machines).await;
    let log = machines[first].log();
    let end = write(log, "one").await.next();
    for machine in &machines {
        texts(machine.log(), end).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let behind = machines[(first + 1) % 3].id;
    net.cut(behind.node.get());
    let end = write(log, "two").await.next();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = log.status();
    let now = net.clock()().wall.0;
    assert_eq!(status.leader, Some(machines[first].id.node));
    assert_eq!(status.committed_end, end);
    assert_eq!(status.voters.len(), 3);
    for replica in &status.voters {
        let caught_up = replica.last_caught_up.unwrap();
        if replica.id == behind {
            assert!(replica.log_end.unwrap() < end);
            assert!(caught_up.0 < now - 4_500, "{replica:?}");
        } else {
            assert_eq!(replica.log_end, Some(end));
            assert!(now - caught_up.0 <= 200, "{replica:?}");
        }
    }
}

#[tokio::test]
async fn a_node_runs_on_real_files_and_a_writer_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let net = Net::default();
    let mut wanted = Vec::new();
    for life in 0..3 {
        let options = QuorumOptions {
            dir: dir.path().join("metadata/quorum"),
            disk: Arc::new(RealDisk),
            write_mode: WriteMode::Thread,
            ..Machine::new(&net, 1, 1).options()
        };
        let log = Quorum::start(options).await.unwrap();
        let outcome = log.initialize(voters(1)).await.unwrap();
        assert_eq!(outcome, if life == 0 { Initialized::Created } else { Initialized::AlreadyMember });
        until(&log, |leadership| leadership.is_self).await;
        let texts_of_life: Vec<String> = (0..100).map(|number| format!("{life}-{number}")).collect();
        let proposals: Vec<_> = texts_of_life.iter().map(|text| propose(&log, text).unwrap()).collect();
        let outcomes = futures::future::join_all(proposals).await;
        wanted.extend(texts_of_life);
        let end = outcomes.last().unwrap().clone().unwrap().next();
        assert_eq!(texts(&log, end).await, wanted);
        if life == 1 {
            log.offer_snapshot(end, Bytes::from(wanted.join(" "))).await.unwrap();
        }
        log.shutdown().await;
        assert_eq!(log.stopped().await, StopReason::Shutdown);
    }
}
