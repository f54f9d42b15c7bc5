//! How far the log is applied, who was a member where, and reading what is committed.
//!
//! Applying an entry makes it readable; what its records mean is the shell's business. I/O: reading `storage`.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::types::{Entry, LogId, Payload, SnapshotMeta, Stored, term_of};
use crate::storage::{LogFiles, SnapshotFile, StoredSnapshot};
use crate::{Committed, MetadataOffset, ReadError, SnapshotError, Term};

/// A snapshot that the shell handed over and the library has not asked for yet.
pub(crate) struct Offered {
    pub(crate) snapshot: StoredSnapshot,
    pub(crate) done: oneshot::Sender<Result<(), SnapshotError>>,
}

struct State {
    last: Option<LogId>,
    /// The memberships since the snapshot, oldest first; never empty.
    memberships: Vec<Stored>,
    snapshot: Option<SnapshotMeta>,
    snapshot_bytes: u64,
    offered: Option<Offered>,
}

/// What is applied; clones share it.
#[derive(Clone)]
pub(crate) struct Applied {
    log: LogFiles,
    snapshots: SnapshotFile,
    state: Arc<Mutex<State>>,
    end: watch::Receiver<MetadataOffset>,
    end_tx: Arc<Mutex<Option<watch::Sender<MetadataOffset>>>>,
}

impl Applied {
    /// Begins at the snapshot that is on disk.
    pub(crate) fn new(log: LogFiles, snapshots: SnapshotFile, stored: Option<StoredSnapshot>) -> Applied {
        let snapshot_bytes = stored.as_ref().map_or(0, |stored| stored.bytes.len() as u64);
        let snapshot = stored.map(|stored| stored.meta);
        let last = snapshot.as_ref().and_then(|meta| meta.last_log_id);
        let membership = snapshot.as_ref().map(|meta| meta.last_membership.clone()).unwrap_or_default();
        let state = State { last, memberships: vec![membership], snapshot, snapshot_bytes, offered: None };
        let (end_tx, end) = watch::channel(end_of(last.as_ref()));
        let (state, end_tx) = (Arc::new(Mutex::new(state)), Arc::new(Mutex::new(Some(end_tx))));
        Applied { log, snapshots, state, end, end_tx }
    }

    /// Exclusive end of what can be read.
    pub(crate) fn end(&self) -> watch::Receiver<MetadataOffset> {
        self.end.clone()
    }

    /// Ends all streams; nothing more is applied.
    pub(crate) fn close(&self) {
        self.end_tx.lock().take();
    }

    fn publish(&self, end: MetadataOffset) {
        if let Some(tx) = &*self.end_tx.lock() {
            tx.send_if_modified(|published| {
                let grew = end > *published;
                *published = end.max(*published);
                grew
            });
        }
    }

    /// The last applied entry and the membership there.
    pub(crate) fn last(&self) -> (Option<LogId>, Stored) {
        let state = self.state.lock();
        (state.last, state.memberships.last().cloned().unwrap_or_default())
    }

    /// Takes note of one more committed entry.
    pub(crate) fn apply(&self, entry: &Entry) {
        {
            let mut state = self.state.lock();
            state.last = Some(entry.log_id);
            if let Payload::Membership(membership) = &entry.payload {
                state.memberships.push(Stored::new(Some(entry.log_id), membership.clone()));
            }
        }
        self.publish(end_of(Some(&entry.log_id)));
    }

    /// Takes note that the snapshot on disk is now this one; what it covers counts as applied.
    pub(crate) fn snapshot_saved(&self, meta: &SnapshotMeta, bytes: u64) {
        let end = {
            let mut state = self.state.lock();
            if state.last < meta.last_log_id {
                state.last = meta.last_log_id;
                state.memberships = vec![meta.last_membership.clone()];
            } else {
                let current = *meta.last_membership.log_id();
                state.memberships.retain(|stored| *stored.log_id() >= current);
            }
            state.snapshot = Some(meta.clone());
            state.snapshot_bytes = bytes;
            end_of(state.last.as_ref())
        };
        self.publish(end);
    }

    /// What the snapshot on disk covers.
    pub(crate) fn snapshot(&self) -> Option<SnapshotMeta> {
        self.state.lock().snapshot.clone()
    }

