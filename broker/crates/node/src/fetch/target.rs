//! What a fetcher asks for.

use std::cmp::Ordering;
use std::sync::Arc;

use ottla_broker_types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};

/// How a request names a topic: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// Version 13 and later.
    Id(TopicId),
    /// Up to version 12.
    Name(TopicName),
    /// Up to version 12, as sent: no topic can have the name, so none of it exists.
    Unnamable(Unnamable),
}

/// A name that no topic can have. It may be long, and the partitions of one request share it.
#[derive(Clone, Debug, Eq)]
pub struct Unnamable(pub Arc<str>);

impl PartialEq for Unnamable {
    fn eq(&self, other: &Unnamable) -> bool {
        self.cmp(other).is_eq()
    }
}

impl PartialOrd for Unnamable {
    fn partial_cmp(&self, other: &Unnamable) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Unnamable {
    fn cmp(&self, other: &Unnamable) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

/// One partition as a fetcher asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    /// As the request names it: by id, or by name before version 13.
    pub topic: TopicRef,
    /// The partition within it.
    pub partition: PartitionIndex,
    /// First offset wanted; as sent, since a negative one must be answered with an error.
    pub fetch_offset: i64,
    /// The leader epoch that the fetcher knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record that a follower has.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The follower's log start.
    pub log_start: Option<Offset>,
    /// Upper bound for this partition's records, in bytes.
    pub bytes_max: i32,
}

/// How a fetcher stands with a partition. The order is the one in which they are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Producers may wait for it: a replica in sync. Consumers have no other standing.
    #[default]
    InSync,
    /// A replica that is not in sync: nobody waits for it.
    CatchingUp,
}
