//! One node of the quorum: puts the parts together and is the [`MetadataLog`].
//!
//! I/O: opens the files at start; else through its parts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::{RaftMetrics, SnapshotPolicy};
use openraft_rt_tokio::TokioWatchReceiver;
use ottla_broker_log::Disk;
use ottla_broker_types::NodeId;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::applied::{Applied, offset};
use super::dial::Dial;
use super::driver::{Board, Driver, Leading, Queued};
use super::failover::Failover;
use super::log_storage::LogStorage;
use super::members::Members;
use super::observe::Observer;
use super::receive::Receiver;
use super::state_machine::{SnapshotStore, StateMachine};
use super::types::{Batch, Reply, Types};
use crate::storage::{LogFiles, SnapshotFile, WriteMode, Writer, make_dir};
use crate::{
    BATCH_BYTES_MAX, Clock, Committed, CommittedStream, InitializeError, Initialized, Leadership, Member,
    Membership, MembershipError, MetadataLog, MetadataOffset, PeerTransport, Proposal, ProposeError,
    QuorumStatus, ReadError, SNAPSHOT_BYTES_MAX, Session, SnapshotError, StopReason, Timing, TransferError,
    VoterId,
};

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;
pub(crate) type Metrics = RaftMetrics<Types>;
pub(crate) type MetricsWatch = TokioWatchReceiver<Metrics>;

