//! Gives the library what it calls the state machine: the mark of what is applied, and the snapshot file.
//!
//! I/O: the snapshot, through the writer.

use std::io;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};

use super::applied::{Applied, Offered};
use super::types::{LogId, Snapshot, SnapshotMeta, Stored, Types};
use crate::SnapshotError;
use crate::storage::{SnapshotFile, StoredSnapshot, Writer};

/// The library's view of what is applied.
pub(crate) struct StateMachine {
    applied: Applied,
    store: SnapshotStore,
}

/// The snapshot file and the order in which it is written.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    pub(crate) applied: Applied,
    pub(crate) file: SnapshotFile,
    pub(crate) writer: Writer,
}

/// Writes a snapshot that the shell handed over.
pub(crate) struct Builder {
    offered: Option<Offered>,
    store: SnapshotStore,
}

impl StateMachine {
    pub(crate) fn new(store: SnapshotStore) -> StateMachine {
        StateMachine { applied: store.applied.clone(), store }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Stored)> {
        Ok(self.applied.last())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.applied.apply(&entry);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let offered = self.applied.take_offered();
        (force || offered.is_some()).then(|| Builder { offered, store: self.store.clone() })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { offered: self.applied.take_offered(), store: self.store.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        self.store.save(StoredSnapshot { meta: meta.clone(), bytes }).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.store.load().await
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let Some(offered) = self.offered.take() else {
            let none = || io::Error::other("the log was cut though no snapshot was ever taken");
            return self.store.load().await?.ok_or_else(none);
        };
        let StoredSnapshot { meta, bytes } = offered.snapshot.clone();
        let outcome = self.store.save(offered.snapshot).await;
        let told = match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(SnapshotError::Storage { reason: error.to_string() }),
        };
        // Whoever offered it may have given up.
        let _ = offered.done.send(told);
        outcome.map(|()| Snapshot { meta, snapshot: bytes })
    }
}

impl SnapshotStore {
    /// Replaces the snapshot unless the one on disk covers more already.
    async fn save(&self, snapshot: StoredSnapshot) -> io::Result<()> {
        let (applied, file) = (self.applied.clone(), self.file.clone());
        let work = move || {
            let newest = applied.snapshot().and_then(|meta| meta.last_log_id);
            if newest < snapshot.meta.last_log_id {
                file.save(&snapshot)?;
                applied.snapshot_saved(&snapshot.meta, snapshot.bytes.len() as u64);
            }
            Ok(((), None))
        };
        self.writer.run(work).await
    }

    async fn load(&self) -> io::Result<Option<Snapshot>> {
        if self.applied.snapshot().is_none() {
            return Ok(None);
        }
        let file = self.file.clone();
        let stored = self.writer.run(move || Ok((file.load()?, None))).await?;
        Ok(stored.map(|stored| Snapshot { meta: stored.meta, snapshot: stored.bytes }))
    }
}
