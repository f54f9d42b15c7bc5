//! Choosing the part of a segment that a fetch gets. Reads only.

use ottla_broker_types::Offset;

use super::segment::Segment;
use crate::error::ReadError;

/// Whole batches of a segment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Position of the first.
    pub(crate) position: u32,
    /// Bytes of all.
    pub(crate) len: u32,
    /// Base offset of the first.
    pub(crate) base_offset: Offset,
    /// Whether they reach the segment's end, so that the next segment may continue them.
    pub(crate) to_the_end: bool,
}

/// What a fetch wants of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The first batch contains this offset or is the next one after it.
    pub(crate) from: Offset,
    /// Batches that reach this offset are left out; `None` takes all.
    pub(crate) end: Option<Offset>,
    /// Bytes at most.
    pub(crate) bytes_max: usize,
    /// Whether the first batch is taken even if it is larger.
    pub(crate) at_least_one: bool,
}

impl Segment {
    /// The longest run of whole batches that is wanted; `None` if there is no batch from `from` on.
    pub(crate) fn select(&self, wanted: Wanted) -> Result<Option<Selection>, ReadError> {
        let Some(first) = self.find_batch(wanted.from)? else { return Ok(None) };
        let bound = match wanted.end {
            None => self.size_bytes(),
            Some(end) => match self.find_batch(end)? {
                // The batch that starts at the end or contains it is beyond the reader's bound.
                Some(beyond) => beyond.position,
                None => self.size_bytes(),
            },
        };
        let selection = |len: u32, to_the_end| {
            Some(Selection { position: first.position, len, base_offset: first.base_offset(), to_the_end })
        };
        let available = bound.saturating_sub(first.position);
        if available as usize <= wanted.bytes_max {
            return Ok(selection(available, bound == self.size_bytes()));
        }
        if first.header.size() >= wanted.bytes_max {
            let fits = wanted.at_least_one || first.header.size() == wanted.bytes_max;
            return Ok(selection(if fits { first.header.size() as u32 } else { 0 }, false));
        }
        let limit = first.position + wanted.bytes_max as u32;
        let cut = self.boundary_before(first.position, limit)?;
        Ok(selection(cut - first.position, false))
    }
}
