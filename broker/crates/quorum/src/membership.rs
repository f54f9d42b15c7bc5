//! Who takes part in the metadata quorum. No I/O.

use std::fmt;

use ottla_broker_types::{DirectoryId, NodeId};

/// The identity under which a node votes: an emptied disk has another directory id, so it never votes, nor
/// counts as holding what it lost, under the old identity (KIP-853).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterId {
    /// `node.id`, which survives an emptied disk; the directory does not.
    pub node: NodeId,
    /// The directory that holds the node's copy of the metadata log.
    pub directory: DirectoryId,
}

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.directory)
    }
}

/// One member: voter or observer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its identity.
    pub id: VoterId,
    /// `host:port` of its internal listener.
    pub address: String,
}

/// The members of the quorum, each list in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those whose majority decides; while voters are being changed, those of the old and the new set.
    pub voters: Vec<Member>,
    /// Those that follow the log without a vote.
    pub observers: Vec<Member>,
}

/// What came of the wish to form the first quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialized {
    /// This node wrote the first entry of the cluster's log.
    Created,
    /// This node already holds a log; nothing was done.
    AlreadyMember,
    /// The initial voter with the lowest id does it; this one waits for its messages.
    LeftTo {
        /// The node that forms the quorum.
        node: NodeId,
    },
    /// A voter says that a cluster exists: this node stays an observer until it is added as a voter.
    ClusterExists {
        /// The node that said so.
        witness: NodeId,
    },
}
