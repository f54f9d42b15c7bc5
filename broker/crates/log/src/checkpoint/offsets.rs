//! Checkpoints of one offset per partition, in the log directory. I/O through [`Disk`] only.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_broker_types::{Offset, PartitionIndex, TopicName, TopicPartition};

use super::text::{CheckpointError, decode, encode, io_error, read_text};
use crate::disk::{Disk, replace_file};

/// Up to which offset each log was synced.
pub const RECOVERY_POINTS_FILE: &str = "recovery-point-offset-checkpoint";
/// The high watermark of each partition.
pub const HIGH_WATERMARKS_FILE: &str = "replication-offset-checkpoint";
/// The log start of each partition.
pub const LOG_STARTS_FILE: &str = "log-start-offset-checkpoint";
/// Up to which offset each compacted log was compacted.
pub const CLEANED_ENDS_FILE: &str = "cleaner-offset-checkpoint";

/// The offsets in the checkpoint `file` of the log directory `dir`; none if there is no such file.
pub fn read_offsets(
    disk: &dyn Disk,
    dir: &Path,
    file: &str,
) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    let path = dir.join(file);
    let Some(text) = read_text(disk, &path)? else { return Ok(BTreeMap::new()) };
    let entries = decode(&text, entry).map_err(|unreadable| unreadable.at(&path))?;
    Ok(entries.into_iter().collect())
}

/// Replaces the checkpoint `file` of the log directory `dir`, durably and in one step.
pub fn write_offsets(
    disk: &dyn Disk,
    dir: &Path,
    file: &str,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), CheckpointError> {
    let path = dir.join(file);
    let lines = offsets.iter().map(|(tp, offset)| format!("{} {} {offset}", tp.topic, tp.partition));
    replace_file(disk, &path, encode(lines).as_bytes()).map_err(io_error(&path))
}

fn entry(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_whitespace();
    let topic = TopicName::stored(words.next()?).ok()?;
    let partition = words.next()?.parse().ok().and_then(PartitionIndex::from_wire)?;
    let offset = words.next()?.parse().ok().and_then(Offset::new)?;
    words.next().is_none().then_some((TopicPartition { topic, partition }, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{OpenMode, SimDisk};

    fn dir() -> (SimDisk, &'static Path) {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        (disk, Path::new("/data"))
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let (disk, dir) = dir();
        let tp = |topic: &str, partition| TopicPartition {
            topic: TopicName::new(topic).unwrap(),
            partition: PartitionIndex(partition),
        };
        let offsets = BTreeMap::from([(tp("a.b", 0), Offset::ZERO), (tp("c", 7), Offset::clamped(99))]);
        assert_eq!(read_offsets(&disk, dir, LOG_STARTS_FILE).unwrap(), BTreeMap::new());
        write_offsets(&disk, dir, LOG_STARTS_FILE, &offsets).unwrap();
        assert_eq!(read_offsets(&disk, dir, LOG_STARTS_FILE).unwrap(), offsets);
        let text = read_text(&disk, &dir.join(LOG_STARTS_FILE)).unwrap().unwrap();
        assert_eq!(text, "0\n2\na.b 0 0\nc 7 99\n");
    }

    #[test]
    fn a_malformed_checkpoint_is_refused() {
        let (disk, dir) = dir();
        for text in ["", "-1\n0\n", "0\n2\nt 0 1\n", "0\n1\nt 0\n", "0\n1\nt 0 -1\n", "0\n1\nt 0 1 2\n"] {
            let file = disk.open(&dir.join("f"), OpenMode::Create).unwrap();
            file.set_len(0).unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            let error = read_offsets(&disk, dir, "f").unwrap_err();
            assert!(matches!(error, CheckpointError::Malformed { .. }), "{text:?}: {error}");
        }
    }
}
