//! A disk with space in reserve: for what must be written although others have filled it. I/O through [`Disk`] only.
//!
//! The reserve is a file that takes space and holds nothing, where the file system knows such files. When a write finds no space the file is given up and the
//! write is repeated. Records of partitions never draw on it: they are what fills a disk, and what can wait.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_broker_protocol::FileSource;

use super::{Disk, DiskFile, OpenMode, Trouble, remove_if_exists, trouble};

/// The file's name within the log directory.
pub const RESERVE_FILE: &str = ".ottla-reserve";

/// See the module. Clones share the reserve.
#[derive(Clone)]
pub struct ReservedDisk {
    reserve: Arc<Reserve>,
}

struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes: u64,
    is_held: AtomicBool,
}

impl ReservedDisk {
    /// A reserve of `bytes` in `dir` on `disk`. What an earlier process left of it counts; nothing is written yet.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> ReservedDisk {
        let is_held = AtomicBool::new(disk.exists(&dir.join(RESERVE_FILE)).unwrap_or(false));
        ReservedDisk { reserve: Arc::new(Reserve { disk, dir: dir.to_owned(), bytes, is_held }) }
    }

    /// Bytes of the reserve when it is whole.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve.bytes
    }

    /// Sets the reserve aside if it was given up; whether it was. Call it while there is space for it and for others.
    pub fn refill(&self) -> io::Result<bool> {
        if self.reserve.is_held.load(Ordering::Acquire) {
            return Ok(false);
        }
        let Reserve { disk, dir, bytes, is_held } = &*self.reserve;
        let path = dir.join(RESERVE_FILE);
        let filled = disk.open(&path, OpenMode::Create).and_then(|file| file.allocate(*bytes));
        match filled {
            Ok(()) => is_held.store(true, Ordering::Release),
            Err(_) => drop(remove_if_exists(&**disk, &path)),
        }
        filled.map(|()| true)
    }
}

impl Reserve {
    /// Gives the reserve up; false if there is none.
    fn release(&self) -> bool {
        if !self.is_held.swap(false, Ordering::AcqRel) {
            return false;
        }
        let removed = remove_if_exists(&*self.disk, &self.dir.join(RESERVE_FILE));
        tracing::warn!(dir = %self.dir.display(), "the disk is full: what is kept in reserve for metadata is used now");
        removed.is_ok()
    }

    /// Repeats `act` once without the reserve, if it found no space.
    fn with<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if trouble(&error) == Trouble::NoSpace && self.release() => act(),
            outcome => outcome,
        }
    }
}

/// Whether a file holds records of a partition.
fn holds_records(path: &Path) -> bool {
    let of_metadata = path.parent().and_then(Path::file_name).is_some_and(|dir| dir == crate::METADATA_DIR);
    path.extension().is_some_and(|extension| extension == "log") && !of_metadata
}

impl Disk for ReservedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let reserve = &self.reserve;
        if holds_records(path) {
            return reserve.disk.open(path, mode);
        }
        let file = reserve.with(|| reserve.disk.open(path, mode))?;
        Ok(Arc::new(ReservedFile { file, reserve: Arc::clone(reserve) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.reserve.with(|| self.reserve.disk.create_dir_all(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.reserve.disk.remove_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.reserve.disk.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.reserve.with(|| self.reserve.disk.rename(from, to))
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.reserve.disk.list_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.reserve.disk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.reserve.disk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.reserve.disk.free_bytes(path)
    }
}

/// A file whose writes may use the reserve.
struct ReservedFile {
    file: Arc<dyn DiskFile>,
    reserve: Arc<Reserve>,
}

impl FileSource for ReservedFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }

    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, pos)
    }
}

impl DiskFile for ReservedFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.reserve.with(|| self.file.write_all_at(bytes, position))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.reserve.with(|| self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not repeated: what a failed sync did not write may be gone although a later one succeeds.
        self.file.sync_data()
    }

    fn start_writeback(&self, range: Range<u64>) -> io::Result<()> {
        self.file.start_writeback(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{SimDisk, replace_file};

    const DIR: &str = "/data";

    fn full_disk() -> (SimDisk, ReservedDisk) {
        let sim = SimDisk::new(1);
        for dir in ["/data/t-0", "/data/__cluster_metadata-0"] {
            sim.create_dir_all(Path::new(dir)).unwrap();
        }
        sim.set_capacity_bytes(100_000);
        let disk = ReservedDisk::new(Arc::new(sim.clone()), Path::new(DIR), 50_000);
        disk.refill().unwrap();
        let filler = sim.open(Path::new("/data/filler"), OpenMode::Create).unwrap();
        filler.write_all_at(&[1; 50_000], 0).unwrap();
        assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 0);
        (sim, disk)
    }

    #[test]
    fn metadata_and_checkpoints_are_written_on_a_full_disk() {
        for name in ["__cluster_metadata-0/00000000000000000000.log", "recovery-point-offset-checkpoint"] {
            let (_, disk) = full_disk();
            replace_file(&disk, &Path::new(DIR).join(name), &[7; 1000]).unwrap();
            assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 49_000);
        }
    }

    #[test]
    fn records_of_partitions_never_use_the_reserve() {
        let (sim, disk) = full_disk();
        assert!(disk.open(Path::new("/data/t-0/00000000000000000000.log"), OpenMode::Create).is_err());
        sim.set_capacity_bytes(100_010);
        let file = disk.open(Path::new("/data/t-0/00000000000000000000.log"), OpenMode::Create).unwrap();
        assert_eq!(trouble(&file.write_all_at(&[1; 100], 0).unwrap_err()), Trouble::NoSpace);
        assert!(sim.exists(&Path::new(DIR).join(RESERVE_FILE)).unwrap());
    }

    #[test]
    fn the_reserve_is_set_aside_again_when_there_is_space() {
        let (sim, disk) = full_disk();
        disk.open(Path::new("/data/checkpoint"), OpenMode::Create)
            .unwrap()
            .write_all_at(&[1; 10], 0)
            .unwrap();
        sim.set_capacity_bytes(90_000);
        assert!(disk.refill().is_err());
        assert!(!sim.exists(&Path::new(DIR).join(RESERVE_FILE)).unwrap(), "half of it is of no use");
        sim.set_capacity_bytes(200_000);
        disk.refill().unwrap();
        let found = ReservedDisk::new(Arc::new(sim.clone()), Path::new(DIR), 50_000);
        sim.set_capacity_bytes(100_000);
        found.open(Path::new("/data/other"), OpenMode::Create).unwrap().write_all_at(&[1; 10], 0).unwrap();
    }
}
