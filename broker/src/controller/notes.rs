//! Logs settings that were accepted and change nothing. The answer to who set them cannot say so: there are clients that
//! take any message for an error.

use ottla_broker_config::{note_broker, note_group, note_topic};
use ottla_broker_metadata::{ConfigResource, Record};
use ottla_broker_types::TopicName;

/// Tells of each setting among the records of a decision.
pub(super) fn tell(records: &[Record]) {
    for (resource, note) in records.iter().filter_map(note) {
        tracing::warn!(?resource, "{note}");
    }
}

fn note(record: &Record) -> Option<(&ConfigResource, String)> {
    let Record::Config { resource, name, value: Some(value) } = record else { return None };
    let note = match resource {
        // Nobody has set anything: the coordinators have what they have.
        ConfigResource::Topic(topic) if TopicName::new(topic).is_ok_and(|name| name.is_internal()) => None,
        ConfigResource::Topic(_) => note_topic(name, value),
        ConfigResource::Broker(_) => note_broker(name, value),
        ConfigResource::Group(_) => note_group(name, value),
        ConfigResource::ClientMetrics(_) => None,
    };
    Some((resource, note?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(resource: ConfigResource, name: &str, value: Option<&str>) -> Option<String> {
        let value = value.map(str::to_owned);
        note(&Record::Config { resource, name: name.to_owned(), value }).map(|(_, note)| note)
    }

    #[test]
    fn what_changes_nothing_is_told_and_nothing_else() {
        let topic = |name: &str| ConfigResource::Topic(name.to_owned());
        let note = told(topic("t"), "compression.type", Some("zstd")).expect("a note");
        assert!(note.starts_with("compression.type has no effect"), "{note}");
        assert!(told(ConfigResource::Broker(None), "num.io.threads", Some("9")).is_some());
        assert_eq!(told(topic("t"), "compression.type", Some("producer")), None);
        assert_eq!(told(topic("t"), "compression.type", None), None);
        assert_eq!(told(topic("t"), "retention.ms", Some("5")), None);
        assert_eq!(told(topic("__consumer_offsets"), "cleanup.policy", Some("compact")), None);
    }
}
