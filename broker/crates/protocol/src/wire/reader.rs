//! Bounded reading of wire primitives from a borrowed buffer.
//! Does no I/O and never allocates for what a peer merely announces: every length and count is checked
//! against the bytes that are left (`0 <= length <= remaining`) before anything is done with it.

use std::borrow::Cow;

use ottla_broker_types::Uuid;

use super::{DecodeError, Records};

/// Largest tagged field that is read or skipped. The largest that Kafka defines holds a few node endpoints;
/// a peer that sends more is refused.
pub const TAGGED_FIELD_BYTES_MAX: usize = 128 * 1024;

/// Bytes of memory that arrays may take for each byte of the frame. The densest honest requests, long lists of
/// two-letter topic names, stay below it.
const HEAP_BYTES_PER_BYTE: usize = 16;
/// Allowance on top, so that small frames need not count.
const HEAP_BYTES_BASE: usize = 64 * 1024;

/// Longest encoding of a 32-bit varint.
const VARINT_BYTES_MAX: u32 = 5;
/// Longest encoding of a 64-bit varint.
const VARLONG_BYTES_MAX: u32 = 10;

/// A cursor over the bytes of one frame.
///
/// Besides the bytes it holds a budget for what decoding may allocate, so that many small elements in a large
/// frame cannot unfold into many times its size.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of memory that arrays may still reserve.
    heap_left: usize,
    /// Elements that arrays may still have.
    items_left: usize,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $ty:ty),+ $(,)?) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            const LEN: usize = size_of::<$ty>();
            match self.rest.split_first_chunk::<LEN>() {
                Some((head, rest)) => {
                    self.rest = rest;
                    Ok(<$ty>::from_be_bytes(*head))
                }
                None => Err(DecodeError::Truncated { needed: LEN, left: self.rest.len() }),
            }
        }
    )+};
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let heap_left = bytes.len().saturating_mul(HEAP_BYTES_PER_BYTE).saturating_add(HEAP_BYTES_BASE);
        Reader { rest: bytes, heap_left, items_left: usize::MAX }
    }

    /// The reader of a message whose arrays may have at most `items_max` elements, all together.
    #[inline]
    pub fn with_items_max(self, items_max: usize) -> Self {
        Reader { items_left: items_max, ..self }
    }

    /// Bytes that are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left, without moving.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { left }),
        }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(DecodeError::Truncated { needed: len, left: self.rest.len() }),
        }
    }

    fixed! {
        /// A big-endian int8.
        i8: i8,
        /// A big-endian int16.
        i16: i16,
        /// A big-endian uint16.
        u16: u16,
        /// A big-endian int32.
        i32: i32,
        /// A big-endian uint32.
        u32: u32,
        /// A big-endian int64.
        i64: i64,
        /// A big-endian float64.
        f64: f64,
    }

    /// A bool: any byte but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// A uuid of 16 bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        match self.rest.split_first_chunk::<16>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(Uuid(*head))
            }
            None => Err(DecodeError::Truncated { needed: 16, left: self.rest.len() }),
        }
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let first = self.i8()? as u8;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for i in 1..VARINT_BYTES_MAX {
            let byte = self.i8()? as u8;
            // The fifth byte holds the top four bits only.
            if i == VARINT_BYTES_MAX - 1 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A zigzag varint of at most 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of at most 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let mut raw = 0u64;
        for i in 0..VARLONG_BYTES_MAX {
            let byte = self.i8()? as u8;
            // The tenth byte holds the top bit only.
            if i == VARLONG_BYTES_MAX - 1 && byte > 0x01 {
                return Err(DecodeError::VarintTooLong);
            }
            raw |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A length or count as an int16, None for -1.
    #[inline]
    fn len16(&mut self) -> Result<Option<usize>, DecodeError> {
        signed_len(i64::from(self.i16()?))
    }

    /// A length or count as an int32, None for -1.
    #[inline]
    fn len32(&mut self) -> Result<Option<usize>, DecodeError> {
        signed_len(i64::from(self.i32()?))
    }

    /// A compact length or count: a uvarint one above the value, None for 0.
    #[inline]
    fn len_compact(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    /// A nullable string; `flexible` chooses the compact form.
    #[inline]
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let len = if flexible { self.len_compact()? } else { self.len16()? };
        let Some(len) = len else { return Ok(None) };
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => Err(DecodeError::InvalidUtf8),
        }
    }

    /// A string; `flexible` chooses the compact form.
    #[inline]
    pub fn string(&mut self, flexible: bool) -> Result<Cow<'a, str>, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn nullable_slice(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match if flexible { self.len_compact()? } else { self.len32()? } {
            Some(len) => self.take(len).map(Some),
            None => Ok(None),
        }
    }

    /// Nullable bytes; `flexible` chooses the compact form.
    #[inline]
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        Ok(self.nullable_slice(flexible)?.map(Cow::Borrowed))
    }

    /// Bytes; `flexible` chooses the compact form.
    #[inline]
    pub fn bytes(&mut self, flexible: bool) -> Result<Cow<'a, [u8]>, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::UnexpectedNull)
    }

    /// Record batches, or null.
    #[inline]
    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<Records<'a>>, DecodeError> {
        Ok(self.nullable_slice(flexible)?.map(Records::Borrowed))
    }

    /// Record batches.
    #[inline]
    pub fn records(&mut self, flexible: bool) -> Result<Records<'a>, DecodeError> {
        self.nullable_records(flexible)?.ok_or(DecodeError::UnexpectedNull)
    }

    /// A nullable array. An element takes at least `element_bytes_min` (≥ 1) bytes, so a count that could not be
    /// true, or whose elements would exceed the budget, is refused before anything is allocated.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = (if flexible { self.len_compact()? } else { self.len32()? }) else {
            return Ok(None);
        };
        let too_many = DecodeError::TooManyElements { count, left: self.rest.len() };
        if count > self.rest.len() / element_bytes_min.max(1) {
            return Err(too_many);
        }
        self.heap_left = self.heap_left.checked_sub(count.saturating_mul(size_of::<T>())).ok_or(too_many)?;
        self.items_left = self.items_left.checked_sub(count).ok_or(too_many)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(element(self)?);
        }
        Ok(Some(items))
    }

    /// An array, bounded as in [`Reader::nullable_array`].
    #[inline]
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element_bytes_min: usize,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, element_bytes_min, element)?.ok_or(DecodeError::UnexpectedNull)
    }

    /// A nullable value that must not be null unless `allowed`.
    #[inline]
    pub fn null_only_if<T>(
        &mut self,
        allowed: bool,
        value: impl FnOnce(&mut Self) -> Result<Option<T>, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match value(self)? {
            None if !allowed => Err(DecodeError::UnexpectedNull),
            value => Ok(value),
        }
    }

    /// The value of a tagged field whose tag was read: its size, then exactly as many bytes.
    pub fn tagged_value<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let bytes = self.tagged_bytes()?;
        let mut inner = Reader { rest: bytes, ..*self };
        let value = value(&mut inner)?;
        (self.heap_left, self.items_left) = (inner.heap_left, inner.items_left);
        if inner.rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError::TaggedFieldSize { size: bytes.len() })
        }
    }

    /// Skips the value of a tagged field whose tag was read.
    pub fn skip_tagged_value(&mut self) -> Result<(), DecodeError> {
        self.tagged_bytes().map(drop)
    }

    fn tagged_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.uvarint()? as usize;
        if size > TAGGED_FIELD_BYTES_MAX {
            return Err(DecodeError::TaggedFieldSize { size });
        }
        self.take(size)
    }

    /// Skips a whole tag section of which no tag is known.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        // Each field takes two bytes or more, so the buffer bounds this loop.
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            self.skip_tagged_value()?;
        }
        Ok(())
    }
}

