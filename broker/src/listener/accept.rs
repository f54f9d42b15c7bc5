//! Accepts connections of one listener and drains them when the broker stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ottla_broker_protocol::ApiKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::{Admission, Admitted};
use super::connection::{self, ConnectionSettings, Ended};
use super::handler::{Handler, PeerInfo};
use super::limits::{Budgets, STALLED_FRAME_MAX, UNREAD_ANSWER_MAX};
use super::session::{Role, Session};
use crate::clock::Clock;
use crate::net::{OtherEnd, end_when_unreachable};
use crate::stop::until_true;

/// How long open answers may take after the broker was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the system refused a socket (out of descriptors), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What one listener enforces.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// That of whoever connects.
    pub session: Arc<Session>,
    /// Counts connections and holds them back, where they are limited.
    pub admission: Option<Arc<Admission>>,
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// Shared by all listeners of a kind.
    pub budgets: Budgets,
    /// Tells when a connection was accepted.
    pub clock: Clock,
    /// Whose threads serve connections that read and write partitions; the private listener's others stay with those
    /// that accept them.
    pub data: Handle,
}

/// Bytes of a request's length and key.
const HEAD_BYTES: usize = 6;

/// Accepts until `drain` turns true, then waits for open answers, at most [`DRAIN_TIMEOUT`].
pub async fn serve<H: Handler>(
    listener: TcpListener,
    settings: ListenerSettings,
    handler: Arc<H>,
    mut drain: watch::Receiver<bool>,
) {
    let connection_settings = ConnectionSettings {
        frame_bytes_max: settings.frame_bytes_max,
        idle_max: settings.idle_max,
        stalled_frame_max: STALLED_FRAME_MAX,
        unread_answer_max: UNREAD_ANSWER_MAX,
        budgets: settings.budgets.clone(),
    };
    let mut connections = JoinSet::new();
    let draining = drain.clone();
    loop {
        tokio::select! {
            biased;
            () = until_true(&mut drain) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    // While one waits for its turn, later ones wait in the kernel.
                    let admitted = tokio::select! {
                        biased;
                        () = until_true(&mut drain) => break,
                        admitted = admit(settings.admission.as_ref(), address) => admitted,
                    };
                    let Ok(admitted) = admitted else { continue };
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%address, %error, "TCP_NODELAY is not set");
                    }
                    let other = other_end(settings.session.role);
                    if let Err(error) = end_when_unreachable(&stream, other) {
                        tracing::debug!(%address, %error, "the connection's time limits are not set");
                    }
                    let peer = PeerInfo {
                        address,
                        session: Arc::clone(&settings.session),
                        accepted: settings.clock.now().mono,
                        order: Arc::default(),
                        refusals: Arc::default(),
                    };
                    let handler = Arc::clone(&handler);
                    let drain = draining.clone();
                    let connection_settings = connection_settings.clone();
                    // Boxed, because whoever awaits a future keeps room for it beside what it was made of.
                    let connection: Serve = Box::new(move |stream| {
                        let served = Box::pin(connection::run(stream, peer, handler, connection_settings, drain));
                        Box::pin(async move {
                            let _admitted = admitted;
                            log_end(address, &served.await);
                        })
                    });
                    let data = settings.data.clone();
                    if settings.session.is_broker() {
                        connections.spawn(place(stream, data, connection));
                    } else if let Some(stream) = unregistered(stream) {
                        connections.spawn_on(async move { connection(registered(stream)?).await; Some(()) }, &data);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, listener = %settings.session.listener, "accept fails; is the limit of open files reached?");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, all_ended).await.is_err() {
        tracing::info!(listener = %settings.session.listener, "connections are cut: their answers took too long");
    }
}

fn other_end(role: Role) -> OtherEnd {
    match role {
        Role::Broker => OtherEnd::Broker,
        Role::Client => OtherEnd::Client,
    }
}

/// Serves a connection, once it is known on which threads.
type Serve = Box<dyn FnOnce(TcpStream) -> BoxFuture<'static, ()> + Send>;

/// Serves a connection between brokers where its first request belongs.
async fn place(stream: TcpStream, data: Handle, connection: Serve) -> Option<()> {
    if !asks_for_data(&stream).await {
        connection(stream).await;
        return Some(());
    }
    let stream = unregistered(stream)?;
    let serving = data.spawn(async move {
        connection(registered(stream)?).await;
        Some(())
    });
    serving.await.ok()?
}

/// Whether the first request of a connection reads or writes partitions.
async fn asks_for_data(stream: &TcpStream) -> bool {
    let mut head = [0; HEAD_BYTES];
    // A head that comes in pieces is none of a broker's: such a connection stays where it is.
    let Ok(HEAD_BYTES) = stream.peek(&mut head).await else { return false };
    let key = ApiKey::from_i16(i16::from_be_bytes([head[4], head[5]]));
    matches!(key, Some(ApiKey::Produce | ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::OffsetForLeaderEpoch))
}

/// Takes a socket from the threads that look after it.
fn unregistered(stream: TcpStream) -> Option<std::net::TcpStream> {
    stream.into_std().inspect_err(|error| tracing::warn!(%error, "a connection cannot be handed on")).ok()
}

/// Lets the threads of the caller's runtime look after a socket.
fn registered(stream: std::net::TcpStream) -> Option<TcpStream> {
    TcpStream::from_std(stream)
        .inspect_err(|error| tracing::warn!(%error, "a connection cannot be taken on"))
        .ok()
}

/// The connection's place among the limited ones, if they are.
async fn admit(
    admission: Option<&Arc<Admission>>,
    address: SocketAddr,
) -> Result<Option<Admitted>, TooManyOfAddress> {
    match admission {
        Some(admission) => admission.admit(address.ip()).await.map(Some).ok_or(TooManyOfAddress),
        None => Ok(None),
    }
}

/// The connection is not served.
struct TooManyOfAddress;

fn log_end(address: SocketAddr, ended: &Ended) {
    match ended {
        Ended::ByPeer | Ended::Idle | Ended::Drained => tracing::trace!(%address, %ended, "connection ended"),
        Ended::Io(error) => tracing::debug!(%address, %error, "connection lost"),
        Ended::Crowded { .. } => {
            tracing::info!(%address, %ended, "connection closed: the memory for slow peers is used up");
        }
        Ended::Unread { .. } => {
            tracing::info!(%address, %ended, "connection closed: the peer does not read what it asked for");
        }
        Ended::FrameSize { .. } | Ended::Stalled { .. } | Ended::Refused(_) => {
            tracing::info!(%address, %ended, "connection closed: the peer sent what cannot be served");
        }
    }
}
