//! The LZ4 frame as Kafka's clients write it, as literals and copies. No I/O.
//!
//! Blocks that refer to earlier ones and dictionaries are refused, since no Kafka client can read them. All checksums are
//! checked, since some clients do.

use std::hash::Hasher;

use twox_hash::XxHash32;

use super::lz::{Format, Sequence};
use crate::batch::BatchError;

const CORRUPT: BatchError = BatchError::CorruptCompression;
const MAGIC: u32 = 0x184d_2204;
const VERSION_BITS: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED_OR_DICTIONARY: u8 = 0b11;
/// The top bit of a block's length says that it is not compressed.
const STORED: u32 = 1 << 31;
/// Bits of the byte of sizes that have no meaning.
const SIZE_RESERVED: u8 = 0b1000_1111;
/// A copy is at least this long.
const COPY_MIN: usize = 4;

/// A reader of LZ4's sequences.
pub(super) struct Lz4<'a> {
    input: &'a [u8],
    /// The frame that was begun and not ended.
    frame: Option<Frame>,
    /// What is left of the present block.
    block: &'a [u8],
    /// Bytes that the present block may still give.
    block_left: usize,
    /// Literals that were announced and not taken.
    literals: &'a [u8],
    /// Output that was announced and of which [`Format::written`] has not heard.
    unwritten: u64,
}

struct Frame {
    flags: u8,
    block_bytes_max: usize,
    content_left: u64,
    content: XxHash32,
}

