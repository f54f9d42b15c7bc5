//! `partition.metadata`: the topic's id, so that a topic made anew is not taken for the old one. No I/O.

use ottla_broker_types::TopicId;

use super::text::{Unreadable, check_version};

/// The file's name within the partition's directory.
pub(crate) const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Kafka's version of the file.
const VERSION: u32 = 0;

pub(crate) fn encode_metadata(topic_id: TopicId) -> String {
    format!("version: {VERSION}\ntopic_id: {topic_id}")
}

pub(crate) fn decode_metadata(bytes: &[u8]) -> Result<TopicId, Unreadable> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let value = |line: Option<&'_ str>, key: &str| {
        let (found, value) = line?.split_once(':')?;
        (found == key).then(|| value.trim().to_owned())
    };
    let mut lines = text.lines();
    check_version(value(lines.next(), "version").as_deref(), VERSION, "its version is not 0")?;
    let id = value(lines.next(), "topic_id").and_then(|id| id.parse().ok());
    id.ok_or(Unreadable::Malformed("it has no topic_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_id_round_trips() {
        let id: TopicId = "MkU3OEVBNTcwNTJENDM2Qg".parse().unwrap();
        assert_eq!(encode_metadata(id), "version: 0\ntopic_id: MkU3OEVBNTcwNTJENDM2Qg");
        assert_eq!(decode_metadata(encode_metadata(id).as_bytes()), Ok(id));
        let newer = Unreadable::Newer { version: 1, known: 0 };
        assert_eq!(decode_metadata(b"version: 1\ntopic_id: MkU3OEVBNTcwNTJENDM2Qg"), Err(newer));
        assert!(matches!(decode_metadata(b""), Err(Unreadable::Malformed(_))));
    }
}
