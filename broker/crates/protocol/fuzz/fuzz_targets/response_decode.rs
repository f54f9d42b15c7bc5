//! A response to any key in any version: reading never panics, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::messages::AnyResponse;
use ottla_broker_protocol::{ApiKey, Encode, Reader, ResponseHeader, Writer};

fuzz_target!(|data: &[u8]| {
    let mut r = Reader::new(data);
    let (Ok(key), Ok(version)) = (r.i16(), r.i16()) else { return };
    let Some(key) = ApiKey::from_i16(key) else { return };
    let Ok(_) = ResponseHeader::decode(&mut r, key, version) else { return };
    let Ok(response) = AnyResponse::decode(key, &mut r, version) else { return };
    let mut w = Writer::new();
    response.encode(&mut w, version).expect("what was decoded can be encoded");
    let bytes = w.into_bytes().expect("a decoded response holds no files");
    assert_eq!(AnyResponse::decode(key, &mut Reader::new(&bytes), version), Ok(response));
});
