//! Accepts connections of one listener and drains them when the broker stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::{Admission, Admitted};
use super::connection::{self, Carried, ConnectionSettings, Ended};
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
    /// Whose threads serve clients and replication; the private listener's other connections stay with those that
    /// accept them.
    pub data: Handle,
}

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
        moves: false,
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
                    let (handler, drain) = (Arc::clone(&handler), draining.clone());
                    let settings_of_all = connection_settings.clone();
                    let serve: Serve = Box::new(move |carried, moves| {
                        let settings = ConnectionSettings { moves, ..settings_of_all.clone() };
                        let serving =
                            connection::run(carried, peer.clone(), Arc::clone(&handler), settings, drain.clone());
                        Box::pin(serving)
                    });
                    let data = settings.data.clone();
                    if settings.session.is_broker() {
                        connections.spawn(serve_broker(stream, data, address, serve));
                    } else if let Some(stream) = unregistered(stream) {
                        connections.spawn_on(serve_client(stream, address, serve, admitted), &data);
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

/// Serves a connection on the threads of the caller; `true` lets it end where it has to move to others. Boxed, because
/// whoever awaits a future keeps room for it beside what it was made of.
type Serve = Box<dyn Fn(Carried<TcpStream>, bool) -> BoxFuture<'static, (Ended, Carried<TcpStream>)> + Send>;

async fn serve_client(
    stream: std::net::TcpStream,
    address: SocketAddr,
    serve: Serve,
    _admitted: Option<Admitted>,
) -> Option<()> {
    let serving = serve(Carried::new(registered(stream)?), false);
    drop(serve);
    log_end(address, &serving.await.0);
    Some(())
}

/// Serves a connection between brokers on the threads of `data` from when it replicates.
async fn serve_broker(stream: TcpStream, data: Handle, address: SocketAddr, serve: Serve) -> Option<()> {
    let (ended, carried) = serve(Carried::new(stream), true).await;
    if !matches!(ended, Ended::Moves) {
        log_end(address, &ended);
        return Some(());
    }
    let (stream, input) = (unregistered(carried.transport)?, carried.input);
    let serving = data.spawn(async move {
        let serving = serve(Carried { transport: registered(stream)?, input }, false);
        drop(serve);
        log_end(address, &serving.await.0);
        Some(())
    });
    serving.await.ok()?
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
        Ended::ByPeer | Ended::Idle | Ended::Drained | Ended::Moves => {
            tracing::trace!(%address, %ended, "connection ended")
        }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_broker_protocol::Segment;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::listener::{ByteBudget, Frame, Handled, Reply};
    use crate::net::SocketOptions;

    /// A wait that a working broker ends much earlier.
    const PATIENCE: Duration = Duration::from_secs(20);
    const VERSIONS: [u8; 2] = [0, 18];
    const FETCH: [u8; 2] = [0, 1];

    /// Answers by the name of the thread.
    struct Threads;

    impl Handler for Threads {
        fn handle(&self, _: &PeerInfo, _: Frame) -> Handled {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let len = (name.len() as u32).to_be_bytes().to_vec();
            Handled::Now(Reply::frame(vec![Segment::Bytes(len.into()), Segment::Bytes(Bytes::from(name))]))
        }

        fn answer_bytes(&self, _: &[u8]) -> usize {
            0
        }

        fn is_replication(&self, api_key: i16) -> bool {
            api_key.to_be_bytes() == FETCH
        }

        fn connection_count(&self, _: &PeerInfo, _: i64) {}
    }

    fn runtime(name: &str) -> Runtime {
        Builder::new_multi_thread().worker_threads(1).enable_all().thread_name(name).build().unwrap()
    }

    fn settings(role: Role, data: &Runtime) -> ListenerSettings {
        let budget = ByteBudget::new(1 << 20);
        ListenerSettings {
            session: Session::anonymous("TEST", role).into(),
            admission: None,
            frame_bytes_max: 1 << 20,
            idle_max: PATIENCE,
            budgets: Budgets { frames: budget.clone(), leftovers: budget },
            clock: Clock::start(),
            data: data.handle().clone(),
        }
    }

    /// The threads that serve these requests of one connection.
    fn served_by(role: Role, keys: &[[u8; 2]]) -> Vec<String> {
        let (control, data) = (runtime("control"), runtime("data"));
        let settings = settings(role, &data);
        let (_drain, draining) = watch::channel(false);
        let asked = control.spawn({
            let keys = keys.to_vec();
            async move {
                let listener = crate::net::listen("127.0.0.1", 0, SocketOptions::default()).await.unwrap();
                let address = listener.local_addr().unwrap();
                tokio::spawn(serve(listener, settings, Arc::new(Threads), draining));
                let mut client = TcpStream::connect(address).await.unwrap();
                let mut names = Vec::new();
                for key in keys {
                    client.write_all(&[&[0, 0, 0, 4][..], &key, &[0, 0]].concat()).await.unwrap();
                    let mut name = vec![0; client.read_u32().await.unwrap() as usize];
                    client.read_exact(&mut name).await.unwrap();
                    names.push(String::from_utf8(name).unwrap());
                }
                names
            }
        });
        control.block_on(async { tokio::time::timeout(PATIENCE, asked).await.unwrap().unwrap() })
    }

    #[test]
    fn a_brokers_connection_moves_to_the_threads_of_data_when_it_begins_to_replicate() {
        assert_eq!(
            served_by(Role::Broker, &[VERSIONS, VERSIONS, FETCH, VERSIONS]),
            ["control", "control", "data", "data"]
        );
        assert_eq!(served_by(Role::Client, &[VERSIONS, FETCH]), ["data", "data"]);
    }
}
