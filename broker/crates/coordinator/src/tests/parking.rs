//! What a decision means for the requests that are parked.

use ottla_broker_protocol::ErrorCode;

use super::stage::{at, group, limits};
use crate::{
    ClientOffset, CommittedOffset, GroupRecord, GroupShard, GroupValue, JoinReply, NotWritten, Outcome,
    Parking, Reply, Settled,
};

fn reply() -> Reply {
    Reply::Join(JoinReply::default())
}

fn offset() -> GroupRecord {
    let value = CommittedOffset {
        offset: ClientOffset(1),
        leader_epoch: None,
        metadata: "".into(),
        committed_at: ottla_broker_types::TimestampMs(1),
        expires: None,
    };
    GroupRecord::Offset { group: group(), at: at("t", 0), value: Some(value) }
}

fn state() -> GroupRecord {
    let value = GroupValue {
        protocol_type: "".into(),
        generation: crate::Generation(1),
        protocol: None,
        leader: None,
        state_since: None,
        members: Vec::new(),
    };
    GroupRecord::Group { group: group(), value: Some(value) }
}

/// The decision on three parked requests of which one waits on.
fn decided(parking: &mut Parking<&'static str>, records: Vec<GroupRecord>) -> Outcome {
    let (first, second) = (parking.park("now"), parking.park("after"));
    parking.park("later");
    Outcome { records, replies_now: vec![(first, reply())], replies_after_commit: vec![(second, reply())] }
}

#[test]
fn records_take_effect_when_they_are_written_and_each_asker_is_named_once() {
    let (mut parking, mut shard) = (Parking::default(), GroupShard::new(limits(), 1));
    let outcome = decided(&mut parking, vec![offset()]);
    let settled = parking.settle(&mut shard, outcome.clone(), |records| Ok(records.len()));
    let expected =
        Settled { appended: Some(1), now: vec![("now", reply())], after_commit: vec![("after", reply())] };
    assert_eq!(settled, Ok(expected));
    assert!(shard.committed(&group(), &at("t", 0)).is_some());
    let again = parking.settle(&mut shard, Outcome { records: Vec::new(), ..outcome }, |_| Ok(0));
    assert_eq!(again, Ok(Settled { appended: None, now: Vec::new(), after_commit: Vec::new() }));
    assert_eq!(parking.take_all(), ["later"]);
}

#[test]
fn a_failed_append_changes_nothing_and_a_lost_state_means_reading_again() {
    for (record, must_reload) in [(offset(), false), (state(), true)] {
        let (mut parking, mut shard) = (Parking::default(), GroupShard::new(limits(), 1));
        let outcome = decided(&mut parking, vec![record]);
        let code = ErrorCode::NotCoordinator;
        let settled: Result<Settled<_, ()>, _> = parking.settle(&mut shard, outcome, |_| Err(code));
        assert_eq!(settled, Err(NotWritten { code, refused: vec!["now", "after"], must_reload }));
        assert_eq!(shard.committed(&group(), &at("t", 0)), None);
        assert_eq!(parking.take_all(), ["later"]);
    }
}
