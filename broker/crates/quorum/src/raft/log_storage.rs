//! Gives the library the log, the vote and the commit hint.
//!
//! I/O: through `storage`. Appends report back when they are on disk; votes, truncations and purges return then.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use futures::Stream;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;

use super::types::{Entry, LogId, Types, Vote};
use crate::storage::{CommitHint, LogFiles, VoteFile, Writer};

/// How many bytes of entries go into one message to a peer, if one entry alone is not longer: a peer that is
/// far behind is caught up at full speed, and none is kept from its heartbeats.
const APPEND_BYTES_MAX: u64 = 1024 * 1024;
/// How many bytes of entries are in memory at once while they are applied.
const APPLY_BYTES_MAX: u64 = 1024 * 1024;

/// The library's view of the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStorage {
    log: LogFiles,
    writer: Writer,
    vote_file: VoteFile,
    vote: Arc<Mutex<Option<Vote>>>,
    hint: CommitHint,
    stored_hint: Option<LogId>,
}

impl LogStorage {
    /// The vote and the hint in `dir`, beside `log`.
    pub(crate) fn open(
        disk: &Arc<dyn ottla_broker_log::Disk>,
        dir: &Path,
        writer: Writer,
        log: LogFiles,
    ) -> io::Result<LogStorage> {
        let (vote_file, vote) = VoteFile::open(disk.clone(), dir)?;
        let (hint, stored_hint) = CommitHint::open(disk, dir)?;
        Ok(LogStorage { log, writer, vote_file, vote: Arc::new(Mutex::new(vote)), hint, stored_hint })
    }
}

impl RaftLogReader<Types> for LogStorage {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let log = self.log.clone();
        let chunks = futures::stream::unfold(indexes(&range), move |rest| {
            let chunk = if rest.is_empty() { None } else { Some(log.read(rest.clone(), APPLY_BYTES_MAX)) };
            let step = chunk.and_then(|chunk| match chunk {
                Ok(entries) => {
                    let next = entries.last()?.log_id.index + 1;
                    Some((entries.into_iter().map(Ok).collect::<Vec<_>>(), next..rest.end))
                }
                Err(error) => Some((vec![Err(error)], rest.end..rest.end)),
            });
            std::future::ready(step)
        });
        futures::StreamExt::flat_map(chunks, futures::stream::iter)
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.log.read(indexes(&range), u64::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.log.read(start..end, APPEND_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.vote.lock())
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = LogStorage;

    async fn get_log_state(&mut self) -> io::Result<openraft::LogState<Types>> {
        let range = self.log.range();
        Ok(openraft::LogState { last_purged_log_id: range.before, last_log_id: range.last })
    }

    async fn get_log_reader(&mut self) -> LogStorage {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (file, vote) = (self.vote_file.clone(), *vote);
        self.writer.run(move || Ok((file.save(&vote)?, None))).await?;
        *self.vote.lock() = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let hint = self.hint.clone();
        self.writer.submit(move || hint.save(committed.as_ref()), |_| ());
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // The hint may be ahead of what survived a power failure; then it says nothing.
        Ok(self.stored_hint.filter(|hint| self.log.id(hint.index) == Some(*hint)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        self.log.append(entries, move |outcome| callback.io_completed(outcome))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.log.truncate_after(last_log_id).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.log.purge(log_id).await
    }
}

/// The half-open form of any range of positions.
fn indexes(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
