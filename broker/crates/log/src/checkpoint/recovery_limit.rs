//! An upper limit for the recovery point of a log that was cut below it. I/O through [`Disk`] only.
//!
//! The recovery points of all logs are checkpointed together, from time to time. When a log is truncated below
//! its checkpointed recovery point, what is appended then lies below that point and yet is not synced. This
//! file, not one of Kafka's, says so until the log is synced past the point again.

use std::io;
use std::path::Path;

use ottla_broker_types::Offset;

use super::text::{decode, encode};
use crate::disk::{Disk, read_whole, replace_file};

/// The file's name within the partition's directory.
pub(crate) const RECOVERY_LIMIT_FILE: &str = "recovery-point-limit";

pub(crate) fn write_recovery_limit(disk: &dyn Disk, dir: &Path, limit: Offset) -> io::Result<()> {
    let text = encode([limit.to_string()].into_iter());
    replace_file(disk, &dir.join(RECOVERY_LIMIT_FILE), text.as_bytes())
}

/// The limit; an unreadable one is zero, which is always safe.
pub(crate) fn read_recovery_limit(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Offset>> {
    let Some(bytes) = read_whole(disk, &dir.join(RECOVERY_LIMIT_FILE))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let entries = decode(&text, |line| line.trim().parse().ok().and_then(Offset::new)).unwrap_or_default();
    Ok(Some(entries.first().copied().unwrap_or(Offset::ZERO)))
}
