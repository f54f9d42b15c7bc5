//! Files that no broker wrote, for property tests and fuzz targets: made of arbitrary bytes, opened, and used like any
//! log. I/O on a simulated disk only. What is claimed is that nothing panics; errors are fine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_protocol::Segment;
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, HEADER_LEN, LENGTH_PREFIX_LEN};
use ottla_broker_types::{
    LeaderEpoch, MonotonicMs, Now, Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition,
    Uuid,
};

use crate::checkpoint::{EPOCHS_FILE, PARTITION_METADATA_FILE, RECOVERY_LIMIT_FILE};
use crate::segment::FileKind;
use crate::{
    CLEAN_SHUTDOWN_FILE, Checkpoints, Disk, HIGH_WATERMARKS_FILE, Log, LogConfig, META_PROPERTIES_FILE,
    OpenMode, PartitionDir, RecoveryPoint, SimDisk, read_clean_shutdown, read_meta_properties,
};

const DIR: &str = "/data/t-0";
/// Where a batch's checksum lies, and where the bytes begin that it covers.
const BATCH_CRC_AT: usize = 17;
const BATCH_COVERED_FROM: usize = 21;
/// The same in a snapshot of producers.
const SNAPSHOT_CRC_AT: usize = 2;
const SNAPSHOT_COVERED_FROM: usize = 6;
/// How often a log is asked for batches that it may not end with.
const READS_MAX: usize = 64;

/// What the first byte of made-up files decides.
const CLEAN_SHUTDOWN: u8 = 1;
const SOUND_CHECKSUMS: u8 = 2;

/// Opens a log in a directory of made-up files and uses it.
///
/// `data` is one byte of switches, the recovery point and the log start in a byte each, and then files: a byte for the
/// kind, one for the offset in its name, two for its length, its bytes.
pub fn open_made_up(data: &[u8]) {
    let Some((&[switches, synced_end, log_start], mut files)) = data.split_first_chunk() else { return };
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).expect("an empty simulated disk has room");
    while let Some((&[kind, offset, high, low], rest)) = files.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])).min(rest.len()));
        write(&disk, &path(kind, offset), bytes);
        files = rest;
    }
    let offset = |byte: u8| Offset::clamped(i64::from(byte));
    let recovery = RecoveryPoint {
        clean_shutdown: switches & CLEAN_SHUTDOWN != 0,
        synced_end: offset(synced_end),
        log_start: offset(log_start),
    };
    if switches & SOUND_CHECKSUMS != 0 {
        mend_checksums(&disk);
    }
    open_and_use(&disk, recovery);
}

/// Reads `data` as each of the files of a log directory, and as the name of a partition's.
pub fn read_made_up_checkpoints(data: &[u8]) {
    let disk = SimDisk::new(1);
    let dir = Path::new("/data");
    disk.create_dir_all(dir).expect("an empty simulated disk has room");
    for name in [HIGH_WATERMARKS_FILE, META_PROPERTIES_FILE, CLEAN_SHUTDOWN_FILE] {
        write(&disk, &dir.join(name), data);
    }
    let _ = Checkpoints::read(Arc::new(disk.clone()), dir);
    let _ = read_meta_properties(&disk, dir);
    let _ = read_clean_shutdown(&disk, dir);
    let _ = PartitionDir::parse(&String::from_utf8_lossy(data));
}

/// The moment at which everything happens.
fn now() -> Now {
    Now { mono: MonotonicMs(1), wall: TimestampMs(1) }
}

fn path(kind: u8, offset: u8) -> PathBuf {
    let dir = Path::new(DIR);
    // Near both ends of what an offset can be.
    let offset = if offset < 250 { i64::from(offset) } else { i64::MAX - i64::from(u8::MAX - offset) };
    let named = |kind: FileKind| kind.path(dir, Offset::clamped(offset));
    match kind % 8 {
        0 | 1 => named(FileKind::Log),
        2 => named(FileKind::OffsetIndex),
        3 => named(FileKind::TimeIndex),
        4 => named(FileKind::Snapshot),
        5 => dir.join(EPOCHS_FILE),
        6 => dir.join(PARTITION_METADATA_FILE),
        _ => dir.join(RECOVERY_LIMIT_FILE),
    }
}

fn write(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::Create).expect("a simulated disk without faults opens files");
    file.set_len(0).and_then(|()| file.write_all_at(bytes, 0)).expect("a simulated disk has room");
}

