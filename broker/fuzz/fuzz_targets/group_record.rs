//! A record of the offsets topic, its key behind one byte of length: reading never panics, what was read can be written
//! and read again, and a shard takes it over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_coordinator::{GroupLimits, GroupRecord, GroupShard};
use ottla_broker_types::{DurationMs, MonotonicMs, Now, TimestampMs};

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
        offset_metadata_bytes_max: 4_096,
        offsets_retention: DurationMs(1_000_000),
        offsets_retention_check: DurationMs(600_000),
    };
    let mut shard = GroupShard::new(limits, 1);
    shard.replay(&record);
    for ms in [1, i64::MAX / 2] {
        let now = Now { mono: MonotonicMs(ms as u64), wall: TimestampMs(ms) };
        shard.loaded(now);
        let outcome = shard.tick(now);
        shard.appended(&outcome.records);
    }
});
