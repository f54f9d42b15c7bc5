//! What is checked for each message: that we read what we write, and that the reference codec agrees.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use ottla_broker_protocol::{Decode, Message, Reader, Writer};

use crate::entropy::{Entropy, Sample};

/// A message of ours whose borrowed parts live for ever.
pub(crate) trait Ours: Message + Decode<'static> + Sample + PartialEq + Debug {}
impl<T: Message + Decode<'static> + Sample + PartialEq + Debug> Ours for T {}

/// A check of one message.
pub(crate) trait Check {
    fn message<T: Ours>(&mut self);
}

/// A check of one message against its twin in the reference codec.
pub(crate) trait Theirs {
    fn pair<T, K>(&mut self)
    where
        T: Ours,
        K: kafka_protocol::protocol::Encodable
            + kafka_protocol::protocol::Decodable
            + kafka_protocol::protocol::Message;
}

pub(crate) fn encode<T: Ours>(message: &T, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    let result = message.encode(&mut w, version);
    assert_eq!(result, Ok(()), "encode {} v{version}: {message:?}", T::NAME);
    w.into_bytes().expect("samples hold no files").to_vec()
}

/// Decodes all of `bytes` and compares.
fn assert_decodes<T: Ours>(expected: &T, bytes: Vec<u8>, version: i16) {
    let mut r = Reader::new(bytes.leak());
    let decoded = T::decode(&mut r, version);
    assert_eq!(decoded.as_ref(), Ok(expected), "decode {} v{version}", T::NAME);
    assert_eq!(r.finish(), Ok(()), "{} v{version}", T::NAME);
}

pub(crate) struct RoundTrip(Entropy);

impl RoundTrip {
    pub(crate) fn new(seed: u64) -> Self {
        RoundTrip(Entropy::new(seed))
    }
}

impl Check for RoundTrip {
    fn message<T: Ours>(&mut self) {
        for version in T::VERSIONS {
            let message = T::sample(&mut self.0, version);
            assert_decodes(&message, encode(&message, version), version);
        }
    }
}

pub(crate) struct Reference(Entropy);

impl Reference {
    pub(crate) fn new(seed: u64) -> Self {
        Reference(Entropy::new(seed))
    }
}

impl Theirs for Reference {
    fn pair<T, K>(&mut self)
    where
        T: Ours,
        K: kafka_protocol::protocol::Encodable
            + kafka_protocol::protocol::Decodable
            + kafka_protocol::protocol::Message,
    {
        for version in T::VERSIONS {
            if !(K::VERSIONS.min..=K::VERSIONS.max).contains(&version) {
                continue;
            }
            let message = T::sample(&mut self.0, version);
            let ours = encode(&message, version);
            let mut input = Bytes::from(ours.clone());
            let decoded = K::decode(&mut input, version);
            let decoded =
                decoded.unwrap_or_else(|e| panic!("they read {} v{version}: {e}: {message:?}", T::NAME));
            assert!(input.is_empty(), "{} v{version}: they leave {} bytes", T::NAME, input.len());
            let mut theirs = BytesMut::new();
            let result = decoded.encode(&mut theirs, version);
            result.unwrap_or_else(|e| panic!("they write {} v{version}: {e}: {message:?}", T::NAME));
            assert_eq!(theirs, ours, "{} v{version}: {message:?}", T::NAME);
            assert_decodes(&message, theirs.to_vec(), version);
        }
    }
}
