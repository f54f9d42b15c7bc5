//! A snapshot of the cluster's metadata, and its records one by one: reading and applying them never panics, and what
//! was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_metadata::Image;
use ottla_broker_metadata::image::{decode_snapshot, encode_snapshot};
use ottla_broker_metadata::record::{decode, encode};
use ottla_broker_types::Offset;

fuzz_target!(|data: &[u8]| {
    if let Ok(image) = decode_snapshot(data, Offset::ZERO) {
        let again = encode_snapshot(&image).expect("what was read can be written");
        assert_eq!(decode_snapshot(&again, Offset::ZERO), Ok(image));
    }
    let mut image = Image::default();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (record, after) = after.split_at((u32::from_be_bytes(*length) as usize).min(after.len()));
        if let Ok(record) = decode(record) {
            let again = encode(&record).expect("what was read can be written");
            assert_eq!(decode(&again), Ok(record.clone()));
            let _ = image.apply(&record, Offset::ZERO);
        }
        rest = after;
    }
});
