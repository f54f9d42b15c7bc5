//! Reading the batches of one segment whole, one after the other. Reads only.

use std::path::Path;

use ottla_broker_protocol::batch::{BatchError, BatchHeader, HEADER_LEN};
use ottla_broker_types::Offset;

use super::error::CleanError;
use super::pass::Pace;
use crate::disk::{Disk, OpenMode};
use crate::segment::FileKind;

/// A walk over the batches of a segment. In memory is what one read brings, or one batch where that is larger.
pub(super) struct BatchSource {
    file: std::sync::Arc<dyn crate::disk::DiskFile>,
    base: Offset,
    position: u32,
    end: u32,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    buffer_at: u32,
}

impl BatchSource {
    /// The segment at `base`, of which `size_bytes` are batches.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        size_bytes: u32,
        chunk_bytes: usize,
    ) -> Result<BatchSource, CleanError> {
        let file = disk.open(&FileKind::Log.path(dir, base), OpenMode::Read)?;
        let chunk_bytes = chunk_bytes.max(HEADER_LEN);
        Ok(BatchSource {
            file,
            base,
            position: 0,
            end: size_bytes,
            chunk_bytes,
            buffer: Vec::new(),
            buffer_at: 0,
        })
    }

    /// The next batch, whose checksum holds; `None` at the end. What is read is asked of `pace`.
    pub(super) fn next(&mut self, pace: Pace<'_>) -> Result<Option<(BatchHeader, &[u8])>, CleanError> {
        let position = self.position;
        let available = (self.end - position) as usize;
        if available == 0 {
            return Ok(None);
        }
        let base = self.base;
        let damaged = |source: BatchError| CleanError::Damaged { offset: base, source };
        let header = BatchHeader::parse(self.bytes(position, HEADER_LEN.min(available), pace)?);
        let header = header.map_err(damaged)?;
        let size = header.size();
        if size > available {
            return Err(damaged(BatchError::Incomplete { size, available }));
        }
        self.position += size as u32;
        let batch = self.bytes(position, size, pace)?;
        let offset = Offset::clamped(header.base_offset);
        header.check_crc(batch).map_err(|source| CleanError::Damaged { offset, source })?;
        Ok(Some((header, batch)))
    }

    fn bytes(&mut self, at: u32, len: usize, pace: Pace<'_>) -> Result<&[u8], CleanError> {
        let held = at >= self.buffer_at && at as usize + len <= self.buffer_at as usize + self.buffer.len();
        if !held {
            let read = self.chunk_bytes.max(len).min((self.end - at) as usize);
            if !pace(read as u64) {
                return Err(CleanError::Stopped);
            }
            self.buffer.resize(read, 0);
            self.file.read_exact_at(&mut self.buffer, u64::from(at))?;
            self.buffer_at = at;
        }
        let from = (at - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + len])
    }
}
