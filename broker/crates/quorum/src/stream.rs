//! Following what is committed: a cursor over the log, so a slow follower costs no memory. No I/O of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::{MetadataOffset, ReadError, Term};

/// How many bytes of records a [`CommittedStream`] reads ahead: enough that a small batch costs no read of
/// its own, little enough to be idle memory.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// A part of what is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// One batch; the next one has the offset after it.
    Batch {
        /// Its position.
        offset: MetadataOffset,
        /// The term of the leader that proposed it.
        term: Term,
        /// Its records; none for entries of the quorum itself.
        records: Vec<Bytes>,
    },
    /// Replaces everything before `end`; the log before it is gone.
    Snapshot {
        /// Exclusive.
        end: MetadataOffset,
        /// What was given to [`offer_snapshot`](crate::MetadataLog::offer_snapshot), here or on a peer.
        bytes: Bytes,
    },
}

impl Committed {
    /// The offset at which reading goes on after this.
    pub fn end(&self) -> MetadataOffset {
        match self {
            Committed::Batch { offset, .. } => offset.next(),
            Committed::Snapshot { end, .. } => *end,
        }
    }
}

/// Reads committed batches; as [`read_committed`](crate::MetadataLog::read_committed).
pub type CommittedReader =
    Arc<dyn Fn(MetadataOffset, usize) -> Result<Vec<Committed>, ReadError> + Send + Sync>;

/// A cursor over the committed part of a metadata log.
pub struct CommittedStream {
    position: MetadataOffset,
    next_read: MetadataOffset,
    ahead: VecDeque<Committed>,
    committed_end: watch::Receiver<MetadataOffset>,
    read: CommittedReader,
}

impl CommittedStream {
    /// A cursor that begins at `from` (inclusive), reads with `read` and wakes with `committed_end`.
    pub fn new(
        from: MetadataOffset,
        committed_end: watch::Receiver<MetadataOffset>,
        read: CommittedReader,
    ) -> CommittedStream {
        CommittedStream { position: from, next_read: from, ahead: VecDeque::new(), committed_end, read }
    }

    /// Exclusive end of what this stream has given out.
    pub fn position(&self) -> MetadataOffset {
        self.position
    }

    /// Waits for the next part; `None` once the log has stopped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Committed, ReadError>> {
        loop {
            match self.try_next() {
                Ok(Some(part)) => return Some(Ok(part)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            let position = self.position;
            self.committed_end.wait_for(|end| *end > position).await.ok()?;
        }
    }

    /// The next part if it is committed already.
    pub fn try_next(&mut self) -> Result<Option<Committed>, ReadError> {
        if self.ahead.is_empty() && *self.committed_end.borrow() > self.next_read {
            let parts = (self.read)(self.next_read, READ_AHEAD_BYTES)?;
            if let Some(last) = parts.last() {
                self.next_read = last.end();
            }
            self.ahead.extend(parts);
        }
        let part = self.ahead.pop_front();
        if let Some(part) = &part {
            self.position = part.end();
        }
        Ok(part)
    }
}