/// How many batches wait for the driver; a controller that is further ahead than this hears `Overloaded`.
const PROPOSALS_QUEUED_MAX: usize = 4096;
/// How many bytes of batches are proposed and not yet committed: some batches of the largest size, and little
/// beside a broker's memory. A controller that is further ahead hears `Overloaded`.
const PROPOSED_BYTES_MAX: u32 = 4 * BATCH_BYTES_MAX as u32;
/// How long a proposer waits for a majority: longer than any election, shorter than a client's patience.
const PROPOSE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
/// How many entries before a snapshot stay in the log, for peers that are only a little behind: sending them is
/// cheaper than a snapshot.
const KEPT_ENTRIES: u64 = 1024;
/// How many entries may be dropped before the files are touched.
const PURGE_ENTRIES: u64 = 256;
/// How many entries go into one message at most; its bytes are bounded too.
const APPEND_ENTRIES_MAX: u64 = 1024;
/// Messages that wait for the library's task; it takes them as they come, so this is never reached in health,
/// and senders wait when it is.
const LIBRARY_QUEUE: u64 = 1024;
/// Waits between attempts to reach a peer: the first soon, since a restarted process is back within a second.
const BACKOFF: &str = "25ms 50ms 100ms ...500ms";
/// How long a snapshot may take to be written.
const SNAPSHOT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// What a node of the quorum is made of.
pub struct QuorumOptions {
    /// Its identity; another one for every formatted directory.
    pub id: VoterId,
    /// The folder of its files; made if it is missing.
    pub dir: PathBuf,
    /// The disk that holds it.
    pub disk: Arc<dyn Disk>,
    /// The way to the peers.
    pub transport: Arc<dyn PeerTransport>,
    /// The shell's clock.
    pub clock: Clock,
    /// How fast a silent leader is replaced.
    pub timing: Timing,
    /// Where files are written from.
    pub write_mode: WriteMode,
    /// A snapshot is due once the log has grown by so many bytes, and by no less than the last snapshot's own size so
    /// that a large image is not written over and over: it bounds the replay at start.
    pub snapshot_log_bytes: u64,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its files cannot be read or written, or are damaged.
    #[error("open the metadata log in {dir}")]
    Storage {
        /// The folder.
        dir: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Its files contradict each other.
    #[error("the metadata log in {dir} is inconsistent: {reason}")]
    Inconsistent {
        /// The folder.
        dir: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// The metadata log by openraft; clones are handles to the same node.
#[derive(Clone)]
pub struct Quorum {
    inner: Arc<Inner>,
}

struct Inner {
    me: VoterId,
    raft: Raft,
    applied: Applied,
    members: Members,
    receiver: Receiver,
    failover: Failover,
    observer: Observer,
    board: Arc<Board>,
    queue: mpsc::Sender<Queued>,
    proposed: Arc<Semaphore>,
    /// Whether a hint about a dead peer is being looked at; others are dropped meanwhile.
    probing: AtomicBool,
    writer: Writer,
    snapshot_log_bytes: u64,
}

impl Quorum {
    /// Opens the files in `options.dir` and takes part: a node that was a member goes on as one, a new one waits
    /// to be told. Must be called within a tokio runtime.
    pub async fn start(options: QuorumOptions) -> Result<Quorum, StartError> {
        let QuorumOptions { id, dir, disk, transport, clock, timing, write_mode, snapshot_log_bytes } =
            options;
        let storage = |source| StartError::Storage { dir: dir.clone(), source };
        make_dir(&*disk, &dir).map_err(storage)?;
        let writer = Writer::start(write_mode).map_err(storage)?;
        let log = LogFiles::open(disk.clone(), &dir, writer.clone()).map_err(storage)?;
        let log_storage = LogStorage::open(&disk, &dir, writer.clone(), log.clone()).map_err(storage)?;
        let file = SnapshotFile::new(disk, &dir);
        let snapshot = file.load().map_err(storage)?;
        let applied = Applied::new(log, file.clone(), snapshot);
        let store = SnapshotStore { applied: applied.clone(), file, writer: writer.clone() };
        let dial = Dial { me: id, transport };
        let config =
            library_config(timing).map_err(|reason| StartError::Inconsistent { dir: dir.clone(), reason })?;
        let raft = Raft::new(id, config, dial.clone(), log_storage, StateMachine::new(store))
            .await
            .map_err(|fatal| StartError::Inconsistent { dir: dir.clone(), reason: fatal.to_string() })?;

        let (queue, queued) = mpsc::channel(PROPOSALS_QUEUED_MAX);
        let leadership = watch::Sender::new(Leadership::default());
        let board = Arc::new(Board { leadership, stopped: watch::Sender::new(None) });
        let members = Members { me: id, raft: raft.clone(), dial: dial.clone() };
        let observer = Observer::new(id, raft.clone(), applied.clone(), board.clone(), clock);
        let driver = Driver {
            me: id,
            metrics: raft.metrics(),
            raft: raft.clone(),
            timing,
            applied: applied.clone(),
            queue: queued,
            board: board.clone(),
            members: members.clone(),
            observer: observer.clone(),
            leading: Leading::No,
            sessions: 0,
        };
        tokio::spawn(driver.run());
        let failover = Failover { me: id, raft: raft.clone(), dial, board: board.clone() };
        failover.elect_if_alone().await;
        let inner = Inner {
            me: id,
            receiver: Receiver::new(id, raft.clone()),
            raft,
            applied,
            members,
            failover,
            observer,
            board,
            queue,
            proposed: Arc::new(Semaphore::new(PROPOSED_BYTES_MAX as usize)),
            probing: AtomicBool::new(false),
            writer,
            snapshot_log_bytes,
        };
        Ok(Quorum { inner: Arc::new(inner) })
    }
}

impl MetadataLog for Quorum {
    fn propose(&self, session: Session, records: Vec<Bytes>) -> Result<Proposal, ProposeError> {
        let inner = &self.inner;
        let leadership = *inner.board.leadership.borrow();
        if inner.board.stopped.borrow().is_some() {
            return Err(ProposeError::Stopped);
        }
        if !leadership.is_self || leadership.session != session {
            return Err(ProposeError::NotLeader { leader: leadership.leader });
        }
        let bytes = records.iter().map(|record| record.len() + 4).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes });
        }
        // Each costs at least its bookkeeping.
        let cost = (bytes as u32).max(64);
        let share = Semaphore::try_acquire_many_owned(inner.proposed.clone(), cost);
        let share = share.map_err(|_| ProposeError::Overloaded)?;
        let (tx, rx) = oneshot::channel();
        let queued = Queued { session, batch: Batch::new(&records), reply: Reply { tx, share } };
        inner.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        Ok(Proposal::new(outcome(rx)))
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.board.leadership.subscribe()
    }

    fn committed_end(&self) -> watch::Receiver<MetadataOffset> {
        self.inner.applied.end()
    }

    fn committed(&self, from: MetadataOffset) -> CommittedStream {
        let applied = self.inner.applied.clone();
        CommittedStream::new(
            from,
            applied.end(),
            Arc::new(move |from, bytes_max| applied.read(from, bytes_max)),
        )
    }

    fn read_committed(&self, from: MetadataOffset, bytes_max: usize) -> Result<Vec<Committed>, ReadError> {
        self.inner.applied.read(from, bytes_max)
    }

    fn snapshot_end(&self) -> Option<MetadataOffset> {
        self.inner.applied.snapshot_end()
    }

    fn snapshot_due(&self) -> bool {
        let applied = &self.inner.applied;
        applied.bytes_since_snapshot() >= self.inner.snapshot_log_bytes.max(applied.snapshot_bytes())
    }

