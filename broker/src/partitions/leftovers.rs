//! What is not here any more: directories of partitions and files of segments, renamed at once, removed later. I/O
//! through the disk only.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ottla_broker_log::{Disk, PartitionDir, stray_dir_name, unhosted_logs};
use ottla_broker_types::{DurationMs, MonotonicMs, TopicPartition, Uuid};
use parking_lot::Mutex;

use crate::clock;

/// How long a running broker keeps a log that does not belong here. Metadata that is stale or wrong must destroy
/// nothing before somebody could notice; after as long, topics with Kafka's default retention have no record left of it.
const STRAY_KEPT: DurationMs = DurationMs(7 * 24 * 3_600_000);
/// Directories and files that are remembered until their time. Beyond it, directories are removed after the next start
/// and files at once.
const PENDING_MAX: usize = 100_000;

/// What waits for its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The directory of a deleted partition.
    Deleted,
    /// The directory of a log that does not belong here.
    Stray,
    /// A file of a segment that left its log.
    File,
}

struct Leftover {
    kind: Kind,
    path: PathBuf,
    due: MonotonicMs,
}

/// What waits for its removal, in no order.
pub struct Leftovers {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    pending: Mutex<Vec<Leftover>>,
}

impl Leftovers {
    /// Finds what earlier runs left. Clocks begin with the process.
    pub fn find(disk: Arc<dyn Disk>, dir: &Path) -> anyhow::Result<Leftovers> {
        let leftovers = Leftovers { disk, dir: dir.to_owned(), pending: Mutex::default() };
        for path in leftovers.disk.list_dir(dir).context("list the log directory")? {
            match path.file_name().and_then(|name| name.to_str()).and_then(PartitionDir::parse) {
                Some(PartitionDir::Deleted) => {
                    leftovers.remember(Kind::Deleted, path, MonotonicMs(0));
                }
                Some(PartitionDir::Stray) => {
                    tracing::warn!(path = %path.display(), "a log that was set aside is still here");
                    leftovers.remember(Kind::Stray, path, MonotonicMs(0).plus(STRAY_KEPT));
                }
                Some(PartitionDir::Hosted(_)) | None => {}
            }
        }
        Ok(leftovers)
    }

    /// Removes the renamed directory of a deleted partition when its time has come.
    pub fn remove_later(&self, path: PathBuf, due: MonotonicMs) {
        self.remember(Kind::Deleted, path, due);
    }

    /// Removes the renamed files of segments when their time has come.
    pub fn remove_files_later(&self, files: Vec<PathBuf>, due: MonotonicMs) {
        for path in files {
            if !self.remember(Kind::File, path.clone(), due) {
                self.remove(Kind::File, &path);
            }
        }
    }

    /// Remembers what is to be removed; false when there is too much of it.
    fn remember(&self, kind: Kind, path: PathBuf, due: MonotonicMs) -> bool {
        let mut pending = self.pending.lock();
        let has_room = pending.len() < PENDING_MAX;
        if has_room {
            pending.push(Leftover { kind, path, due });
        }
        has_room
    }

    /// Renames the log of a partition that does not belong here, and keeps it for [`STRAY_KEPT`].
    pub fn set_aside(&self, path: &Path, id: &TopicPartition, now: MonotonicMs) -> io::Result<()> {
        let aside = path.with_file_name(stray_dir_name(id, Uuid(clock::entropy())));
        self.disk.rename(path, &aside)?;
        self.disk.sync_dir(&self.dir)?;
        tracing::warn!(
            path = %aside.display(),
            kept_hours = STRAY_KEPT.0 / 3_600_000,
            "the log of a partition that does not belong to this broker is set aside; move it elsewhere to keep it"
        );
        self.remember(Kind::Stray, aside, now.plus(STRAY_KEPT));
        Ok(())
    }

