//! Input that no peer of good will sends: cut short, mutated, with counts that promise gigabytes.

use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_broker_protocol::messages::fetch_request::FetchRequest;
use ottla_broker_protocol::messages::{AnyRequest, AnyResponse};
use ottla_broker_protocol::{ApiKey, Decode, DecodeError, Reader};

use crate::checks::{Check, Ours, encode};
use crate::entropy::Entropy;

pub(crate) struct Mutations(Entropy);

impl Mutations {
    pub(crate) fn new(seed: u64) -> Self {
        Mutations(Entropy::new(seed))
    }
}

impl Check for Mutations {
    fn message<T: Ours>(&mut self) {
        // One version a run keeps the run short; the runs go over all of them.
        let (first, last) = (*T::VERSIONS.start(), *T::VERSIONS.end());
        let version = first + self.0.below((last - first + 1) as u64) as i16;
        let bytes: &'static [u8] = encode(&T::sample(&mut self.0, version), version).leak();
        for len in 0..bytes.len() {
            let decoded = T::decode(&mut Reader::new(&bytes[..len]), version);
            assert!(decoded.is_err(), "{} v{version} read {len} of {} bytes", T::NAME, bytes.len());
        }
        for _ in 0..16.min(bytes.len()) {
            let mut mutated = bytes.to_vec();
            let at = self.0.below(mutated.len() as u64) as usize;
            mutated[at] = self.0.next() as u8;
            // Whether it can be read does not matter; that it does not panic does.
            let _ = T::decode(&mut Reader::new(mutated.leak()), version);
        }
    }
}

/// Bytes that are the largest count in the plain and in the compact form.
const HUGE: [&[u8]; 2] = [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f]];

#[test]
fn huge_counts_are_refused_by_every_message_at_every_place() {
    for key in ApiKey::ALL {
        for version in key.versions() {
            for huge in HUGE {
                for lead in 0..40 {
                    for filler in [0, 1] {
                        let mut bytes = vec![filler; lead];
                        bytes.extend_from_slice(huge);
                        bytes.extend_from_slice(&[0; 8]);
                        // Decoding would fail to allocate, not return, if it believed the count.
                        let _ = AnyRequest::decode(*key, &mut Reader::new(&bytes), version);
                        let _ = AnyResponse::decode(*key, &mut Reader::new(&bytes), version);
                    }
                }
            }
        }
    }
    let topics = [HUGE[0], &[0; 64]].concat();
    let read = AnyRequest::decode(ApiKey::Metadata, &mut Reader::new(&topics), 1);
    assert_eq!(read, Err(DecodeError::TooManyElements { count: i32::MAX as usize, left: 64 }));
}

#[test]
fn an_unknown_tagged_field_is_skipped() {
    let bytes = b"\x02a\x021\x02\x63\x03xyz\x64\x00";
    let mut r = Reader::new(bytes);
    let request = ApiVersionsRequest::decode(&mut r, 4).unwrap();
    assert_eq!((request.client_software_name.as_ref(), r.remaining()), ("a", 0));
}

#[test]
fn a_known_tagged_field_must_fill_its_size() {
    let plain = FetchRequest { cluster_id: Some("c".into()), ..Default::default() };
    let mut bytes = encode(&plain, 12);
    let end = bytes.len();
    assert_eq!(bytes[end - 5..], *b"\x01\x00\x02\x02c");
    assert_eq!(FetchRequest::decode(&mut Reader::new(&bytes), 12), Ok(plain));
    bytes[end - 3] = 3;
    bytes.push(0);
    let read = FetchRequest::decode(&mut Reader::new(&bytes), 12);
    assert_eq!(read, Err(DecodeError::TaggedFieldSize { size: 3 }));
}
