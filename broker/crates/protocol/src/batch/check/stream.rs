//! Decompressing through memory of bounded size. No I/O.

use std::io::Read;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::cursor::Source;
use super::lz::WINDOW_BYTES;
use crate::batch::BatchError;

/// What a decoder may keep from one batch to the next.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// zstd's code for a frame that asks for a larger window than allowed, as it is returned.
const ZSTD_WINDOW_TOO_LARGE: usize = 0_usize.wrapping_sub(16);

/// Memory for decompressing, used again from batch to batch: one for each thread that does.
///
/// It holds a window of 128 KiB, and for zstd a context of as much, beside which a frame's own window takes memory while
/// the frame is read: as far as the records reach, and at most what the caller allows.
#[derive(Default)]
pub struct Scratch {
    window: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

/// How much a batch may unfold into, and what reading it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of records.
    pub output_max: u64,
    /// The largest window of a zstd frame, as a power of two in bytes.
    pub zstd_window_log_max: u32,
}

impl Scratch {
    pub(super) fn window(&mut self) -> &mut [u8] {
        self.window.resize(WINDOW_BYTES, 0);
        &mut self.window
    }

    /// A reader of zstd frames. Call [`Scratch::shed`] once it is done.
    pub(super) fn zstd<'s>(&'s mut self, input: &'s [u8], limits: Limits) -> Result<Zstd<'s>, BatchError> {
        self.window.resize(WINDOW_BYTES, 0);
        let context = self.zstd.get_or_insert_with(DCtx::create);
        let corrupt = |_| BatchError::CorruptCompression;
        context.reset(ResetDirective::SessionOnly).map_err(corrupt)?;
        context.set_parameter(DParameter::WindowLogMax(limits.zstd_window_log_max)).map_err(corrupt)?;
        Ok(Zstd {
            context,
            input: InBuffer::around(input),
            buffer: &mut self.window,
            len: 0,
            is_in_frame: false,
            output: Output::new(limits.output_max),
        })
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.window.capacity() + self.zstd.as_ref().map_or(0, DCtx::sizeof)
    }

    /// Gives back what is too large to be kept.
    pub(super) fn shed(&mut self) {
        if self.zstd.as_ref().is_some_and(|context| context.sizeof() > KEPT_BYTES_MAX) {
            self.zstd = None;
        }
    }
}

/// Counts output against its bound.
struct Output {
    max: u64,
    left: u64,
}

impl Output {
    fn new(max: u64) -> Output {
        Output { max, left: max }
    }

    fn take(&mut self, len: usize) -> Result<bool, BatchError> {
        let limit = usize::try_from(self.max).unwrap_or(usize::MAX);
        self.left = self.left.checked_sub(len as u64).ok_or(BatchError::OutputTooLarge { limit })?;
        Ok(len > 0)
    }
}

/// Pieces of what a reader gives.
pub(super) struct Pieces<'w, R> {
    reader: R,
    buffer: &'w mut [u8],
    len: usize,
    output: Output,
}

impl<'w, R: Read> Pieces<'w, R> {
    pub(super) fn new(reader: R, buffer: &'w mut [u8], output_max: u64) -> Pieces<'w, R> {
        Pieces { reader, buffer, len: 0, output: Output::new(output_max) }
    }
}

impl<R: Read> Source for Pieces<'_, R> {
    #[inline(always)]
    fn piece(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn advance(&mut self) -> Result<bool, BatchError> {
        self.len = self.reader.read(self.buffer).map_err(|_| BatchError::CorruptCompression)?;
        self.output.take(self.len)
    }
}

/// Pieces of zstd frames.
pub(super) struct Zstd<'s> {
    context: &'s mut DCtx<'static>,
    input: InBuffer<'s>,
    buffer: &'s mut [u8],
    len: usize,
    is_in_frame: bool,
    output: Output,
}

impl Source for Zstd<'_> {
    #[inline(always)]
    fn piece(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn advance(&mut self) -> Result<bool, BatchError> {
        self.len = 0;
        while self.len == 0 {
            let (read, is_input_left) = (self.input.pos(), self.input.pos() < self.input.src.len());
            if !is_input_left && !self.is_in_frame {
                return Ok(false);
            }
            let mut written = OutBuffer::around(&mut *self.buffer);
            let hint =
                self.context.decompress_stream(&mut written, &mut self.input).map_err(|code| match code {
                    ZSTD_WINDOW_TOO_LARGE => BatchError::WindowTooLarge,
                    _ => BatchError::CorruptCompression,
                })?;
            self.len = written.pos();
            self.is_in_frame = hint != 0;
            if self.len == 0 && self.input.pos() == read {
                // The input ends within a frame.
                return Err(BatchError::CorruptCompression);
            }
        }
        self.output.take(self.len)
    }
}
