//! The interface of the metadata log, as the shell and the simulator see it. No I/O of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use ottla_broker_types::{NodeId, Offset};
use tokio::sync::watch;

use crate::{
    Committed, CommittedStream, InitializeError, Initialized, Leadership, Member, Membership,
    MembershipError, ProposeError, QuorumStatus, ReadError, Session, SnapshotError, TransferError, VoterId,
};

/// The position of a batch in the metadata log: one offset a batch, without gaps.
///
/// Some offsets hold entries of the quorum itself; they are read as batches without records.
pub type MetadataOffset = Offset;

/// A replicated, ordered log of batches of metadata records.
///
/// Every method may be called from any task; none blocks but for reading files, as a rule from the page cache.
pub trait MetadataLog: Send + Sync + 'static {
    /// Enters `records` as one atomic batch and returns at once; batches enter in the order of the calls.
    ///
    /// `session` is that of the [`Leadership`] under which the batch was decided; once that is over the batch is
    /// refused, so decisions on an image that another leader has changed since cannot enter. Within a session
    /// batches are committed in order and without gaps: if one is refused or lost, so are all that entered later.
    ///
    /// An error returned here means that the batch did not enter and changes nothing for others. Of the errors of
    /// the [`Proposal`] only [`ProposeError::NotLeader`] says that the batch is not in the log.
    fn propose(&self, session: Session, records: Vec<Bytes>) -> Result<Proposal, ProposeError>;

    /// Who leads; the present value at once, then each change.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Exclusive end of what is committed and can be read here.
    fn committed_end(&self) -> watch::Receiver<MetadataOffset>;

    /// Follows what is committed, beginning at `from` (inclusive); with an own cursor, without a buffer.
    fn committed(&self, from: MetadataOffset) -> CommittedStream;

    /// Reads committed batches from `from` (inclusive) until `bytes_max` of records, at least one batch if
    /// there is any; empty at the committed end. If the log no longer holds `from`, the answer is the newest
    /// snapshot alone; reading goes on at its end.
    fn read_committed(&self, from: MetadataOffset, bytes_max: usize) -> Result<Vec<Committed>, ReadError>;

    /// Exclusive end of the newest snapshot held here, if there is one.
    fn snapshot_end(&self) -> Option<MetadataOffset>;

    /// Whether the log has grown enough since the last snapshot that the shell should offer another one.
    fn snapshot_due(&self) -> bool;

    /// Hands over a snapshot of the image that has applied every offset below `end`; once it is on disk the
    /// log before it is dropped, but for a tail for peers that are only a little behind.
    fn offer_snapshot(&self, end: MetadataOffset, bytes: Bytes) -> BoxFuture<'_, Result<(), SnapshotError>>;

    /// Forms the first quorum of a cluster that is known not to have been bootstrapped yet, from `voters`
    /// (node and `host:port`), which all nodes are given alike and which contains this one.
    ///
    /// The voter with the lowest id asks all others for their directory ids and whether they hold a log, and
    /// only if all answer and none does it creates the cluster. A node that holds a log does nothing.
    fn initialize(
        &self,
        voters: Vec<(NodeId, String)>,
    ) -> BoxFuture<'_, Result<Initialized, InitializeError>>;

    /// Adds a follower without a vote, or changes the address of a member. Leader only.
    fn add_observer(&self, member: Member) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Adds a voter (KIP-853), through being an observer until it has caught up. Leader only.
    fn add_voter(&self, member: Member) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Removes a voter (KIP-853) or observer; a leader may remove itself and then hands over. Leader only.
    fn remove_voter(&self, id: VoterId) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// The members as this node knows them; changes that are not yet committed included.
    fn membership(&self) -> Membership;

    /// Hands leadership to `to`, or to the best other voter, and waits until somebody else leads.
    fn transfer_leadership(&self, to: Option<NodeId>) -> BoxFuture<'_, Result<(), TransferError>>;

    /// A hint that a connection to `node` broke. If it leads, it is probed, and if its process is gone an
    /// election starts at once instead of after the election timeout.
    fn peer_unreachable(&self, node: NodeId);

    /// What DescribeQuorum tells; complete on the leader only.
    fn status(&self) -> QuorumStatus;

    /// Answers a message that a peer sent through its [`PeerTransport`](crate::PeerTransport); malformed and
    /// misdirected ones get an answer that says so. Never panics on what was sent.
    fn handle_message(&self, kind: i8, payload: Bytes) -> BoxFuture<'_, Bytes>;

    /// Resolves when the log has stopped; then nothing but reading works any more.
    fn stopped(&self) -> BoxFuture<'static, StopReason>;

    /// Stops taking part and waits until everything accepted is on disk.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// Why a metadata log stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// [`MetadataLog::shutdown`] was called.
    Shutdown,
    /// Its disk failed or contradicts itself; the process must not go on under this identity.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// A batch on its way; resolves to its offset once it is committed and can be read here.
///
/// Dropping it does not take the batch back.
pub struct Proposal(BoxFuture<'static, Result<MetadataOffset, ProposeError>>);

impl Proposal {
    /// Wraps the future that resolves with the batch.
    pub fn new(
        outcome: impl Future<Output = Result<MetadataOffset, ProposeError>> + Send + 'static,
    ) -> Proposal {
        Proposal(Box::pin(outcome))
    }
}

impl Future for Proposal {
    type Output = Result<MetadataOffset, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}
