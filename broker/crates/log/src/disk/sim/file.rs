//! A file of a simulated disk: what it holds now, what a power cut leaves of it. No I/O.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_broker_protocol::FileSource;

use super::disk::Shared;
use super::fault::{SimError, SimOp};
use crate::disk::DiskFile;

/// A change that is not durable yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
    /// Bytes set aside, from the file's begin.
    pub(super) allocated: usize,
}

/// The file behind its names and handles.
#[derive(Debug, Default)]
pub(super) struct Node(Mutex<Content>);

impl Node {
    pub(super) fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// Bytes of the disk that the file takes.
    pub(super) fn taken(&self) -> usize {
        self.live.len().max(self.allocated)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::SetLen(len) => bytes.resize(*len, 0),
            Change::Write { position, bytes: new } => {
                let end = position + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*position..end].copy_from_slice(new);
            }
        }
    }
}

/// An open file; it stops working when the disk crashes.
pub(super) struct SimFile {
    pub(super) shared: Arc<Shared>,
    pub(super) node: Arc<Node>,
    pub(super) generation: u64,
    pub(super) writable: bool,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.lock().open_count -= 1;
    }
}

impl SimFile {
    fn begin(&self, op: SimOp) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.generation != self.generation {
            return Err(SimError::Io.error());
        }
        if !self.writable && matches!(op, SimOp::Write | SimOp::SetLen) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match state.faults.count(op) {
            Some(error) => Err(error.error()),
            None => Ok(()),
        }
    }

    /// Writes as much of `bytes` as chance has it, for a call that fails.
    fn write_part(&self, bytes: &[u8], position: usize, len_max: usize) {
        let len = self.shared.lock().rng.below(len_max.min(bytes.len()) + 1);
        self.node.content().change(Change::Write { position, bytes: bytes[..len].to_vec() });
    }
}

impl FileSource for SimFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.begin(SimOp::Read)?;
        let content = self.node.content();
        let from = usize::try_from(pos).unwrap_or(usize::MAX);
        let bytes = from.checked_add(buf.len()).and_then(|end| content.live.get(from..end));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if let Err(error) = self.begin(SimOp::Write) {
            if self.writable && self.shared.lock().generation == self.generation {
                self.write_part(bytes, position, bytes.len());
            }
            return Err(error);
        }
        let growth = (position + bytes.len()).saturating_sub(self.node.content().taken());
        let free = self.shared.lock().free_bytes();
        if growth as u64 > free {
            self.write_part(bytes, position, free as usize);
            return Err(SimError::NoSpace.error());
        }
        self.node.content().change(Change::Write { position, bytes: bytes.to_vec() });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.begin(SimOp::Len)?;
        Ok(self.node.content().live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.begin(SimOp::SetLen)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut content = self.node.content();
        content.allocated = 0;
        content.change(Change::SetLen(len));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.begin(SimOp::SetLen)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let growth = len.saturating_sub(self.node.content().taken());
        if growth as u64 > self.shared.lock().free_bytes() {
            return Err(SimError::NoSpace.error());
        }
        self.node.content().allocated = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Err(error) = self.begin(SimOp::SyncData) {
            if self.shared.lock().generation == self.generation {
                self.node.content().pending.clear();
            }
            return Err(error);
        }
        self.node.content().sync();
        self.shared.lock().sync_count += 1;
        Ok(())
    }

    fn start_writeback(&self, _range: Range<u64>) -> io::Result<()> {
        self.begin(SimOp::Writeback)
    }
}
