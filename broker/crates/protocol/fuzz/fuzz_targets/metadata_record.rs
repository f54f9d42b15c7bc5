//! A metadata record in its frame: reading never panics, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::persisted::{decode_metadata_record, encode_metadata_record};

fuzz_target!(|data: &[u8]| {
    let Ok((version, record)) = decode_metadata_record(data) else { return };
    let bytes = encode_metadata_record(&record, version).expect("what was decoded can be encoded");
    assert_eq!(decode_metadata_record(&bytes), Ok((version, record)));
});
