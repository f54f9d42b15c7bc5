//! The vote, which must survive before it is given, and the commit hint, which need not survive at all.
//!
//! I/O: files `vote` and `committed` through the `Disk`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BufMut;
use ottla_broker_log::{DiskFile, OpenMode, replace_file};

use super::files::{self, SharedDisk, invalid};
use super::writer::Dirty;
use crate::codec::{DecodeError, Fields, crc32c};
use crate::raft::{LogId, Vote, put_log_id, put_vote, take_log_id, take_vote};

pub(super) const VOTE_NAME: &str = "vote";
pub(crate) const VOTE_MAGIC: u32 = 0x4f51_5654;
const HINT_NAME: &str = "committed";
pub(crate) const HINT_MAGIC: u32 = 0x4f51_434d;
/// Both files are far shorter; a longer one is not ours.
const FILE_BYTES_MAX: u64 = 4096;

/// Replaced as a whole and synced before the vote is given.
#[derive(Clone)]
pub(crate) struct VoteFile {
    disk: SharedDisk,
    dir: PathBuf,
}

impl VoteFile {
    /// The vote in `dir`, and what it holds.
    pub(crate) fn open(disk: SharedDisk, dir: &Path) -> io::Result<(VoteFile, Option<Vote>)> {
        let stored = files::read(&*disk, dir, VOTE_NAME, FILE_BYTES_MAX)?;
        let vote = match stored {
            None => None,
            Some(bytes) => {
                let mut fields =
                    checked(bytes, VOTE_MAGIC, "the vote").map_err(|e| invalid(e.to_string()))?;
                Some(take_vote(&mut fields).map_err(|e| invalid(e.to_string()))?)
            }
        };
        Ok((VoteFile { disk, dir: dir.to_owned() }, vote))
    }

    /// Replaces the vote; it is on disk when this returns.
    pub(crate) fn save(&self, vote: &Vote) -> io::Result<()> {
        let mut out = Vec::new();
        out.put_u32(VOTE_MAGIC);
        put_vote(&mut out, vote);
        seal(&mut out);
        replace_file(&*self.disk, &self.dir.join(VOTE_NAME), &out)
    }
}

/// The file `committed`: how far the log was known to be committed, so that a restarted node can show its state
/// before it has heard from a majority. Written without a flush: a lost or torn hint only costs that.
#[derive(Clone)]
pub(crate) struct CommitHint {
    file: Arc<dyn DiskFile>,
}

impl CommitHint {
    /// The hint in `dir`, and what it says if it is intact.
    pub(crate) fn open(disk: &SharedDisk, dir: &Path) -> io::Result<(CommitHint, Option<LogId>)> {
        let stored = files::read(&**disk, dir, HINT_NAME, FILE_BYTES_MAX)?;
        let hint = stored.and_then(|bytes| {
            let mut fields = checked(bytes, HINT_MAGIC, "the commit hint").ok()?;
            take_log_id(&mut fields).ok()?
        });
        let file = disk.open(&dir.join(HINT_NAME), OpenMode::Create)?;
        Ok((CommitHint { file }, hint))
    }

    /// Overwrites the hint and leaves the flush to the kernel.
    pub(crate) fn save(&self, committed: Option<&LogId>) -> io::Result<Dirty> {
        let mut out = Vec::new();
        out.put_u32(HINT_MAGIC);
        put_log_id(&mut out, committed);
        seal(&mut out);
        self.file.write_all_at(&out, 0)?;
        Ok(None)
    }
}

fn seal(out: &mut Vec<u8>) {
    let crc = crc32c(out);
    out.put_u32(crc);
}

/// Checks the checksum at the end and the magic number at the start, and gives the fields between them.
fn checked(bytes: bytes::Bytes, magic: u32, what: &'static str) -> Result<Fields, DecodeError> {
    let body_len =
        bytes.len().checked_sub(4).ok_or(DecodeError::Short { what, wanted: 4, left: bytes.len() })?;
    let computed = crc32c(&bytes[..body_len]);
    let stored = Fields::new(bytes.slice(body_len..)).u32(what)?;
    if stored != computed {
        return Err(DecodeError::Checksum { what, stored, computed });
    }
    let mut fields = Fields::new(bytes.slice(..body_len));
    match fields.u32(what)? {
        found if found == magic => Ok(fields),
        _ => Err(DecodeError::Newer { what }),
    }
}
