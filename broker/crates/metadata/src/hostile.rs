//! Bytes of a metadata log and of snapshots that nobody wrote: reading and applying them never panics, and what was
//! read can be written and read again. No I/O.

use ottla_broker_types::Offset;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::image::{Image, decode_snapshot, encode_snapshot};
use crate::record::{decode, encode};
use crate::testing::Cluster;

/// A snapshot of a cluster with all kinds of records.
fn snapshot() -> Vec<u8> {
    let mut cluster = Cluster::of(3);
    cluster.topic("a", &[&[1, 2, 3], &[2, 3, 1]], &[("retention.ms", "1")]);
    cluster.topic("b", &[&[3]], &[]);
    cluster.fence(3);
    encode_snapshot(&cluster.image).expect("an image can be written").to_vec()
}

/// Reads `bytes` as a snapshot, and each of its records on its own.
fn read(bytes: &[u8]) {
    if let Ok(image) = decode_snapshot(bytes, Offset::ZERO) {
        let again = encode_snapshot(&image).expect("what was read can be written");
        assert_eq!(decode_snapshot(&again, Offset::ZERO), Ok(image));
    }
    let mut image = Image::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = (u32::from_be_bytes(*length) as usize).min(after.len());
        let (record, after) = after.split_at(length);
        if let Ok(record) = decode(record) {
            let again = encode(&record).expect("what was read can be written");
            assert_eq!(decode(&again), Ok(record.clone()));
            let _ = image.apply(&record, Offset::ZERO);
        }
        rest = after;
    }
}

proptest! {
    #[test]
    fn a_damaged_snapshot_never_panics(
        harms in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)]), 1..8),
        kept: prop::sample::Index,
        cut: bool,
    ) {
        let mut bytes = snapshot();
        for (at, byte) in harms {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        read(&bytes);
    }

    #[test]
    fn made_up_records_never_panic(records in vec((0..30u8, 0..4u8, vec(any::<u8>(), 0..120)), 1..6)) {
        let mut bytes = Vec::new();
        for (key, version, body) in records {
            // A frame's version, the record's key and its version, each one byte here.
            let frame = [vec![1, key, version], body].concat();
            bytes.extend((frame.len() as u32).to_be_bytes());
            bytes.extend(frame);
        }
        read(&bytes);
    }
}
