//! What a log asks of a disk, with the durability of each call. No I/O here: implementations do it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_protocol::FileSource;

/// How a file is opened; all handles can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; writes through the handle fail.
    Read,
    /// The file must exist.
    Write,
    /// The file is made if it is missing; what it holds stays.
    Create,
}

/// A file system, as small as a log needs it.
///
/// Changes of a directory (files made, renamed, removed) are durable only after [`Disk::sync_dir`] of that
/// directory; until then a power cut may undo them, the newest first. Errors carry the operating system's kind:
/// [`io::ErrorKind::StorageFull`] and [`io::ErrorKind::QuotaExceeded`] mean that space ran out.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a directory and its missing parents; an existing one is fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; open handles go on reading it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Moves a file or directory, replacing a file at `to` in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The full paths of what a directory holds, sorted.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes earlier changes of the directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written to the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Its position-less calls take `&self`; one writer at a time is the caller's duty.
pub trait DiskFile: FileSource {
    /// Writes all of `bytes` from `position` on, past the end if need be. After an error any part of them may
    /// have been written. Durable only after [`DiskFile::sync_data`].
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or extends it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Sets space aside for the file up to `len`, which leaves its length as it is; where the file system cannot do that,
    /// nothing happens. Cutting the file to its own length gives back what is not used.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes all earlier writes and the length durable. An error is final: what it did not write may be gone
    /// although a later call succeeds.
    fn sync_data(&self) -> io::Result<()>;
    /// Asks the operating system to begin writing a range out, without waiting for it; promises nothing.
    fn start_writeback(&self, range: Range<u64>) -> io::Result<()>;
}
