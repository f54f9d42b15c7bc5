//! What every release wrote is read by this one; what a later one wrote is refused with a way out, and left as it is; and
//! FORMAT.md says what the constants say. `fixtures/README.md` tells how a fixture is made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_log::{Disk, OpenMode, RealDisk, SimDisk};
use ottla_broker_types::{DirectoryId, NodeId, Uuid};

use super::log::SEGMENT_BYTES;
use super::segment::HEADER_LEN;
use super::{CommitHint, LogFiles, SnapshotFile, StoredSnapshot, VoteFile, WriteMode, Writer};
use crate::codec::crc32c;
use crate::raft::{Batch, Entry, LogId, Payload, SnapshotMeta, Vote, log_id, put_log_id, put_vote, vote};
use crate::{Term, VoterId};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
const FORMAT: &str = include_str!("../../FORMAT.md");
/// Names a fixture to be written by this build, which must be a new one.
const WRITE: Option<&str> = option_env!("OTTLA_FIXTURE");
const DIR: &str = "/quorum";
/// Entries in the log of a fixture.
const ENTRIES: u64 = 5;
/// Bytes of a frame before those that its checksum covers.
const FRAME_HEAD: usize = 8;

fn voter() -> VoterId {
    VoterId { node: NodeId(3), directory: DirectoryId(Uuid([7; 16])) }
}

fn promised() -> Vote {
    vote(Term(2), voter(), true)
}

fn last() -> LogId {
    log_id(Term(2), ENTRIES - 1)
}

fn snapshot() -> StoredSnapshot {
    let meta = SnapshotMeta { last_log_id: Some(log_id(Term(1), 2)), last_membership: Default::default() };
    StoredSnapshot { meta, bytes: Bytes::from_static(b"image") }
}

fn entry(index: u64) -> Entry {
    let payload = match index {
        0 => Payload::Blank,
        index => Payload::Normal(Batch::new(&[Bytes::from(vec![index as u8; 20])])),
    };
    Entry { log_id: log_id(Term(2), index), payload }
}

fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<LogFiles> {
    LogFiles::open(disk, dir, Writer::start(WriteMode::Inline)?)
}

/// A folder with every file that there is.
fn write_fixture(dir: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = open(disk.clone(), dir).unwrap();
    log.append((0..ENTRIES).map(entry), |result| result.unwrap()).unwrap();
    VoteFile::open(disk.clone(), dir).unwrap().0.save(&promised()).unwrap();
    CommitHint::open(&disk, dir).unwrap().0.save(Some(&last())).unwrap();
    SnapshotFile::new(disk, dir).save(&snapshot()).unwrap();
}

/// The fixtures, each a quorum's folder.
fn fixtures() -> Vec<PathBuf> {
    ottla_broker_log::fixtures(Path::new(FIXTURES))
}

/// A fixture on a disk of its own.
fn on_disk(fixture: &Path) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.copy_in(fixture, Path::new(DIR));
    disk
}

/// Opens everything in the folder as a start does; what is said of what cannot be read.
fn start(disk: &SimDisk) -> io::Result<(LogFiles, Option<Vote>, Option<StoredSnapshot>)> {
    let (disk, dir): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), Path::new(DIR));
    let (_, vote) = VoteFile::open(disk.clone(), dir)?;
    let snapshot = SnapshotFile::new(disk.clone(), dir).load()?;
    Ok((open(disk, dir)?, vote, snapshot))
}

#[test]
fn every_folder_that_a_release_wrote_is_read() {
    if let Some(name) = WRITE {
        ottla_broker_log::make_fixture(Path::new(FIXTURES), name, write_fixture);
    }
    assert!(!fixtures().is_empty());
    for fixture in fixtures() {
        let disk = on_disk(&fixture);
        let (log, vote, stored) = start(&disk).unwrap();
        let entries = log.read(0..u64::MAX, u64::MAX).unwrap();
        assert_eq!(entries, (0..ENTRIES).map(entry).collect::<Vec<_>>(), "{}", fixture.display());
        assert_eq!((vote, stored), (Some(promised()), Some(snapshot())), "{}", fixture.display());
        let shared: Arc<dyn Disk> = Arc::new(disk);
        assert_eq!(CommitHint::open(&shared, Path::new(DIR)).unwrap().1, Some(last()));
    }
}

