//! What clients of old versions cannot read: zstd came with Produce 7 and Fetch 10 (KIP-110).

use ottla_broker_protocol::batch::{BatchHeader, Compression, HEADER_LEN};
use ottla_broker_protocol::{FileRange, Segment};

use crate::partitions::FetchRead;

/// From this Produce version on a batch may be compressed with zstd.
pub const ZSTD_FROM_PRODUCE_VERSION: i16 = 7;
/// From this Fetch version on the answer may hold zstd.
pub const ZSTD_FROM_FETCH_VERSION: i16 = 10;

/// Whether a batch is compressed with zstd; false for what is no batch.
pub fn is_zstd(batch: &[u8]) -> bool {
    BatchHeader::parse(batch).is_ok_and(|header| header.attributes.compression() == Compression::Zstd)
}

/// Cuts what was read in front of the first batch in zstd; false if nothing is left.
pub fn cut_before_zstd(read: &mut FetchRead) -> bool {
    let mut kept_bytes = 0;
    for place in 0..read.segments.len() {
        let (len, zstd_at) = match &read.segments[place] {
            Segment::File(range) => (range.len, zstd_in(range)),
            Segment::Bytes(bytes) => (bytes.len(), is_zstd(bytes).then_some(0)),
        };
        let Some(zstd_at) = zstd_at else {
            kept_bytes += len;
            continue;
        };
        if let Segment::File(range) = &mut read.segments[place] {
            range.len = zstd_at;
        }
        read.segments.truncate(place + usize::from(zstd_at > 0));
        read.bytes = kept_bytes + zstd_at;
        return read.bytes > 0;
    }
    true
}

/// Where in the range the first batch in zstd begins.
fn zstd_in(range: &FileRange) -> Option<usize> {
    let mut at = 0;
    let mut header = [0; HEADER_LEN];
    while at + HEADER_LEN <= range.len {
        range.file.read_exact_at(&mut header, range.position + at as u64).ok()?;
        if is_zstd(&header) {
            return Some(at);
        }
        at += BatchHeader::parse(&header).ok()?.size();
    }
    None
}
