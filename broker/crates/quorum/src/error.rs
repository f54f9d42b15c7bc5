//! Errors, one enum per operation, with a variant where a caller acts differently. No I/O.

use ottla_broker_types::NodeId;

use crate::MetadataOffset;

/// Why a batch was not, or perhaps not, committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead, or the session that was given is over; the batch is not in the log.
    #[error("not the leader of the metadata quorum")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// Leadership was lost after the batch was accepted: it may still be committed by the next leader.
    #[error("leadership was lost while the batch was being committed; it may or may not survive")]
    LeadershipLost {
        /// Who leads now, as far as is known.
        leader: Option<NodeId>,
    },
    /// No majority confirmed it in time; it may still be committed.
    #[error("no majority confirmed the batch in time; it may or may not survive")]
    TimedOut,
    /// The batch is longer than [`BATCH_BYTES_MAX`](crate::BATCH_BYTES_MAX); it is not in the log.
    #[error("a metadata batch of {bytes} bytes is refused: at most {max} are allowed", max = crate::BATCH_BYTES_MAX)]
    TooLarge {
        /// Length of what was given, in bytes of records.
        bytes: usize,
    },
    /// Too many batches wait already; this one is not in the log. Try again when earlier ones are done.
    #[error("too many metadata batches are waiting to be committed")]
    Overloaded,
    /// The log has stopped, by request or because its disk failed; an accepted batch may survive.
    #[error("the metadata log has stopped")]
    Stopped,
}

/// Why committed batches cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The reader is ahead of what is committed here: it followed a leader that this node has yet to hear.
    #[error("offset {from} is beyond the committed end {committed_end}")]
    BeyondEnd {
        /// The offset asked for.
        from: MetadataOffset,
        /// The first offset that is not committed here.
        committed_end: MetadataOffset,
    },
    /// The disk failed or holds something else than was written.
    #[error("cannot read the metadata log: {reason}")]
    Storage {
        /// What the disk said.
        reason: String,
    },
}

/// Why a snapshot was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Nothing committed ends there, or a newer snapshot exists.
    #[error(
        "a snapshot that ends at {end} is of no use: it must lie after {start} and not after {committed_end}"
    )]
    OutOfRange {
        /// The end that was offered.
        end: MetadataOffset,
        /// The end of the newest snapshot, or zero.
        start: MetadataOffset,
        /// The first offset that is not committed here.
        committed_end: MetadataOffset,
    },
    /// The snapshot is longer than can be sent to a peer.
    #[error("a snapshot of {bytes} bytes is refused: at most {max} are allowed", max = crate::SNAPSHOT_BYTES_MAX)]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Another snapshot is being written; offer again later.
    #[error("another snapshot is being written")]
    Busy,
    /// The disk failed; the log stops.
    #[error("cannot write the metadata snapshot: {reason}")]
    Storage {
        /// What the disk said.
        reason: String,
    },
    /// The log has stopped.
    #[error("the metadata log has stopped")]
    Stopped,
}

/// Why the first quorum was not formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitializeError {
    /// This node is not among the voters that were given.
    #[error("node {node} is not among the initial voters")]
    NotAVoter {
        /// Whose id the list lacks.
        node: NodeId,
    },
    /// Some voters did not answer in time, so it is not known whether a cluster exists; try again.
    #[error("initial voters did not answer: {silent:?}")]
    Unreachable {
        /// Those that did not answer.
        silent: Vec<NodeId>,
    },
    /// The log has stopped.
    #[error("the metadata log has stopped")]
    Stopped,
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader changes the membership.
    #[error("not the leader of the metadata quorum")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// Another change is under way, or the leader is too new to make one; try again.
    #[error("another change of the metadata quorum is under way")]
    InProgress,
    /// Another directory of the same node is a voter: remove that one first.
    #[error("node {node} votes under another directory id: remove that voter first")]
    DuplicateVoter {
        /// The node that would have two votes.
        node: NodeId,
    },
    /// The member is not known.
    #[error("no such member of the metadata quorum")]
    UnknownMember,
    /// The last voter cannot go.
    #[error("the last voter of the metadata quorum cannot be removed")]
    LastVoter,
    /// No majority confirmed it in time; it may still happen.
    #[error("no majority confirmed the change in time; it may or may not happen")]
    TimedOut,
    /// The log has stopped.
    #[error("the metadata log has stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("not the leader of the metadata quorum")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// There is no such voter, or no other voter at all.
    #[error("there is no other voter to lead the metadata quorum")]
    NoCandidate,
    /// Nobody took over in time; this node may still lead.
    #[error("no other voter took over in time")]
    TimedOut,
    /// The log has stopped.
    #[error("the metadata log has stopped")]
    Stopped,
}
