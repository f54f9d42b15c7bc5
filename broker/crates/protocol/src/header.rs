//! The headers in front of requests and responses (KIP-482). No I/O.

use std::borrow::Cow;

use crate::ApiKey;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// What precedes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API's key, known or not; [`RequestHeader::key`] looks it up.
    pub api_key: i16,
    /// Version of the request.
    pub api_version: i16,
    /// Number that the response repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Cow<'a, str>>,
}

impl<'a> RequestHeader<'a> {
    /// The API, if this codec knows it.
    pub fn key(&self) -> Option<ApiKey> {
        ApiKey::from_i16(self.api_key)
    }

    /// Reads a header. Whether it has a tag section follows from key and version, which come first. For an unknown
    /// key or version the reader stops after the client id: all that is safe to read, enough for an error.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let api_key = r.i16()?;
        let api_version = r.i16()?;
        let correlation_id = r.i32()?;
        // The client id keeps its plain form in every header version, so that any header can be read this far.
        let client_id = r.nullable_string(false)?;
        let header = RequestHeader { api_key, api_version, correlation_id, client_id };
        if let Some(key) = header.key()
            && key.versions().contains(&api_version)
            && key.request_header_version(api_version) >= 2
        {
            r.skip_tagged_fields()?;
        }
        Ok(header)
    }

    /// Writes the header as its key and version ask for.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.put_i16(self.api_key);
        w.put_i16(self.api_version);
        w.put_i32(self.correlation_id);
        w.put_nullable_string(self.client_id.as_deref(), false)?;
        if self.key().is_some_and(|key| key.request_header_version(self.api_version) >= 2) {
            w.put_uvarint(0);
        }
        Ok(())
    }
}

/// What precedes a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's number.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of a response to `key` in `version`.
    pub fn decode(r: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<Self, DecodeError> {
        let correlation_id = r.i32()?;
        if key.response_header_version(version) >= 1 {
            r.skip_tagged_fields()?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes the header of a response to `key` in `version`.
    pub fn encode(self, w: &mut Writer, key: ApiKey, version: i16) {
        w.put_i32(self.correlation_id);
        if key.response_header_version(version) >= 1 {
            w.put_uvarint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(header: &RequestHeader<'_>) -> usize {
        let mut w = Writer::new();
        header.encode(&mut w).unwrap();
        let bytes = w.into_bytes().unwrap();
        let mut r = Reader::new(&bytes);
        assert_eq!(RequestHeader::decode(&mut r).as_ref(), Ok(header));
        assert_eq!(r.finish(), Ok(()));
        bytes.len()
    }

    #[test]
    fn a_flexible_request_adds_one_byte_to_the_header() {
        let mut header = RequestHeader {
            api_key: ApiKey::Fetch.code(),
            api_version: 11,
            correlation_id: 7,
            client_id: Some("c".into()),
        };
        let plain = round_trip(&header);
        header.api_version = 12;
        assert_eq!(round_trip(&header), plain + 1);
        header.client_id = None;
        assert_eq!(round_trip(&header), plain);
    }

    #[test]
    fn an_unknown_version_of_api_versions_is_read_up_to_the_client_id() {
        let mut w = Writer::new();
        w.put_i16(18);
        w.put_i16(99);
        w.put_i32(5);
        w.put_nullable_string(Some("new"), false).unwrap();
        w.put_slice(b"body of the future");
        let bytes = w.into_bytes().unwrap();
        let mut r = Reader::new(&bytes);
        let header = RequestHeader::decode(&mut r).unwrap();
        assert_eq!((header.api_version, header.client_id.as_deref()), (99, Some("new")));
        assert_eq!(r.remaining(), 18);
    }
}
