//! One process per log directory: a lock on its `.lock` file, as Kafka's. It ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use anyhow::{Context, bail};

/// The locked file's name within the directory; it stays behind, empty.
pub const LOCK_FILE: &str = ".lock";

/// The hold on a directory, until dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the directory; an error if another process has it.
    pub fn take(dir: &Path) -> anyhow::Result<DirLock> {
        let path = dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.with_context(|| format!("open {}; is the disk read-only?", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use by another broker, which holds {LOCK_FILE}: stop that one, or set log.dirs to another directory; nothing was changed",
                dir.display()
            ),
            Err(TryLockError::Error(error)) => Err(error)
                .with_context(|| format!("lock {}; does the file system know locks?", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::take(dir.path()).unwrap();
        let refused = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("in use by another broker"), "{refused}");
        drop(held);
        DirLock::take(dir.path()).unwrap();
    }
}
