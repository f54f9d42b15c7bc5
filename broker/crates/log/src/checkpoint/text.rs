//! Kafka's checkpoint format: a version, a count, then one entry a line. No I/O.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_whole};

/// The version of all of Kafka's checkpoint files.
pub(crate) const VERSION: u32 = 0;

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
    /// A later release wrote the file.
    #[error("{path} is of version {version}, and this release reads versions up to {known}: start the release that wrote it, or a later one", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that is known here.
        known: u32,
    },
}

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not in its format, and why.
    Malformed(&'static str),
    /// A later release wrote it, in this version where `known` is the newest here.
    Newer {
        /// Its version.
        version: u32,
        /// The newest version that is known here.
        known: u32,
    },
}

impl Unreadable {
    /// The error of a file of this text.
    pub(crate) fn at(self, path: &Path) -> CheckpointError {
        let path = path.to_owned();
        match self {
            Unreadable::Malformed(reason) => CheckpointError::Malformed { path, reason },
            Unreadable::Newer { version, known } => CheckpointError::Newer { path, version, known },
        }
    }
}

/// Checks the version in a text; `known` is the only one that is known here.
pub(super) fn check_version(found: Option<&str>, known: u32, reason: &'static str) -> Result<(), Unreadable> {
    match found.and_then(|version| version.trim().parse().ok()) {
        Some(version) if version == known => Ok(()),
        Some(version) if version > known => Err(Unreadable::Newer { version, known }),
        _ => Err(Unreadable::Malformed(reason)),
    }
}

/// The text of a file; `None` if there is no such file.
pub(super) fn read_text(disk: &dyn Disk, path: &Path) -> Result<Option<String>, CheckpointError> {
    let bytes = read_whole(disk, path).map_err(io_error(path))?;
    bytes
        .map(|bytes| String::from_utf8(bytes).map_err(|_| Unreadable::Malformed("it is not text").at(path)))
        .transpose()
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| CheckpointError::Io { path, source }
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
pub(super) fn decode<T>(text: &str, entry: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Unreadable> {
    let mut lines = text.lines();
    check_version(lines.next(), VERSION, "its version is not 0")?;
    let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
    let entries: Option<Vec<T>> = lines.filter(|line| !line.trim().is_empty()).map(entry).collect();
    match (count, entries) {
        (Some(count), Some(entries)) if entries.len() == count => Ok(entries),
        (_, None) => Err(Unreadable::Malformed("a line is not an entry")),
        _ => Err(Unreadable::Malformed("its count is not that of its lines")),
    }
}