impl<'a> Lz4<'a> {
    pub(super) fn new(input: &'a [u8]) -> Lz4<'a> {
        Lz4 { input, frame: None, block: &[], block_left: 0, literals: &[], unwritten: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let (head, rest) = self.input.split_at_checked(count).ok_or(CORRUPT)?;
        self.input = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, BatchError> {
        let (head, rest) = self.input.split_first_chunk().ok_or(CORRUPT)?;
        self.input = rest;
        Ok(u32::from_le_bytes(*head))
    }

    fn begin_frame(&mut self) -> Result<Frame, BatchError> {
        if self.u32()? != MAGIC {
            return Err(CORRUPT);
        }
        let described = self.input;
        let &[flags, sizes] = self.take(2)? else { return Err(CORRUPT) };
        let is_readable = flags & VERSION_BITS == VERSION_1
            && flags & INDEPENDENT != 0
            && flags & RESERVED_OR_DICTIONARY == 0
            && sizes & SIZE_RESERVED == 0;
        let block_bytes_max = match sizes >> 4 {
            size @ 4..=7 => 1_usize << (2 * size + 8),
            _ => return Err(CORRUPT),
        };
        let mut content_left = 0;
        if flags & CONTENT_SIZE != 0 {
            content_left = u64::from(self.u32()?) | u64::from(self.u32()?) << 32;
        }
        let described = &described[..described.len() - self.input.len()];
        let checksum = (XxHash32::oneshot(0, described) >> 8) as u8;
        if !is_readable || self.take(1)? != [checksum] {
            return Err(CORRUPT);
        }
        Ok(Frame { flags, block_bytes_max, content_left, content: XxHash32::with_seed(0) })
    }

    /// Begins the next block of `frame`; false if the frame ends instead.
    fn begin_block(&mut self, frame: &Frame) -> Result<bool, BatchError> {
        let word = self.u32()?;
        if word == 0 {
            return Ok(false);
        }
        let len = (word & !STORED) as usize;
        if len == 0 || len > frame.block_bytes_max {
            return Err(CORRUPT);
        }
        let block = self.take(len)?;
        if frame.flags & BLOCK_CHECKSUM != 0 && self.u32()? != XxHash32::oneshot(0, block) {
            return Err(CORRUPT);
        }
        self.block_left = frame.block_bytes_max;
        let (packed, stored) = block.split_at(if word & STORED == 0 { len } else { 0 });
        (self.block, self.literals) = (packed, stored);
        Ok(true)
    }

    /// Checks what a frame says at its end of what was in it.
    fn end_frame(&mut self, frame: &Frame) -> Result<(), BatchError> {
        let wrong_size = frame.flags & CONTENT_SIZE != 0 && frame.content_left != 0;
        if wrong_size || frame.flags & CONTENT_CHECKSUM != 0 && self.u32()? != frame.content.finish_32() {
            return Err(CORRUPT);
        }
        Ok(())
    }

    fn long_length(&mut self) -> Result<usize, BatchError> {
        let mut len = 15;
        loop {
            let (byte, rest) = self.block.split_first().ok_or(CORRUPT)?;
            self.block = rest;
            len += usize::from(*byte);
            if *byte < u8::MAX {
                return Ok(len);
            }
        }
    }

    #[inline]
    fn sequence(&mut self) -> Result<Sequence, BatchError> {
        let (token, rest) = self.block.split_first().ok_or(CORRUPT)?;
        self.block = rest;
        let mut sequence = Sequence { literals: usize::from(token >> 4), ..Sequence::default() };
        if sequence.literals == 15 {
            sequence.literals = self.long_length()?;
        }
        let (literals, rest) = self.block.split_at_checked(sequence.literals).ok_or(CORRUPT)?;
        self.literals = literals;
        self.block = rest;
        // Only the last sequence of a block has no copy.
        if let Some((offset, rest)) = rest.split_first_chunk() {
            self.block = rest;
            sequence.offset = usize::from(u16::from_le_bytes(*offset));
            let copied = usize::from(token & 15);
            sequence.copied = COPY_MIN + if copied == 15 { self.long_length()? } else { copied };
            if sequence.offset == 0 {
                return Err(CORRUPT);
            }
        } else if !rest.is_empty() {
            return Err(CORRUPT);
        }
        Ok(sequence)
    }

    fn announce(&mut self, sequence: Sequence) -> Result<Sequence, BatchError> {
        let len = sequence.literals + sequence.copied;
        self.block_left = self.block_left.checked_sub(len).ok_or(CORRUPT)?;
        self.unwritten += len as u64;
        Ok(sequence)
    }
}

impl Format for Lz4<'_> {
    #[inline]
    fn next(&mut self) -> Result<Option<(Sequence, bool)>, BatchError> {
        if !self.block.is_empty() {
            let sequence = self.sequence()?;
            return Ok(Some((self.announce(sequence)?, false)));
        }
        loop {
            let Some(frame) = self.frame.take() else {
                if self.input.is_empty() {
                    return Ok(None);
                }
                self.frame = Some(self.begin_frame()?);
                continue;
            };
            let before = self.input;
            if self.begin_block(&frame)? {
                self.frame = Some(frame);
                let sequence = match self.literals.len() {
                    0 => self.sequence()?,
                    literals => Sequence { literals, ..Sequence::default() },
                };
                return Ok(Some((self.announce(sequence)?, true)));
            }
            if self.unwritten > 0 {
                // The checksum at the frame's end is over all output: come back once that has been heard of.
                self.input = before;
                self.frame = Some(frame);
                return Ok(None);
            }
            self.end_frame(&frame)?;
        }
    }

    #[inline]
    fn literals(&mut self, count: usize) -> Result<&[u8], BatchError> {
        let (head, rest) = self.literals.split_at_checked(count).ok_or(CORRUPT)?;
        self.literals = rest;
        Ok(head)
    }

    fn written(&mut self, output: &[u8]) {
        self.unwritten = self.unwritten.saturating_sub(output.len() as u64);
        let Some(frame) = &mut self.frame else { return };
        if frame.flags & CONTENT_CHECKSUM != 0 {
            frame.content.write(output);
        }
        // Goes round below zero, so that too much is as wrong as too little.
        frame.content_left = frame.content_left.wrapping_sub(output.len() as u64);
    }
}
