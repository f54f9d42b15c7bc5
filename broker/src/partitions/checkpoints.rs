//! The checkpoint files of the log directory, and what they say now. I/O through the disk only.
//!
//! Invariant: a partition whose log begins anew is in none of the files, so that neither now nor after a crash the new
//! log is opened by what was said of the former one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ottla_broker_log::{
    Disk, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE, read_offsets, write_offsets,
};
use ottla_broker_types::{Offset, TopicPartition};
use parking_lot::Mutex;

const FILES: [&str; 3] = [RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE];

type Offsets = BTreeMap<TopicPartition, Offset>;

/// The files, and their contents as they were last read or written.
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held while a file is written.
    written: Mutex<BTreeMap<&'static str, Offsets>>,
}

impl Checkpoints {
    /// Reads the files.
    pub fn read(disk: Arc<dyn Disk>, dir: &Path) -> anyhow::Result<Checkpoints> {
        let mut written = BTreeMap::new();
        for file in FILES {
            written.insert(file, read_offsets(&*disk, dir, file).with_context(|| format!("read {file}"))?);
        }
        Ok(Checkpoints { disk, dir: dir.to_owned(), written: Mutex::new(written) })
    }

    /// What `file` says of a partition.
    pub fn find(&self, file: &'static str, id: &TopicPartition) -> Option<Offset> {
        self.written.lock().get(file)?.get(id).copied()
    }

    /// Replaces `file`. The offsets are asked for while nobody is forgotten: those of a partition that is not hosted any
    /// more must not be among them.
    pub fn write(&self, file: &'static str, offsets: impl FnOnce() -> Offsets) -> anyhow::Result<()> {
        let mut written = self.written.lock();
        let offsets = offsets();
        self.replace(file, &offsets)?;
        written.insert(file, offsets);
        Ok(())
    }

    /// Takes a partition out of all files, before its log begins anew.
    pub fn forget(&self, id: &TopicPartition) -> anyhow::Result<()> {
        for (file, offsets) in self.written.lock().iter_mut() {
            if offsets.remove(id).is_some() {
                self.replace(file, offsets)?;
            }
        }
        Ok(())
    }

    fn replace(&self, file: &str, offsets: &Offsets) -> anyhow::Result<()> {
        write_offsets(&*self.disk, &self.dir, file, offsets).with_context(|| format!("write {file}"))
    }
}
