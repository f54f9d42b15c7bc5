//! The operating system's files, with a thread that the shell gives for starting writeback: beginning to write pages
//! out finds room for them in the file system and waits while the disk's queue is full, which no append should.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::real::{RealDisk, RealFile, Writeback};
use super::{Disk, DiskFile, OpenMode};

/// Ranges that may wait. Each is of megabytes, so that more would only be found clean when their turn comes.
const WAITING_MAX: usize = 1024;

/// The file system of the machine, whose writeback is started elsewhere.
#[derive(Clone)]
pub struct PacedDisk {
    writebacks: SyncSender<Writeback>,
}

/// What is to be written out, in the order of the appends.
pub struct Writebacks(Receiver<Writeback>);

impl PacedDisk {
    /// The disk, and its writebacks: somebody must [`Writebacks::run`] them.
    pub fn new() -> (PacedDisk, Writebacks) {
        let (writebacks, waiting) = sync_channel(WAITING_MAX);
        (PacedDisk { writebacks }, Writebacks(waiting))
    }
}

impl Writebacks {
    /// Starts one writeback after the other, for as long as there is a file of the disk.
    pub fn run(self) {
        for writeback in self.0 {
            // Only a hint: what it would report, the next sync reports.
            let _ = writeback.start();
        }
    }
}

impl Disk for PacedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(RealDisk::open_file(path, mode)?);
        Ok(Arc::new(RealFile { file, writebacks: Some(self.writebacks.clone()) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_waits_for_no_writeback() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, writebacks) = PacedDisk::new();
        let file = disk.open(&dir.path().join("log"), OpenMode::Create).unwrap();
        file.write_all_at(b"records", 0).unwrap();
        // Nobody carries any out, as on a disk that hangs.
        for _ in 0..WAITING_MAX {
            file.start_writeback(0..7).unwrap();
        }
        assert_eq!(file.start_writeback(0..7).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop((file, disk));
        writebacks.run();
    }
}
