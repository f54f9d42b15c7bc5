//! Ids and epochs.

use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            /// Kafka's negative markers become `None`.
            pub const fn from_wire(value: $raw) -> Option<Self> {
                if value < 0 { None } else { Some(Self(value)) }
            }

            /// The raw wire value.
            pub const fn get(self) -> $raw {
                self.0
            }

            /// The value after this one, saturating.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The id of a broker or controller (`node.id`).
    NodeId(i32)
}
number! {
    /// The index of a partition within its topic, from zero.
    PartitionIndex(i32)
}
number! {
    /// Counts the leaders that a partition has had; each change of leader adds one.
    LeaderEpoch(i32)
}
number! {
    /// Counts the changes of a partition's record in the metadata log.
    PartitionEpoch(i32)
}
number! {
    /// The metadata offset at which a broker's present registration was made.
    BrokerEpoch(i64)
}
number! {
    /// The id of an idempotent producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// Fences older incarnations of a producer (KIP-98).
    ProducerEpoch(i16)
}
number! {
    /// The number of a producer's record within a partition; it wraps after `i32::MAX`.
    Sequence(i32)
}

impl Sequence {
    /// This sequence moved on by `count` records; 2^31-1 is followed by 0.
    pub const fn wrapping_plus(self, count: i32) -> Sequence {
        Sequence(((self.0 as i64 + count as i64) & 0x7fff_ffff) as i32)
    }
}

/// A topic's name: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a text is no topic name, in words that say what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// Nothing was given.
    #[error("a topic name needs at least one character")]
    Empty,
    /// `.` and `..` would be folders.
    #[error("a topic cannot be named \".\" or \"..\"")]
    Dots,
    /// Kafka's limit keeps `<topic>-<partition>` within a file name.
    #[error("the topic name has {len} characters: at most {max} are allowed", max = TopicName::LEN_MAX)]
    TooLong {
        /// Length of what was given.
        len: usize,
    },
    /// A character outside the allowed set.
    #[error("the topic name contains {found:?}: use letters, digits, '.', '_' and '-' only")]
    Character {
        /// The first offending character.
        found: char,
    },
    /// The name of the metadata log: its folder lies among those of the partitions.
    #[error("the name {name} is taken by the cluster's own metadata log: choose another one", name = TopicName::METADATA_LOG)]
    Reserved,
}

impl TopicName {
    /// Kafka's limit in characters.
    pub const LEN_MAX: usize = 249;
    /// The name under which the quorum keeps its log; no topic can have it.
    pub const METADATA_LOG: &str = "__cluster_metadata";

    /// Checks Kafka's rules for names, and that the name is not [`TopicName::METADATA_LOG`].
    pub fn new(name: &str) -> Result<TopicName, InvalidTopicName> {
        if name == Self::METADATA_LOG {
            return Err(InvalidTopicName::Reserved);
        }
        TopicName::stored(name)
    }

    /// A name in a record or file that must be read whatever it says: earlier releases let clients create a topic
    /// named as the metadata log. Whoever acts on it asks [`TopicName::is_metadata_log`].
    pub fn stored(name: &str) -> Result<TopicName, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Dots);
        }
        if let Some(found) =
            name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return Err(InvalidTopicName::Character { found });
        }
        if name.len() > Self::LEN_MAX {
            return Err(InvalidTopicName::TooLong { len: name.len() });
        }
        Ok(TopicName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of the metadata log, which is no topic.
    pub fn is_metadata_log(&self) -> bool {
        &*self.0 == Self::METADATA_LOG
    }

    /// Whether the topic is one of Kafka's own, which the coordinators write and clients only read.
    pub fn is_internal(&self) -> bool {
        matches!(&*self.0, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
    }

    /// The name with `.` as `_`: Kafka's metrics confuse the two, so names equal in this form collide.
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A partition by its topic's name, as clients and folders name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// By name: a topic made anew under it is told apart by its id only.
    pub topic: TopicName,
    /// The partition within it.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rules() {
        assert!(TopicName::new("a.b_c-9").is_ok());
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert_eq!(TopicName::new(".."), Err(InvalidTopicName::Dots));
        assert_eq!(TopicName::new("a b"), Err(InvalidTopicName::Character { found: ' ' }));
        assert_eq!(TopicName::new(&"x".repeat(250)), Err(InvalidTopicName::TooLong { len: 250 }));
    }

    #[test]
    fn no_topic_is_named_as_the_metadata_log_but_old_records_with_that_name_are_read() {
        assert_eq!(TopicName::new("__cluster_metadata"), Err(InvalidTopicName::Reserved));
        assert!(TopicName::stored("__cluster_metadata").unwrap().is_metadata_log());
        assert_eq!(TopicName::stored(".."), Err(InvalidTopicName::Dots));
        for name in ["__consumer_offsets", "__transaction_state", "__share_group_state"] {
            assert!(TopicName::new(name).unwrap().is_internal(), "{name}");
        }
        assert!(!TopicName::new("consumer_offsets").unwrap().is_internal());
    }

    #[test]
    fn the_sequence_after_the_largest_is_zero() {
        assert_eq!(Sequence(i32::MAX).wrapping_plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).wrapping_plus(3), Sequence(1));
    }
}
