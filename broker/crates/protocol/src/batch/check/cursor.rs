//! Where a walk reads from: a slice, or decompressed bytes that come piece by piece. No I/O.

use crate::batch::BatchError;

/// Why a walk cannot go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The bytes are no record.
    Malformed(&'static str),
    /// The source of bytes failed.
    Source(BatchError),
}

const ENDS_EARLY: Stopped = Stopped::Malformed("it ends before its fields do");
const VARINT_TOO_LONG: Stopped = Stopped::Malformed("a variable-length number has too many bytes");

/// Longest encoding of a 32-bit number.
const VARINT_BYTES_MAX: u32 = 5;
/// Longest encoding of a 64-bit number.
const VARLONG_BYTES_MAX: u32 = 10;

/// Reads forward.
pub(super) trait Cursor {
    /// Bytes that were passed.
    fn position(&self) -> u64;
    /// The next byte.
    fn byte(&mut self) -> Result<u8, Stopped>;
    /// Passes `count` bytes.
    fn skip(&mut self, count: usize) -> Result<(), Stopped>;
    /// Whether no byte is left.
    fn is_at_end(&mut self) -> Result<bool, BatchError>;

    /// A zigzag number of 32 bits.
    #[inline(always)]
    fn varint(&mut self) -> Result<i32, Stopped> {
        let first = self.byte()?;
        let raw = if first < 0x80 { u32::from(first) } else { self.long_varint(first)? };
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// The rest of a number after its first byte.
    fn long_varint(&mut self, first: u8) -> Result<u32, Stopped> {
        let mut raw = u32::from(first & 0x7f);
        for at in 1..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            // The last byte holds the top four bits only.
            if at == VARINT_BYTES_MAX - 1 && byte > 0x0f {
                return Err(VARINT_TOO_LONG);
            }
            raw |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(raw);
            }
        }
        Err(VARINT_TOO_LONG)
    }

    /// A zigzag number of 64 bits.
    #[inline(always)]
    fn varlong(&mut self) -> Result<i64, Stopped> {
        let first = self.byte()?;
        let raw = if first < 0x80 { u64::from(first) } else { self.long_varlong(first)? };
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// The rest of a number after its first byte.
    fn long_varlong(&mut self, first: u8) -> Result<u64, Stopped> {
        let mut raw = u64::from(first & 0x7f);
        for at in 1..VARLONG_BYTES_MAX {
            let byte = self.byte()?;
            // The last byte holds the top bit only.
            if at == VARLONG_BYTES_MAX - 1 && byte > 0x01 {
                return Err(VARINT_TOO_LONG);
            }
            raw |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(raw);
            }
        }
        Err(VARINT_TOO_LONG)
    }
}

/// Bytes that are all there.
pub(super) struct Slice<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Slice<'a> {
        Slice { bytes, at: 0 }
    }
}

impl Cursor for Slice<'_> {
    #[inline(always)]
    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, Stopped> {
        let byte = *self.bytes.get(self.at).ok_or(ENDS_EARLY)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Result<(), Stopped> {
        if count > self.bytes.len() - self.at {
            return Err(ENDS_EARLY);
        }
        self.at += count;
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        Ok(self.at == self.bytes.len())
    }
}

/// Decompressed bytes, piece by piece.
pub(super) trait Source {
    /// The piece that is there.
    fn piece(&self) -> &[u8];
    /// Replaces the piece by the next one; false at the end. A piece is never empty.
    fn advance(&mut self) -> Result<bool, BatchError>;
}

/// A cursor over a source, which holds one piece of it.
pub(super) struct Stream<'s, S: ?Sized> {
    source: &'s mut S,
    /// Position within the piece.
    at: usize,
    /// Bytes of the pieces before.
    before: u64,
}

impl<'s, S: Source + ?Sized> Stream<'s, S> {
    pub(super) fn new(source: &'s mut S) -> Stream<'s, S> {
        Stream { source, at: 0, before: 0 }
    }

    fn next_piece(&mut self) -> Result<bool, BatchError> {
        self.before += self.source.piece().len() as u64;
        self.at = 0;
        self.source.advance()
    }
}

impl<S: Source + ?Sized> Cursor for Stream<'_, S> {
    #[inline(always)]
    fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, Stopped> {
        loop {
            if let Some(byte) = self.source.piece().get(self.at) {
                self.at += 1;
                return Ok(*byte);
            }
            if !self.next_piece().map_err(Stopped::Source)? {
                return Err(ENDS_EARLY);
            }
        }
    }

    #[inline]
    fn skip(&mut self, mut count: usize) -> Result<(), Stopped> {
        loop {
            let left = self.source.piece().len() - self.at;
            if count <= left {
                self.at += count;
                return Ok(());
            }
            count -= left;
            if !self.next_piece().map_err(Stopped::Source)? {
                return Err(ENDS_EARLY);
            }
        }
    }

    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        if self.at < self.source.piece().len() {
            return Ok(false);
        }
        Ok(!self.next_piece()?)
    }
}
