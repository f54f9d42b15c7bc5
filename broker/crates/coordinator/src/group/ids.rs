//! Names of groups, members and static members, and the count of a group's rebalances. No I/O.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id of a text; `None` if it is empty, which is how the wire says "none".
            pub fn new(text: &str) -> Option<Self> {
                (!text.is_empty()).then(|| Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// The name of a group. Only offsets may belong to a group without one, as in Kafka.
    GroupId
}

impl GroupId {
    /// The id of a text, which may be empty.
    pub fn or_unnamed(text: &str) -> GroupId {
        GroupId(text.into())
    }
}
text_id! {
    /// The id that the coordinator gave to a member; never empty.
    MemberId
}
text_id! {
    /// The name that a static member keeps over restarts (KIP-345); never empty.
    InstanceId
}

/// How many rebalances a group has completed. Kafka's -1 for "no generation" is `None` wherever it may occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

impl Generation {
    /// A generation as a request names it; negative means none.
    pub const fn from_wire(value: i32) -> Option<Generation> {
        if value < 0 { None } else { Some(Generation(value)) }
    }

    /// The generation after this one; a group never comes near the last.
    pub const fn next(self) -> Generation {
        Generation(self.0.saturating_add(1))
    }
}

/// How often the members of a group of the consumer protocol, their subscriptions or their topics have changed
/// (KIP-848). Assignments and members carry the one that they have reached; zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupEpoch(pub i32);

impl GroupEpoch {
    /// An epoch as the wire or a record has it; negative means none.
    pub const fn from_wire(value: i32) -> Option<GroupEpoch> {
        if value < 0 { None } else { Some(GroupEpoch(value)) }
    }

    /// The epoch after this one; a group never comes near the last.
    pub const fn next(self) -> GroupEpoch {
        GroupEpoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for GroupEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