    fn offer_snapshot(&self, end: MetadataOffset, bytes: Bytes) -> BoxFuture<'_, Result<(), SnapshotError>> {
        async move {
            if bytes.len() > SNAPSHOT_BYTES_MAX {
                return Err(SnapshotError::TooLarge { bytes: bytes.len() });
            }
            let done = self.inner.applied.offer(end, bytes)?;
            self.inner.raft.trigger().snapshot().await.map_err(|_| SnapshotError::Stopped)?;
            match tokio::time::timeout(SNAPSHOT_DEADLINE, done).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(SnapshotError::Stopped),
                Err(_) => Err(SnapshotError::Busy),
            }
        }
        .boxed()
    }

    fn initialize(
        &self,
        voters: Vec<(NodeId, String)>,
    ) -> BoxFuture<'_, Result<Initialized, InitializeError>> {
        self.inner.members.initialize(voters).boxed()
    }

    fn add_observer(&self, member: Member) -> BoxFuture<'_, Result<(), MembershipError>> {
        self.inner.members.add_observer(member).boxed()
    }

    fn add_voter(&self, member: Member) -> BoxFuture<'_, Result<(), MembershipError>> {
        self.inner.members.add_voter(member).boxed()
    }

    fn remove_voter(&self, id: VoterId) -> BoxFuture<'_, Result<(), MembershipError>> {
        self.inner.members.remove_voter(id).boxed()
    }

    fn membership(&self) -> Membership {
        self.inner.observer.membership()
    }

    fn transfer_leadership(&self, to: Option<NodeId>) -> BoxFuture<'_, Result<(), TransferError>> {
        self.inner.failover.transfer(to).boxed()
    }

    fn peer_unreachable(&self, node: NodeId) {
        let inner = self.inner.clone();
        if node == inner.me.node || inner.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        tokio::spawn(async move {
            inner.failover.probe(node).await;
            inner.probing.store(false, Ordering::Release);
        });
    }

    fn status(&self) -> QuorumStatus {
        self.inner.observer.status()
    }

    fn handle_message(&self, kind: i8, payload: Bytes) -> BoxFuture<'_, Bytes> {
        self.inner.receiver.handle(kind, payload).boxed()
    }

    fn stopped(&self) -> BoxFuture<'static, StopReason> {
        let mut stopped = self.inner.board.stopped.subscribe();
        async move {
            let reason = stopped.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            reason.unwrap_or(StopReason::Shutdown)
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async move {
            // Only a task that panicked reports an error, and it has said so already.
            drop(self.inner.raft.shutdown().await);
            self.stopped().await;
            // What was accepted before is on disk when this turn has come, or never will be.
            drop(self.inner.writer.run(|| Ok(((), None))).await);
        }
        .boxed()
    }
}

/// Waits for what comes of a proposal.
async fn outcome(rx: oneshot::Receiver<ClientWriteResult<Types>>) -> Result<MetadataOffset, ProposeError> {
    let result = match tokio::time::timeout(PROPOSE_DEADLINE, rx).await {
        Err(_) => return Err(ProposeError::TimedOut),
        Ok(Err(_)) => return Err(ProposeError::Stopped),
        Ok(Ok(result)) => result,
    };
    match result {
        Ok(response) => Ok(offset(response.log_id.index)),
        Err(ClientWriteError::ForwardToLeader(forward)) => {
            Err(ProposeError::NotLeader { leader: forward.leader_id.map(|id| id.node) })
        }
        Err(ClientWriteError::LogEntryDiscarded(forward)) => {
            Err(ProposeError::LeadershipLost { leader: forward.leader_id.map(|id| id.node) })
        }
        Err(ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)) => {
            Err(ProposeError::LeadershipLost { leader: None })
        }
    }
}

fn library_config(timing: Timing) -> Result<Arc<openraft::Config>, String> {
    let config = openraft::Config {
        cluster_name: "ottla".to_owned(),
        election_timeout_min: timing.election_min.0,
        election_timeout_max: timing.election_max.0,
        heartbeat_interval: timing.heartbeat.0,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: KEPT_ENTRIES,
        purge_batch_size: PURGE_ENTRIES,
        api_channel_size: Some(LIBRARY_QUEUE),
        notification_channel_size: Some(LIBRARY_QUEUE),
        state_machine_channel_size: Some(LIBRARY_QUEUE),
        backoff: BACKOFF.to_owned(),
        enable_pre_vote: Some(true),
        // A restarted leader is elected again, so its term tells its lives apart.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| error.to_string())
}
