//! No bytes in a log's files make opening or using it panic, whoever wrote them.

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{DIR, Rig, at, fill, lead, now, produced, replicated};
use crate::hostile::{mend_checksums, open_and_use, open_made_up, read_made_up_checkpoints};
use crate::{Corruption, Disk, OpenMode, ReadError, RecoveryPoint};

/// One thing that happens to one of a log's files.
#[derive(Clone, Debug)]
enum Harm {
    /// Other bytes somewhere.
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    /// The largest or smallest number of four or eight bytes somewhere.
    Extreme {
        at: usize,
        wide: bool,
        byte: u8,
    },
    /// Another length.
    Length {
        of: usize,
    },
    /// Some of the file's own bytes once more, at its end.
    Again {
        at: usize,
        len: usize,
    },
    Missing,
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || 0..1_200usize;
    prop_oneof![
        4 => (at(), vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Harm::Write { at, bytes }),
        4 => (at(), any::<bool>(), prop_oneof![Just(0u8), Just(0x7f), Just(0x80), Just(0xff)])
            .prop_map(|(at, wide, byte)| Harm::Extreme { at, wide, byte }),
        2 => at().prop_map(|of| Harm::Length { of }),
        2 => (at(), 1..300usize).prop_map(|(at, len)| Harm::Again { at, len }),
        1 => Just(Harm::Missing),
    ]
}

/// A log of several segments with producers, epochs and snapshots.
fn written() -> Rig {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 8);
    for n in 0..4 {
        lead(&mut log, produced(1, 0, n, 1)).unwrap();
    }
    log.append_as_follower(&replicated(log.log_end().get() + 3, 2, 3), now(1)).unwrap();
    rig.recovery.synced_end = log.flush().unwrap();
    log.append_as_follower(&replicated(log.log_end().get(), 3, 2), now(1)).unwrap();
    log.close().unwrap();
    rig
}

fn suffer(rig: &Rig, path: &Path, harm: &Harm) {
    if matches!(harm, Harm::Missing) {
        return rig.disk.remove_file(path).unwrap();
    }
    let file = rig.disk.open(path, OpenMode::Write).unwrap();
    let len = file.len().unwrap() as usize;
    let within = |at: usize| at % len.max(1);
    match harm {
        Harm::Write { at, bytes } => file.write_all_at(bytes, within(*at) as u64).unwrap(),
        Harm::Extreme { at, wide, byte } => {
            // The first byte decides the sign, the others how extreme it is.
            let mut bytes = vec![if *byte & 0x7f == 0 { 0 } else { 0xff }; if *wide { 8 } else { 4 }];
            bytes[0] = *byte;
            file.write_all_at(&bytes, (within(*at) / 2 * 2) as u64).unwrap();
        }
        Harm::Length { of } => file.set_len((*of % (len + 40)) as u64).unwrap(),
        Harm::Again { at, len: again } => {
            let from = within(*at);
            let mut bytes = vec![0; (*again).min(len - from)];
            file.read_exact_at(&mut bytes, from as u64).unwrap();
            file.write_all_at(&bytes, len as u64).unwrap();
        }
        Harm::Missing => {}
    }
}

/// The files in the log's directory.
fn files(rig: &Rig) -> Vec<PathBuf> {
    rig.disk.list_dir(Path::new(DIR)).unwrap()
}

/// Only the last entry of an index is looked at when its segment is opened.
#[test]
fn an_index_that_points_past_its_segment_is_corruption_and_no_panic() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 20);
    log.close().unwrap();
    rig.recovery = RecoveryPoint { clean_shutdown: true, synced_end: log.log_end(), log_start: at(0) };
    drop(log);
    let path = Path::new(DIR).join(format!("{:020}.index", 0));
    let file = rig.disk.open(&path, OpenMode::Write).unwrap();
    const POSITION_AT: u64 = 4;
    file.write_all_at(&i32::MAX.to_be_bytes(), POSITION_AT).unwrap();
    assert!(file.len().unwrap() > 8, "the first entry is not the last");
    let log = rig.open();
    let refused = (0..8).filter_map(|offset| log.read(at(offset), 1, log.log_end(), true).err());
    let is_told = |error| matches!(error, ReadError::Corrupt { source: Corruption::IndexPastEnd { .. }, .. });
    assert!(refused.into_iter().any(is_told));
}

proptest! {
    // Each case opens several logs, so it costs more than most.
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_log_never_panics(
        harms in vec((any::<prop::sample::Index>(), harm()), 1..6),
        mended: bool,
        clean_shutdown: bool,
        synced_end in 0..40i64,
    ) {
        let rig = written();
        for (which, harm) in &harms {
            let files = files(&rig);
            suffer(&rig, &files[which.index(files.len())], harm);
        }
        if mended {
            mend_checksums(&rig.disk);
        }
        rig.disk.kill();
        open_and_use(&rig.disk, RecoveryPoint { clean_shutdown, synced_end: at(synced_end), log_start: at(0) });
    }

    #[test]
    fn made_up_files_never_panic(
        head: [u8; 3],
        files in vec((0..8u8, prop_oneof![0..12u8, 250..=255u8], vec(any::<u8>(), 0..200)), 0..6),
    ) {
        let mut data = head.to_vec();
        for (kind, offset, bytes) in files {
            data.extend([kind, offset]);
            data.extend((bytes.len() as u16).to_be_bytes());
            data.extend(bytes);
        }
        open_made_up(&data);
    }

    #[test]
    fn made_up_checkpoints_never_panic(data in prop_oneof![vec(any::<u8>(), 0..200).boxed(), "[0-9a-z.=:\n -]{0,80}".prop_map(String::into_bytes).boxed()]) {
        read_made_up_checkpoints(&data);
    }
}
