//! Fixtures of the formats on disk, for tests: folders that a release wrote, and that never change.

use std::path::{Path, PathBuf};

use super::{Disk, OpenMode, SimDisk};

/// The fixtures below `root`, in the order of their names.
pub fn fixtures(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut dirs: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

/// Has `write` make a fixture below `root`.
///
/// # Panics
/// If it is there already: what has landed never changes.
pub fn make_fixture(root: &Path, name: &str, write: impl FnOnce(&Path)) {
    let dir = root.join(name);
    assert!(!dir.exists(), "{} is there: what has landed never changes", dir.display());
    std::fs::create_dir_all(&dir).unwrap();
    write(&dir);
}

impl SimDisk {
    /// Copies a folder of the real disk to `to`, with all below it.
    pub fn copy_in(&self, from: &Path, to: &Path) {
        self.create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => self.copy_in(&entry.path(), &to),
                false => self.put(&to, &std::fs::read(entry.path()).unwrap()),
            }
        }
    }

    /// Makes `bytes` all that a file holds.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let file = self.open(path, OpenMode::Create).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }
}
