//! `.kafka_cleanshutdown`: every log of a log directory was closed. I/O through [`Disk`] only.

use std::path::Path;

use ottla_broker_types::BrokerEpoch;

use super::text::{CheckpointError, io_error, read_text};
use crate::disk::{Disk, remove_if_exists, replace_file};

/// The marker's name within the log directory.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Writes the marker durably, with the registration under which the broker ran (KIP-966).
pub fn write_clean_shutdown(disk: &dyn Disk, dir: &Path, epoch: BrokerEpoch) -> Result<(), CheckpointError> {
    let path = dir.join(CLEAN_SHUTDOWN_FILE);
    let text = format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}");
    replace_file(disk, &path, text.as_bytes()).map_err(io_error(&path))
}

/// Whether the marker is there, and the broker epoch in it if that can be read.
pub fn read_clean_shutdown(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Option<Option<BrokerEpoch>>, CheckpointError> {
    let text = read_text(disk, &dir.join(CLEAN_SHUTDOWN_FILE))?;
    Ok(text.map(|text| broker_epoch(&text)))
}

/// Removes the marker durably: call it before the first log is opened, so that a crash is not taken for clean.
pub fn remove_clean_shutdown(disk: &dyn Disk, dir: &Path) -> Result<(), CheckpointError> {
    let path = dir.join(CLEAN_SHUTDOWN_FILE);
    remove_if_exists(disk, &path).map_err(io_error(&path))?;
    disk.sync_dir(dir).map_err(io_error(&path))
}

/// The number after the key, in an object that this broker or Kafka wrote.
fn broker_epoch(json: &str) -> Option<BrokerEpoch> {
    let (_, rest) = json.split_once("\"brokerEpoch\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
    rest[..end].parse().ok().and_then(BrokerEpoch::from_wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn the_marker_survives_a_power_cut_and_its_removal_too() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir_all(dir).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        assert_eq!(read_clean_shutdown(&disk, dir).unwrap(), None);
        write_clean_shutdown(&disk, dir, BrokerEpoch(42)).unwrap();
        disk.crash(7);
        assert_eq!(read_clean_shutdown(&disk, dir).unwrap(), Some(Some(BrokerEpoch(42))));
        remove_clean_shutdown(&disk, dir).unwrap();
        disk.crash(8);
        assert_eq!(read_clean_shutdown(&disk, dir).unwrap(), None);
    }

    #[test]
    fn kafkas_own_markers_are_understood() {
        assert_eq!(broker_epoch(r#"{"version": 0, "brokerEpoch": 17}"#), Some(BrokerEpoch(17)));
        assert_eq!(broker_epoch(r#"{"version":0,"brokerEpoch":-1}"#), None);
        assert_eq!(broker_epoch(""), None);
    }
}
