//! What of a log a shard takes over, and how records are put into batches.

use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_types::{Offset, TimestampMs};

use super::stage::{Stage, at, group, limits};
use crate::runtime::batches::{encode_batches, record_bytes_max, replay_batches};
use crate::{Budget, CommittedOffset, GroupMemory, GroupRecord, GroupShard, ShardRecord};

fn offset(offset: i64, metadata: &str) -> GroupRecord {
    let value = CommittedOffset {
        offset: crate::ClientOffset(offset),
        leader_epoch: None,
        metadata: metadata.into(),
        committed_at: TimestampMs(1),
        expires: None,
    };
    GroupRecord::Offset { group: group(), at: at("t", 0), value: Some(value) }
}

fn shard() -> GroupShard {
    let memory = GroupMemory { members: Budget::new(1 << 20), offsets: Budget::new(1 << 20) };
    GroupShard::new(limits(), memory, 1)
}

fn batch(options: BatchOptions, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    builder.append(Some(key), value, 1);
    Vec::from(builder.build().unwrap())
}

#[test]
fn what_is_written_as_a_batch_is_read_from_it() {
    let mut shard = shard();
    let batches = encode_batches(&[offset(3, ""), offset(5, "")], TimestampMs(1), 1 << 20);
    let [batch] = &batches.unwrap_or_default()[..] else { panic!("one batch holds both") };
    let replayed = replay_batches(&mut shard, &batch.bytes).unwrap();
    assert_eq!((replayed.next, replayed.skipped.len()), (Some(Offset::clamped(2)), 0));
    assert_eq!(shard.committed(&group(), &at("t", 0)).map(|committed| committed.offset.0), Some(5));
    let cut = replay_batches(&mut shard, &batch.bytes[..batch.bytes.len() - 1]);
    assert_eq!(cut.unwrap().next, None, "it is cut");
}

#[test]
fn a_broken_record_is_left_out_and_those_of_transactions_are_passed_over() {
    let mut shard = shard();
    let (key, value) = offset(7, "").encode().unwrap();
    let mut log = batch(BatchOptions::default(), &[0, 1, 99], Some(b"x"));
    for (transactional, control) in [(true, false), (true, true)] {
        let options = BatchOptions { transactional, control, producer_id: 1, ..BatchOptions::default() };
        log.extend(batch(options, &key, value.as_deref()));
    }
    let replayed = replay_batches(&mut shard, &log).unwrap();
    assert_eq!(replayed.skipped.len(), 1);
    assert_eq!(shard.committed(&group(), &at("t", 0)), None);
    assert!(replay_batches(&mut shard, &[1; 100]).is_err());
}

#[test]
fn records_are_split_into_batches_by_size_and_one_that_fits_alone_is_taken() {
    let batch_bytes_max = 400;
    let key_bytes = offset(0, "").encode().unwrap().0.len();
    let value_bytes = |metadata: &str| offset(0, metadata).encode().unwrap().1.unwrap().len();
    let longest = "x".repeat(record_bytes_max(batch_bytes_max) - key_bytes - value_bytes(""));
    let records = [offset(1, ""), offset(2, &longest), offset(3, ""), offset(4, ""), offset(5, "")];
    let batches = encode_batches(&records, TimestampMs(1), batch_bytes_max).unwrap_or_default();
    assert!(batches.iter().all(|batch| batch.bytes.len() <= batch_bytes_max));
    assert_eq!(batches.iter().map(|batch| batch.record_count).collect::<Vec<_>>(), [1, 1, 3]);
    let too_long = [offset(1, ""), offset(2, &(longest + "x"))];
    assert!(encode_batches(&too_long, TimestampMs(1), batch_bytes_max).is_err());
}

#[test]
fn reading_tells_how_far_it_is() {
    let mut stage = Stage::new();
    for at in 0..4 {
        stage.commit(crate::Caller::default(), -1, at).unwrap();
    }
    let mut loading = crate::Loading::new(shard(), Offset::ZERO, stage.log.end);
    assert_eq!(loading.progress(), crate::Progress { record_count: 0, percent: 0 });
    loading.read(&stage.log.batches[0]).unwrap();
    assert_eq!(loading.progress(), crate::Progress { record_count: 1, percent: 25 });
    assert_eq!(loading.next(), Some(Offset::clamped(1)));
}
