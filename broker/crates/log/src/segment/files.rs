//! Names of a segment's files, and the handles to them. I/O through [`Disk`] only.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_broker_types::Offset;

use crate::disk::{Disk, DiskFile, OpenMode};

/// The ending of a file that left the log and waits for its removal.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// The ending of a file that was not finished.
pub(crate) const TMP_SUFFIX: &str = ".tmp";
/// The ending of a compacted segment's files while they are written; Kafka's.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// The ending of a compacted segment's files that take the place of others; Kafka's.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// The files named by an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The batches.
    Log,
    /// The offset index.
    OffsetIndex,
    /// The time index.
    TimeIndex,
    /// The transactions that were aborted.
    TxnIndex,
    /// The producers' state at the offset.
    Snapshot,
}

impl FileKind {
    /// The files of a segment; the batches first, as they decide whether the segment exists.
    pub(crate) const SEGMENT: [FileKind; 4] =
        [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex];

    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::OffsetIndex => ".index",
            FileKind::TimeIndex => ".timeindex",
            FileKind::TxnIndex => ".txnindex",
            FileKind::Snapshot => ".snapshot",
        }
    }

    /// The path of the file for `offset`: 20 digits and the ending.
    pub(crate) fn path(self, dir: &Path, offset: Offset) -> PathBuf {
        dir.join(format!("{:020}{}", offset.get(), self.suffix()))
    }
}

/// The offset that names a file of this kind; `None` if the name is none of the kind.
pub(crate) fn offset_in_name(path: &Path, kind: FileKind) -> Option<Offset> {
    const DIGITS: usize = 20;
    let digits = path.file_name()?.to_str()?.strip_suffix(kind.suffix())?;
    if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().and_then(Offset::new)
}

/// Where a segment lies.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) base: Offset,
    /// What follows the names of the files; empty once they are the log's.
    pub(crate) suffix: &'static str,
}

impl Place {
    pub(crate) fn path(&self, kind: FileKind) -> PathBuf {
        self.path_with(kind, self.suffix)
    }

    /// The path that the file has, or had, with another suffix.
    pub(crate) fn path_with(&self, kind: FileKind, suffix: &str) -> PathBuf {
        with_suffix(kind.path(&self.dir, self.base), suffix)
    }
}

/// `path` with `suffix` behind it.
fn with_suffix(path: PathBuf, suffix: &str) -> PathBuf {
    if suffix.is_empty() {
        return path;
    }
    let mut path = path.into_os_string();
    path.push(suffix);
    path.into()
}

/// A file that is opened at its first use and may be closed between uses.
pub(crate) struct FileSlot {
    kind: FileKind,
    handle: Mutex<Option<Arc<dyn DiskFile>>>,
}

impl FileSlot {
    pub(crate) fn closed(kind: FileKind) -> FileSlot {
        FileSlot { kind, handle: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn DiskFile>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, made if it is missing.
    pub(crate) fn file(&self, place: &Place) -> io::Result<Arc<dyn DiskFile>> {
        let mut handle = self.lock();
        if let Some(file) = &*handle {
            return Ok(file.clone());
        }
        let file = place.disk.open(&place.path(self.kind), OpenMode::Create)?;
        *handle = Some(file.clone());
        Ok(file)
    }

    /// Lets go of the file; readers that hold it keep it.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }
}
