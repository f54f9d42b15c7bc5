//! One connection to another broker: requests in any number, answers matched by correlation id.
//!
//! A connection on which somebody waited in vain is given up: what the network swallows once it may swallow for as long
//! as the kernel goes on trying, and a new connection works at once.
//!
//! The first request is preceded by ApiVersions: the other broker may be of another release, and each request is sent in
//! the newest version that both know.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_broker_protocol::messages::api_versions_response::ApiVersionsResponse;
use ottla_broker_protocol::{ApiKey, Decode, DecodeError, Reader, Request, ResponseHeader, frame};
use parking_lot::Mutex;
use rustix::net::RecvFlags;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OnceCell, oneshot};

use super::versions::{NoCommonVersion, ServedVersions};
use crate::net::ConnectError;

/// Unanswered requests on one connection; raft and admin forwarding keep far fewer.
const IN_FLIGHT_MAX: usize = 1024;
/// The largest answer that is believed: a metadata snapshot or a fetch, both bounded by their requests.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The version in which a broker is asked what it serves: every release answers it (KIP-511).
const API_VERSIONS_VERSION: i16 = 0;

/// Why a request to another broker has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other broker is not known or its address cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(ConnectError),
    /// The connection ended before the answer.
    #[error("the connection was lost")]
    Lost,
    /// No answer in time; the connection is given up.
    #[error("no answer in {0:?}")]
    TimedOut(Duration),
    /// Another controller is known by now than the one that was asked.
    #[error("is no longer the active controller")]
    Superseded,
    /// Too many requests wait already.
    #[error("{IN_FLIGHT_MAX} requests wait already")]
    Full,
    /// The other broker is of a release too far from this one.
    #[error(transparent)]
    NoCommonVersion(#[from] NoCommonVersion),
    /// The answer does not follow its schema.
    #[error("malformed answer: {0}")]
    Malformed(#[from] DecodeError),
    /// The request cannot be encoded at this version.
    #[error("cannot be encoded: {0}")]
    Unencodable(#[from] frame::EncodeRequestError),
}

impl CallError {
    /// Whether the host answered that nobody listens there: the process is gone.
    pub fn is_refused(&self) -> bool {
        matches!(self, CallError::Unreachable(ConnectError::Refused { .. }))
    }
}

/// The body of an answer, in the version of its request.
#[derive(Clone, Debug)]
pub struct Answer {
    body: Bytes,
    version: i16,
}

impl Answer {
    /// Bytes of the body.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// The answer, borrowed from its bytes.
    ///
    /// # Errors
    /// It does not follow its schema.
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> Result<T, CallError> {
        Ok(T::decode(&mut Reader::new(&self.body), self.version)?)
    }
}

/// What the reading task shares with those who call.
#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<BTreeMap<i32, oneshot::Sender<Bytes>>>,
    /// Bytes that have arrived.
    received: AtomicU64,
    lost: AtomicBool,
    lost_notify: Notify,
}

impl Shared {
    /// Whoever waits hears that no answer comes.
    fn lose(&self) {
        let mut waiting = self.waiting.lock();
        self.lost.store(true, Ordering::Release);
        waiting.clear();
        self.lost_notify.notify_waiters();
    }
}

/// An open connection; it ends when the last handle is dropped, when the peer closes, or when a call times out.
#[derive(Debug)]
pub struct PeerConnection {
    stream: Arc<TcpStream>,
    /// Held by who writes a request, so that requests do not mix.
    writing: tokio::sync::Mutex<()>,
    shared: Arc<Shared>,
    next_correlation: AtomicI32,
    reader: tokio::task::AbortHandle,
    client_id: Arc<str>,
    /// What the other end serves, once it was asked.
    served: OnceCell<ServedVersions>,
}

impl PeerConnection {
    /// Connects to `host:port`; `client_id` names this broker in the other's logs. `ended` is called if the other end
    /// or the network ends the connection, but not if this broker gives it up.
    pub async fn open(
        host: &str,
        port: u16,
        client_id: Arc<str>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<PeerConnection>, CallError> {
        let stream = crate::net::connect(host, port).await.map_err(CallError::Unreachable)?;
        let stream = Arc::new(stream);
        let shared = Arc::new(Shared::default());
        let (reading, source) = (Arc::clone(&shared), Arc::clone(&stream));
        let reader = tokio::spawn(async move {
            read_answers(&source, &reading).await;
            // First, so that nobody hears of it who then is sent to a broker that may be dead.
            ended();
            reading.lose();
        });
        let reader = reader.abort_handle();
        Ok(Arc::new(PeerConnection {
            stream,
            writing: tokio::sync::Mutex::default(),
            shared,
            next_correlation: AtomicI32::new(1),
            reader,
            client_id,
            served: OnceCell::new(),
        }))
    }

    /// Whether the connection has ended.
    pub fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Whether the kernel knows already that the other end has ended the connection, or has the connection ended.
    pub fn is_ending(&self) -> bool {
        let peeked = rustix::net::recv(&*self.stream, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match peeked {
            Ok((bytes, _)) => bytes == 0,
            Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
        }
    }

    /// Resolves when the connection ends.
    pub async fn until_lost(&self) {
        let notified = self.shared.lost_notify.notified();
        if !self.is_lost() {
            notified.await;
        }
    }

    /// Gives the connection up: it carries nothing any more, and whoever waits on it hears so.
    pub fn close(&self) {
        self.reader.abort();
        self.shared.lose();
    }

    /// Sends a request in the newest of the `known` versions that the other end serves, and waits for its answer, at most
    /// `timeout`; then the connection is given up.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        known: &RangeInclusive<i16>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let exchange = self.negotiated(request, known);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answered) => answered,
            Err(_) => {
                self.close();
                Err(CallError::TimedOut(timeout))
            }
        }
    }

    /// The same, waiting for as long as bytes arrive; after `silence` without any the connection is given up. For answers
    /// whose length says how long they take.
    pub async fn call_silent<R: Request>(
        &self,
        request: &R,
        known: &RangeInclusive<i16>,
        silence: Duration,
    ) -> Result<Answer, CallError> {
        let mut exchange = std::pin::pin!(self.negotiated(request, known));
        let mut received = self.received();
        loop {
            if let Ok(answered) = tokio::time::timeout(silence, &mut exchange).await {
                return answered;
            }
            if std::mem::replace(&mut received, self.received()) == self.received() {
                self.close();
                return Err(CallError::TimedOut(silence));
            }
        }
    }

    fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// What the other end serves.
    pub async fn served(&self) -> Result<&ServedVersions, CallError> {
        let ask = async || {
            let body = self.exchange(&ApiVersionsRequest::default(), API_VERSIONS_VERSION).await?;
            let answer = Answer { body, version: API_VERSIONS_VERSION };
            Ok(ServedVersions::new(&answer.decode::<ApiVersionsResponse<'_>>()?))
        };
        self.served.get_or_try_init(ask).await
    }

    async fn negotiated<R: Request>(
        &self,
        request: &R,
        known: &RangeInclusive<i16>,
    ) -> Result<Answer, CallError> {
        let version = self.served().await?.newest(R::KEY, known)?;
        let body = self.exchange(request, version).await?;
        Ok(Answer { body, version })
    }

    async fn exchange<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, CallError> {
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let bytes = frame::encode_request(request, version, correlation, Some(&self.client_id))?;
        let (answer_sender, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting.lock();
            if self.is_lost() {
                return Err(CallError::Lost);
            }
            if waiting.len() >= IN_FLIGHT_MAX {
                return Err(CallError::Full);
            }
            waiting.insert(correlation, answer_sender);
        }
        let mut pending = Pending { connection: self, correlation, received: self.received(), cut: false };
        let send = async {
            let _turn = self.writing.lock().await;
            pending.cut = true;
            let sent = write_all(&self.stream, &bytes).await;
            pending.cut = false;
            sent.map_err(|_| CallError::Lost)
        };
        tokio::select! {
            sent = send => sent?,
            () = self.until_lost() => return Err(CallError::Lost),
        }
        let mut body = answer.await.map_err(|_| CallError::Lost)?;
        skip_response_header(&mut body, R::KEY, version)?;
        Ok(body)
    }
}

/// A request without an answer so far. If its caller goes away, so does its place; and if nothing at all has arrived
/// since it was sent, or it was sent in part only, the connection is of no use to others either.
struct Pending<'c> {
    connection: &'c PeerConnection,
    correlation: i32,
    /// What had arrived when it was sent.
    received: u64,
    /// Whether a part of it may have been sent.
    cut: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let unanswered = self.connection.shared.waiting.lock().remove(&self.correlation).is_some();
        if self.cut || (unanswered && self.received == self.connection.received()) {
            self.connection.close();
        }
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn skip_response_header(body: &mut Bytes, key: ApiKey, version: i16) -> Result<(), CallError> {
    let mut reader = Reader::new(body);
    ResponseHeader::decode(&mut reader, key, version)?;
    let consumed = body.len() - reader.remaining();
    body.advance(consumed);
    Ok(())
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Hands answers to who waits for them, until the stream ends.
async fn read_answers(stream: &TcpStream, shared: &Shared) {
    let mut input = BytesMut::with_capacity(4 << 10);
    while let Some(frame) = next_frame(stream, &mut input, &shared.received).await {
        let Some(correlation) = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else {
            break;
        };
        // An answer that nobody waits for any more came after its caller went away.
        if let Some(sender) = shared.waiting.lock().remove(&correlation) {
            let _ = sender.send(frame);
        }
    }
}

/// The next whole frame; `None` at the end of the stream or if the peer breaks the framing.
async fn next_frame(stream: &TcpStream, input: &mut BytesMut, received: &AtomicU64) -> Option<Bytes> {
    loop {
        if let Some(prefix) = input.first_chunk::<4>() {
            let len =
                usize::try_from(i32::from_be_bytes(*prefix)).ok().filter(|len| *len <= ANSWER_BYTES_MAX)?;
            if input.len() >= 4 + len {
                input.advance(4);
                let frame = input.split_to(len).freeze();
                if input.is_empty() {
                    *input = BytesMut::new();
                }
                return Some(frame);
            }
            let missing = 4 + len - input.len();
            input.reserve(missing.min(1 << 20));
        } else {
            input.reserve(4 << 10);
        }
        stream.readable().await.ok()?;
        let arrived = match stream.try_read_buf(input) {
            Ok(0) => return None,
            Ok(arrived) => arrived,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        };
        received.fetch_add(arrived as u64, Ordering::Relaxed);
    }
}
