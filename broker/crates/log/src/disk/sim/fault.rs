//! Which calls of a simulated disk fail, and how. No I/O.

use std::io;

use rustix::io::Errno;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimOp {
    /// [`crate::Disk::open`].
    Open,
    /// Reading from a file.
    Read,
    /// [`crate::DiskFile::write_all_at`]; a part of the bytes is written although it fails.
    Write,
    /// [`crate::DiskFile::set_len`] and [`crate::DiskFile::allocate`].
    SetLen,
    /// [`crate::DiskFile::sync_data`]; what it did not make durable never will be, as on Linux.
    SyncData,
    /// [`crate::Disk::sync_dir`].
    SyncDir,
    /// [`crate::Disk::rename`].
    Rename,
    /// [`crate::Disk::remove_file`] and [`crate::Disk::remove_dir_all`].
    Remove,
    /// [`crate::Disk::create_dir_all`].
    CreateDir,
    /// [`crate::Disk::list_dir`].
    ListDir,
    /// [`crate::Disk::exists`].
    Exists,
    /// [`crate::Disk::free_bytes`].
    FreeBytes,
    /// [`crate::DiskFile::len`].
    Len,
    /// [`crate::DiskFile::start_writeback`].
    Writeback,
}

impl SimOp {
    /// Every kind of call: none of a disk's is spared.
    pub const ALL: [SimOp; 14] = [
        SimOp::Open,
        SimOp::Read,
        SimOp::Write,
        SimOp::SetLen,
        SimOp::SyncData,
        SimOp::SyncDir,
        SimOp::Rename,
        SimOp::Remove,
        SimOp::CreateDir,
        SimOp::ListDir,
        SimOp::Exists,
        SimOp::FreeBytes,
        SimOp::Len,
        SimOp::Writeback,
    ];
}

/// What a failing call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
    /// EMFILE.
    TooManyFiles,
}

impl SimError {
    pub(super) fn error(self) -> io::Error {
        match self {
            SimError::Io => Errno::IO.into(),
            SimError::NoSpace => Errno::NOSPC.into(),
            SimError::TooManyFiles => Errno::MFILE.into(),
        }
    }
}

/// One call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimFault {
    /// The kind of call.
    pub op: SimOp,
    /// Calls of that kind that succeed before.
    pub skip: u64,
    /// What the call returns.
    pub error: SimError,
}

/// The faults that have not happened yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Vec<SimFault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: SimFault) {
        self.pending.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Counts a call; the error that it has to return, if any.
    pub(super) fn count(&mut self, op: SimOp) -> Option<SimError> {
        let mut due = None;
        self.pending.retain_mut(|fault| {
            if fault.op != op {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            due = Some(fault.error);
            false
        });
        due
    }
}
