//! One connection to another broker: requests in any number, answers matched by correlation id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_broker_protocol::{ApiKey, Decode, DecodeError, Reader, Request, ResponseHeader, frame};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};

/// Unanswered requests on one connection; raft and admin forwarding keep far fewer.
const IN_FLIGHT_MAX: usize = 1024;
/// The largest answer that is believed: a metadata snapshot or a fetch, both bounded by their requests.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why a request to another broker has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other broker is not known or its address cannot be reached.
    #[error("cannot be reached: {0:#}")]
    Unreachable(anyhow::Error),
    /// The connection ended before the answer.
    #[error("the connection was lost")]
    Lost,
    /// No answer in time.
    #[error("no answer in {0:?}")]
    TimedOut(Duration),
    /// Too many requests wait already.
    #[error("{IN_FLIGHT_MAX} requests wait already")]
    Full,
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
        let CallError::Unreachable(error) = self else { return false };
        error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused)
    }
}

type Waiting = Arc<Mutex<BTreeMap<i32, oneshot::Sender<Bytes>>>>;

/// An open connection; it ends when the last handle is dropped or the peer closes.
#[derive(Debug)]
pub struct PeerConnection {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    next_correlation: AtomicI32,
    lost: Arc<AtomicBool>,
    lost_notify: Arc<Notify>,
    reader: tokio::task::AbortHandle,
    client_id: Arc<str>,
}

impl PeerConnection {
    /// Connects to `host:port`; `client_id` names this broker in the other's logs.
    pub async fn open(host: &str, port: u16, client_id: Arc<str>) -> Result<Arc<PeerConnection>, CallError> {
        let stream = crate::net::connect(host, port).await.map_err(CallError::Unreachable)?;
        let (read_half, write_half) = stream.into_split();
        let waiting = Waiting::default();
        let lost = Arc::new(AtomicBool::new(false));
        let lost_notify = Arc::new(Notify::new());
        let reader = tokio::spawn(read_answers(
            read_half,
            Arc::clone(&waiting),
            Arc::clone(&lost),
            Arc::clone(&lost_notify),
        ))
        .abort_handle();
        Ok(Arc::new(PeerConnection {
            writer: tokio::sync::Mutex::new(write_half),
            waiting,
            next_correlation: AtomicI32::new(1),
            lost,
            lost_notify,
            reader,
            client_id,
        }))
    }

    /// Whether the connection has ended.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Resolves when the connection ends.
    pub async fn until_lost(&self) {
        let notified = self.lost_notify.notified();
        if !self.is_lost() {
            notified.await;
        }
    }

    /// Sends a request and waits for its answer's body, at most `timeout`.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let bytes = frame::encode_request(request, version, correlation, Some(&self.client_id))?;
        let (answer_sender, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if self.is_lost() {
                return Err(CallError::Lost);
            }
            if waiting.len() >= IN_FLIGHT_MAX {
                return Err(CallError::Full);
            }
            waiting.insert(correlation, answer_sender);
        }
        let exchange = async {
            self.writer.lock().await.write_all(&bytes).await.map_err(|_| CallError::Lost)?;
            answer.await.map_err(|_| CallError::Lost)
        };
        let result = tokio::time::timeout(timeout, exchange).await;
        self.waiting.lock().remove(&correlation);
        let mut body = result.map_err(|_| CallError::TimedOut(timeout))??;
        skip_response_header(&mut body, R::KEY, version)?;
        Ok(body)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Decodes an answer's body.
pub fn decode<'a, T: Decode<'a>>(body: &'a [u8], version: i16) -> Result<T, CallError> {
    Ok(T::decode(&mut Reader::new(body), version)?)
}

fn skip_response_header(body: &mut Bytes, key: ApiKey, version: i16) -> Result<(), CallError> {
    let mut reader = Reader::new(body);
    ResponseHeader::decode(&mut reader, key, version)?;
    let consumed = body.len() - reader.remaining();
    body.advance(consumed);
    Ok(())
}

async fn read_answers(
    mut stream: OwnedReadHalf,
    waiting: Waiting,
    lost: Arc<AtomicBool>,
    notify: Arc<Notify>,
) {
    let mut input = BytesMut::with_capacity(4 << 10);
    while let Some(frame) = next_frame(&mut stream, &mut input).await {
        let Some(correlation) = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else {
            break;
        };
        // An answer that nobody waits for any more came after its time-out.
        if let Some(sender) = waiting.lock().remove(&correlation) {
            let _ = sender.send(frame);
        }
    }
    let mut waiting = waiting.lock();
    lost.store(true, Ordering::Release);
    waiting.clear();
    notify.notify_waiters();
}

/// The next whole frame; `None` at the end of the stream or if the peer breaks the framing.
async fn next_frame(stream: &mut OwnedReadHalf, input: &mut BytesMut) -> Option<Bytes> {
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
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}
