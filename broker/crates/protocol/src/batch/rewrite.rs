//! Batches with fewer records than they had, as compaction leaves them. No I/O beyond memory.
//!
//! What tells of offsets and of the producer stays: base offset, last offset delta, leader epoch, producer id and epoch,
//! first sequence, transactional and control bits. A codec stays as well, unless no record is left.

use super::header::seal;
use super::records::put_record;
use super::{BatchHeader, HEADER_LEN, LENGTH_PREFIX_LEN, Record, TimestampType};
use crate::wire::{EncodeError, Writer};

/// The batch of `header` without records: what is kept of a producer's last batch, and where a log's offsets must go on.
pub fn empty_batch(header: &BatchHeader) -> Vec<u8> {
    let emptied = BatchHeader {
        batch_length: (HEADER_LEN - LENGTH_PREFIX_LEN) as i32,
        attributes: header.attributes.of_empty(),
        base_timestamp: header.max_timestamp,
        record_count: 0,
        ..*header
    };
    let mut batch = Vec::with_capacity(HEADER_LEN);
    emptied.write(&mut batch);
    seal(&mut batch);
    batch
}

/// Collects those records of a batch that stay.
#[derive(Debug)]
pub struct BatchRewriter {
    header: BatchHeader,
    /// A new time from which on tombstones and markers may go, in ms; `None` leaves what the batch says.
    delete_horizon: Option<i64>,
    body: Writer,
    count: i32,
    max_timestamp: i64,
}

impl BatchRewriter {
    /// None of the records of the batch that begins with `header`. With `delete_horizon`, in ms, the batch says from
    /// when on its tombstones or its marker may be dropped (KIP-534).
    pub fn new(header: &BatchHeader, delete_horizon: Option<i64>) -> BatchRewriter {
        BatchRewriter { header: *header, delete_horizon, body: Writer::new(), count: 0, max_timestamp: -1 }
    }

    /// Count of records so far.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Keeps a record of the batch; `bytes` are its own, as [`super::RecordIter::next_with_bytes`] gives them.
    pub fn keep(&mut self, record: &Record<'_>, bytes: &[u8]) {
        match self.delete_horizon {
            // The horizon takes the place of the time that the records' times are relative to.
            Some(horizon) => put_record(
                &mut self.body,
                record.timestamp.wrapping_sub(horizon),
                record.offset.wrapping_sub(self.header.base_offset) as i32,
                (record.key, record.value),
                &record.headers,
            ),
            None => self.body.put_slice(bytes),
        }
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
    }

    /// The batch of the records that were kept. Without one it is [`empty_batch`].
    pub fn build(self) -> Result<Vec<u8>, EncodeError> {
        if self.count == 0 {
            return Ok(empty_batch(&self.header));
        }
        let body = self.body.into_bytes().expect("records are built from bytes in memory only");
        let codec = self.header.attributes.compression();
        let body = codec.compress(&body).expect("compressing into memory does not fail");
        let length = HEADER_LEN - LENGTH_PREFIX_LEN + body.len();
        let by_broker = self.header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        let header = BatchHeader {
            batch_length: i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            attributes: match self.delete_horizon {
                Some(_) => self.header.attributes.with_delete_horizon(),
                None => self.header.attributes,
            },
            base_timestamp: self.delete_horizon.unwrap_or(self.header.base_timestamp),
            max_timestamp: if by_broker { self.header.max_timestamp } else { self.max_timestamp },
            record_count: self.count,
            ..self.header
        };
        let mut batch = Vec::with_capacity(HEADER_LEN + body.len());
        header.write(&mut batch);
        batch.extend_from_slice(&body);
        seal(&mut batch);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, BatchOptions, Compression, RecordHeader, records};

    fn batch(compression: Compression) -> Vec<u8> {
        let options = BatchOptions {
            compression,
            base_offset: 40,
            leader_epoch: 3,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: 9,
            ..Default::default()
        };
        let mut builder = BatchBuilder::new(options);
        let headers = [RecordHeader { key: b"h", value: None }];
        builder.append(Some(b"a"), Some(b"1"), 1_000).append(Some(b"b"), None, 1_700);
        builder.append_with_headers(Some(b"c"), Some(b"3"), 900, &headers);
        builder.build().unwrap().to_vec()
    }

    /// What is left of [`batch`] when only the records with `keys` stay.
    fn left(compression: Compression, keys: &[&[u8]], horizon: Option<i64>) -> (BatchHeader, Vec<u8>) {
        let source = batch(compression);
        let header = BatchHeader::parse(&source).unwrap();
        let opened = records(&header, &source, 1 << 20).unwrap();
        let mut rewriter = BatchRewriter::new(&header, horizon);
        let mut all = opened.iter();
        while let Some(item) = all.next_with_bytes() {
            let (record, bytes) = item.unwrap();
            if record.key.is_some_and(|key| keys.contains(&key)) {
                rewriter.keep(&record, bytes);
            }
        }
        let batch = rewriter.build().unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        header.check_crc(&batch).unwrap();
        (header, batch)
    }

    #[test]
    fn records_that_stay_keep_offset_time_and_headers_under_every_codec() {
        for codec in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            for horizon in [None, Some(50_000)] {
                let (header, batch) = left(codec, &[b"b", b"c"], horizon);
                assert_eq!((header.base_offset, header.last_offset()), (40, 42));
                assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 1, 9));
                assert_eq!((header.partition_leader_epoch, header.record_count), (3, 2));
                assert_eq!((header.max_timestamp, header.attributes.compression()), (1_700, codec));
                assert_eq!(header.attributes.has_delete_horizon(), horizon.is_some());
                assert_eq!(header.base_timestamp, horizon.unwrap_or(1_000));
                let opened = records(&header, &batch, 1 << 20).unwrap();
                let kept: Vec<_> = opened.iter().map(Result::unwrap).collect();
                let facts: Vec<_> = kept.iter().map(|r| (r.offset, r.timestamp, r.value)).collect();
                assert_eq!(facts, [(41, 1_700, None), (42, 900, Some(&b"3"[..]))]);
                assert_eq!(kept[1].headers, [RecordHeader { key: b"h", value: None }]);
            }
        }
    }

    #[test]
    fn a_horizon_once_set_stays() {
        let (header, source) = left(Compression::None, &[b"b"], Some(50_000));
        let opened = records(&header, &source, 1 << 20).unwrap();
        let mut rewriter = BatchRewriter::new(&header, None);
        let (record, bytes) = opened.iter().next_with_bytes().unwrap().unwrap();
        rewriter.keep(&record, bytes);
        assert_eq!(rewriter.build().unwrap(), source);
    }

    #[test]
    fn without_records_what_tells_of_offsets_and_of_the_producer_is_left() {
        let (header, batch) = left(Compression::Zstd, &[], None);
        assert_eq!((batch.len(), header.record_count), (HEADER_LEN, 0));
        assert_eq!((header.base_offset, header.last_offset()), (40, 42));
        assert_eq!((header.producer_id, header.base_sequence, header.max_timestamp), (7, 9, 1_700));
        assert_eq!(records(&header, &batch, 0).unwrap().iter().count(), 0);
    }
}