    /// Sets every log aside that is not hosted, as the metadata now says; of which partitions.
    pub fn set_strays_aside(
        &self,
        is_hosted: impl Fn(&TopicPartition) -> bool,
        now: MonotonicMs,
    ) -> io::Result<Vec<TopicPartition>> {
        let mut ids = Vec::new();
        for (path, id) in unhosted_logs(&*self.disk, &self.dir, is_hosted)? {
            self.set_aside(&path, &id, now)?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// Removes that whose time has come, until `is_over`; with `in_need` of space all but strays, which nobody has
    /// deleted.
    pub fn remove_due(&self, now: MonotonicMs, in_need: bool, is_over: impl Fn() -> bool) {
        let is_due = |left: &mut Leftover| left.due <= now || (in_need && left.kind != Kind::Stray);
        let due: Vec<Leftover> = self.pending.lock().extract_if(.., is_due).collect();
        for left in due {
            if is_over() {
                return;
            }
            self.remove(left.kind, &left.path);
        }
    }

    fn remove(&self, kind: Kind, path: &Path) {
        let removed = match kind {
            Kind::File => self.disk.remove_file(path),
            Kind::Deleted | Kind::Stray => self.disk.remove_dir_all(path),
        };
        match removed {
            Ok(()) if kind == Kind::File => {}
            Ok(()) => tracing::info!(path = %path.display(), "removed the files of a partition"),
            // The partition was deleted meanwhile, or its log opened anew.
            Err(error) if kind == Kind::File && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "files cannot be removed; the next start tries again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_log::RealDisk;
    use ottla_broker_types::{PartitionIndex, TopicName};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let paths = RealDisk.list_dir(dir).unwrap();
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    fn later(duration: DurationMs) -> MonotonicMs {
        MonotonicMs(5).plus(duration)
    }

    #[test]
    fn a_stray_is_set_aside_with_its_files_and_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in ["t-0", "t-1"] {
            std::fs::create_dir(dir.join(name)).unwrap();
            std::fs::write(dir.join(name).join("file"), name).unwrap();
        }
        let leftovers = Leftovers::find(Arc::new(RealDisk), dir).unwrap();
        let hosted = TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(0) };
        leftovers.set_strays_aside(|id| *id == hosted, MonotonicMs(5)).unwrap();
        let aside = names(dir).pop().unwrap();
        assert!(aside.starts_with("t-1.") && aside.ends_with("-stray"), "{aside}");
        leftovers.remove_due(later(DurationMs(STRAY_KEPT.0 - 1)), false, || false);
        assert_eq!(std::fs::read(dir.join(&aside).join("file")).unwrap(), b"t-1");

        let leftovers = Leftovers::find(Arc::new(RealDisk), dir).unwrap();
        leftovers.remove_due(MonotonicMs(5), false, || false);
        assert_eq!(names(dir), ["t-0", &aside]);
        leftovers.remove_due(later(STRAY_KEPT), false, || false);
        assert_eq!(names(dir), ["t-0"]);
    }

    #[test]
    fn in_need_of_space_all_that_was_deleted_goes_at_once_and_strays_stay() {
        let folder = tempfile::tempdir().unwrap();
        let [deleted, stray] = ["delete", "stray"].map(|end| format!("t-0.{}-{end}", Uuid([7; 16])));
        let segment = folder.path().join("00000000000000000000.log.deleted");
        std::fs::create_dir(folder.path().join(&stray)).unwrap();
        let leftovers = Leftovers::find(Arc::new(RealDisk), folder.path()).unwrap();
        std::fs::create_dir(folder.path().join(&deleted)).unwrap();
        std::fs::write(&segment, "records").unwrap();
        leftovers.remove_later(folder.path().join(&deleted), later(DurationMs(60_000)));
        leftovers.remove_files_later(vec![segment.clone()], later(DurationMs(60_000)));
        leftovers.remove_due(later(DurationMs(59_999)), false, || false);
        assert!(segment.exists() && folder.path().join(&deleted).exists());
        leftovers.remove_due(MonotonicMs(5), true, || false);
        assert_eq!(names(folder.path()), [stray]);
    }

    #[test]
    fn what_was_deleted_goes_at_the_next_start_at_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let deleted = folder.path().join(format!("t-0.{}-delete", Uuid([7; 16])));
        std::fs::create_dir(&deleted).unwrap();
        let leftovers = Leftovers::find(Arc::new(RealDisk), folder.path()).unwrap();
        leftovers.remove_due(MonotonicMs(5), false, || true);
        assert!(deleted.exists(), "the broker stops");
        let leftovers = Leftovers::find(Arc::new(RealDisk), folder.path()).unwrap();
        leftovers.remove_due(MonotonicMs(5), false, || false);
        assert!(!deleted.exists());
    }
}
