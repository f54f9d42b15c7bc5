//! Groups of the consumer protocol (KIP-848).

use std::collections::BTreeSet;

use super::consumers_stage::{CONSUMER_SESSION, Consumer, KnownTopics, REBALANCE_TIMEOUT};
use super::stage::{Stage, dynamic, group};
use crate::{
    CommitOffsetsError, ConsumerGroupState, ConsumerHeartbeatError, DecideError, DeleteGroupError,
    FetchOffsetsError, GroupEpoch, GroupKind, Intent, InvalidHeartbeat, JoinError, MemberError,
};

fn topics() -> KnownTopics {
    KnownTopics::of(&[("t", 4)])
}

fn two(stage: &mut Stage) -> [Consumer; 2] {
    let mut consumers = [Consumer::new("a", &["t"]), Consumer::new("b", &["t"])];
    stage.settle(&mut consumers, &topics());
    consumers
}

fn refusal<T: std::fmt::Debug>(
    result: Result<T, DecideError<ConsumerHeartbeatError>>,
) -> ConsumerHeartbeatError {
    match result {
        Err(DecideError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_first_member_gets_everything_with_its_first_heartbeat() {
    let (mut stage, mut consumer) = (Stage::new(), Consumer::new("a", &["t", "not-there"]));
    stage.beat(&mut consumer, &topics());
    assert_eq!((consumer.epoch, consumer.indexes()), (1, vec![0, 1, 2, 3]));
}

#[test]
fn a_second_member_gets_its_share_once_the_first_has_given_it_up() {
    let mut stage = Stage::new();
    let (mut a, mut b) = (Consumer::new("a", &["t"]), Consumer::new("b", &["t"]));
    stage.beat(&mut a, &topics());
    stage.beat(&mut b, &topics());
    assert_eq!(b.indexes(), Vec::<i32>::new(), "all of it is still the first one's");
    let mut asked = a.request();
    let reply = stage.consumer_heartbeat(&asked, &topics()).unwrap();
    assert_eq!(reply.epoch, Some(GroupEpoch(1)), "it still has what it shall give up");
    stage.beat(&mut b, &topics());
    assert_eq!(b.indexes(), Vec::<i32>::new());
    asked.owned = reply.assignment;
    let reply = stage.consumer_heartbeat(&asked, &topics()).unwrap();
    assert_eq!(reply.epoch, Some(GroupEpoch(2)));
    a.owned = asked.owned.unwrap();
    stage.beat(&mut b, &topics());
    let all: BTreeSet<i32> = a.indexes().into_iter().chain(b.indexes()).collect();
    assert_eq!((a.indexes().len(), b.indexes().len(), all.len()), (2, 2, 4));
}

#[test]
fn who_does_not_give_up_in_time_is_no_member_any_more() {
    let mut stage = Stage::new();
    let (mut a, mut b) = (Consumer::new("a", &["t"]), Consumer::new("b", &["t"]));
    stage.beat(&mut a, &topics());
    stage.beat(&mut b, &topics());
    let stubborn = a.request();
    stage.consumer_heartbeat(&stubborn, &topics()).unwrap();
    for _ in 0..4 {
        stage.pass(REBALANCE_TIMEOUT / 4);
        stage.beat(&mut b, &topics());
        // Its heartbeats alone do not save it.
        let _ = stage.consumer_heartbeat(&stubborn, &topics());
    }
    stage.beat(&mut b, &topics());
    assert_eq!(b.indexes(), [0, 1, 2, 3]);
    let gone = refusal(stage.consumer_heartbeat(&a.request(), &topics()));
    assert_eq!(gone, ConsumerHeartbeatError::UnknownMember);
}

#[test]
fn a_silent_member_loses_its_partitions_after_its_session() {
    let mut stage = Stage::new();
    let [_, mut b] = two(&mut stage);
    stage.pass(CONSUMER_SESSION - 1_000);
    stage.beat(&mut b, &topics());
    stage.pass(1_000);
    stage.beat(&mut b, &topics());
    stage.beat(&mut b, &topics());
    assert_eq!(b.indexes(), [0, 1, 2, 3]);
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut stage = Stage::new();
    let [mut a, mut b] = two(&mut stage);
    a.epoch = -1;
    let reply = stage.consumer_heartbeat(&a.request(), &topics()).unwrap();
    assert_eq!(reply.epoch, None);
    stage.beat(&mut b, &topics());
    assert_eq!(b.indexes(), [0, 1, 2, 3]);
}

#[test]
fn an_answer_that_was_lost_may_be_asked_for_again() {
    let (mut stage, mut consumer) = (Stage::new(), Consumer::new("a", &["t"]));
    let join = consumer.request();
    let first = stage.consumer_heartbeat(&join, &topics()).unwrap();
    assert_eq!(stage.consumer_heartbeat(&join, &topics()).unwrap(), first);
    consumer.hear(&first);
    consumer.epoch = 7;
    let error = refusal(stage.consumer_heartbeat(&consumer.request(), &topics()));
    assert_eq!(error, ConsumerHeartbeatError::FencedEpoch { given: GroupEpoch(7), known: GroupEpoch(1) });
}

#[test]
fn a_new_partition_is_assigned_with_the_next_heartbeats() {
    let mut stage = Stage::new();
    let mut consumers = two(&mut stage);
    stage.topics_changed();
    let larger = KnownTopics::of(&[("t", 6)]);
    stage.settle(&mut consumers, &larger);
    assert_eq!(consumers.iter().map(|consumer| consumer.owned.count()).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn changes_of_other_topics_rebalance_nothing() {
    let mut stage = Stage::new();
    let mut consumers = two(&mut stage);
    let epoch = consumers[0].epoch;
    stage.topics_changed();
    let more = KnownTopics::of(&[("t", 4), ("u", 9)]);
    stage.settle(&mut consumers, &more);
    assert_eq!(consumers[0].epoch, epoch);
}

#[test]
fn a_topic_made_anew_is_another_topic() {
    let (mut stage, mut consumer) = (Stage::new(), Consumer::new("a", &["t"]));
    stage.beat(&mut consumer, &topics());
    let former = consumer.owned.clone();
    let mut anew = topics();
    anew.0.insert("t", (1, 4));
    stage.topics_changed();
    stage.settle(std::slice::from_mut(&mut consumer), &anew);
    assert_eq!(consumer.owned.count(), 4);
    assert_ne!(consumer.owned, former);
}

#[test]
fn a_pattern_stands_for_whole_names_and_for_topics_to_come() {
    let (mut stage, mut consumer) = (Stage::new(), Consumer::new("a", &[]));
    consumer.pattern = Some("flights-.*");
    stage.beat(&mut consumer, &KnownTopics::of(&[("flights-a", 1), ("old-flights-a", 1)]));
    assert_eq!(consumer.owned.count(), 1);
    stage.topics_changed();
    let more = KnownTopics::of(&[("flights-a", 1), ("flights-b", 2), ("old-flights-a", 1)]);
    stage.settle(std::slice::from_mut(&mut consumer), &more);
    assert_eq!(consumer.owned.count(), 3);
    consumer.pattern = Some("(");
    let error = refusal(stage.consumer_heartbeat(&consumer.request(), &more));
    assert!(matches!(error, ConsumerHeartbeatError::Pattern(_)), "{error:?}");
}

#[test]
fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    let mut stage = Stage::new();
    let mut consumers =
        [Consumer::new("a", &["t"]).named("pod-0"), Consumer::new("b", &["t"]).named("pod-1")];
    stage.settle(&mut consumers, &topics());
    let had = consumers[0].owned.clone();
    let mut again = Consumer::new("a-again", &["t"]).named("pod-0");
    let error = refusal(stage.consumer_heartbeat(&again.request(), &topics()));
    assert!(matches!(error, ConsumerHeartbeatError::UnreleasedInstance { .. }), "{error:?}");
    consumers[0].epoch = -2;
    stage.consumer_heartbeat(&consumers[0].request(), &topics()).unwrap();
    stage.pass(CONSUMER_SESSION / 2);
    stage.beat(&mut consumers[1], &topics());
    assert_eq!(consumers[1].owned.count(), 2, "its partitions wait for it");
    stage.beat(&mut again, &topics());
    assert_eq!((again.owned.clone(), again.epoch), (had, consumers[1].epoch));
    consumers[0].epoch = again.epoch;
    let error = refusal(stage.consumer_heartbeat(&consumers[0].request(), &topics()));
    assert!(matches!(error, ConsumerHeartbeatError::FencedInstance { .. }), "{error:?}");
}

#[test]
fn a_static_member_that_does_not_come_back_is_given_up_also_by_the_next_coordinator() {
    let mut stage = Stage::new();
    let mut consumers = [Consumer::new("a", &["t"]).named("pod-0"), Consumer::new("b", &["t"])];
    stage.settle(&mut consumers, &topics());
    consumers[0].epoch = -2;
    stage.consumer_heartbeat(&consumers[0].request(), &topics()).unwrap();
    for mut stage in [stage.reloaded(), stage] {
        let mut other = consumers[1].clone();
        for _ in 0..3 {
            stage.pass(CONSUMER_SESSION / 2);
            stage.beat(&mut other, &topics());
        }
        stage.beat(&mut other, &topics());
        assert_eq!(other.indexes(), [0, 1, 2, 3]);
    }
}

type Alter = fn(&mut crate::ConsumerHeartbeat);

#[test]
fn what_contradicts_itself_is_refused_in_kafkas_words() {
    let mut stage = Stage::new();
    let whole = Consumer::new("a", &["t"]).request();
    let cases: [(Alter, InvalidHeartbeat); 5] = [
        (|request| request.rebalance_timeout = None, InvalidHeartbeat::NoRebalanceTimeout),
        (|request| request.owned = None, InvalidHeartbeat::Owning),
        (|request| request.topics = None, InvalidHeartbeat::NoSubscription),
        (|request| (request.intent, request.member) = (Intent::Leave, None), InvalidHeartbeat::NoMember),
        (|request| request.intent = Intent::LeaveForAWhile, InvalidHeartbeat::NoInstance),
    ];
    for (change, expected) in cases {
        let mut request = whole.clone();
        change(&mut request);
        assert_eq!(refusal(stage.consumer_heartbeat(&request, &topics())), expected.into());
    }
    let mut stays = whole.clone();
    stays.intent = Intent::Stay(GroupEpoch(3));
    let error = refusal(stage.consumer_heartbeat(&stays, &topics()));
    assert_eq!(error, ConsumerHeartbeatError::UnknownGroup);
    let mut sticky = whole;
    sticky.assignor = Some("sticky".into());
    let error = refusal(stage.consumer_heartbeat(&sticky, &topics()));
    assert_eq!(
        error.to_string(),
        "ServerAssignor sticky is not supported. Supported assignors: uniform, range."
    );
}

#[test]
fn only_members_in_their_epoch_commit_and_fetch() {
    let mut stage = Stage::new();
    let [a, _] = two(&mut stage);
    stage.commit(dynamic(&a.id), a.epoch, 5).unwrap();
    assert_eq!(stage.committed("t"), Some(5));
    let stale = stage.commit(dynamic(&a.id), a.epoch - 1, 6);
    assert_eq!(stale, Err(DecideError::Refused(CommitOffsetsError::StaleEpoch)));
    let nobody = stage.commit(Default::default(), -1, 6);
    assert_eq!(nobody, Err(DecideError::Refused(MemberError::Unknown.into())));
    let fetch = |epoch| stage.shard().check_fetch(&group(), &a.id, GroupEpoch(epoch));
    assert_eq!((fetch(a.epoch), fetch(a.epoch - 1)), (Ok(()), Err(FetchOffsetsError::StaleEpoch)));
}

#[test]
fn a_coordinator_that_reads_the_log_goes_on_where_the_former_one_was() {
    let mut stage = Stage::new();
    let mut consumers = two(&mut stage);
    let mut stage = stage.reloaded();
    let before = stage.log.end;
    stage.settle(&mut consumers, &topics());
    assert_eq!(stage.log.end, before, "nothing has changed");
    assert_eq!(consumers.iter().map(|consumer| consumer.owned.count()).collect::<Vec<_>>(), [2, 2]);
    stage.pass(CONSUMER_SESSION);
    let state = stage.shard().describe_consumers(&group()).unwrap().state;
    assert_eq!(state, ConsumerGroupState::Empty, "sessions count from the load on");
}

#[test]
fn a_group_without_members_may_change_its_protocol_and_keeps_its_offsets() {
    let mut stage = Stage::new();
    let id = stage.stable_alone();
    stage.commit(dynamic(&id), 1, 5).unwrap();
    let mut consumer = Consumer::new("a", &["t"]);
    let error = refusal(stage.consumer_heartbeat(&consumer.request(), &topics()));
    assert_eq!(error, ConsumerHeartbeatError::ClassicGroup);
    stage.leave(&[dynamic(&id)]);
    stage.beat(&mut consumer, &topics());
    assert_eq!(stage.committed("t"), Some(5));
    let kinds = |stage: &Stage| stage.shard().list().map(|listing| listing.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&stage), [GroupKind::Consumer]);
    let asked = stage.join_new();
    assert_eq!(stage.join_result(asked), Err(JoinError::Protocols));
    consumer.epoch = -1;
    stage.consumer_heartbeat(&consumer.request(), &topics()).unwrap();
    stage.stable_alone();
    assert_eq!((kinds(&stage), stage.committed("t")), (vec![GroupKind::Classic], Some(5)));
    let reloaded = stage.reloaded();
    assert_eq!((kinds(&reloaded), reloaded.committed("t")), (vec![GroupKind::Classic], Some(5)));
}

/// What compaction leaves: the last record of each key, in the log's order.
fn compacted(stage: &Stage) -> Stage {
    let mut last: Vec<(bytes::Bytes, crate::GroupRecord)> = Vec::new();
    for batch in &stage.log.batches {
        let header = ottla_broker_protocol::batch::BatchHeader::parse(batch).unwrap();
        for record in &ottla_broker_protocol::batch::records(&header, batch, 1 << 20).unwrap() {
            let record = record.unwrap();
            let key = bytes::Bytes::copy_from_slice(record.key.unwrap());
            last.retain(|(known, _)| *known != key);
            let record = crate::ShardRecord::decode(&key, record.value).unwrap();
            last.extend(record.map(|record| (key, record)));
        }
    }
    Stage::of(&last.into_iter().map(|(_, record)| record).collect::<Vec<_>>())
}

#[test]
fn a_compacted_log_holds_what_members_have_though_they_say_something_new_of_themselves() {
    let mut stage = Stage::new();
    let [a, _] = two(&mut stage);
    let mut moved = a.request();
    moved.client_host = "/198.18.0.9".into();
    stage.consumer_heartbeat(&moved, &topics()).unwrap();
    let mut stage = compacted(&stage);
    let again = stage.consumer_heartbeat(&moved, &topics()).unwrap();
    assert_eq!((again.epoch.map(|epoch| epoch.0), again.assignment), (Some(a.epoch), Some(a.owned)));
}

#[test]
fn a_static_member_that_comes_back_under_its_id_keeps_its_target() {
    let mut stage = Stage::new();
    let mut slow = Consumer::new("a", &["t"]);
    stage.beat(&mut slow, &topics());
    let mut named = Consumer::new("b", &["t"]).named("pod-0");
    stage.beat(&mut named, &topics());
    let mut away = named.clone();
    away.epoch = -2;
    stage.consumer_heartbeat(&away.request(), &topics()).unwrap();
    (named.epoch, named.topics) = (0, vec!["t", "u"]);
    stage.beat(&mut named, &topics());
    let mut consumers = [slow, named];
    stage.settle(&mut consumers, &topics());
    assert_eq!(consumers.iter().map(|consumer| consumer.owned.count()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_member_that_leaves_does_not_hide_a_topic_that_a_pattern_matches() {
    let mut stage = Stage::new();
    let mut consumers = [Consumer::new("a", &[]), Consumer::new("b", &[])];
    consumers.iter_mut().for_each(|consumer| consumer.pattern = Some("t.*"));
    stage.settle(&mut consumers, &topics());
    stage.topics_changed();
    consumers[1].epoch = -1;
    let more = KnownTopics::of(&[("t", 4), ("t2", 3)]);
    stage.consumer_heartbeat(&consumers[1].request(), &more).unwrap();
    stage.settle(&mut consumers[..1], &more);
    assert_eq!(consumers[0].owned.count(), 7);
}

#[test]
fn a_heartbeat_that_was_written_in_part_leaves_nobody_behind() {
    let mut stage = Stage::new();
    stage.beat(&mut Consumer::new("a", &["t"]), &topics());
    stage.log.batch_bytes_max = 200;
    (stage.log.refuses, stage.log.takes_before) = (Some(crate::NotWritten::Unavailable), 2);
    let refused = stage.consumer_heartbeat(&Consumer::new("b", &["t"]).request(), &topics());
    assert!(refused.is_err(), "{refused:?}");
    stage.log.refuses = None;
    let mut a = Consumer::new("c", &["t"]);
    for _ in 0..4 {
        stage.pass(CONSUMER_SESSION / 2);
        stage.beat(&mut a, &topics());
    }
    assert_eq!(a.indexes(), [0, 1, 2, 3], "who got no answer holds no partition");
}

#[test]
fn only_a_group_without_members_is_deleted_and_nothing_is_left_of_it() {
    let mut stage = Stage::new();
    let [mut a, mut b] = two(&mut stage);
    assert_eq!(stage.delete_group(), Err(DecideError::Refused(DeleteGroupError::NotEmpty)));
    for consumer in [&mut a, &mut b] {
        stage.commit(dynamic(&consumer.id), consumer.epoch, 5).unwrap();
        consumer.epoch = -1;
        stage.consumer_heartbeat(&consumer.request(), &topics()).unwrap();
    }
    stage.delete_group().unwrap();
    for stage in [&stage, &stage.reloaded()] {
        assert_eq!((stage.shard().list().count(), stage.committed("t")), (0, None));
        assert_eq!(stage.memory.members.held_bytes(), 0);
    }
}

#[test]
fn a_full_group_takes_no_more_members() {
    let mut stage = Stage::new();
    for number in 0..super::stage::limits().consumers_max {
        stage.beat(&mut Consumer::new(&format!("m{number}"), &["t"]), &topics());
    }
    let error = refusal(stage.consumer_heartbeat(&Consumer::new("one more", &["t"]).request(), &topics()));
    assert_eq!(error, ConsumerHeartbeatError::GroupFull);
}
