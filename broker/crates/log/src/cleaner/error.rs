//! Why a pass of the cleaner ends early. No I/O.

use std::io;

use ottla_broker_protocol::batch::BatchError;
use ottla_broker_types::Offset;

use crate::disk::{Trouble, trouble};

/// A pass that did not get to its end. The log is as it was, or some of its first segments are compacted.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The caller ended it, or the log was cut, closed or deleted from meanwhile: the next pass begins anew.
    #[error("the pass was ended")]
    Stopped,
    /// The disk has no space, or the machine no open files, for now.
    #[error("the machine is at a limit: {0}")]
    Exhausted(#[source] io::Error),
    /// What the log holds cannot be read: it cannot be compacted until somebody has looked.
    #[error("a batch at offset {offset} or after is damaged: {source}")]
    Damaged {
        /// About where.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// The batches of a segment, written anew, do not fit into one.
    #[error("the segment at offset {base} grows beyond 2 GiB when it is written anew")]
    TooLarge {
        /// The segment.
        base: Offset,
    },
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for CleanError {
    fn from(error: io::Error) -> CleanError {
        // A file that is not there any more was deleted by retention, or with the partition.
        if error.kind() == io::ErrorKind::NotFound {
            return CleanError::Stopped;
        }
        match trouble(&error) {
            Trouble::NoSpace | Trouble::Exhausted => CleanError::Exhausted(error),
            Trouble::Broken => CleanError::Io(error),
        }
    }
}

impl CleanError {
    /// Whether a further attempt may succeed without anybody's help.
    pub fn is_passing(&self) -> bool {
        match self {
            CleanError::Stopped | CleanError::Exhausted(_) => true,
            CleanError::Damaged { .. } | CleanError::TooLarge { .. } | CleanError::Io(_) => false,
        }
    }
}
