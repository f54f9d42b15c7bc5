//! A log on a simulated disk, and batches to put into it.

use std::path::Path;
use std::sync::Arc;

use ottla_broker_protocol::batch::{BatchBuilder, BatchHeader, BatchOptions, Compression, batches};
use ottla_broker_types::{
    LeaderEpoch, MonotonicMs, Now, Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition,
    Uuid,
};

use crate::{
    AppendError, Appended, CleanError, CleanResources, CleanStats, CleanupPolicy, Disk, Log, LogConfig,
    LogRead, OpenError, RecoveryPoint, SimDisk,
};

pub(super) const DIR: &str = "/data/t-0";

/// One moment on both clocks.
pub(super) fn now(ms: i64) -> Now {
    Now { mono: MonotonicMs(ms as u64), wall: TimestampMs(ms) }
}

pub(super) fn at(offset: i64) -> Offset {
    Offset::clamped(offset)
}

pub(super) fn topic() -> TopicPartition {
    TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(0) }
}

pub(super) fn topic_id() -> TopicId {
    TopicId(Uuid([7; 16]))
}

/// A batch of `count` records of `value_bytes` each, all at `timestamp`.
pub(super) fn records(count: i32, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    with_options(BatchOptions::default(), count, value_bytes, timestamp)
}

/// A batch of an idempotent producer with one-byte records.
pub(super) fn produced(id: i64, epoch: i16, sequence: i32, count: i32) -> Vec<u8> {
    let options = BatchOptions {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..Default::default()
    };
    with_options(options, count, 1, 1)
}

/// A batch as a leader sends it to its followers.
pub(super) fn replicated(base_offset: i64, epoch: i32, count: i32) -> Vec<u8> {
    let options = BatchOptions { base_offset, leader_epoch: epoch, ..Default::default() };
    with_options(options, count, 10, 1)
}

pub(super) fn with_options(options: BatchOptions, count: i32, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    let value = vec![b'v'; value_bytes];
    for _ in 0..count {
        builder.append(Some(b"k"), Some(&value), timestamp);
    }
    builder.build().unwrap().to_vec()
}

pub(super) fn compressed(compression: Compression, count: i32, timestamp: i64) -> Vec<u8> {
    with_options(BatchOptions { compression, ..Default::default() }, count, 100, timestamp)
}

/// All bytes of a read.
pub(super) fn bytes(read: &LogRead) -> Vec<u8> {
    let mut all = Vec::new();
    for segment in &read.segments {
        match segment {
            ottla_broker_protocol::Segment::File(range) => all.extend_from_slice(&range.read().unwrap()),
            ottla_broker_protocol::Segment::Bytes(bytes) => all.extend_from_slice(bytes),
        }
    }
    assert_eq!(all.len(), read.bytes);
    all
}

/// Base and last offset of each batch.
pub(super) fn spans(bytes: &[u8]) -> Vec<(i64, i64)> {
    let mut walk = batches(bytes);
    let spans =
        walk.by_ref().map(|item| item.map(|(h, _)| (h.base_offset, h.last_offset())).unwrap()).collect();
    assert!(walk.rest().is_empty(), "reads hold whole batches");
    spans
}

pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) config: LogConfig,
    pub(super) recovery: RecoveryPoint,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        Rig { disk, config: LogConfig::default(), recovery: RecoveryPoint::default() }
    }

    /// A rig whose segments and index intervals are tiny, so that few batches cross all borders.
    pub(super) fn tiny() -> Rig {
        let mut rig = Rig::new();
        rig.config.segment_bytes_max = 1_000;
        rig.config.index_interval_bytes = 200;
        rig.config.segment_index_bytes_max = 1 << 10;
        rig
    }

    /// A tiny rig whose topic is compacted.
    pub(super) fn compacted() -> Rig {
        let mut rig = Rig::tiny();
        rig.config.cleanup_policy = CleanupPolicy::COMPACT;
        rig
    }

    pub(super) fn try_open(&self) -> Result<Log, OpenError> {
        let disk = Arc::new(self.disk.clone());
        Log::open(disk, Path::new(DIR), topic(), topic_id(), self.config.clone(), self.recovery, now(1))
    }

    pub(super) fn open(&self) -> Log {
        self.try_open().unwrap()
    }

    /// Ends the process without closing the log, and opens it again.
    pub(super) fn kill_and_open(&self) -> Log {
        self.disk.kill();
        self.open()
    }

    /// Closes the log and opens it as after a clean shutdown.
    pub(super) fn close_and_open(&mut self, mut log: Log) -> Log {
        log.close().unwrap();
        self.recovery =
            RecoveryPoint { clean_shutdown: true, synced_end: log.log_end(), log_start: log.log_start() };
        self.open()
    }
}

