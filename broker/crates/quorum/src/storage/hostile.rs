//! Files that no quorum wrote: whatever their bytes, opening and reading them gives entries or an error.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use ottla_broker_log::{Disk, OpenMode, SimDisk};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{CommitHint, LogFiles, SnapshotFile, StoredSnapshot, VoteFile, WriteMode, Writer, make_dir};
use crate::codec::crc32c;
use crate::raft::{Batch, Entry, Payload, SnapshotMeta, log_id, vote};
use crate::{Term, VoterId};

const DIR: &str = "/data/quorum";
/// A frame begins with its length and its checksum.
const FRAME_HEAD: usize = 8;
/// A segment's header, which its own checksum ends.
const SEGMENT_HEAD: usize = 37;

fn open(disk: &SimDisk) -> std::io::Result<LogFiles> {
    LogFiles::open(Arc::new(disk.clone()), Path::new(DIR), Writer::start(WriteMode::Inline)?)
}

/// A quorum's folder with every kind of file.
fn written() -> SimDisk {
    let disk = SimDisk::new(1);
    make_dir(&disk, Path::new(DIR)).unwrap();
    let log = open(&disk).unwrap();
    let batch = |index: u64| Batch::new(&[Bytes::from(vec![index as u8; 9]), Bytes::new()]);
    let payload = |index| if index % 3 == 0 { Payload::Blank } else { Payload::Normal(batch(index)) };
    let entries =
        (0..6).map(|index| Entry { log_id: log_id(Term(1 + index / 4), index), payload: payload(index) });
    log.append(entries, |_| ()).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    VoteFile::open(shared.clone(), Path::new(DIR))
        .unwrap()
        .0
        .save(&vote(Term(2), VoterId::default(), true))
        .unwrap();
    CommitHint::open(&shared, Path::new(DIR)).unwrap().0.save(Some(&log_id(Term(1), 3))).unwrap();
    let meta = SnapshotMeta { last_log_id: Some(log_id(Term(1), 2)), ..SnapshotMeta::default() };
    let snapshot = StoredSnapshot { meta, bytes: Bytes::from_static(b"image") };
    SnapshotFile::new(shared, Path::new(DIR)).save(&snapshot).unwrap();
    disk
}

fn contents(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn replace(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// Gives the parts of a file the checksums that they should have, so that what lies behind these is reached.
fn mend(name: &str, bytes: &mut [u8]) {
    let sum_at_end = |bytes: &mut [u8]| {
        if let Some((body, sum)) = bytes.split_last_chunk_mut::<4>() {
            *sum = crc32c(body).to_be_bytes();
        }
    };
    if !name.ends_with(".qlog") {
        return sum_at_end(bytes);
    }
    let Some((head, mut frames)) = bytes.split_at_mut_checked(SEGMENT_HEAD) else { return };
    sum_at_end(head);
    while let Some(length) = frames.first_chunk::<4>() {
        let size = (u32::from_be_bytes(*length) as usize).saturating_add(FRAME_HEAD);
        let Some((frame, rest)) = frames.split_at_mut_checked(size) else { return };
        let sum = crc32c(&frame[FRAME_HEAD..]);
        frame[4..FRAME_HEAD].copy_from_slice(&sum.to_be_bytes());
        frames = rest;
    }
}

/// Opens every file and, where the log opens, reads, cuts and appends.
fn open_and_use(disk: &SimDisk) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let _ = VoteFile::open(shared.clone(), Path::new(DIR));
    let _ = CommitHint::open(&shared, Path::new(DIR));
    let _ = SnapshotFile::new(shared, Path::new(DIR)).load();
    let Ok(log) = open(disk) else { return };
    let entries = log.read(0..u64::MAX, u64::MAX).unwrap_or_default();
    let follow = entries.windows(2).all(|pair| pair[0].log_id.index + 1 == pair[1].log_id.index);
    assert!(follow, "entries without gaps: {entries:?}");
    let _ = log.bytes_from(0);
    if let Some(last) = log.range().last {
        let next = Entry { log_id: log_id(Term(1 << 40), last.index + 1), payload: Payload::Blank };
        let _ = log.append([next], |_| ());
        let _ = log.truncate_after(Some(last)).now_or_never();
        let _ = log.purge(last).now_or_never();
    }
    assert!(open(disk).is_ok(), "a log that opened and went on opens again");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        harms in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)]), 1..8),
        kept: prop::sample::Index,
        cut: bool,
        mended: bool,
    ) {
        let disk = written();
        let files = disk.list_dir(Path::new(DIR)).unwrap();
        for (which, at, byte) in harms {
            let path = &files[which.index(files.len())];
            let mut bytes = contents(&disk, path);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(kept.index(bytes.len()) + 1);
            }
            if mended {
                mend(&path.to_string_lossy(), &mut bytes);
            }
            replace(&disk, path, &bytes);
        }
        open_and_use(&disk);
    }

    #[test]
    fn made_up_files_never_panic(
        files in vec((prop_oneof![Just("vote"), Just("committed"), Just("snapshot"), Just("00000000000000000000.qlog"), Just("00000000000000000003.qlog"), Just("18446744073709551615.qlog")], vec(any::<u8>(), 0..150)), 1..5),
        mended: bool,
    ) {
        let disk = SimDisk::new(1);
        make_dir(&disk, Path::new(DIR)).unwrap();
        for (name, mut bytes) in files {
            if mended {
                mend(name, &mut bytes);
            }
            replace(&disk, &Path::new(DIR).join(name), &bytes);
        }
        open_and_use(&disk);
    }
}