    /// Exclusive end of the snapshot on disk.
    pub(crate) fn snapshot_end(&self) -> Option<MetadataOffset> {
        self.snapshot().map(|meta| end_of(meta.last_log_id.as_ref()))
    }

    /// Length of the snapshot on disk.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.state.lock().snapshot_bytes
    }

    /// Takes a snapshot of the shell's image until the library asks for it.
    pub(crate) fn offer(
        &self,
        end: MetadataOffset,
        bytes: Bytes,
    ) -> Result<oneshot::Receiver<Result<(), SnapshotError>>, SnapshotError> {
        let mut state = self.state.lock();
        let start = end_of(state.snapshot.as_ref().and_then(|meta| meta.last_log_id.as_ref()));
        let committed_end = end_of(state.last.as_ref());
        let out_of_range = SnapshotError::OutOfRange { end, start, committed_end };
        if end <= start || end > committed_end {
            return Err(out_of_range);
        }
        if state.offered.as_ref().is_some_and(|offered| !offered.done.is_closed()) {
            return Err(SnapshotError::Busy);
        }
        let last_log_id = self.log.id(end.get() as u64 - 1).ok_or(out_of_range)?;
        let membership = state.memberships.iter().rfind(|stored| *stored.log_id() <= Some(last_log_id));
        let last_membership = membership.cloned().unwrap_or_default();
        let meta = SnapshotMeta { last_log_id: Some(last_log_id), last_membership };
        let (done, outcome) = oneshot::channel();
        state.offered = Some(Offered { snapshot: StoredSnapshot { meta, bytes }, done });
        Ok(outcome)
    }

    /// Gives out the snapshot that was offered, once.
    pub(crate) fn take_offered(&self) -> Option<Offered> {
        self.state.lock().offered.take()
    }

    /// Count of bytes of the log since the snapshot.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        let end = self.snapshot().and_then(|meta| meta.last_log_id).map_or(0, |id| id.index + 1);
        self.log.bytes_from(end)
    }

    /// See [`read_committed`](crate::MetadataLog::read_committed).
    pub(crate) fn read(&self, from: MetadataOffset, bytes_max: usize) -> Result<Vec<Committed>, ReadError> {
        let committed_end = *self.end.borrow();
        if from > committed_end {
            return Err(ReadError::BeyondEnd { from, committed_end });
        }
        if from == committed_end {
            return Ok(Vec::new());
        }
        let range = from.get() as u64..committed_end.get() as u64;
        let entries = self.log.read(range.clone(), bytes_max as u64).map_err(storage)?;
        if entries.first().is_some_and(|entry| entry.log_id.index == range.start) {
            return entries.iter().map(committed).collect();
        }
        let snapshot = self.snapshots.load().map_err(storage)?;
        let snapshot = snapshot.filter(|snapshot| end_of(snapshot.meta.last_log_id.as_ref()) > from);
        let snapshot = snapshot.ok_or_else(|| ReadError::Storage {
            reason: format!("neither the log nor the snapshot holds offset {from}"),
        })?;
        let end = end_of(snapshot.meta.last_log_id.as_ref());
        Ok(vec![Committed::Snapshot { end, bytes: snapshot.bytes }])
    }
}

/// The offset after `id`.
pub(crate) fn end_of(id: Option<&LogId>) -> MetadataOffset {
    id.map_or(MetadataOffset::ZERO, |id| offset(id.index).next())
}

/// The position of an entry as the outside counts.
pub(crate) fn offset(index: u64) -> MetadataOffset {
    MetadataOffset::clamped(i64::try_from(index).unwrap_or(i64::MAX))
}

fn committed(entry: &Entry) -> Result<Committed, ReadError> {
    let records = match &entry.payload {
        Payload::Normal(batch) => {
            batch.records().map_err(|error| ReadError::Storage { reason: error.to_string() })?
        }
        Payload::Blank | Payload::Membership(_) => Vec::new(),
    };
    let term: Term = term_of(&entry.log_id);
    Ok(Committed::Batch { offset: offset(entry.log_id.index), term, records })
}

fn storage(error: std::io::Error) -> ReadError {
    ReadError::Storage { reason: error.to_string() }
}
