//! The choice of a protocol, and what a consumer group is subscribed to. No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_broker_protocol::persisted::decode_versioned_lenient;

use crate::group::classic::group::Group;

/// The protocol type of consumers; others (Connect's) hold metadata that only they can read.
pub(crate) const CONSUMER: &str = "consumer";

impl Group {
    /// Whether a member with these protocols can be in the group without anybody's losing the common ground.
    pub(crate) fn supports<'a>(&self, protocol_type: &str, names: impl Iterator<Item = &'a str>) -> bool {
        let mut names = names.peekable();
        if self.members.is_empty() {
            return !protocol_type.is_empty() && names.peek().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && names.any(|name| self.members.values().all(|member| member.offers(name)))
    }

    /// The protocol with most votes among those that all members offer; each votes for the first it offers. Ties go
    /// to the first by name.
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let first = self.members.values().next()?;
        let common: BTreeSet<&Arc<str>> = first
            .protocols
            .iter()
            .map(|protocol| &protocol.name)
            .filter(|name| self.members.values().all(|member| member.offers(name)))
            .collect();
        let vote = |member: &crate::group::classic::member::Member| {
            member.protocols.iter().map(|protocol| protocol.name.clone()).find(|name| common.contains(name))
        };
        let votes: Vec<Arc<str>> = self.members.values().filter_map(vote).collect();
        let count = |name: &str| votes.iter().filter(|vote| &***vote == name).count();
        // Of equals, `max_by_key` takes the last.
        common.iter().rev().max_by_key(|name| count(name)).map(|name| (**name).clone())
    }

    /// The topics that the members consume; `None` if that is not known, as with foreign protocol types.
    pub(crate) fn find_subscribed(&self) -> Option<Arc<BTreeSet<Arc<str>>>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        if self.members.is_empty() {
            return Some(Arc::default());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(protocol);
            let (_, subscription) =
                decode_versioned_lenient::<ConsumerProtocolSubscription<'_>>(&metadata).ok()?;
            topics.extend(subscription.topics.iter().map(|topic| Arc::<str>::from(&**topic)));
        }
        Some(Arc::new(topics))
    }
}