/// Changes a file of a fixture, says what the start says, and that the file was left as it is.
fn refusal(name: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let disk = on_disk(&fixtures()[0]);
    let path = Path::new(DIR).join(name);
    let mut bytes = std::fs::read(fixtures()[0].join(name)).unwrap();
    change(&mut bytes);
    disk.open(&path, OpenMode::Write).unwrap().write_all_at(&bytes, 0).unwrap();
    let told = start(&disk).err().map_or("it was opened".to_owned(), |error| error.to_string());
    let after = super::files::read(&disk, Path::new(DIR), name, 1 << 20).unwrap();
    assert_eq!(after.as_deref(), Some(bytes.as_slice()), "{name} is left as it is");
    told
}

/// Puts the checksum of `covered` at `at`.
fn seal(bytes: &mut [u8], covered: std::ops::Range<usize>, at: usize) {
    let crc = crc32c(&bytes[covered]);
    bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn what_a_later_release_wrote_is_refused_with_a_way_out_and_never_cut_off() {
    let segment = "00000000000000000000.qlog";
    let frame = HEADER_LEN as usize;
    let with_frame = |at: usize, value: u8| {
        refusal(segment, move |bytes| {
            let len = u32::from_be_bytes(bytes[frame..frame + 4].try_into().unwrap()) as usize;
            bytes[frame + FRAME_HEAD + at] = value;
            let covered = frame + FRAME_HEAD..frame + FRAME_HEAD + len;
            seal(bytes, covered, frame + 4);
        })
    };
    let newer = [
        ("a frame's version", with_frame(0, 2)),
        ("a frame's kind", with_frame(1, 9)),
        (
            "a segment",
            refusal(segment, |bytes| {
                bytes[7] += 1;
                seal(bytes, 0..frame - 4, frame - 4);
            }),
        ),
        (
            "the vote",
            refusal("vote", |bytes| {
                bytes[3] += 1;
                let end = bytes.len() - 4;
                seal(bytes, 0..end, end);
            }),
        ),
        (
            "the snapshot",
            refusal("snapshot", |bytes| {
                let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
                bytes[4 + 8] = 2;
                seal(bytes, 4..len, len);
            }),
        ),
    ];
    for (what, told) in newer {
        assert!(told.contains("written by a later release: start that one again"), "{what}: {told}");
    }
}

#[test]
fn the_document_of_the_format_says_what_the_constants_say() {
    let says = |text: String| assert!(FORMAT.contains(&text), "FORMAT.md does not say: {text}");
    let len = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = vec![];
        put(&mut out);
        out.len()
    };
    let voter_len = len(&|out| crate::codec::put_voter_id(out, voter()));
    says(format!("| voter id | {voter_len} |"));
    says(format!("| log id | {} |", len(&|out| put_log_id(out, Some(&last())))));
    says(format!("| vote | {} |", len(&|out| put_vote(out, &promised()))));
    says(format!("| 0 | 8 | magic `{:#x}` (`OTTLAQLG`) |", super::segment::MAGIC));
    says(format!("| {HEADER_LEN} | | frames, one after the other |"));
    says(format!("closed once it has {} MiB", SEGMENT_BYTES >> 20));
    says(format!("| {FRAME_HEAD} | 1 | frame version, {} |", crate::raft::FRAME_VERSION));
    says(format!("magic `u32` `{:#x}`, vote, crc32c", super::vote::VOTE_MAGIC));
    says(format!("magic `u32` `{:#x}`, log id, crc32c", super::vote::HINT_MAGIC));
    let (magic, version) = (super::snapshot::MAGIC, super::snapshot::VERSION);
    says(format!("magic `u64` `{magic:#x}` (`OTTLAQSN`), version `u8` {version}"));
}
