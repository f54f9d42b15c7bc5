//! One connection: one request at a time, in the newest version that both sides speak.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_broker_protocol::messages::api_versions_response::ApiVersionsResponse;
use ottla_broker_protocol::{ApiKey, Decode, Reader, Request, ResponseHeader, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::CallError;

/// The largest answer that is believed: the metadata of some hundred thousand partitions.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// How the operator names itself to brokers.
const CLIENT_ID: &str = "ottla-operator";
/// Every broker since Kafka 2.4 serves this version of ApiVersions.
const API_VERSIONS_VERSION: i16 = 3;

/// An open connection; an error on it leaves it unusable.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    next_correlation: i32,
    served: BTreeMap<i16, (i16, i16)>,
    timeout: Duration,
}

impl Connection {
    /// Connects to `host:port` and learns what is served there; `timeout` bounds this and every call.
    pub async fn open(address: &str, timeout: Duration) -> Result<Connection, CallError> {
        let connecting = TcpStream::connect(address);
        let stream = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| timed_out(address, timeout))?
            .map_err(|source| CallError::Unreachable { address: address.to_owned(), source })?;
        // Without it a request waits for the answer to the one before.
        stream
            .set_nodelay(true)
            .map_err(|source| CallError::Unreachable { address: address.to_owned(), source })?;
        let mut connection = Connection {
            stream,
            address: address.to_owned(),
            next_correlation: 1,
            served: BTreeMap::from([(ApiKey::ApiVersions.code(), (0, API_VERSIONS_VERSION))]),
            timeout,
        };
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let served = connection
            .call(&request, |response: ApiVersionsResponse<'_>| {
                let versions = response.api_keys.iter();
                versions.map(|api| (api.api_key, (api.min_version, api.max_version))).collect()
            })
            .await?;
        connection.served = served;
        Ok(connection)
    }

    /// The newest version of `api` that both sides speak.
    pub fn version(&self, api: ApiKey) -> Result<i16, CallError> {
        let ours = api.versions();
        let common = self.served.get(&api.code()).and_then(|(min, max)| {
            let newest = (*max).min(*ours.end());
            (newest >= *min && newest >= *ours.start()).then_some(newest)
        });
        common.ok_or_else(|| CallError::NotServed { address: self.address.clone(), api: api.name() })
    }

    /// Sends a request and gives its answer to `read`.
    pub async fn call<R, T>(
        &mut self,
        request: &R,
        read: impl FnOnce(R::Response<'_>) -> T,
    ) -> Result<T, CallError>
    where
        R: Request,
    {
        let version = self.version(R::KEY)?;
        let correlation = self.next_correlation;
        self.next_correlation = (self.next_correlation + 1) & i32::MAX;
        let bytes = frame::encode_request(request, version, correlation, Some(CLIENT_ID))?;
        let exchange = exchange(&mut self.stream, &bytes);
        let answer = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| timed_out(&self.address, self.timeout))?
            .ok_or_else(|| CallError::Closed { address: self.address.clone() })?;
        let malformed = |source| CallError::Malformed { address: self.address.clone(), source };
        let mut reader = Reader::new(&answer);
        ResponseHeader::decode(&mut reader, R::KEY, version).map_err(malformed)?;
        let response = R::Response::decode(&mut reader, version).map_err(malformed)?;
        Ok(read(response))
    }
}

fn timed_out(address: &str, timeout: Duration) -> CallError {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    CallError::TimedOut { address: address.to_owned(), timeout_ms }
}

/// Sends a frame and reads the next one; `None` if the connection ended or broke the framing.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<Bytes> {
    stream.write_all(request).await.ok()?;
    let len = usize::try_from(stream.read_i32().await.ok()?).ok().filter(|len| *len <= ANSWER_BYTES_MAX)?;
    let mut answer = BytesMut::new();
    while answer.len() < len {
        answer.reserve((len - answer.len()).min(1 << 20));
        let mut rest = (&mut answer).limit_to(len);
        if stream.read_buf(&mut rest).await.ok()? == 0 {
            return None;
        }
    }
    Some(answer.freeze())
}

/// Keeps a read within one frame.
trait LimitTo: Sized {
    fn limit_to(self, len: usize) -> bytes::buf::Limit<Self>;
}

impl LimitTo for &mut BytesMut {
    fn limit_to(self, len: usize) -> bytes::buf::Limit<Self> {
        let missing = len - self.remaining();
        bytes::BufMut::limit(self, missing)
    }
}
