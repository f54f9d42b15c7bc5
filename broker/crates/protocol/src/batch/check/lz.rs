//! What snappy and LZ4 have in common: literals and copies of what came shortly before, decompressed through a window
//! that holds no more than a copy can reach. No I/O.

use super::cursor::Source;
use crate::batch::BatchError;

/// How far back a copy may reach. LZ4 cannot say more; snappy could, and none of its encoders looks further.
pub(super) const REACH_BYTES: usize = 64 << 10;
/// The window: twice the reach, so that moving what can be reached to its front is rare.
pub(super) const WINDOW_BYTES: usize = 2 * REACH_BYTES;

/// Bytes of the input as they are, then a copy of earlier output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// Count of bytes that follow in the input.
    pub literals: usize,
    /// How far back the copy begins; not 0 if there is one.
    pub offset: usize,
    /// Bytes to copy, which may include some that the copy itself writes.
    pub copied: usize,
}

/// A format of such sequences, reading its input.
pub(super) trait Format {
    /// The next sequence; `None` at the end of the input. `is_new_block` of an answer says that no copy reaches back
    /// over its beginning.
    fn next(&mut self) -> Result<Option<(Sequence, bool)>, BatchError>;
    /// The next `count` bytes of the input.
    fn literals(&mut self, count: usize) -> Result<&[u8], BatchError>;
    /// Hears of the output, in order.
    fn written(&mut self, output: &[u8]);
}

/// Decompresses through a window.
pub(super) struct Window<'w, F> {
    format: F,
    buffer: &'w mut [u8],
    /// Where the present piece begins in the buffer.
    start: usize,
    /// Where it ends.
    end: usize,
    /// Bytes before `end` that copies of this block may reach.
    reachable: usize,
    pending: Sequence,
    output_left: u64,
    output_max: u64,
}

impl<'w, F: Format> Window<'w, F> {
    /// A window in `buffer`, of [`WINDOW_BYTES`], that gives at most `output_max` bytes.
    pub(super) fn new(format: F, buffer: &'w mut [u8], output_max: u64) -> Window<'w, F> {
        let pending = Sequence::default();
        Window {
            format,
            buffer,
            start: 0,
            end: 0,
            reachable: 0,
            pending,
            output_left: output_max,
            output_max,
        }
    }

    fn fill(&mut self) -> Result<(), BatchError> {
        while self.end < self.buffer.len() {
            let room = self.buffer.len() - self.end;
            let count = if self.pending.literals > 0 {
                let count = self.pending.literals.min(room);
                let literals = self.format.literals(count)?;
                self.buffer[self.end..self.end + count].copy_from_slice(literals);
                self.pending.literals -= count;
                count
            } else if self.pending.copied > 0 {
                let count = self.pending.copied.min(room);
                if self.pending.offset == 0 || self.pending.offset > self.reachable {
                    return Err(BatchError::CorruptCompression);
                }
                repeat(self.buffer, self.end, self.pending.offset, count);
                self.pending.copied -= count;
                count
            } else {
                let Some((sequence, is_new_block)) = self.format.next()? else { return Ok(()) };
                if is_new_block {
                    self.reachable = 0;
                }
                self.pending = sequence;
                continue;
            };
            self.end += count;
            self.reachable = (self.reachable + count).min(REACH_BYTES);
        }
        Ok(())
    }
}

impl<F: Format> Source for Window<'_, F> {
    #[inline(always)]
    fn piece(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn advance(&mut self) -> Result<bool, BatchError> {
        let kept = self.reachable.min(self.end);
        self.buffer.copy_within(self.end - kept..self.end, 0);
        self.start = kept;
        self.end = kept;
        self.fill()?;
        let piece = &self.buffer[self.start..self.end];
        self.format.written(piece);
        let len = piece.len() as u64;
        if len > self.output_left {
            let limit = usize::try_from(self.output_max).unwrap_or(usize::MAX);
            return Err(BatchError::OutputTooLarge { limit });
        }
        self.output_left -= len;
        Ok(len > 0)
    }
}

/// Copies `count` bytes that begin `offset` before `at` to `at`; the two may overlap.
fn repeat(buffer: &mut [u8], at: usize, offset: usize, count: usize) {
    let from = at - offset;
    let mut done = 0;
    while done < count {
        // What was written goes on the pattern, so each round may copy twice as much.
        let step = (offset + done).min(count - done);
        buffer.copy_within(from..from + step, at + done);
        done += step;
    }
}
