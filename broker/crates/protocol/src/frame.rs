//! Frames: a big-endian int32 with the size of what follows, then a header and a message. No I/O.

use bytes::Bytes;

use crate::ApiKey;
use crate::header::{RequestHeader, ResponseHeader};
use crate::wire::{Decode, DecodeError, Encode, EncodeError, FileInBytes, Reader, Request, Segment, Writer};

/// Bytes of the size in front of a frame.
pub const SIZE_LEN: usize = 4;

/// Room for most answers that carry no records.
const SMALL_FRAME_BYTES: usize = 256;

/// A frame size that no peer of good will sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {size} bytes is announced, {limit} are allowed")]
pub struct InvalidFrameSize {
    /// The announced size.
    pub size: i32,
    /// Bytes allowed, the length prefix apart.
    pub limit: usize,
}

/// A request that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeRequestError {
    /// The message does not fit the version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The message names a file.
    #[error(transparent)]
    File(#[from] FileInBytes),
}

/// The size of the frame that starts `bytes`, without the size field itself; none if that is not all there yet.
pub fn size(bytes: &[u8], limit: usize) -> Result<Option<usize>, InvalidFrameSize> {
    let Some(prefix) = bytes.first_chunk() else { return Ok(None) };
    let size = i32::from_be_bytes(*prefix);
    match usize::try_from(size) {
        Ok(wanted) if wanted <= limit => Ok(Some(wanted)),
        _ => Err(InvalidFrameSize { size, limit }),
    }
}

/// A whole frame with a request of `version`, the size first.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Bytes, EncodeRequestError> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: client_id.map(Into::into),
    };
    let mut w = Writer::with_capacity(SMALL_FRAME_BYTES);
    w.put_i32(0);
    header.encode(&mut w)?;
    request.encode(&mut w, version)?;
    set_size(&mut w)?;
    Ok(w.into_bytes()?)
}

/// A whole frame with a response to `key` in `version`, the size first.
pub fn encode_response(
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    response: &impl Encode,
) -> Result<Vec<Segment>, EncodeError> {
    let mut w = Writer::with_capacity(SMALL_FRAME_BYTES);
    w.put_i32(0);
    ResponseHeader { correlation_id }.encode(&mut w, key, version);
    response.encode(&mut w, version)?;
    set_size(&mut w)?;
    Ok(w.into_segments())
}

/// Reads a response to a request of type `R`, which must be the whole of `frame` (the size stripped).
pub fn decode_response<'a, R: Request>(
    frame: &'a [u8],
    version: i16,
) -> Result<(ResponseHeader, R::Response<'a>), DecodeError> {
    let mut r = Reader::new(frame);
    let header = ResponseHeader::decode(&mut r, R::KEY, version)?;
    let response = R::Response::decode(&mut r, version)?;
    r.finish()?;
    Ok((header, response))
}

fn set_size(w: &mut Writer) -> Result<(), EncodeError> {
    let length = w.len() - SIZE_LEN;
    w.set_leading_i32(i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_request::ApiVersionsRequest;
    use crate::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::wire::Records;

    #[test]
    fn a_frame_says_its_size_without_the_size() {
        let frame = encode_request(&ApiVersionsRequest::default(), 0, 9, Some("me")).unwrap();
        assert_eq!(size(&frame, 100), Ok(Some(frame.len() - SIZE_LEN)));
        assert_eq!(size(&frame[..3], 100), Ok(None));
    }

    #[test]
    fn a_negative_or_oversized_frame_is_refused() {
        assert!(size(&[0xff; 4], 100).is_err());
        assert!(size(&[0, 0, 0, 101], 100).is_err());
        assert_eq!(size(&[0, 0, 0, 100], 100), Ok(Some(100)));
    }

    #[test]
    fn records_of_a_fetch_answer_stay_segments_of_their_own() {
        let shared = Bytes::from(vec![7u8; 1000]);
        let partition = PartitionData {
            records: Some(Records::Segments(vec![Segment::Bytes(shared.clone())])),
            ..Default::default()
        };
        let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let segments = encode_response(3, ApiKey::Fetch, 17, &response).unwrap();
        let Segment::Bytes(records) = &segments[1] else { panic!("the second segment is the records") };
        assert_eq!(records.as_ptr(), shared.as_ptr());
        let total: usize = segments.iter().map(Segment::len).sum();
        let Segment::Bytes(first) = &segments[0] else { panic!("the first segment is the header") };
        assert_eq!(size(first, total), Ok(Some(total - SIZE_LEN)));
    }
}
