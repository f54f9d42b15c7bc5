//! What every release wrote is read by this one; what a later one wrote is refused with a way out; and FORMAT.md says
//! what the constants say. `fixtures/README.md` tells how a fixture is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_types::{BrokerEpoch, ClusterId, LeaderEpoch, NodeId, Uuid};

use super::rig::{Rig, at, lead, now, produced, read_all, records, spans, topic, topic_id};
use crate::checkpoint::VERSION;
use crate::producers::{EARLIER_BYTES, ENTRIES_AT, ENTRY_BYTES, SNAPSHOT_VERSION};
use crate::{
    Checkpoints, Disk, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, Log, LogConfig, META_PROPERTIES_FILE,
    MetaProperties, OpenError, OpenMode, RECOVERY_POINTS_FILE, RealDisk, RecoveryPoint, SimDisk,
    read_clean_shutdown, read_meta_properties, write_clean_shutdown, write_meta_properties,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
const FORMAT: &str = include_str!("../../FORMAT.md");
/// Names a fixture to be written by this build, which must be a new one.
const WRITE: Option<&str> = option_env!("OTTLA_FIXTURE");
const PRODUCER: i64 = 7;
/// Batches of the fixture: of no producer, then of [`PRODUCER`].
const BATCHES: (usize, usize) = (12, 3);

fn identity() -> MetaProperties {
    MetaProperties {
        cluster_id: ClusterId("MkU3OEVBNTcwNTJENDM2Qg".to_owned()),
        node_id: NodeId(3),
        directory_id: Some(ottla_broker_types::DirectoryId(Uuid([5; 16]))),
        quorum_member: true,
    }
}

fn open(disk: Arc<dyn Disk>, dir: &Path, recovery: RecoveryPoint) -> Result<Log, OpenError> {
    let config = LogConfig { segment_bytes_max: 1_000, index_interval_bytes: 200, ..LogConfig::default() };
    Log::open(disk, &dir.join("t-0"), topic(), topic_id(), config, recovery, now(1))
}

/// A log directory with every file that there is, closed in peace.
fn write_fixture(dir: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    write_meta_properties(&*disk, dir, &identity()).unwrap();
    let mut log = open(disk.clone(), dir, RecoveryPoint::default()).unwrap();
    for _ in 0..BATCHES.0 {
        lead(&mut log, records(2, 40, 1)).unwrap();
    }
    for number in 0..BATCHES.1 {
        let mut batch = produced(PRODUCER, 0, number as i32, 1);
        log.append_as_leader(&mut batch, LeaderEpoch(4), now(1)).unwrap();
    }
    log.close().unwrap();
    let mut checkpoints = Checkpoints::read(disk.clone(), dir).unwrap();
    for file in [RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE] {
        let offset = if file == LOG_STARTS_FILE { at(1) } else { log.log_end() };
        checkpoints.write(file, [(topic(), offset)]).unwrap();
    }
    write_clean_shutdown(&*disk, dir, BrokerEpoch(42)).unwrap();
}

/// The fixtures, each a log directory.
fn fixtures() -> Vec<PathBuf> {
    crate::fixtures(Path::new(FIXTURES))
}

/// A fixture on a disk of its own, under `/data`.
fn on_disk(fixture: &Path) -> SimDisk {
    let disk = Rig::new().disk;
    disk.copy_in(fixture, Path::new("/data"));
    disk
}

#[test]
fn every_log_directory_that_a_release_wrote_is_read() {
    if let Some(name) = WRITE {
        crate::make_fixture(Path::new(FIXTURES), name, write_fixture);
    }
    assert!(!fixtures().is_empty());
    for fixture in fixtures() {
        let (disk, dir) = (on_disk(&fixture), Path::new("/data"));
        let name = fixture.display();
        assert_eq!(read_meta_properties(&disk, dir).unwrap(), Some(identity()), "{name}");
        assert_eq!(read_clean_shutdown(&disk, dir).unwrap(), Some(Some(BrokerEpoch(42))), "{name}");
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let checkpoints = Checkpoints::read(disk.clone(), dir).unwrap();
        let end = at((BATCHES.0 * 2 + BATCHES.1) as i64);
        assert_eq!(checkpoints.high_watermark(&topic()), Some(end), "{name}");
        let log = open(disk, dir, checkpoints.recovery_point(&topic(), true)).unwrap();
        assert_eq!((log.log_start(), log.log_end()), (at(1), end), "{name}");
        assert_eq!(log.open_report().rebuilt_bytes, 0, "{name}: indexes are trusted");
        assert_eq!(spans(&read_all(&log, log.log_start())).len(), BATCHES.0 + BATCHES.1, "{name}");
        assert_eq!(log.producer_count(), 1, "{name}");
    }
}

#[test]
fn a_producer_of_an_old_log_goes_on_where_it_was() {
    for fixture in fixtures() {
        let disk: Arc<dyn Disk> = Arc::new(on_disk(&fixture));
        let checkpoints = Checkpoints::read(disk.clone(), Path::new("/data")).unwrap();
        let mut log = open(disk, Path::new("/data"), checkpoints.recovery_point(&topic(), true)).unwrap();
        let end = log.log_end();
        let mut again = produced(PRODUCER, 0, 0, 1);
        log.append_as_leader(&mut again, LeaderEpoch(4), now(2)).unwrap();
        assert_eq!(log.log_end(), end, "its first batch is still known");
        let mut next = produced(PRODUCER, 0, BATCHES.1 as i32, 1);
        log.append_as_leader(&mut next, LeaderEpoch(4), now(2)).unwrap();
        assert!(log.log_end() > end);
    }
}

/// What is said of a fixture in which the first `from` in a file was replaced by `to`.
fn refusal(file: &str, from: &str, to: &str) -> String {
    let disk = on_disk(&fixtures()[0]);
    let (dir, path) = (Path::new("/data"), Path::new("/data").join(file));
    let text = std::fs::read_to_string(fixtures()[0].join(file)).unwrap();
    assert!(text.contains(from), "{file}: {text}");
    disk.put(&path, text.replacen(from, to, 1).as_bytes());
    let before = disk.open(&path, OpenMode::Read).unwrap().len().unwrap();
    if let Err(error) = read_meta_properties(&disk, dir) {
        return error.to_string();
    }
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let told = match Checkpoints::read(shared.clone(), dir) {
        Err(error) => error.to_string(),
        Ok(checkpoints) => match open(shared, dir, checkpoints.recovery_point(&topic(), true)) {
            Err(error) => error.to_string(),
            Ok(_) => "it was opened".to_owned(),
        },
    };
    assert_eq!(disk.open(&path, OpenMode::Read).unwrap().len().unwrap(), before, "{file} is left as it is");
    told
}

#[test]
fn a_file_of_a_later_version_is_refused_with_a_way_out() {
    let newer = [
        (META_PROPERTIES_FILE, "version=1", "version=2"),
        (RECOVERY_POINTS_FILE, "0\n", "1\n"),
        (HIGH_WATERMARKS_FILE, "0\n", "1\n"),
        (LOG_STARTS_FILE, "0\n", "1\n"),
        ("t-0/leader-epoch-checkpoint", "0\n", "1\n"),
        ("t-0/partition.metadata", "version: 0", "version: 1"),
    ];
    for (file, from, to) in newer {
        let told = refusal(file, from, to);
        assert!(told.contains("start the release that wrote it, or a later one"), "{file}: {told}");
        assert!(told.contains(file), "{file}: {told}");
    }
}

#[test]
fn producers_of_a_later_versions_snapshot_are_read_from_the_batches() {
    let disk = on_disk(&fixtures()[0]);
    let dir = Path::new("/data/t-0");
    let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "snapshot");
    for path in disk.list_dir(dir).unwrap().into_iter().filter(is_snapshot) {
        disk.open(&path, OpenMode::Write).unwrap().write_all_at(&2_i16.to_be_bytes(), 0).unwrap();
    }
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let log = open(disk, Path::new("/data"), RecoveryPoint::default()).unwrap();
    assert_eq!(log.producer_count(), 1);
}

#[test]
fn the_document_of_the_format_says_what_the_constants_say() {
    let says = |text: String| assert!(FORMAT.contains(&text), "FORMAT.md does not say: {text}");
    says(format!("| 0 | 2 | version, {SNAPSHOT_VERSION} |"));
    says(format!("| {ENTRIES_AT} | 4 | count of entries |"));
    says(format!("| {} | {ENTRY_BYTES} each | entries, sorted by producer id |", ENTRIES_AT + 4));
    says(format!("### Offset index: entries of {}", crate::segment::OFFSET_ENTRY_BYTES));
    says(format!("### Time index: entries of {}", crate::segment::TIME_ENTRY_BYTES));
    says(format!("### Transaction index: entries of {}", crate::segment::TXN_ENTRY_BYTES));
    says(format!("A checkpoint has the line `{VERSION}` (its version)"));
    let (_, table) = FORMAT.split_once("| at | size | field of an earlier batch |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let sizes = rows.map(|row| row.split('|').nth(2).and_then(|size| size.trim().parse::<usize>().ok()));
    assert_eq!(sizes.map(Option::unwrap).sum::<usize>(), EARLIER_BYTES);
}