/// Appends as the leader of epoch 0.
pub(super) fn lead(log: &mut Log, mut batch: Vec<u8>) -> Result<Appended, AppendError> {
    log.append_as_leader(&mut batch, LeaderEpoch(0), now(1))
}

/// Appends `count` batches of two records, about 170 bytes each.
pub(super) fn fill(log: &mut Log, count: usize) {
    for _ in 0..count {
        lead(log, records(2, 40, 1)).unwrap();
    }
}

/// Everything from `from` to the log end.
pub(super) fn read_all(log: &Log, from: Offset) -> Vec<u8> {
    let mut all = Vec::new();
    let mut next = from;
    while next < log.log_end() {
        let read = log.read(next, usize::MAX, log.log_end(), true).unwrap();
        let found = bytes(&read);
        let Some(last) = spans(&found).last().copied() else { break };
        all.extend_from_slice(&found);
        next = at(last.1 + 1);
    }
    all
}

pub(super) fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).unwrap()
}

/// Whether `left` is the start of `all`, told by offsets first: bytes fill the screen.
pub(super) fn assert_prefix(left: &[u8], all: &[u8], context: &str) {
    let (found, expected) = (spans(left), spans(all));
    assert!(expected.starts_with(&found), "{context}: {found:?} of {expected:?}");
    assert!(all.starts_with(left), "{context}: the bytes of {found:?} differ");
}

/// A record to put into a batch, or found in one: key and value.
pub(super) type Pair<'a> = (&'a str, Option<&'a str>);

/// A batch of keyed records, all at `timestamp`.
pub(super) fn keyed(options: BatchOptions, records: &[Pair<'_>], timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (key, value) in records {
        builder.append(Some(key.as_bytes()), value.map(str::as_bytes), timestamp);
    }
    builder.build().unwrap().to_vec()
}

/// Appends keyed records as the leader of epoch 0, each in a batch of its own.
pub(super) fn lead_each(log: &mut Log, records: &[Pair<'_>]) {
    for record in records {
        lead(log, keyed(BatchOptions::default(), &[*record], 1)).unwrap();
    }
}

/// Begins a new segment, so that what was appended before can be compacted.
pub(super) fn roll(log: &mut Log) {
    log.roll(log.log_end(), now(1)).unwrap();
}

/// What the log holds: offset, key and value of each record, in order.
pub(super) fn records_in(log: &Log) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let mut found = Vec::new();
    for item in batches(&read_all(log, log.log_start())) {
        let (header, batch) = item.unwrap();
        header.check_crc(batch).unwrap();
        let opened = ottla_broker_protocol::batch::records(&header, batch, 1 << 20).unwrap();
        for record in &opened {
            let record = record.unwrap();
            found.push((record.offset, text(record.key).unwrap_or_default(), text(record.value)));
        }
    }
    found
}

/// Memory and reads for passes of tests: small, so that reads end within batches.
pub(super) const RESOURCES: CleanResources = CleanResources {
    map_bytes: 24 << 10,
    map_load_percent: 90,
    chunk_bytes: 300,
    decoded_bytes_max: 1 << 20,
};

/// A whole pass over all that is sealed; what it did, `None` if there was nothing to do.
pub(super) fn clean_at(
    log: &mut Log,
    ms: i64,
    resources: CleanResources,
) -> Result<Option<CleanStats>, CleanError> {
    let end = log.log_end();
    let begun = log.begin_clean(now(ms), end, resources, 7).map_err(std::io::Error::other)?;
    let Some(mut pass) = begun else { return Ok(None) };
    pass.build_map(&mut |_| true)?;
    while let Some(group) = pass.next_group() {
        let cleaned = pass.clean(group, &mut |_| true)?;
        let _ = log.finish_clean(cleaned)?.remove_files(&*log.disk());
    }
    log.end_clean(&pass);
    Ok(Some(pass.stats()))
}

/// A whole pass at time 1.
pub(super) fn clean(log: &mut Log) -> CleanStats {
    clean_at(log, 1, RESOURCES).unwrap().expect("there is something to compact")
}
