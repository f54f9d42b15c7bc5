//! Segmented writing of wire primitives: small fields gather in one buffer, record bytes stay where they are.
//! Does no I/O; a file range is only named.

use bytes::Bytes;
use ottla_broker_types::Uuid;

use super::{EncodeError, Records, Segment};

/// Builds one outgoing message.
#[derive(Debug, Default)]
pub struct Writer {
    /// Every byte that was put by value.
    owned: Vec<u8>,
    /// Foreign segments, each with the position in `owned` before which it goes. Positions never decrease.
    foreign: Vec<(usize, Segment)>,
    /// Sum of the lengths of `foreign`.
    foreign_bytes: usize,
}

/// A message that contains file ranges was asked for as bytes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message contains a range of a file")]
pub struct FileInBytes;

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $ty:ty),+ $(,)?) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self, value: $ty) {
            self.owned.extend_from_slice(&value.to_be_bytes());
        }
    )+};
}

impl Writer {
    /// An empty message.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty message with room for `bytes` small bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Writer { owned: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Bytes written so far, those of foreign segments included.
    #[inline]
    pub fn len(&self) -> usize {
        self.owned.len() + self.foreign_bytes
    }

    /// Whether nothing was written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fixed! {
        /// A big-endian int8.
        put_i8: i8,
        /// A big-endian int16.
        put_i16: i16,
        /// A big-endian uint16.
        put_u16: u16,
        /// A big-endian int32.
        put_i32: i32,
        /// A big-endian uint32.
        put_u32: u32,
        /// A big-endian int64.
        put_i64: i64,
        /// A big-endian float64.
        put_f64: f64,
    }

    /// A bool as one byte.
    #[inline]
    pub fn put_bool(&mut self, value: bool) {
        self.owned.push(u8::from(value));
    }

    /// A uuid of 16 bytes.
    #[inline]
    pub fn put_uuid(&mut self, value: Uuid) {
        self.owned.extend_from_slice(&value.0);
    }

    /// Bytes without a length.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.owned.extend_from_slice(bytes);
    }

    /// An unsigned varint.
    #[inline]
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.owned.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.owned.push(value as u8);
    }

    /// A zigzag varint of 32 bits.
    #[inline]
    pub fn put_varint(&mut self, value: i32) {
        self.put_uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A zigzag varint of 64 bits.
    #[inline]
    pub fn put_varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        while raw >= 0x80 {
            self.owned.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        self.owned.push(raw as u8);
    }

    #[inline]
    fn put_len_compact(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let Some(length) = len else {
            self.put_uvarint(0);
            return Ok(());
        };
        // int32 is the ceiling of the plain form; keeping to it here makes every length valid in both.
        let value = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.put_uvarint(value as u32 + 1);
        Ok(())
    }

    #[inline]
    fn put_len32(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let value = match len {
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            None => -1,
        };
        self.put_i32(value);
        Ok(())
    }

    /// A string, or null; `flexible` chooses the compact form.
    #[inline]
    pub fn put_nullable_string(&mut self, text: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        if flexible {
            self.put_len_compact(text.map(str::len))?;
        } else {
            let len = match text.map(str::len) {
                Some(length) => i16::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
                None => -1,
            };
            self.put_i16(len);
        }
        self.put_slice(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// A string; `flexible` chooses the compact form.
    #[inline]
    pub fn put_string(&mut self, text: &str, flexible: bool) -> Result<(), EncodeError> {
        self.put_nullable_string(Some(text), flexible)
    }

    /// Bytes, or null; `flexible` chooses the compact form.
    #[inline]
    pub fn put_nullable_bytes(&mut self, bytes: Option<&[u8]>, flexible: bool) -> Result<(), EncodeError> {
        self.put_nullable_array_len(bytes.map(<[u8]>::len), flexible)?;
        self.put_slice(bytes.unwrap_or_default());
        Ok(())
    }

    /// Bytes; `flexible` chooses the compact form.
    #[inline]
    pub fn put_bytes(&mut self, bytes: &[u8], flexible: bool) -> Result<(), EncodeError> {
        self.put_nullable_bytes(Some(bytes), flexible)
    }

    /// Record batches, or null. Segments are kept as they are; borrowed bytes are copied.
    pub fn put_nullable_records(
        &mut self,
        records: Option<&Records<'_>>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.put_nullable_array_len(records.map(Records::len), flexible)?;
        match records {
            Some(Records::Borrowed(bytes)) => self.put_slice(bytes),
            Some(Records::Segments(segments)) => {
                for segment in segments {
                    self.put_segment(segment.clone());
                }
            }
            None => {}
        }
        Ok(())
    }

    /// A segment without a length. It is not copied.
    pub fn put_segment(&mut self, segment: Segment) {
        if !segment.is_empty() {
            self.foreign_bytes += segment.len();
            self.foreign.push((self.owned.len(), segment));
        }
    }

    /// An array's element count, or null.
    #[inline]
    pub fn put_nullable_array_len(
        &mut self,
        count: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        if flexible { self.put_len_compact(count) } else { self.put_len32(count) }
    }

    /// An array's element count.
    #[inline]
    pub fn put_array_len(&mut self, count: usize, flexible: bool) -> Result<(), EncodeError> {
        self.put_nullable_array_len(Some(count), flexible)
    }

    /// One tagged field: tag, size, and what `content` writes.
    pub fn put_tagged_field(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut inner = Writer::new();
        content(&mut inner)?;
        let length = inner.len();
        let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.put_uvarint(tag);
        self.put_uvarint(size);
        let base = self.owned.len();
        self.owned.extend_from_slice(&inner.owned);
        self.foreign_bytes += inner.foreign_bytes;
        self.foreign.extend(inner.foreign.into_iter().map(|(at, segment)| (base + at, segment)));
        Ok(())
    }

    /// Overwrites the int32 that was put at the very start.
    pub(crate) fn set_leading_i32(&mut self, value: i32) {
        if let Some(slot) = self.owned.first_chunk_mut::<4>() {
            *slot = value.to_be_bytes();
        }
    }

    /// The message, in the order in which it goes out. No segment is empty.
    pub fn into_segments(self) -> Vec<Segment> {
        let owned = Bytes::from(self.owned);
        let mut segments = Vec::with_capacity(2 * self.foreign.len() + 1);
        let mut done = 0;
        for (at, segment) in self.foreign {
            if at > done {
                segments.push(Segment::Bytes(owned.slice(done..at)));
                done = at;
            }
            segments.push(segment);
        }
        if done < owned.len() {
            segments.push(Segment::Bytes(owned.slice(done..)));
        }
        segments
    }

    /// The message in one piece.
    pub fn into_bytes(self) -> Result<Bytes, FileInBytes> {
        if self.foreign.is_empty() {
            return Ok(self.owned.into());
        }
        let mut joined = Vec::with_capacity(self.len());
        for segment in self.into_segments() {
            match segment {
                Segment::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Segment::File(_) => return Err(FileInBytes),
            }
        }
        Ok(joined.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_out_in_the_order_in_which_they_were_put() {
        let mut w = Writer::new();
        w.put_segment(Segment::Bytes(Bytes::from_static(b"ab")));
        w.put_slice(b"cd");
        w.put_segment(Segment::Bytes(Bytes::from_static(b"ef")));
        w.put_segment(Segment::Bytes(Bytes::new()));
        w.put_segment(Segment::Bytes(Bytes::from_static(b"g")));
        w.put_slice(b"h");
        assert_eq!(w.len(), 8);
        let pieces: Vec<usize> = w.into_segments().iter().map(Segment::len).collect();
        assert_eq!(pieces, [2, 2, 2, 1, 1]);
    }

    #[test]
    fn a_segment_inside_a_tagged_field_keeps_its_place() {
        let mut w = Writer::new();
        w.put_slice(b"a");
        let write = |w: &mut Writer| {
            w.put_slice(b"x");
            w.put_segment(Segment::Bytes(Bytes::from_static(b"yz")));
            Ok(())
        };
        w.put_tagged_field(5, write).unwrap();
        w.put_slice(b"b");
        assert_eq!(w.into_bytes().unwrap(), b"a\x05\x03xyzb"[..]);
    }

    #[test]
    fn a_plain_string_above_int16_is_an_error() {
        let text = "x".repeat(40_000);
        assert_eq!(Writer::new().put_string(&text, false), Err(EncodeError::TooLong { length: 40_000 }));
        assert_eq!(Writer::new().put_string(&text, true), Ok(()));
    }
}
