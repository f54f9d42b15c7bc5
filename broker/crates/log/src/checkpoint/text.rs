//! Kafka's checkpoint format: a version, a count, then one entry a line. No I/O.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_whole};

/// The version of all of Kafka's checkpoint files.
const VERSION: &str = "0";

/// A file in a log directory that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is not in its format.
    #[error("{path} is malformed: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The text of a file; `None` if there is no such file.
pub(super) fn read_text(disk: &dyn Disk, path: &Path) -> Result<Option<String>, CheckpointError> {
    let bytes = read_whole(disk, path).map_err(io_error(path))?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| malformed(path, "it is not text"))).transpose()
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| CheckpointError::Io { path, source }
}

pub(super) fn malformed(path: &Path, reason: &'static str) -> CheckpointError {
    CheckpointError::Malformed { path: path.to_owned(), reason }
}

/// A checkpoint of `entries`, each a line without its end.
pub(super) fn encode(entries: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&entry);
        text.push('\n');
    }
    text
}

/// The entries of a checkpoint; every line has to pass `entry`.
pub(super) fn decode<T>(text: &str, entry: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, &'static str> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(VERSION) {
        return Err("its version is not 0");
    }
    let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
    let entries: Option<Vec<T>> = lines.filter(|line| !line.trim().is_empty()).map(entry).collect();
    match (count, entries) {
        (Some(count), Some(entries)) if entries.len() == count => Ok(entries),
        (_, None) => Err("a line is not an entry"),
        _ => Err("its count is not that of its lines"),
    }
}
