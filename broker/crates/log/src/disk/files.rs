//! Small files that are read and replaced as a whole. I/O through [`Disk`] only.

use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, OpenMode};

/// The largest small file that is read: a checkpoint of a million partitions stays below it. Larger ones are
/// refused as invalid data, since nothing this crate writes reaches it.
const SMALL_FILE_BYTES_MAX: u64 = 256 << 20;

/// Puts `bytes` in the place of the file at `path`, in one step that survives a power cut: either the old file
/// is there or the whole new one. The new one is durable when this returns.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let file = disk.open(&tmp, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&tmp, path)?;
    match path.parent() {
        Some(dir) => disk.sync_dir(dir),
        None => Ok(()),
    }
}

/// The bytes of a small file; `None` if there is no such file.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > SMALL_FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is larger than any this broker writes",
        ));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// Removes a file that may be missing.
pub(crate) fn remove_if_exists(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
