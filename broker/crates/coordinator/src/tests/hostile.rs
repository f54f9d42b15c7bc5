//! Bytes in the offsets topic and from members that nobody should have written: reading never panics, and what was
//! read can be written and read again.

use bytes::Bytes;
use ottla_broker_types::{DurationMs, TimestampMs};
use proptest::collection::vec;
use proptest::prelude::*;

use super::stage::{Stage, consumer, group};
use crate::{Generation, GroupRecord, GroupValue, MemberId, MemberValue, ShardRecord};

/// A group with one member, as it stands in the log.
fn written() -> (Vec<u8>, Vec<u8>) {
    let id = MemberId::new("member").unwrap();
    let member = MemberValue {
        id: id.clone(),
        instance: None,
        client_id: "client".into(),
        client_host: "/198.18.0.1".into(),
        rebalance_timeout: DurationMs(60_000),
        session_timeout: DurationMs(10_000),
        subscription: consumer(&["a", "b"])[0].metadata.clone(),
        assignment: Bytes::from_static(b"\0\x01\0\0\0\0"),
    };
    let value = GroupValue {
        protocol_type: "consumer".into(),
        generation: Generation(3),
        protocol: Some("range".into()),
        leader: Some(id),
        state_since: Some(TimestampMs(5)),
        members: vec![member],
    };
    let (key, value) = GroupRecord::Group { group: group(), value: Some(value) }.encode().unwrap();
    (key.to_vec(), value.unwrap().to_vec())
}

/// Reads a record, writes and reads it again, and lets a shard take it over.
fn read(key: &[u8], value: Option<&[u8]>) {
    let Ok(Some(record)) = GroupRecord::decode(key, value) else { return };
    // A text that a later version could hold may be too long for the one that is written.
    if let Ok((key, value)) = record.encode() {
        assert_eq!(GroupRecord::decode(&key, value.as_deref()).ok(), Some(Some(record.clone())));
    }
    let mut stage = Stage::of(&[record]);
    stage.now = i64::MAX as u64 / 2;
    stage.tick();
}

proptest! {
    #[test]
    fn a_damaged_group_never_panics(
        harms in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)]), 1..8),
        kept: prop::sample::Index,
        cut: bool,
    ) {
        let (key, mut value) = written();
        for (at, byte) in harms {
            let at = at.index(value.len());
            value[at] = byte;
        }
        if cut {
            value.truncate(kept.index(value.len()));
        }
        read(&key, Some(&value));
    }

    #[test]
    fn made_up_records_never_panic(
        key_version in 0..5u8,
        key in prop_oneof![vec(any::<u8>(), 0..40), Just(b"\0\x01g\0\x01t\0\0\0\0".to_vec()), Just(b"\0\x01g".to_vec())],
        value_version in 0..6u8,
        value in vec(any::<u8>(), 0..80),
    ) {
        let key = [vec![0, key_version], key].concat();
        read(&key, None);
        read(&key, Some(&[vec![0, value_version], value].concat()));
    }
}
