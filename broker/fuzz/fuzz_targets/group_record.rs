//! A record of the offsets topic, its key behind one byte of length: reading never panics, what was read can be written
//! and read again, and a shard takes it over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_coordinator::{
    Assignor, Budget, Coordinator, GroupLimits, GroupMemory, GroupRecord, GroupShard, Loading, NotWritten, Shard, ShardLog,
    ShardRecord,
};
use ottla_broker_types::{DurationMs, MonotonicMs, Now, Offset, TimestampMs};

/// A log that takes everything, and commits it at once.
struct Taking(Offset);

impl ShardLog for Taking {
    fn batch_bytes_max(&self) -> usize {
        1 << 20
    }

    fn append(&mut self, _batch: Vec<u8>, record_count: usize) -> Result<Offset, NotWritten> {
        self.0 = self.0.plus(record_count as i64);
        Ok(self.0)
    }

    fn committed_end(&self) -> Option<Offset> {
        Some(self.0)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(Some(record)) = GroupRecord::decode(key, Some(value).filter(|value| !value.is_empty())) else {
        return;
    };
    // A text that a later version could hold may be too long for the one that is written.
    if let Ok((key, value)) = record.encode() {
        assert_eq!(GroupRecord::decode(&key, value.as_deref()).ok(), Some(Some(record.clone())));
    }
    let limits = GroupLimits {
        session_timeout_min: DurationMs(6_000),
        session_timeout_max: DurationMs(1_800_000),
        initial_rebalance_delay: DurationMs(3_000),
        members_max: 100,
        consumer_session_timeout: DurationMs(45_000),
        consumers_max: 100,
        assignors: vec![Assignor::Uniform],
        offset_metadata_bytes_max: 4_096,
        offsets_retention: DurationMs(1_000_000),
        offsets_retention_check: DurationMs(600_000),
    };
    let memory = GroupMemory { members: Budget::new(1 << 20), offsets: Budget::new(1 << 20) };
    let mut shard = GroupShard::new(limits, memory, 1);
    shard.replay(&record);
    let at = |ms: i64| Now { mono: MonotonicMs(ms as u64), wall: TimestampMs(ms) };
    let loading = Loading::new(shard, Offset::ZERO, Offset::ZERO);
    let mut serving: Coordinator<GroupShard, (), ()> = loading.serve(at(1), DurationMs(5_000));
    let mut log = Taking(Offset::ZERO);
    for ms in [1, i64::MAX / 2] {
        serving.tick(at(ms), &mut log);
    }
});
