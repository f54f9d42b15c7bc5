//! Names of directories within a log directory, and which of them are logs. Lists directories, changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use ottla_broker_types::{PartitionIndex, TopicName, TopicPartition, Uuid};

use crate::disk::Disk;

/// The folder of the metadata log, under the name that Kafka gives it: named as a partition's, and none.
pub const METADATA_DIR: &str = "__cluster_metadata-0";
/// The ending of a directory whose partition was deleted; Kafka's.
const DELETED_SUFFIX: &str = "-delete";
/// The ending of a directory that was set aside; Kafka's.
const STRAY_SUFFIX: &str = "-stray";
/// Kafka's limit for names of files.
const NAME_LEN_MAX: usize = 255;
/// Kafka tells such directories apart by as many hexadecimal digits, we by a [`Uuid`].
const KAFKAS_UNIQUE_LEN: usize = 32;

/// What the name of a directory within a log directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionDir {
    /// The log of a partition.
    Hosted(TopicPartition),
    /// A deleted partition's leftovers; to be removed with all they hold.
    Deleted,
    /// The log of a partition that did not belong here when it was found; nothing is known to need it.
    Stray,
}

/// Whether a folder of that name is the metadata log's, or was before somebody renamed it.
pub fn is_metadata_log(name: &str) -> bool {
    name.strip_prefix(TopicName::METADATA_LOG).is_some_and(|rest| rest.starts_with('-'))
}

/// The name of a partition's directory.
pub fn partition_dir_name(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// The name to which a partition's directory is moved before its files are removed.
pub(crate) fn deleted_dir_name(partition: &TopicPartition, unique: Uuid) -> String {
    unique_dir_name(partition, unique, DELETED_SUFFIX)
}

/// The name to which a directory is moved that holds the log of a partition which does not belong here.
pub fn stray_dir_name(partition: &TopicPartition, unique: Uuid) -> String {
    unique_dir_name(partition, unique, STRAY_SUFFIX)
}

fn unique_dir_name(partition: &TopicPartition, unique: Uuid, suffix: &str) -> String {
    let ending = format!(".{unique}{suffix}");
    let mut name = partition.to_string();
    name.truncate(NAME_LEN_MAX - ending.len());
    name + &ending
}

/// The logs in a log directory that are not hosted: not any more, or not opened yet. The metadata log is never one.
pub fn unhosted_logs(
    disk: &dyn Disk,
    dir: &Path,
    is_hosted: impl Fn(&TopicPartition) -> bool,
) -> io::Result<Vec<(PathBuf, TopicPartition)>> {
    let unhosted = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        match PartitionDir::parse(name)? {
            PartitionDir::Hosted(id) if !is_hosted(&id) => Some((path, id)),
            _ => None,
        }
    };
    Ok(disk.list_dir(dir)?.into_iter().filter_map(unhosted).collect())
}

impl PartitionDir {
    /// Reads a directory's name; `None` if it is none of a partition. One that begins as the metadata log's never is,
    /// whatever follows: what is moved or removed by its name must not be the quorum's.
    pub fn parse(name: &str) -> Option<PartitionDir> {
        if is_metadata_log(name) {
            return None;
        }
        let is_unique = |text: &str| {
            let is_kafkas = text.len() == KAFKAS_UNIQUE_LEN && text.bytes().all(|b| b.is_ascii_hexdigit());
            is_kafkas || Uuid::parse(text).is_ok()
        };
        for (suffix, what) in [(DELETED_SUFFIX, PartitionDir::Deleted), (STRAY_SUFFIX, PartitionDir::Stray)] {
            if let Some(rest) = name.strip_suffix(suffix)
                && rest.rsplit_once('.').is_some_and(|(_, unique)| is_unique(unique))
            {
                return Some(what);
            }
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
    use crate::disk::SimDisk;

    #[test]
    fn names_of_directories_tell_the_partition() {
        let tp = TopicPartition { topic: TopicName::new("a-1.b-2").unwrap(), partition: PartitionIndex(12) };
        assert_eq!(PartitionDir::parse(&partition_dir_name(&tp)), Some(PartitionDir::Hosted(tp.clone())));
        let deleted = deleted_dir_name(&tp, Uuid([7; 16]));
        assert_eq!(PartitionDir::parse(&deleted), Some(PartitionDir::Deleted));
        let stray = stray_dir_name(&tp, Uuid([7; 16]));
        assert_eq!(PartitionDir::parse(&stray), Some(PartitionDir::Stray));
        let kafkas = format!("a-1.{}-delete", "0a".repeat(16));
        assert_eq!(PartitionDir::parse(&kafkas), Some(PartitionDir::Deleted));
        for name in ["a", "a-", "-1", "a--1", "a-b", "a-1x", "x.y-delete", ".kafka_cleanshutdown"] {
            assert_eq!(PartitionDir::parse(name).filter(|dir| *dir == PartitionDir::Deleted), None, "{name}");
        }
        assert_eq!(PartitionDir::parse("a-1x"), None);
        assert_eq!(PartitionDir::parse("-1"), None);
    }

    #[test]
    fn the_folder_of_the_metadata_log_is_never_a_partitions_whatever_it_was_renamed_to() {
        let unique = Uuid([7; 16]);
        let id = TopicPartition {
            topic: TopicName::stored(TopicName::METADATA_LOG).unwrap(),
            partition: PartitionIndex(0),
        };
        assert_eq!(partition_dir_name(&id), METADATA_DIR);
        for name in [METADATA_DIR, &deleted_dir_name(&id, unique), &stray_dir_name(&id, unique)] {
            assert_eq!(PartitionDir::parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_logs_of_partitions_that_are_not_hosted_are_unhosted() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        let [hosted, unhosted] = [0, 1].map(|index| TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(index),
        });
        let unique = Uuid([7; 16]);
        let (deleted, stray) = (deleted_dir_name(&hosted, unique), stray_dir_name(&hosted, unique));
        for name in ["t-0", "t-1", METADATA_DIR, "lost+found", &deleted, &stray] {
            disk.create_dir_all(&dir.join(name)).unwrap();
        }
        let found = unhosted_logs(&disk, dir, |id| *id == hosted).unwrap();
        assert_eq!(found, [(dir.join("t-1"), unhosted)]);
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
