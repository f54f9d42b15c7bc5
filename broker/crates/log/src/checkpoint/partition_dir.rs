//! Names of partition directories within a log directory. No I/O.

use ottla_broker_types::{PartitionIndex, TopicName, TopicPartition, Uuid};

/// The ending of a directory whose partition was deleted; Kafka's.
const DELETED_SUFFIX: &str = "-delete";
/// Kafka's limit for names of files.
const NAME_LEN_MAX: usize = 255;

/// What the name of a directory within a log directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionDir {
    /// The log of a partition.
    Hosted(TopicPartition),
    /// A deleted partition's leftovers; to be removed with all they hold.
    Deleted,
}

/// The name of a partition's directory.
pub fn partition_dir_name(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// The name to which a partition's directory is moved before its files are removed.
pub(crate) fn deleted_dir_name(partition: &TopicPartition, unique: Uuid) -> String {
    let ending = format!(".{unique}{DELETED_SUFFIX}");
    let mut name = partition.to_string();
    name.truncate(NAME_LEN_MAX - ending.len());
    name + &ending
}

impl PartitionDir {
    /// Reads a directory's name; `None` if it is none of a partition.
    pub fn parse(name: &str) -> Option<PartitionDir> {
        if let Some(rest) = name.strip_suffix(DELETED_SUFFIX)
            && rest.rsplit_once('.').is_some_and(|(_, unique)| Uuid::parse(unique).is_ok())
        {
            return Some(PartitionDir::Deleted);
        }
        let (topic, partition) = name.rsplit_once('-')?;
        if partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let partition = PartitionIndex(partition.parse().ok()?);
        let topic = TopicName::new(topic).ok()?;
        Some(PartitionDir::Hosted(TopicPartition { topic, partition }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_directories_tell_the_partition() {
        let tp = TopicPartition { topic: TopicName::new("a-1.b-2").unwrap(), partition: PartitionIndex(12) };
        assert_eq!(PartitionDir::parse(&partition_dir_name(&tp)), Some(PartitionDir::Hosted(tp.clone())));
        let deleted = deleted_dir_name(&tp, Uuid([7; 16]));
        assert_eq!(PartitionDir::parse(&deleted), Some(PartitionDir::Deleted));
        for name in ["a", "a-", "-1", "a--1", "a-b", "a-1x", "x.y-delete", ".kafka_cleanshutdown"] {
            assert_eq!(PartitionDir::parse(name).filter(|dir| *dir == PartitionDir::Deleted), None, "{name}");
        }
        assert_eq!(PartitionDir::parse("a-1x"), None);
        assert_eq!(PartitionDir::parse("-1"), None);
    }

    #[test]
    fn the_longest_name_still_fits_when_deleted() {
        let topic = TopicName::new(&"x".repeat(TopicName::LEN_MAX)).unwrap();
        let name =
            deleted_dir_name(&TopicPartition { topic, partition: PartitionIndex(99_999) }, Uuid([1; 16]));
        assert!(name.len() <= NAME_LEN_MAX);
        assert_eq!(PartitionDir::parse(&name), Some(PartitionDir::Deleted));
    }
}