fn read(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("a listed file opens");
    let mut bytes = vec![0; file.len().expect("an open file has a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("a file is read to its end");
    bytes
}

/// Gives batches and snapshots in all files of the log the checksums that they should have, so that what lies behind
/// these is reached.
pub(crate) fn mend_checksums(disk: &SimDisk) {
    for path in disk.list_dir(Path::new(DIR)).expect("the directory was made") {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !matches!(ending, "log" | "snapshot") {
            continue;
        }
        let mut bytes = read(disk, &path);
        if ending == "log" {
            mend_batches(&mut bytes);
        } else if bytes.len() >= SNAPSHOT_COVERED_FROM {
            mend(&mut bytes, SNAPSHOT_CRC_AT, SNAPSHOT_COVERED_FROM);
        }
        write(disk, &path, &bytes);
    }
}

fn mend_batches(mut bytes: &mut [u8]) {
    while bytes.len() >= HEADER_LEN {
        let length = bytes[LENGTH_PREFIX_LEN - size_of::<i32>()..LENGTH_PREFIX_LEN].try_into();
        let length = i32::from_be_bytes(length.expect("a range of four bytes"));
        let Ok(size) = usize::try_from(i64::from(length) + LENGTH_PREFIX_LEN as i64) else { return };
        if size < HEADER_LEN || size > bytes.len() {
            return;
        }
        let (batch, rest) = bytes.split_at_mut(size);
        mend(batch, BATCH_CRC_AT, BATCH_COVERED_FROM);
        bytes = rest;
    }
}

fn mend(bytes: &mut [u8], crc_at: usize, covered_from: usize) {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[covered_from..]) as u32;
    bytes[crc_at..crc_at + size_of::<u32>()].copy_from_slice(&crc.to_be_bytes());
}

/// Opens the log on `disk` as after a kill or a clean shutdown, uses it, closes it, and opens it again.
pub(crate) fn open_and_use(disk: &SimDisk, recovery: RecoveryPoint) {
    let config = LogConfig {
        segment_bytes_max: 1_000,
        index_interval_bytes: 200,
        segment_index_bytes_max: 1 << 10,
        ..LogConfig::default()
    };
    let open = |recovery| {
        let topic = TopicPartition {
            topic: TopicName::new("t").expect("a topic's name"),
            partition: PartitionIndex(0),
        };
        let topic_id = TopicId(Uuid([7; 16]));
        Log::open(Arc::new(disk.clone()), Path::new(DIR), topic, topic_id, config.clone(), recovery, now())
    };
    let Ok(mut log) = open(recovery) else { return };
    let end = use_log(&mut log);
    drop(log);
    for clean_shutdown in [true, false] {
        let recovery = RecoveryPoint { clean_shutdown, synced_end: end, log_start: Offset::ZERO };
        if let Ok(log) = open(recovery) {
            look(&log);
        }
    }
}

/// Calls everything that changes a log; its end at last.
fn use_log(log: &mut Log) -> Offset {
    look(log);
    let _ = log.begin_flush();
    for base_offset in [log.log_end().get(), 5] {
        let mut batch = batch(base_offset);
        let _ = log.append_as_leader(&mut batch, log.latest_epoch().unwrap_or(LeaderEpoch(0)), now());
        let _ = log.append_as_follower(&batch, now());
    }
    log.expire_producers(now());
    let middle = Offset::clamped(log.log_start().get() / 2 + log.log_end().get() / 2);
    let _ = log.truncate_to(middle, now());
    look(log);
    let _ = log.append_as_leader(&mut batch(0), LeaderEpoch(0), now());
    log.advance_log_start(middle);
    let _ = log.apply_retention(now(), log.log_end());
    let _ = log.flush();
    let _ = log.close();
    log.log_end()
}

fn batch(base_offset: i64) -> Vec<u8> {
    let options = BatchOptions {
        base_offset,
        producer_id: 1,
        producer_epoch: 0,
        base_sequence: 0,
        ..Default::default()
    };
    let mut builder = BatchBuilder::new(options);
    builder.append(Some(b"k"), Some(b"v"), 1);
    builder.build().expect("one small record is a batch").to_vec()
}

/// Calls everything that reads a log.
fn look(log: &Log) {
    assert!(
        log.log_start() <= log.log_end(),
        "a log starts at {:?} and ends at {:?}",
        log.log_start(),
        log.log_end()
    );
    let (start, end) = (log.log_start(), log.log_end());
    let mut next = start;
    for _ in 0..READS_MAX {
        let Ok(read) = log.read(next, 300, end, true) else { break };
        for segment in &read.segments {
            if let Segment::File(range) = segment {
                let _ = range.read();
            }
        }
        next = next.next();
        if next >= end {
            break;
        }
    }
    for offset in [end.prev(), Some(end), Some(end.next()), Some(Offset::ZERO)].into_iter().flatten() {
        let _ = log.read(offset, usize::MAX, end, false);
    }
    for timestamp in [i64::MIN, -1, 0, 1, 1 << 40, i64::MAX] {
        let _ = log.offset_for_timestamp(TimestampMs(timestamp));
    }
    let _ = log.max_timestamp();
    for epoch in [0, 1, i32::MAX] {
        let _ = log.end_offset_for(LeaderEpoch(epoch));
    }
}
