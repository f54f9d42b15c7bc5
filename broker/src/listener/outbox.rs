//! Answers on their way out: segments of bytes and of files, written as the socket takes them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use ottla_broker_protocol::{FileRange, Segment};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Slices of one vectored write; the kernel's limit is 1024, answers have a handful each.
const SLICES_MAX: usize = 64;
/// Bytes per `sendfile` call, so that one large answer cannot hold a worker for long.
const SENDFILE_BYTES_MAX: usize = 1 << 20;
/// Bytes copied per write where a file has no descriptor.
const COPY_BYTES_MAX: usize = 64 << 10;

/// A queue of segments, in the order of the answers.
#[derive(Default)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    queued_bytes: usize,
    /// Of these, what lies in this process's memory.
    memory_bytes: usize,
}

impl Outbox {
    /// Queues a whole frame.
    pub fn push(&mut self, frame: Vec<Segment>) {
        for segment in frame {
            let (len, memory) = match &segment {
                Segment::Bytes(bytes) => (bytes.len(), bytes.len()),
                Segment::File(range) => (range.len, 0),
            };
            if len > 0 {
                self.queued_bytes += len;
                self.memory_bytes += memory;
                self.segments.push_back(segment);
            }
        }
    }

    /// Bytes that are not written yet.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Bytes that are not written yet and lie in memory.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Gives back what an empty queue holds.
    pub fn shrink(&mut self) {
        if self.segments.is_empty() {
            self.segments = VecDeque::new();
        }
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Writes until the socket takes no more; returns how many bytes it took.
    pub fn write_to(&mut self, stream: &TcpStream) -> io::Result<u64> {
        let mut written_bytes = 0;
        while let Some(front) = self.segments.front_mut() {
            let result = match front {
                Segment::File(range) => send_file(stream, range),
                Segment::Bytes(_) => self.write_bytes(stream),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written_bytes += count as u64;
                    self.consume(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written_bytes)
    }

    fn write_bytes(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for segment in self.segments.iter().take(SLICES_MAX) {
            let Segment::Bytes(bytes) = segment else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        stream.try_write_vectored(&slices[..count])
    }

    fn consume(&mut self, mut count: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(count);
        while count > 0 {
            let Some(front) = self.segments.front_mut() else { return };
            let len = match front {
                Segment::Bytes(bytes) => {
                    self.memory_bytes = self.memory_bytes.saturating_sub(count.min(bytes.len()));
                    bytes.len()
                }
                Segment::File(range) => range.len,
            };
            if count >= len {
                count -= len;
                self.segments.pop_front();
                continue;
            }
            match front {
                Segment::Bytes(bytes) => bytes.advance(count),
                Segment::File(range) => {
                    range.position += count as u64;
                    range.len -= count;
                }
            }
            return;
        }
    }
}

/// Sends the beginning of a file's range, without a copy through user space where the file allows it.
fn send_file(stream: &TcpStream, range: &FileRange) -> io::Result<usize> {
    let Some(descriptor) = range.file.as_fd() else { return copy_file(stream, range) };
    let mut position = range.position;
    let len = range.len.min(SENDFILE_BYTES_MAX);
    let sent = stream.try_io(Interest::WRITABLE, || {
        rustix::fs::sendfile(stream, descriptor, Some(&mut position), len).map_err(io::Error::from)
    })?;
    if sent == 0 {
        // The file ended early: it was truncated under the reader, so the frame cannot be completed.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(sent)
}

fn copy_file(stream: &TcpStream, range: &FileRange) -> io::Result<usize> {
    let mut buffer = vec![0; range.len.min(COPY_BYTES_MAX)];
    range.file.read_exact_at(&mut buffer, range.position)?;
    stream.try_write(&Bytes::from(buffer))
}
