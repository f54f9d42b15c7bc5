//! The quorum's files: log segments, vote, snapshot, commit hint (`FORMAT.md`).

mod files;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
mod index;
mod log;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod vote;
mod writer;

pub use files::holds_log;
pub(crate) use files::make_dir;
pub(crate) use log::LogFiles;
pub(crate) use snapshot::{SnapshotFile, StoredSnapshot};
pub(crate) use vote::{CommitHint, VoteFile};
pub use writer::WriteMode;
pub(crate) use writer::Writer;
