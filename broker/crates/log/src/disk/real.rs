//! The operating system's files. The only place of this crate that calls it.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use ottla_broker_protocol::FileSource;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

use super::{Disk, DiskFile, OpenMode};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    pub(super) fn open_file(path: &Path, mode: OpenMode) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create(mode == OpenMode::Create);
        options.open(path)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(RealDisk::open_file(path, mode)?);
        Ok(Arc::new(RealFile { file, writebacks: None }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

pub(super) struct RealFile {
    pub(super) file: Arc<File>,
    /// Who starts writeback instead of the caller.
    pub(super) writebacks: Option<SyncSender<Writeback>>,
}

impl FileSource for RealFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, pos)
    }
}

impl DiskFile for RealFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn start_writeback(&self, range: Range<u64>) -> io::Result<()> {
        let writeback = Writeback { file: Arc::clone(&self.file), range };
        match &self.writebacks {
            // When too many wait, the kernel's own flusher does without the hint.
            Some(writebacks) => writebacks.try_send(writeback).map_err(|_| io::ErrorKind::WouldBlock.into()),
            None => writeback.start(),
        }
    }
}

/// A range of a file that the kernel shall begin to write out.
pub(super) struct Writeback {
    file: Arc<File>,
    range: Range<u64>,
}

impl Writeback {
    /// Asks the kernel; waits while the disk's queue is full.
    pub(super) fn start(&self) -> io::Result<()> {
        // Linux starts writing dirty pages of the range and drops only its clean ones. A range that was just
        // written has none of these, so readers of the log's tail keep finding it in memory.
        let Some(len) = NonZeroU64::new(self.range.end.saturating_sub(self.range.start)) else {
            return Ok(());
        };
        Ok(rustix::fs::fadvise(&self.file, self.range.start, Some(len), Advice::DontNeed)?)
    }
}
