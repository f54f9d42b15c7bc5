//! A request frame of any key and version: reading never panics, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::messages::AnyRequest;
use ottla_broker_protocol::{Encode, Reader, RequestHeader, Writer};

fuzz_target!(|data: &[u8]| {
    let mut r = Reader::new(data);
    let Ok(header) = RequestHeader::decode(&mut r) else { return };
    let (Some(key), version) = (header.key(), header.api_version) else { return };
    let Ok(request) = AnyRequest::decode(key, &mut r, version) else { return };
    let mut w = Writer::new();
    request.encode(&mut w, version).expect("what was decoded can be encoded");
    let bytes = w.into_bytes().expect("a decoded request holds no files");
    assert_eq!(AnyRequest::decode(key, &mut Reader::new(&bytes), version), Ok(request));
});
