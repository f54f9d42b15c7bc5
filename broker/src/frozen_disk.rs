//! A disk for tests that stops taking writes until it is thawed, as one does whose volume hangs.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_log::{Disk, DiskFile, OpenMode, RealDisk};
use ottla_broker_protocol::FileSource;
use parking_lot::{Condvar, Mutex};

/// The switch of a [`FrozenDisk`]; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Freezer {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    frozen: bool,
    hanging: usize,
}

impl Freezer {
    pub(crate) fn freeze(&self) {
        self.state.0.lock().frozen = true;
    }

    pub(crate) fn thaw(&self) {
        self.state.0.lock().frozen = false;
        self.state.1.notify_all();
    }

    /// Writes that hang.
    pub(crate) fn hanging(&self) -> usize {
        self.state.0.lock().hanging
    }

    fn pass(&self) {
        let mut state = self.state.0.lock();
        state.hanging += 1;
        self.state.1.wait_while(&mut state, |state| state.frozen);
        state.hanging -= 1;
    }
}

/// The machine's disk behind a switch.
pub(crate) struct FrozenDisk(pub(crate) Freezer);

struct FrozenFile {
    file: Arc<dyn DiskFile>,
    freezer: Freezer,
}

impl Disk for FrozenDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FrozenFile { file: RealDisk.open(path, mode)?, freezer: self.0.clone() }))
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
        self.0.pass();
        RealDisk.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

impl FileSource for FrozenFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }

    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, pos)
    }
}

impl DiskFile for FrozenFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.freezer.pass();
        self.file.write_all_at(bytes, position)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.freezer.pass();
        self.file.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.freezer.pass();
        self.file.allocate(len)
    }

    fn start_writeback(&self, range: Range<u64>) -> io::Result<()> {
        self.file.start_writeback(range)
    }
}
