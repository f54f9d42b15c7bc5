//! What a response is made of: bytes and ranges of files, in the order in which they go out.
//! Names the file seam; the only I/O is what the given file does.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;

/// A file whose bytes can be sent or read by position. Implemented by the log's disk files.
pub trait FileSource: Send + Sync {
    /// The descriptor for `sendfile`, if there is a real file behind this.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
    /// Fills `buf` with the bytes from `pos` on; an early end of the file is an error.
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()>;
}

/// `len` bytes of a file from `position` on. The bytes must not change while a range points to them.
#[derive(Clone)]
pub struct FileRange {
    /// The file, kept open by this handle.
    pub file: Arc<dyn FileSource>,
    /// Position of the first byte.
    pub position: u64,
    /// Count of bytes.
    pub len: usize,
}

impl FileRange {
    /// Reads the whole range.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, self.position)?;
        Ok(bytes.into())
    }
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRange")
            .field("position", &self.position)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Equal means: the same open file and the same range of it.
impl PartialEq for FileRange {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.position == other.position && self.len == other.len
    }
}

/// One piece of an outgoing message.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes of a file, sent without passing through user space where the transport allows it.
    File(FileRange),
}

impl Segment {
    /// Count of bytes.
    pub fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::File(range) => range.len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
