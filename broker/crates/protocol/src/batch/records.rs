//! The records inside a batch. No I/O; nothing is allocated for a count that the bytes cannot hold.

use std::borrow::Cow;

use super::{BatchError, BatchHeader, Compression, HEADER_LEN, TimestampType};
use crate::wire::{DecodeError, Reader, Writer};

/// A header has at least a key length and a value length.
const RECORD_HEADER_BYTES_MIN: usize = 2;

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// The key; clients write UTF-8, the broker does not insist.
    pub key: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// One record, borrowed from its (decompressed) batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the log.
    pub offset: i64,
    /// Its time in ms: the producer's, or the broker's with log append time.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: Vec<RecordHeader<'a>>,
}

/// The records of one batch, decompressed if need be.
#[derive(Clone, Debug)]
pub struct BatchRecords<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

/// Opens the records of `batch`, which starts with `header`. Compressed ones may take at most `output_max`
/// bytes once decompressed.
pub fn records<'a>(
    header: &BatchHeader,
    batch: &'a [u8],
    output_max: usize,
) -> Result<BatchRecords<'a>, BatchError> {
    let body = &header.slice(batch)?[HEADER_LEN..];
    let body = match header.attributes.compression() {
        Compression::None => Cow::Borrowed(body),
        codec => Cow::Owned(codec.decompress(body, output_max)?),
    };
    Ok(BatchRecords { header: *header, body })
}

impl BatchRecords<'_> {
    /// The records in their order; a malformed one is an error and the last item.
    pub fn iter(&self) -> RecordIter<'_> {
        self.iter_with_headers_max(usize::MAX)
    }

    /// Reads them one by one; a record with more than `headers_max` headers is [`BatchError::OutputTooLarge`], since a
    /// header takes many times its bytes once it is read.
    pub fn iter_with_headers_max(&self, headers_max: usize) -> RecordIter<'_> {
        let (reader, left) = (Reader::new(&self.body), self.header.record_count);
        RecordIter { header: self.header, reader, left, headers_max }
    }
}

impl<'a> IntoIterator for &'a BatchRecords<'_> {
    type Item = Result<Record<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Iterator over a batch's records.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    reader: Reader<'a>,
    left: i32,
    headers_max: usize,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let surplus = self.reader.remaining() > 0;
            self.reader = Reader::new(&[]);
            return surplus.then_some(Err(BatchError::RecordCount { announced: self.header.record_count }));
        }
        let record = self.read();
        match record {
            Ok(_) => self.left -= 1,
            Err(_) => {
                self.left = 0;
                self.reader = Reader::new(&[]);
            }
        }
        Some(record)
    }
}

impl<'a> RecordIter<'a> {
    /// As [`Iterator::next`], with the record's own bytes in the (decompressed) batch, its length before it included.
    pub fn next_with_bytes(&mut self) -> Option<Result<(Record<'a>, &'a [u8]), BatchError>> {
        let before = self.reader.rest();
        let record = match self.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let taken = before.len() - self.reader.remaining();
        Some(Ok((record, &before[..taken])))
    }

    fn read(&mut self) -> Result<Record<'a>, BatchError> {
        if self.reader.remaining() == 0 {
            return Err(BatchError::RecordCount { announced: self.header.record_count });
        }
        let length = length(self.reader.varint()?)?.ok_or(DecodeError::UnexpectedNull)?;
        let mut r = Reader::new(self.reader.take(length)?);
        // Record attributes carry nothing yet.
        r.i8()?;
        let timestamp_delta = r.varlong()?;
        let offset_delta = r.varint()?;
        let key = nullable(&mut r)?;
        let value = nullable(&mut r)?;
        let count = length_of_headers(&mut r)?;
        if count > self.headers_max {
            return Err(BatchError::OutputTooLarge { limit: self.headers_max });
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = nullable(&mut r)?.ok_or(DecodeError::UnexpectedNull)?;
            headers.push(RecordHeader { key, value: nullable(&mut r)? });
        }
        r.finish()?;
        let timestamp = match self.header.attributes.timestamp_type() {
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        let offset = self.header.base_offset.wrapping_add(i64::from(offset_delta));
        Ok(Record { offset, timestamp, key, value, headers })
    }
}

fn length(value: i32) -> Result<Option<usize>, DecodeError> {
    match value {
        -1 => Ok(None),
        0.. => Ok(Some(value as usize)),
        _ => Err(DecodeError::NegativeLength { length: i64::from(value) }),
    }
}

fn nullable<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    match length(r.varint()?)? {
        Some(len) => r.take(len).map(Some),
        None => Ok(None),
    }
}

fn length_of_headers(r: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = length(r.varint()?)?.ok_or(DecodeError::UnexpectedNull)?;
    let left = r.remaining();
    if count > left / RECORD_HEADER_BYTES_MIN {
        return Err(DecodeError::TooManyElements { count, left });
    }
    Ok(count)
}

/// Appends a record to `out`, its length first.
///
/// # Panics
/// If the record reaches 2 GiB, which no request or log segment can hold.
pub(super) fn put_record(
    out: &mut Writer,
    timestamp_delta: i64,
    offset_delta: i32,
    (key, value): (Option<&[u8]>, Option<&[u8]>),
    headers: &[RecordHeader<'_>],
) {
    let mut record = Writer::new();
    record.put_i8(0);
    record.put_varlong(timestamp_delta);
    record.put_varint(offset_delta);
    put_nullable(&mut record, key);
    put_nullable(&mut record, value);
    record.put_varint(put_length(headers.len()));
    for header in headers {
        put_nullable(&mut record, Some(header.key));
        put_nullable(&mut record, header.value);
    }
    out.put_varint(put_length(record.len()));
    let record = record.into_bytes().expect("a record is built from bytes in memory only");
    out.put_slice(&record);
}

fn put_nullable(w: &mut Writer, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            w.put_varint(put_length(bytes.len()));
            w.put_slice(bytes);
        }
        None => w.put_varint(-1),
    }
}

fn put_length(len: usize) -> i32 {
    i32::try_from(len).expect("a record stays below 2 GiB")
}
