//! The newest snapshot of the shell's image, in one file that is replaced as a whole.
//!
//! I/O: the file `snapshot` through the `Disk`. Its bytes are read when they are needed, not kept.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes};
use ottla_broker_log::replace_file;

use super::files::{self, SharedDisk, invalid};
use crate::SNAPSHOT_BYTES_MAX;
use crate::codec::{DecodeError, Fields, crc32c, put_byte_string};
use crate::raft::{SnapshotMeta, put_log_id, put_stored_membership, take_log_id, take_stored_membership};

pub(super) const SNAPSHOT_NAME: &str = "snapshot";
pub(crate) const MAGIC: u64 = 0x4f54_544c_4151_534e;
pub(crate) const VERSION: u8 = 1;
/// Room for the header: a membership has at most some dozens of members.
const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// The newest snapshot: what it covers, and the bytes that only the metadata can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSnapshot {
    /// Up to where it goes and who was a member there.
    pub(crate) meta: SnapshotMeta,
    /// What the shell handed over.
    pub(crate) bytes: Bytes,
}

/// Replaced as a whole: written beside, synced, renamed.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    disk: SharedDisk,
    dir: PathBuf,
}

impl SnapshotFile {
    /// The snapshot in `dir`, there or not.
    pub(crate) fn new(disk: SharedDisk, dir: &Path) -> SnapshotFile {
        SnapshotFile { disk, dir: dir.to_owned() }
    }

    /// Replaces the snapshot; it is on disk when this returns.
    pub(crate) fn save(&self, snapshot: &StoredSnapshot) -> io::Result<()> {
        let mut header = Vec::new();
        header.put_u64(MAGIC);
        header.put_u8(VERSION);
        put_log_id(&mut header, snapshot.meta.last_log_id.as_ref());
        put_stored_membership(&mut header, &snapshot.meta.last_membership);
        header.put_u64(snapshot.bytes.len() as u64);
        header.put_u32(crc32c(&snapshot.bytes));
        let crc = crc32c(&header);
        header.put_u32(crc);
        let mut out = Vec::with_capacity(4 + header.len() + snapshot.bytes.len());
        put_byte_string(&mut out, &header);
        out.put_slice(&snapshot.bytes);
        replace_file(&*self.disk, &self.dir.join(SNAPSHOT_NAME), &out)
    }

    /// Reads the snapshot; an error if it is damaged.
    pub(crate) fn load(&self) -> io::Result<Option<StoredSnapshot>> {
        let bytes_max = (SNAPSHOT_BYTES_MAX + HEADER_BYTES_MAX) as u64;
        let Some(bytes) = files::read(&*self.disk, &self.dir, SNAPSHOT_NAME, bytes_max)? else {
            return Ok(None);
        };
        decode(bytes).map(Some).map_err(|error| invalid(error.to_string()))
    }
}

fn decode(bytes: Bytes) -> Result<StoredSnapshot, DecodeError> {
    let mut file = Fields::new(bytes);
    let header = file.byte_string("snapshot header")?;
    let crc_at = header.len().checked_sub(4).ok_or(DecodeError::Short {
        what: "snapshot header",
        wanted: 4,
        left: header.len(),
    })?;
    check(&header[..crc_at], Fields::new(header.slice(crc_at..)).u32("checksum")?, "snapshot header")?;
    let mut fields = Fields::new(header.slice(..crc_at));
    let magic = fields.u64("snapshot's magic number")?;
    if magic != MAGIC {
        return Err(DecodeError::Newer { what: "the snapshot of the metadata" });
    }
    let version = fields.u8("snapshot version")?;
    if version > VERSION {
        return Err(DecodeError::Newer { what: "the snapshot of the metadata" });
    }
    if version != VERSION {
        return Err(DecodeError::Value { what: "snapshot version", value: version.into() });
    }
    let last_log_id = take_log_id(&mut fields)?;
    let last_membership = take_stored_membership(&mut fields)?;
    let len = usize::try_from(fields.u64("snapshot's length")?).unwrap_or(usize::MAX);
    let stored = fields.u32("snapshot's checksum")?;
    let bytes = file.bytes(len, "snapshot")?;
    check(&bytes, stored, "snapshot")?;
    Ok(StoredSnapshot { meta: SnapshotMeta { last_log_id, last_membership }, bytes })
}

fn check(bytes: &[u8], stored: u32, what: &'static str) -> Result<(), DecodeError> {
    let computed = crc32c(bytes);
    if stored == computed { Ok(()) } else { Err(DecodeError::Checksum { what, stored, computed }) }
}
