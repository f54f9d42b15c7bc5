//! What a crash left of a compacted segment that was about to take the place of others. I/O through [`crate::Disk`] only.
//!
//! The cleaner writes `.cleaned` files and syncs them, renames them to `.swap`, moves the segments away that they
//! replace, and renames them once more. Invariant: while a file `.log.swap` exists, and none `.cleaned` at or below its
//! offset, it holds all that is kept of the segments in its range. So an interrupted swap is completed, whichever of
//! Kafka and us began it.

use std::path::PathBuf;

use ottla_broker_types::Offset;

use super::open::Opening;
use crate::disk::{OpenMode, remove_if_exists};
use crate::error::OpenError;
use crate::segment::{
    CLEANED_SUFFIX, FileKind, SEQUENTIAL_CHUNK_BYTES, SWAP_SUFFIX, Scan, ScanItem, offset_in_name,
};

/// A file of a segment whose name ends in a suffix.
struct Suffixed {
    path: PathBuf,
    /// The path without the suffix.
    bare: PathBuf,
    base: Offset,
    is_log: bool,
}

fn suffixed(listed: &[PathBuf], suffix: &str) -> Vec<Suffixed> {
    let parse = |path: &PathBuf| {
        let bare = path.with_file_name(path.file_name()?.to_str()?.strip_suffix(suffix)?);
        let of = |kind| offset_in_name(&bare, kind).map(|base| (base, kind == FileKind::Log));
        let (base, is_log) = FileKind::SEGMENT.into_iter().find_map(of)?;
        Some(Suffixed { path: path.clone(), bare, base, is_log })
    };
    listed.iter().filter_map(parse).collect()
}

impl Opening {
    /// Completes the swaps that a crash interrupted, and removes what was not to be swapped in yet; whether there was
    /// anything of either.
    pub(super) fn complete_swaps(&self, listed: &[PathBuf]) -> Result<bool, OpenError> {
        let (cleaned, swaps) = (suffixed(listed, CLEANED_SUFFIX), suffixed(listed, SWAP_SUFFIX));
        if cleaned.is_empty() && swaps.is_empty() {
            return Ok(false);
        }
        let unfinished = cleaned.iter().map(|file| file.base).min().unwrap_or(Offset::MAX);
        let (swaps, void): (Vec<_>, Vec<_>) = swaps.into_iter().partition(|file| file.base < unfinished);
        for file in void.iter().chain(&cleaned) {
            self.at(&file.path, remove_if_exists(&*self.disk, &file.path))?;
        }
        for log in swaps.iter().filter(|file| file.is_log) {
            let end = self.swap_end(log)?;
            let replaced = listed.iter().filter_map(|path| offset_in_name(path, FileKind::Log));
            for base in replaced.filter(|base| *base > log.base && *base < end) {
                for kind in FileKind::SEGMENT {
                    let path = kind.path(&self.dir, base);
                    self.at(&path, remove_if_exists(&*self.disk, &path))?;
                }
            }
        }
        // The batches last: until then the swap can be begun again.
        let (logs, indexes): (Vec<_>, Vec<_>) = swaps.into_iter().partition(|file| file.is_log);
        for file in indexes.iter().chain(&logs) {
            self.at(&file.path, self.disk.rename(&file.path, &file.bare))?;
        }
        self.at(&self.dir, self.disk.sync_dir(&self.dir))?;
        Ok(true)
    }

    /// First offset after the batches that take the place of others.
    fn swap_end(&self, swap: &Suffixed) -> Result<Offset, OpenError> {
        let file = self.at(&swap.path, self.disk.open(&swap.path, OpenMode::Read))?;
        let len = self.at(&swap.path, file.len())?;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let mut scan = Scan::new(file, 0, len, SEQUENTIAL_CHUNK_BYTES);
        let mut end = swap.base;
        loop {
            match self.at(&swap.path, scan.next())? {
                ScanItem::Batch { header, .. } => end = Offset::clamped(header.last_offset()).next(),
                ScanItem::End => return Ok(end),
                ScanItem::Damaged(damage) => {
                    return Err(OpenError::Damaged {
                        path: swap.path.clone(),
                        position: damage.position,
                        source: damage.corruption,
                    });
                }
            }
        }
    }
}
