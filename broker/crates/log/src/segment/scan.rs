//! Walking over the batches of a file from one position to another, in large reads. Reads only.

use std::io;
use std::sync::Arc;

use ottla_broker_protocol::batch::{BatchError, BatchHeader, HEADER_LEN};

use crate::disk::DiskFile;
use crate::error::Corruption;

/// Read ahead when looking for a few batches: an index interval and some.
pub(crate) const LOOKUP_CHUNK_BYTES: usize = 8 << 10;
/// Read ahead when walking over much of a file.
pub(crate) const SEQUENTIAL_CHUNK_BYTES: usize = 1 << 20;
/// Where the CRC-covered part of a batch begins: its attributes.
const CRC_COVERED_FROM: u64 = 21;

/// Why a walk ended before its end: what lies at the position is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where the bad batch begins.
    pub(crate) position: u32,
    /// What is wrong with it.
    pub(crate) corruption: Corruption,
}

/// A step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanItem {
    /// A batch whose header is sound and which lies before the end as a whole.
    Batch { position: u32, header: BatchHeader },
    /// The walk cannot go on.
    Damaged(Damage),
    /// All was walked over.
    End,
}

/// A walk over the batches in `position..end` of a file.
pub(crate) struct Scan {
    file: Arc<dyn DiskFile>,
    position: u32,
    end: u32,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte.
    buffer_at: u32,
}

impl Scan {
    pub(crate) fn new(file: Arc<dyn DiskFile>, position: u32, end: u32, chunk_bytes: usize) -> Scan {
        Scan { file, position, end, chunk_bytes, buffer: Vec::new(), buffer_at: position }
    }

    /// The batch at the present position; the next call gives the one after it.
    pub(crate) fn next(&mut self) -> io::Result<ScanItem> {
        let position = self.position;
        let Some(available) = self.end.checked_sub(position).map(|available| available as usize) else {
            let corruption = Corruption::IndexPastEnd { position, end: self.end };
            return Ok(ScanItem::Damaged(Damage { position, corruption }));
        };
        if available == 0 {
            return Ok(ScanItem::End);
        }
        let header = match BatchHeader::parse(self.bytes(position, HEADER_LEN.min(available))?) {
            Ok(header) => header,
            Err(error) => return Ok(ScanItem::Damaged(Damage { position, corruption: error.into() })),
        };
        let size = header.size();
        if size > available {
            let corruption = BatchError::Incomplete { size, available }.into();
            return Ok(ScanItem::Damaged(Damage { position, corruption }));
        }
        self.position += size as u32;
        Ok(ScanItem::Batch { position, header })
    }

    /// Compares the checksum of a batch that this walk returned, without holding all of it in memory.
    pub(crate) fn check_crc(
        &mut self,
        position: u32,
        header: &BatchHeader,
    ) -> io::Result<Result<(), BatchError>> {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut at = position + CRC_COVERED_FROM as u32;
        let end = position + header.size() as u32;
        while at < end {
            let len = self.chunk_bytes.min((end - at) as usize);
            digest.update(self.bytes(at, len)?);
            at += len as u32;
        }
        let computed = digest.finalize() as u32;
        if computed == header.crc {
            return Ok(Ok(()));
        }
        Ok(Err(BatchError::CrcMismatch { stored: header.crc, computed }))
    }

    /// `len` bytes from `at` on, at most the larger of a chunk and a header, before the end.
    fn bytes(&mut self, at: u32, len: usize) -> io::Result<&[u8]> {
        let held = at >= self.buffer_at && at as usize + len <= self.buffer_at as usize + self.buffer.len();
        if !held {
            let read = self.chunk_bytes.max(len).min((self.end - at) as usize);
            // Emptied first: after an error the buffer must not pass for what lies at `at`.
            self.buffer.clear();
            self.buffer.resize(read, 0);
            let done = self.file.read_exact_at(&mut self.buffer, at as u64);
            if done.is_err() {
                self.buffer.clear();
            }
            self.buffer_at = at;
            done?;
        }
        let from = (at - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + len])
    }
}