#[inline]
fn signed_len(length: i64) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length as usize)),
        _ => Err(DecodeError::NegativeLength { length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    #[test]
    fn varints_round_trip_at_their_edges() {
        for value in [0, 1, -1, 63, 64, -65, i32::MAX, i32::MIN] {
            let mut w = Writer::new();
            w.put_varint(value);
            w.put_varlong(i64::from(value) << 32);
            let bytes = w.into_bytes().unwrap();
            let mut r = Reader::new(&bytes);
            assert_eq!(r.varint(), Ok(value));
            assert_eq!(r.varlong(), Ok(i64::from(value) << 32));
            assert_eq!(r.finish(), Ok(()));
        }
        for value in [i64::MAX, i64::MIN] {
            let mut w = Writer::new();
            w.put_varlong(value);
            assert_eq!(Reader::new(&w.into_bytes().unwrap()).varlong(), Ok(value));
        }
    }

    #[test]
    fn a_varint_with_too_many_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(), Err(DecodeError::VarintTooLong));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
        assert_eq!(Reader::new(&[0xff; 11]).varlong(), Err(DecodeError::VarintTooLong));
    }

    #[test]
    fn arrays_have_no_more_elements_together_than_the_message_may() {
        let bytes = [0, 0, 0, 2, 1, 2, 0, 0, 0, 2, 3, 4];
        let both = |items_max| {
            let mut reader = Reader::new(&bytes).with_items_max(items_max);
            reader.array(false, 1, Reader::i8).and_then(|_| reader.array(false, 1, Reader::i8))
        };
        assert_eq!(both(4), Ok(vec![3, 4]));
        assert_eq!(both(3), Err(DecodeError::TooManyElements { count: 2, left: 2 }));
    }

    #[test]
    fn a_count_beyond_the_bytes_left_is_refused() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(
            Reader::new(&bytes).array(false, 1, Reader::i8),
            Err(DecodeError::TooManyElements { count: i32::MAX as usize, left: 2 })
        );
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0, 0]).array(false, 1, Reader::i8), Ok(vec![0, 0]));
        assert!(Reader::new(&[0, 0, 0, 2, 0, 0]).array(false, 2, Reader::i16).is_err());
    }

    #[test]
    fn elements_that_would_unfold_beyond_the_budget_are_refused() {
        let count = 1_000_000;
        let mut w = Writer::new();
        w.put_i32(count);
        w.put_slice(&vec![0; count as usize]);
        let bytes = w.into_bytes().unwrap();
        let read = Reader::new(&bytes).array(false, 1, |r| r.i8().map(|_| [0u64; 4]));
        assert!(matches!(read, Err(DecodeError::TooManyElements { .. })));
        assert!(Reader::new(&bytes).array(false, 1, |r| r.i8().map(|_| [0u64; 2])).is_ok());
    }

    #[test]
    fn lengths_below_minus_one_are_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff]).nullable_string(false), Ok(None));
        assert_eq!(Reader::new(&[0xff, 0xff]).string(false), Err(DecodeError::UnexpectedNull));
        assert_eq!(
            Reader::new(&[0xff, 0xfe]).nullable_string(false),
            Err(DecodeError::NegativeLength { length: -2 })
        );
    }

    #[test]
    fn a_tagged_field_above_the_limit_is_refused() {
        let mut w = Writer::new();
        w.put_uvarint(1);
        w.put_uvarint(9);
        w.put_uvarint(TAGGED_FIELD_BYTES_MAX as u32 + 1);
        w.put_slice(&vec![0; TAGGED_FIELD_BYTES_MAX + 1]);
        let bytes = w.into_bytes().unwrap();
        assert_eq!(
            Reader::new(&bytes).skip_tagged_fields(),
            Err(DecodeError::TaggedFieldSize { size: TAGGED_FIELD_BYTES_MAX + 1 })
        );
    }
}
