//! Building batches: for the broker's own records (groups, transactions), and for tests. No I/O.

use bytes::Bytes;

use super::header::seal;
use super::records::put_record;
use super::{Attributes, BatchHeader, Compression, HEADER_LEN, LENGTH_PREFIX_LEN, MAGIC, RecordHeader};
use crate::wire::{EncodeError, Writer};

/// What all records of a batch share. The default is an uncompressed batch of no producer at offset 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Codec of the records.
    pub compression: Compression,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Epoch of the leader, or -1.
    pub leader_epoch: i32,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the records are control records.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions {
            compression: Compression::None,
            base_offset: 0,
            leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
        }
    }
}

/// Collects records into one batch; the n-th record gets `base_offset + n`.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    body: Writer,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> Self {
        BatchBuilder { options, body: Writer::new(), count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Count of records so far.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch so far, before compression.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// Appends a record without headers; `timestamp` in ms.
    ///
    /// # Panics
    /// If key and value together reach 2 GiB, which no request or log segment can hold.
    pub fn append(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> &mut Self {
        self.append_with_headers(key, value, timestamp, &[])
    }

    /// Appends a record; `timestamp` in ms.
    ///
    /// # Panics
    /// If the record reaches 2 GiB, which no request or log segment can hold.
    pub fn append_with_headers(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &[RecordHeader<'_>],
    ) -> &mut Self {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        put_record(&mut self.body, timestamp_delta, self.count, (key, value), headers);
        self.count += 1;
        self
    }

    /// The finished batch. Without a record it is an empty one, as compaction leaves behind.
    pub fn build(self) -> Result<Bytes, EncodeError> {
        let body = self.body.into_bytes().expect("a batch is built from bytes in memory only");
        let body = match self.options.compression {
            Compression::None => body,
            codec => codec.compress(&body).expect("compressing into memory does not fail").into(),
        };
        let length = HEADER_LEN - LENGTH_PREFIX_LEN + body.len();
        let options = self.options;
        let header = BatchHeader {
            base_offset: options.base_offset,
            batch_length: i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            partition_leader_epoch: options.leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::new(options.compression, options.transactional, options.control),
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.count,
        };
        let mut batch = Vec::with_capacity(HEADER_LEN + body.len());
        header.write(&mut batch);
        batch.extend_from_slice(&body);
        seal(&mut batch);
        Ok(batch.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchError, TimestampType, batches, records, stamp, stamp_log_append_time};

    const OUTPUT_MAX: usize = 1 << 20;

    fn three_records(compression: Compression) -> Bytes {
        let mut builder =
            BatchBuilder::new(BatchOptions { compression, base_offset: 40, ..Default::default() });
        let headers = [RecordHeader { key: b"h", value: None }, RecordHeader { key: b"", value: Some(b"v") }];
        builder.append(Some(b"k"), Some(b"one"), 1_000).append(None, Some(b""), 1_007);
        builder.append_with_headers(Some(b""), None, 990, &headers);
        builder.build().unwrap()
    }

    #[test]
    fn what_was_appended_is_read_back_under_every_codec() {
        for compression in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let batch = three_records(compression);
            let header = BatchHeader::parse(&batch).unwrap();
            assert_eq!((header.size(), header.last_offset(), header.max_timestamp), (batch.len(), 42, 1_007));
            header.check_crc(&batch).unwrap();
            let opened = records(&header, &batch, OUTPUT_MAX).unwrap();
            let read: Vec<_> = opened.iter().map(Result::unwrap).collect();
            let facts: Vec<_> = read.iter().map(|r| (r.offset, r.timestamp, r.key, r.value)).collect();
            type Facts<'a> = (i64, i64, Option<&'a [u8]>, Option<&'a [u8]>);
            let expected: [Facts<'_>; 3] = [
                (40, 1_000, Some(b"k"), Some(b"one")),
                (41, 1_007, None, Some(b"")),
                (42, 990, Some(b""), None),
            ];
            assert_eq!(facts, expected);
            assert_eq!(read[2].headers[1], RecordHeader { key: b"", value: Some(b"v") });
        }
    }

    #[test]
    fn a_stamped_batch_keeps_its_crc() {
        let mut batch = three_records(Compression::None).to_vec();
        stamp(&mut batch, 7_000, 3);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (7_000, 3));
        header.check_crc(&batch).unwrap();
    }

    #[test]
    fn log_append_time_is_the_time_of_every_record_and_renews_the_crc() {
        let mut batch = three_records(Compression::Lz4).to_vec();
        stamp_log_append_time(&mut batch, 55);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        header.check_crc(&batch).unwrap();
        let opened = records(&header, &batch, OUTPUT_MAX).unwrap();
        assert!(opened.iter().all(|record| record.unwrap().timestamp == 55));
    }

    #[test]
    fn one_flipped_bit_is_a_crc_mismatch() {
        let mut batch = three_records(Compression::None).to_vec();
        *batch.last_mut().unwrap() ^= 1;
        let error = BatchHeader::parse(&batch).unwrap().check_crc(&batch).unwrap_err();
        assert!(matches!(error, BatchError::CrcMismatch { .. }));
    }

    #[test]
    fn a_batch_cut_short_ends_the_walk_and_stays_in_the_rest() {
        let one = three_records(Compression::None);
        let mut bytes = [&one[..], &one[..], &one[..]].concat();
        bytes.truncate(bytes.len() - 1);
        let mut walk = batches(&bytes);
        assert_eq!(walk.by_ref().filter_map(Result::ok).count(), 2);
        assert_eq!(walk.rest().len(), one.len() - 1);
    }

    #[test]
    fn older_formats_are_refused_even_where_they_are_shorter_than_a_header() {
        let mut bytes = [0u8; 20];
        bytes[16] = 1;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::UnsupportedMagic { magic: 1 }));
    }

    #[test]
    fn a_record_count_that_the_body_does_not_hold_is_an_error() {
        let batch = three_records(Compression::None);
        for count in [2, 4, i32::MAX] {
            let mut header = BatchHeader::parse(&batch).unwrap();
            header.record_count = count;
            let opened = records(&header, &batch, OUTPUT_MAX).unwrap();
            let last = opened.iter().last().unwrap();
            assert_eq!(last, Err(BatchError::RecordCount { announced: count }));
        }
    }

    #[test]
    fn truncating_a_batch_anywhere_never_panics() {
        let batch = three_records(Compression::None);
        for len in 0..batch.len() {
            assert_eq!(batches(&batch[..len]).count(), 0);
        }
    }
}
