//! One request on its way through the API layer.

use std::future::Future;

use bytes::{Buf, Bytes, BytesMut};
use ottla_broker_protocol::{
    ApiKey, Decode, DecodeError, Encode, Reader, Request, RequestHeader, ResponseHeader, Segment, Writer,
    frame,
};

use super::{Answer, Malformed};
use crate::controller::Asker;
use crate::listener::{Frame, PeerInfo, Reply, Reservation};

/// A request whose header is read; the body is decoded by the API's own file.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub key: ApiKey,
    /// The version of the request and of its answer.
    pub version: i16,
    /// Echoed in the answer.
    pub correlation: i32,
    /// The client's own name for itself; empty if it gave none.
    pub client_id: String,
    /// Who asks.
    pub peer: PeerInfo,
    /// The body, without the header.
    pub body: BytesMut,
    /// What the body takes of the budget of all connections.
    held: Option<Reservation>,
}

impl Call {
    /// Reads the header of a frame whose key and version are known to be served.
    pub fn open(peer: &PeerInfo, frame: Frame, key: ApiKey) -> Result<Call, DecodeError> {
        let Frame { mut bytes, held } = frame;
        let mut reader = Reader::new(&bytes);
        let header = RequestHeader::decode(&mut reader)?;
        let (version, correlation) = (header.api_version, header.correlation_id);
        let client_id = header.client_id.as_deref().unwrap_or_default().to_owned();
        let body_at = bytes.len() - reader.remaining();
        bytes.advance(body_at);
        Ok(Call { key, version, correlation, client_id, peer: peer.clone(), body: bytes, held })
    }

    /// Who asks, for a controller elsewhere.
    pub fn asker(&self) -> Asker<'_> {
        Asker { principal: &self.peer.session.principal, client_id: &self.client_id }
    }

    /// Answers later, without the body: a request that waits holds no more than its answer takes.
    pub fn later<F>(mut self, answer: impl FnOnce(Call) -> F) -> Answer
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.let_body_go();
        Answer::later(answer(self))
    }

    /// Gives back what the body takes, once nobody reads it any more.
    pub fn let_body_go(&mut self) {
        self.body = BytesMut::new();
        self.held = None;
    }

    /// Takes the body out; what it takes of the budget is kept with the call.
    pub fn take_body(&mut self) -> Bytes {
        std::mem::take(&mut self.body).freeze()
    }

    /// The end of a connection whose request turned out not to follow its schema.
    pub fn malformed(&self, malformed: &Malformed) -> Reply {
        malformed.close(self.peer.address, self.key.code())
    }

    /// The decoded request.
    pub fn request<'a, R: Decode<'a> + Request>(&'a self) -> Result<R, DecodeError> {
        let mut reader = Reader::new(&self.body).with_items_max(self.key.rules().items_max);
        R::decode(&mut reader, self.version)
    }

    /// The answer as a frame.
    pub fn reply<T: Encode>(&self, response: &T) -> Reply {
        match frame::encode_response(self.correlation, self.key, self.version, response) {
            Ok(frame) => Reply::frame(frame),
            Err(error) => {
                tracing::error!(api = self.key.name(), version = self.version, %error, "answer cannot be encoded");
                Reply::Close("the answer cannot be encoded")
            }
        }
    }

    /// An answer whose body another broker has encoded, at this call's version.
    pub fn reply_encoded(&self, body: Bytes) -> Reply {
        let mut head = Writer::new();
        ResponseHeader { correlation_id: self.correlation }.encode(&mut head, self.key, self.version);
        let mut frame = Writer::new();
        let Ok(len) = i32::try_from(head.len() + body.len()) else {
            return Reply::Close("the answer is too long");
        };
        frame.put_i32(len);
        let mut segments = frame.into_segments();
        segments.extend(head.into_segments());
        segments.push(Segment::Bytes(body));
        Reply::frame(segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{ByteBudget, Handled};

    #[test]
    fn a_request_that_waits_holds_nothing_of_its_body() {
        let budget = ByteBudget::new(1 << 20);
        let held = budget.try_reserve(None, 1 << 20);
        // ApiVersions 0 with correlation id 1 and no client id, then a body.
        let head = [0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        let bytes = [&head[..], &[7; 100]].concat();
        let peer = crate::testing::Rig::peer();
        let frame = Frame { bytes: bytes.as_slice().into(), held };
        let call = Call::open(&peer, frame, ApiKey::ApiVersions).unwrap();
        assert_eq!((call.correlation, call.body.len()), (1, 100));
        assert!(budget.try_reserve(None, 1).is_none(), "it is counted while it is there");
        let Handled::Later(waiting) = call.later(|_call| std::future::pending()).0 else {
            panic!("it waits")
        };
        assert!(budget.try_reserve(None, 1 << 20).is_some());
        drop(waiting);
    }
}
