//! Answers on their way out: segments of bytes and of files, written as the transport takes them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Buf;
use ottla_broker_protocol::Segment;

use super::transport::Transport;

/// Slices of one vectored write; the kernel's limit is 1024, answers have a handful each.
const SLICES_MAX: usize = 64;

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

    /// Writes until the transport takes no more; returns how many bytes it took.
    pub fn write_to(&mut self, transport: &mut impl Transport) -> io::Result<u64> {
        let mut written_bytes = 0;
        while let Some(front) = self.segments.front() {
            let result = match front {
                Segment::File(range) => transport.try_send_file(range),
                Segment::Bytes(_) => self.write_bytes(transport),
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

    fn write_bytes(&self, transport: &mut impl Transport) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for segment in self.segments.iter().take(SLICES_MAX) {
            let Segment::Bytes(bytes) = segment else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        transport.try_write(&slices[..count])
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
