//! `partition.metadata`: the topic's id, so that a topic made anew is not taken for the old one. No I/O.

use ottla_broker_types::TopicId;

/// The file's name within the partition's directory.
pub(crate) const PARTITION_METADATA_FILE: &str = "partition.metadata";

pub(crate) fn encode_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

pub(crate) fn decode_metadata(bytes: &[u8]) -> Option<TopicId> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let (key, version) = lines.next()?.split_once(':')?;
    if key != "version" || version.trim() != "0" {
        return None;
    }
    let (key, id) = lines.next()?.split_once(':')?;
    if key == "topic_id" { id.trim().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_id_round_trips() {
        let id: TopicId = "MkU3OEVBNTcwNTJENDM2Qg".parse().unwrap();
        assert_eq!(encode_metadata(id), "version: 0\ntopic_id: MkU3OEVBNTcwNTJENDM2Qg");
        assert_eq!(decode_metadata(encode_metadata(id).as_bytes()), Some(id));
        assert_eq!(decode_metadata(b"version: 1\ntopic_id: MkU3OEVBNTcwNTJENDM2Qg"), None);
        assert_eq!(decode_metadata(b""), None);
    }
}
