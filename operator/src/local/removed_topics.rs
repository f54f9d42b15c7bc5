//! Topics whose manifests went while this runs, until they may be deleted. Pure.
//!
//! Invariant: a topic is due only if no manifest named it in two readings that succeeded, [`PATIENCE_MS`] apart, nor in
//! any between them: a file that is empty or away for a moment deletes nothing.

use std::collections::BTreeMap;

use ottla_broker_types::TimestampMs;
use ottla_operator_crd::ValidatedTopic;

/// Editors, checkouts and copies are done with a file well within this time.
const PATIENCE_MS: i64 = 3_000;

/// Topics without a manifest, and when that was first seen, by the names of their objects.
#[derive(Debug, Default)]
pub(super) struct RemovedTopics {
    topics: BTreeMap<String, (ValidatedTopic, TimestampMs)>,
}

impl RemovedTopics {
    /// Takes note of manifests that were read in the place of `former` ones.
    pub(super) fn compare(
        &mut self,
        former: BTreeMap<String, ValidatedTopic>,
        read: &BTreeMap<String, ValidatedTopic>,
        now: TimestampMs,
    ) {
        for (name, topic) in former {
            self.topics.entry(name).or_insert((topic, now));
        }
        // An object that was renamed still names its topic: only topics that none names go.
        let named = |name: &str, topic: &ValidatedTopic| {
            read.contains_key(name) || read.values().any(|other| other.topic == topic.topic)
        };
        self.topics.retain(|name, (topic, _)| !named(name, topic));
    }

    /// Whether it is time for the second reading.
    pub(super) fn is_due(&self, now: TimestampMs) -> bool {
        self.topics.values().any(|(_, since)| is_over(*since, now))
    }

    /// Those that may be deleted; ask after a reading that succeeded.
    pub(super) fn due(&self, now: TimestampMs) -> Vec<ValidatedTopic> {
        let due = self.topics.values().filter(|(_, since)| is_over(*since, now));
        due.map(|(topic, _)| topic.clone()).collect()
    }

    /// Lets go of one that was dealt with.
    pub(super) fn forget(&mut self, object_name: &str) {
        self.topics.remove(object_name);
    }

    /// Whether any is left.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}

fn is_over(since: TimestampMs, now: TimestampMs) -> bool {
    now.0 - since.0 >= PATIENCE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::manifests::tests::topics;

    const LATER: TimestampMs = TimestampMs(PATIENCE_MS);

    #[test]
    fn a_topic_is_deleted_after_two_looks_and_not_after_one() {
        let mut removed = RemovedTopics::default();
        removed.compare(topics(&["a", "b"]), &topics(&["b"]), TimestampMs(0));
        assert!(!removed.is_due(TimestampMs(PATIENCE_MS - 1)));
        assert!(removed.due(TimestampMs(PATIENCE_MS - 1)).is_empty());
        assert!(removed.is_due(LATER));
        removed.compare(topics(&["b"]), &topics(&["b"]), LATER);
        let due = removed.due(LATER);
        assert_eq!(due.iter().map(|topic| topic.object_name.as_str()).collect::<Vec<_>>(), ["a"]);
        removed.forget("a");
        assert!(removed.is_empty());
    }

    #[test]
    fn a_topic_that_comes_back_between_the_looks_stays() {
        let mut removed = RemovedTopics::default();
        removed.compare(topics(&["a"]), &topics(&[]), TimestampMs(0));
        removed.compare(topics(&[]), &topics(&["a"]), TimestampMs(2_000));
        removed.compare(topics(&["a"]), &topics(&[]), LATER);
        assert!(!removed.is_due(LATER), "its time begins anew");
    }

    #[test]
    fn a_topic_under_a_new_object_name_stays() {
        let mut removed = RemovedTopics::default();
        let mut renamed = topics(&["a"]);
        let topic = renamed.remove("a").expect("it is there");
        let renamed = BTreeMap::from([("b".to_owned(), topic)]);
        removed.compare(topics(&["a"]), &renamed, TimestampMs(0));
        assert!(removed.is_empty());
    }
}
