//! Snappy, raw or in xerial's framing, as literals and copies. No I/O.

use super::lz::{Format, Sequence};
use crate::batch::BatchError;
use crate::batch::compression::{XERIAL_HEADER_LEN, XERIAL_MAGIC};

const CORRUPT: BatchError = BatchError::CorruptCompression;
/// A literal's length is in its tag up to this; beyond it, that many bytes less 59 follow and hold it.
const SHORT_LITERAL_MAX: usize = 60;

/// A reader of snappy's elements.
pub(super) struct Snappy<'a> {
    /// Blocks that have not begun.
    later: &'a [u8],
    is_framed: bool,
    /// What is left of the present block.
    block: &'a [u8],
    /// Bytes that the present block still has to give.
    output_left: usize,
}

impl<'a> Snappy<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Snappy<'a>, BatchError> {
        let is_framed = input.starts_with(XERIAL_MAGIC);
        let later = if is_framed { input.get(XERIAL_HEADER_LEN..).ok_or(CORRUPT)? } else { input };
        let mut snappy = Snappy { later, is_framed, block: &[], output_left: 0 };
        if !is_framed {
            snappy.begin(input)?;
            snappy.later = &[];
        }
        Ok(snappy)
    }

    fn begin(&mut self, block: &'a [u8]) -> Result<(), BatchError> {
        let (declared, after) = length(block)?;
        self.output_left = declared;
        self.block = after;
        Ok(())
    }

    fn next_block(&mut self) -> Result<bool, BatchError> {
        if self.output_left > 0 {
            return Err(CORRUPT);
        }
        if !self.is_framed || self.later.is_empty() {
            return Ok(false);
        }
        let (len, after) = self.later.split_first_chunk().ok_or(CORRUPT)?;
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(CORRUPT)?;
        self.later = after;
        self.begin(block)?;
        Ok(true)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, BatchError> {
        let (head, rest) = self.block.split_at_checked(bytes).ok_or(CORRUPT)?;
        self.block = rest;
        Ok(head.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn element(&mut self) -> Result<Sequence, BatchError> {
        let tag = self.number(1)?;
        let mut sequence = Sequence::default();
        match tag & 3 {
            0 => {
                let short = tag >> 2;
                let len = if short < SHORT_LITERAL_MAX { short } else { self.number(short - 59)? };
                sequence.literals = len + 1;
            }
            1 => {
                sequence.copied = 4 + ((tag >> 2) & 7);
                sequence.offset = (tag >> 5) << 8 | self.number(1)?;
            }
            wide => {
                sequence.copied = (tag >> 2) + 1;
                sequence.offset = self.number(if wide == 2 { 2 } else { 4 })?;
            }
        }
        let len = sequence.literals + sequence.copied;
        self.output_left = self.output_left.checked_sub(len).ok_or(CORRUPT)?;
        Ok(sequence)
    }
}

impl Format for Snappy<'_> {
    #[inline]
    fn next(&mut self) -> Result<Option<(Sequence, bool)>, BatchError> {
        let mut is_new_block = false;
        while self.block.is_empty() {
            if !self.next_block()? {
                return Ok(None);
            }
            is_new_block = true;
        }
        Ok(Some((self.element()?, is_new_block)))
    }

    #[inline]
    fn literals(&mut self, count: usize) -> Result<&[u8], BatchError> {
        let (head, rest) = self.block.split_at_checked(count).ok_or(CORRUPT)?;
        self.block = rest;
        Ok(head)
    }

    fn written(&mut self, _output: &[u8]) {}
}

/// The length that a block declares, and what follows it.
fn length(block: &[u8]) -> Result<(usize, &[u8]), BatchError> {
    let mut value = 0u64;
    for (at, byte) in block.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            let declared = u32::try_from(value).map_err(|_| CORRUPT)?;
            return Ok((declared as usize, &block[at + 1..]));
        }
    }
    Err(CORRUPT)
}
