//! One file of the log: a header that chains it to what came before, then frames without gaps.
//!
//! I/O: its file through the `Disk`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use ottla_broker_log::{DiskFile, OpenMode};

use super::files::{SharedDisk, invalid, read_file};
use super::index::Slot;
use crate::codec::{DecodeError, Fields, crc32c};
use crate::raft::{LogId, put_log_id, take_frame, take_log_id, term_of};

const SUFFIX: &str = ".qlog";
pub(crate) const MAGIC: u64 = 0x4f54_544c_4151_4c47;
/// Magic number, position of the first entry, position before it, checksum.
pub(crate) const HEADER_LEN: u64 = 8 + 8 + 17 + 4;
/// A segment is closed at [`super::log::SEGMENT_BYTES`] and may then hold one more batch of the largest size; a
/// file beyond that is not ours.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One file of the log.
#[derive(Clone)]
pub(crate) struct Segment {
    /// The position of its first entry, also its name.
    pub(crate) base: u64,
    /// The entry before the first one, if the log has or had one.
    pub(crate) before: Option<LogId>,
    /// Where the next frame goes.
    pub(crate) end_position: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
}

/// What was found in a file.
pub(crate) struct Scanned {
    pub(crate) segment: Segment,
    pub(crate) slots: Vec<Slot>,
    /// Why the frames end before the file does.
    pub(crate) torn: Option<String>,
}

impl Segment {
    /// Makes an empty segment; its header, returned, must be written at position 0 before any frame.
    pub(crate) fn create(
        disk: &SharedDisk,
        dir: &Path,
        base: u64,
        before: Option<LogId>,
    ) -> io::Result<(Segment, Vec<u8>)> {
        let path = dir.join(file_name(base));
        let file = disk.open(&path, OpenMode::Create)?;
        file.set_len(0)?;
        let mut header = Vec::with_capacity(HEADER_LEN as usize);
        header.put_u64(MAGIC);
        header.put_u64(base);
        put_log_id(&mut header, before.as_ref());
        let crc = crc32c(&header);
        header.put_u32(crc);
        Ok((Segment { base, before, end_position: HEADER_LEN, file, path }, header))
    }

    /// Opens a segment and checks every frame; `None` if not even its header was written.
    pub(crate) fn open(disk: &SharedDisk, path: &Path, base: u64) -> io::Result<Option<Scanned>> {
        let file = disk.open(path, OpenMode::Write)?;
        let bytes = read_file(&*file, FILE_BYTES_MAX)?;
        let Some(before) = header(&bytes, base)? else {
            return Ok(None);
        };
        let mut slots: Vec<Slot> = Vec::new();
        let mut last = before;
        let mut position = HEADER_LEN;
        let mut torn = None;
        while position < bytes.len() as u64 {
            let mut fields = Fields::new(bytes.slice(position as usize..));
            let left = fields.left();
            let entry = match take_frame(&mut fields) {
                Ok(entry) => entry,
                // Cut off, what a later release has acknowledged would be lost.
                Err(error @ DecodeError::Newer { .. }) => return Err(invalid(error.to_string())),
                Err(error) => {
                    torn = Some(error.to_string());
                    break;
                }
            };
            // A frame of an older log that was cut off here: intact, but not next.
            if entry.log_id.index != base + slots.len() as u64 || Some(entry.log_id) <= last {
                torn = Some(format!("the entry {} does not follow", entry.log_id));
                break;
            }
            let len = (left - fields.left()) as u32;
            slots.push(Slot { term: term_of(&entry.log_id), position, len });
            last = Some(entry.log_id);
            position += u64::from(len);
        }
        let segment = Segment { base, before, end_position: position, file, path: path.to_owned() };
        Ok(Some(Scanned { segment, slots, torn }))
    }
}

/// The name of the segment that begins with the entry at `base`.
fn file_name(base: u64) -> String {
    format!("{base:020}{SUFFIX}")
}

/// The position in a segment's name; `None` for other files.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// The entry before the first; the outer `None` if the header was never completed.
fn header(bytes: &Bytes, base: u64) -> io::Result<Option<Option<LogId>>> {
    let len = HEADER_LEN as usize;
    if bytes.len() < len {
        return Ok(None);
    }
    let mut fields = Fields::new(bytes.slice(..len));
    let mut read = || {
        let magic = fields.u64("magic number")?;
        let stored_base = fields.u64("first position")?;
        let before = take_log_id(&mut fields)?;
        let crc = fields.u32("checksum")?;
        Ok::<_, DecodeError>((magic, stored_base, before, crc))
    };
    let (magic, stored_base, before, crc) = read().map_err(|error| invalid(error.to_string()))?;
    if crc != crc32c(&bytes[..len - 4]) {
        return Ok(None);
    }
    if magic != MAGIC {
        let newer = DecodeError::Newer { what: "a segment of the metadata log" };
        return Err(invalid(newer.to_string()));
    }
    if stored_base != base {
        return Err(invalid(format!("the file named for entry {base} is no segment of it")));
    }
    Ok(Some(before))
}
