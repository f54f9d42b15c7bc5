//! Reading files to the end. I/O: the `Disk`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_log::{Disk, DiskFile, OpenMode};

use super::segment::base_of;
use super::snapshot::SNAPSHOT_NAME;
use super::vote::VOTE_NAME;

/// What `replace_file` calls a file that it has not finished; such files are removed at start.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Makes `dir` and its missing parents, durably.
pub(crate) fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for folder in dir.ancestors() {
        if folder.as_os_str().is_empty() || disk.exists(folder)? {
            break;
        }
        missing.push(folder);
    }
    disk.create_dir_all(dir)?;
    for parent in missing.iter().rev().filter_map(|folder| folder.parent()) {
        disk.sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Whether `dir` holds anything that a node of a quorum must not forget: a vote, entries or a snapshot. False if there is
/// no such folder.
pub fn holds_log(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    if !disk.exists(dir)? {
        return Ok(false);
    }
    let is_kept = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        base_of(name).is_some() || name == VOTE_NAME || name == SNAPSHOT_NAME
    };
    Ok(disk.list_dir(dir)?.iter().any(|path| is_kept(path)))
}

/// Reads `dir/name`; `None` if there is no such file, an error if it is longer than `bytes_max`.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, name: &str, bytes_max: u64) -> io::Result<Option<Bytes>> {
    let path = dir.join(name);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let file = disk.open(&path, OpenMode::Read)?;
    read_file(&*file, bytes_max).map(Some)
}

/// Reads an open file from its start to its end.
pub(crate) fn read_file(file: &dyn DiskFile, bytes_max: u64) -> io::Result<Bytes> {
    let len = file.len()?;
    if len > bytes_max {
        return Err(invalid(format!("the file has {len} bytes, more than the {bytes_max} that it can have")));
    }
    let len = usize::try_from(len).map_err(|_| invalid("the file does not fit into memory".to_owned()))?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.into())
}

/// An error about what a file holds.
pub(crate) fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// One disk for log, vote and snapshot; a test's fails on demand.
pub(crate) type SharedDisk = Arc<dyn Disk>;
