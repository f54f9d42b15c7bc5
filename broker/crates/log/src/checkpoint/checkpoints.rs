//! The files of offsets of a log directory, and what they say now. I/O through [`Disk`] only.
//!
//! Invariants: what is said of a partition stays until it is said anew or the partition is forgotten, also while its log is
//! not open; one whose log begins anew is in none of the files, so that neither now nor after a crash the new log is opened
//! by what was said of the former one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_types::{Offset, TopicPartition};

use super::offsets::{
    CLEANED_ENDS_FILE, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE, read_offsets,
    write_offsets,
};
use super::text::CheckpointError;
use crate::disk::Disk;
use crate::log::RecoveryPoint;

const FILES: [&str; 4] = [RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE, CLEANED_ENDS_FILE];

/// The files, and what they say, or shall say once they can be written.
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    said: BTreeMap<&'static str, BTreeMap<TopicPartition, Offset>>,
    /// Files that do not say all of it: what is to be said has changed since, or writing it failed.
    behind: BTreeSet<&'static str>,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints").field("dir", &self.dir).field("said", &self.said).finish()
    }
}

impl Checkpoints {
    /// Reads the files of the log directory `dir`.
    pub fn read(disk: Arc<dyn Disk>, dir: &Path) -> Result<Checkpoints, CheckpointError> {
        let mut said = BTreeMap::new();
        for file in FILES {
            said.insert(file, read_offsets(&*disk, dir, file)?);
        }
        Ok(Checkpoints { disk, dir: dir.to_owned(), said, behind: FILES.into() })
    }

    /// How far a partition's log is sound, as it is opened.
    pub fn recovery_point(&self, id: &TopicPartition, clean_shutdown: bool) -> RecoveryPoint {
        let find = |file| self.find(file, id).unwrap_or(Offset::ZERO);
        RecoveryPoint {
            clean_shutdown,
            synced_end: find(RECOVERY_POINTS_FILE),
            log_start: find(LOG_STARTS_FILE),
        }
    }

    /// The high watermark with which a partition begins, if one is known.
    pub fn high_watermark(&self, id: &TopicPartition) -> Option<Offset> {
        self.find(HIGH_WATERMARKS_FILE, id)
    }

    /// Up to where a partition's log was compacted.
    pub fn cleaned_end(&self, id: &TopicPartition) -> Offset {
        self.find(CLEANED_ENDS_FILE, id).unwrap_or(Offset::ZERO)
    }

    fn find(&self, file: &'static str, id: &TopicPartition) -> Option<Offset> {
        self.said.get(file)?.get(id).copied()
    }

    /// Takes `offsets` over into `file`, one of them, and writes it unless it says them already. Those of a partition
    /// that was forgotten meanwhile must not be among them. What could not be written is written with the next ones.
    pub fn write(
        &mut self,
        file: &'static str,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<(), CheckpointError> {
        let said = self.said.entry(file).or_default();
        for (id, offset) in offsets {
            // As in Kafka, a log that begins with its first record is not named, nor one that was never compacted.
            let is_first = offset == Offset::ZERO && (file == LOG_STARTS_FILE || file == CLEANED_ENDS_FILE);
            let is_new =
                if is_first { said.remove(&id).is_some() } else { said.insert(id, offset) != Some(offset) };
            if is_new {
                self.behind.insert(file);
            }
        }
        if self.behind.contains(file) {
            write_offsets(&*self.disk, &self.dir, file, said)?;
            self.behind.remove(file);
        }
        Ok(())
    }

    /// Takes a partition out of all files: its log is gone, or is about to begin anew. `Ok` only if the files say so; what
    /// could not be written before is tried again.
    pub fn forget(&mut self, id: &TopicPartition) -> Result<(), CheckpointError> {
        for (file, offsets) in &mut self.said {
            if offsets.remove(id).is_some() {
                self.behind.insert(file);
            }
        }
        for file in FILES {
            self.write(file, [])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{PartitionIndex, TopicName};

    use super::*;
    use crate::disk::{SimDisk, SimError, SimFault, SimOp};

    fn id(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(partition) }
    }

    fn read(disk: &SimDisk) -> Checkpoints {
        Checkpoints::read(Arc::new(disk.clone()), Path::new("/data")).unwrap()
    }

    #[test]
    fn a_partition_that_is_not_open_keeps_what_was_said_of_it() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        let at = Offset::clamped;
        let mut checkpoints = read(&disk);
        for file in FILES {
            checkpoints.write(file, [(id(0), at(5)), (id(1), at(7))]).unwrap();
        }
        let mut checkpoints = read(&disk);
        checkpoints.write(RECOVERY_POINTS_FILE, [(id(1), at(3))]).unwrap();
        checkpoints.write(LOG_STARTS_FILE, [(id(1), at(0))]).unwrap();
        checkpoints.write(HIGH_WATERMARKS_FILE, []).unwrap();
        let checkpoints = read(&disk);
        let point = |synced_end, log_start| RecoveryPoint {
            clean_shutdown: false,
            synced_end: at(synced_end),
            log_start: at(log_start),
        };
        assert_eq!(checkpoints.recovery_point(&id(0), false), point(5, 5));
        assert_eq!(checkpoints.recovery_point(&id(1), false), point(3, 0));
        assert_eq!(checkpoints.high_watermark(&id(1)), Some(at(7)));
    }

    #[test]
    fn a_file_is_written_when_it_has_something_new_to_say_or_could_not_be_before() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        let mut checkpoints = read(&disk);
        let at = |offset| [(id(0), Offset::clamped(offset))];
        checkpoints.write(HIGH_WATERMARKS_FILE, at(1)).unwrap();
        let before = disk.sync_count();
        checkpoints.write(HIGH_WATERMARKS_FILE, at(1)).unwrap();
        checkpoints.write(HIGH_WATERMARKS_FILE, []).unwrap();
        assert_eq!(disk.sync_count(), before, "it says so already");
        disk.inject(SimFault { op: SimOp::SyncData, skip: 0, error: SimError::Io });
        checkpoints.write(HIGH_WATERMARKS_FILE, at(2)).unwrap_err();
        checkpoints.write(HIGH_WATERMARKS_FILE, []).unwrap();
        assert_eq!(read(&disk).high_watermark(&id(0)), Some(Offset::clamped(2)));
    }

    #[test]
    fn a_partition_that_was_forgotten_is_in_no_file() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        let mut checkpoints = read(&disk);
        for file in FILES {
            checkpoints.write(file, [(id(0), Offset::clamped(5))]).unwrap();
        }
        checkpoints.forget(&id(0)).unwrap();
        for file in FILES {
            assert!(read_offsets(&disk, Path::new("/data"), file).unwrap().is_empty());
        }
        assert_eq!(read(&disk).high_watermark(&id(0)), None);
    }

    #[test]
    fn what_could_not_be_forgotten_is_forgotten_with_the_next_attempt() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        let mut checkpoints = read(&disk);
        for file in FILES {
            checkpoints.write(file, [(id(0), Offset::clamped(1_000))]).unwrap();
        }
        disk.inject(SimFault { op: SimOp::SyncData, skip: 0, error: SimError::Io });
        checkpoints.forget(&id(0)).unwrap_err();
        checkpoints.forget(&id(0)).unwrap();
        for file in FILES {
            assert!(read_offsets(&disk, Path::new("/data"), file).unwrap().is_empty(), "{file}");
        }
    }
}
