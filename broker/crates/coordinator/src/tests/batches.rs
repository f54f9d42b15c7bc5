//! What of a log a shard takes over.

use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_types::{Offset, TimestampMs};

use super::stage::{at, group, limits};
use crate::{CommittedOffset, GroupRecord, GroupShard, encode_batch};

fn offset(offset: i64) -> GroupRecord {
    let value = CommittedOffset {
        offset: crate::ClientOffset(offset),
        leader_epoch: None,
        metadata: "".into(),
        committed_at: TimestampMs(1),
        expires: None,
    };
    GroupRecord::Offset { group: group(), at: at("t", 0), value: Some(value) }
}

fn batch(options: BatchOptions, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    builder.append(Some(key), value, 1);
    Vec::from(builder.build().unwrap())
}

#[test]
fn what_is_written_as_a_batch_is_read_from_it() {
    let mut shard = GroupShard::new(limits(), 1);
    let batch = encode_batch(&[offset(3), offset(5)], TimestampMs(1)).unwrap();
    let replayed = shard.replay_batches(&batch).unwrap();
    assert_eq!((replayed.next, replayed.skipped.len()), (Some(Offset::clamped(2)), 0));
    assert_eq!(shard.committed(&group(), &at("t", 0)).map(|committed| committed.offset.0), Some(5));
    assert_eq!(shard.replay_batches(&batch[..batch.len() - 1]).unwrap().next, None, "it is cut");
}

#[test]
fn a_broken_record_is_left_out_and_those_of_transactions_are_passed_over() {
    let mut shard = GroupShard::new(limits(), 1);
    let (key, value) = offset(7).encode().unwrap();
    let mut log = batch(BatchOptions::default(), &[0, 1, 99], Some(b"x"));
    for (transactional, control) in [(true, false), (true, true)] {
        let options = BatchOptions { transactional, control, producer_id: 1, ..BatchOptions::default() };
        log.extend(batch(options, &key, value.as_deref()));
    }
    let replayed = shard.replay_batches(&log).unwrap();
    assert_eq!(replayed.skipped.len(), 1);
    assert_eq!(shard.committed(&group(), &at("t", 0)), None);
    assert!(shard.replay_batches(&[1; 100]).is_err());
}
