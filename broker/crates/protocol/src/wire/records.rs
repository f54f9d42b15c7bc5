//! The `records` field of Produce and Fetch: whole record batches that the codec never looks into. No I/O.

use super::Segment;

/// Record batches as they travel.
#[derive(Clone, Debug, PartialEq)]
pub enum Records<'a> {
    /// A slice of the frame: what decoding yields.
    Borrowed(&'a [u8]),
    /// Shared bytes and file ranges: what a Fetch answer is made of.
    Segments(Vec<Segment>),
}

impl Records<'_> {
    /// Count of bytes.
    pub fn len(&self) -> usize {
        match self {
            Records::Borrowed(bytes) => bytes.len(),
            Records::Segments(segments) => segments.iter().map(Segment::len).sum(),
        }
    }

    /// The same bytes, free of the frame: borrowed ones are copied into one segment.
    pub fn into_owned(self) -> Records<'static> {
        match self {
            Records::Borrowed(bytes) => {
                Records::Segments(vec![Segment::Bytes(bytes::Bytes::copy_from_slice(bytes))])
            }
            Records::Segments(segments) => Records::Segments(segments),
        }
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Records<'a> {
    /// The bytes if they are borrowed from a decoded frame.
    pub fn as_borrowed(&self) -> Option<&'a [u8]> {
        match self {
            Records::Borrowed(bytes) => Some(bytes),
            Records::Segments(_) => None,
        }
    }
}
