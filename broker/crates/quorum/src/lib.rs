//! The metadata quorum: an ordered, replicated log of batches of metadata records.
//!
//! Owns: agreement on the metadata log (who leads, what is committed), the membership of the quorum, and
//! the files under its directory (`FORMAT.md`). It is the only crate that knows openraft; no type of it
//! leaves. What the records mean is unknown here: a batch is a list of byte strings.
//!
//! I/O: files through [`ottla_broker_log`]'s disk, messages through the shell's [`PeerTransport`]; timers
//! and tasks of tokio. Wall and monotonic time come from the shell's clock.
//!
//! Invariants: a batch is acknowledged only when a majority has it on disk; of each term there is one leader
//! at most; `log_start <= snapshot_end <= committed_end <= log_end`; an offset, once committed, never changes.

mod codec;
mod error;
mod leadership;
mod membership;
mod metadata_log;
mod raft;
mod status;
mod storage;
mod stream;
mod timing;
mod transport;

pub use error::{InitializeError, MembershipError, ProposeError, ReadError, SnapshotError, TransferError};
pub use leadership::{Leadership, Session, Term};
pub use membership::{Initialized, Member, Membership, VoterId};
pub use metadata_log::{MetadataLog, MetadataOffset, Proposal, StopReason};
pub use raft::{Quorum, QuorumOptions, StartError};
pub use status::{QuorumStatus, ReplicaStatus};
pub use storage::{WriteMode, holds_log};
pub use stream::{Committed, CommittedReader, CommittedStream};
pub use timing::{Clock, Timing};
pub use transport::{Peer, PeerTransport, TransportError};

/// The filter directive that keeps the consensus library quiet: it reports each failed attempt to reach a
/// peer, which for a stopped peer means several lines a second; this crate logs what an operator needs.
pub const LOG_DIRECTIVE: &str = "openraft=off";

/// The longest batch that can be proposed, in bytes of records; Kafka's own limit for a metadata batch.
/// Longer ones are refused with [`ProposeError::TooLarge`].
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest payload of one message between voters, in bytes: a batch of the largest size and its framing.
/// The shell's listener may refuse longer ones unread.
pub const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX + 1024 * 1024;

/// The longest snapshot, in bytes: about twice what a million partitions need. Longer ones are refused, so a
/// peer's memory is bounded while it receives one.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;
