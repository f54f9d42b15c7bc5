//! The HTTP listener: `/healthz`, `/readyz`, `/v1/restart-safety` and `/metrics`.
//!
//! A probe is always answered: of too many connections the oldest gives way, a client that stops reading is cut, and
//! the pages that cost something are made for a few at a time.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ottla_broker_types::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::stop::until_true;

/// Connections served at once: probes and one or two scrapers. One more ends the oldest, which for a probe or a scrape
/// was over long ago.
const CONNECTIONS_MAX: usize = 64;
/// Pages other than probes' that are made or read at once: one may take megabytes. More are told to come again.
const PAGES_MAX: usize = 8;
/// A client that takes nothing of its answer for as long is cut.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system refused a socket (out of descriptors), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A client that has not sent its headers by then is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What would suffer if the brokers named stopped now.
const RESTART_SAFETY: &str = "/v1/restart-safety";
/// Counters and gauges.
const METRICS: &str = "/metrics";
/// Ids in one restart-safety question; a larger set than any cluster has.
const BROKERS_MAX: usize = 10_000;

/// What an endpoint answers: a status, a content type and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// As sent in `Content-Type`.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

/// What the endpoints ask of the broker.
pub trait Facts: Send + Sync + 'static {
    /// What a probe of liveness hears. It waits for no disk: another process would not have a better one.
    fn alive(&self) -> String;
    /// `Err` with what is missing until the broker is registered, unfenced and caught up.
    fn ready(&self) -> Result<(), String>;
    /// JSON: what would suffer if these brokers stopped now; `Err` when it cannot be known.
    fn restart_safety(&self, brokers: BTreeSet<NodeId>) -> BoxFuture<'static, Result<String, String>>;
    /// The metrics page.
    fn metrics(&self) -> String;
}

/// Serves until `drain` turns true.
pub async fn serve<F: Facts>(listener: TcpListener, facts: Arc<F>, mut drain: watch::Receiver<bool>) {
    let pages = Arc::new(Semaphore::new(PAGES_MAX));
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = until_true(&mut drain) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let (facts, pages) = (Arc::clone(&facts), Arc::clone(&pages));
        let connection = tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (facts, pages) = (Arc::clone(&facts), Arc::clone(&pages));
                async move { Ok::<_, Infallible>(respond(facts, &pages, &request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(Timed { stream, deadline: None }), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%address, %error, "http connection ended early");
            }
        });
        open.push_back(connection.abort_handle());
    }
}

async fn respond<F: Facts>(
    facts: Arc<F>,
    pages: &Arc<Semaphore>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path());
    if path != METRICS && path != RESTART_SAFETY {
        return to_response(answer_now(&*facts, &method, path), None);
    }
    let Ok(place) = Arc::clone(pages).try_acquire_owned() else {
        return to_response(text(503, "too many such pages are read just now: ask again\n"), None);
    };
    let page = if path == METRICS {
        // Thousands of partitions take their time, which the other connections need not wait for.
        let page = tokio::task::spawn_blocking(move || answer_now(&*facts, &method, METRICS));
        page.await.unwrap_or_else(|_| text(500, "the page cannot be made\n"))
    } else {
        answer(&*facts, &method, path, request.uri().query()).await
    };
    to_response(page, Some(place))
}

/// A body that keeps its place among the pages until it is sent.
struct Held {
    body: String,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

fn to_response(page: Page, place: Option<OwnedSemaphorePermit>) -> Response<Full<Bytes>> {
    let body = Bytes::from_owner(Held { body: page.body, _place: place });
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(page.content_type));
    response
}

/// A socket on which a write that goes on for too long fails.
struct Timed {
    stream: TcpStream,
    /// While a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    fn poll_timed<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = poll(Pin::new(&mut self.stream), context) {
            self.deadline = None;
            return Poll::Ready(done);
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_timed(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_timed(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_timed(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_timed(context, |stream, context| stream.poll_shutdown(context))
    }
}

/// The page for a request.
fn answer<F: Facts>(facts: &F, method: &Method, path: &str, query: Option<&str>) -> BoxFuture<'static, Page> {
    if path == RESTART_SAFETY && method == Method::GET {
        return match parse_brokers(query) {
            Ok(brokers) => {
                let report = facts.restart_safety(brokers);
                async move {
                    match report.await {
                        Ok(json) => Page { status: 200, content_type: "application/json", body: json },
                        Err(reason) => text(503, &format!("{reason}\n")),
                    }
                }
                .boxed()
            }
            Err(reason) => std::future::ready(text(400, &format!("{reason}\n"))).boxed(),
        };
    }
    std::future::ready(answer_now(facts, method, path)).boxed()
}

fn answer_now<F: Facts>(facts: &F, method: &Method, path: &str) -> Page {
    if method != Method::GET && method != Method::HEAD {
        return text(405, "only GET is served here\n");
    }
    match path {
        "/healthz" => text(200, &facts.alive()),
        "/readyz" => match facts.ready() {
            Ok(()) => text(200, "ready\n"),
            Err(missing) => text(503, &format!("not ready: {missing}\n")),
        },
        METRICS => Page {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: facts.metrics(),
        },
        _ => text(404, "try /healthz, /readyz, /metrics or /v1/restart-safety?brokers=1,2\n"),
    }
}

fn text(status: u16, body: &str) -> Page {
    Page { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn parse_brokers(query: Option<&str>) -> Result<BTreeSet<NodeId>, String> {
    let usage = "name the brokers: /v1/restart-safety?brokers=1,2";
    let list = query
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("brokers=")))
        .ok_or_else(|| usage.to_owned())?;
    let ids: Vec<&str> = list.split(',').flat_map(|part| part.split("%2C")).take(BROKERS_MAX + 1).collect();
    if ids.len() > BROKERS_MAX {
        return Err(format!("more than {BROKERS_MAX} brokers named"));
    }
    ids.into_iter()
        .map(|id| match id.parse().ok().and_then(NodeId::from_wire) {
            Some(id) => Ok(id),
            None => Err(format!("{id:?} is no broker id; {usage}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Facts for Fixed {
        fn alive(&self) -> String {
            "ok\n".to_owned()
        }
        fn ready(&self) -> Result<(), String> {
            Err("not registered yet".to_owned())
        }
        fn restart_safety(&self, brokers: BTreeSet<NodeId>) -> BoxFuture<'static, Result<String, String>> {
            std::future::ready(Ok(brokers.len().to_string())).boxed()
        }
        fn metrics(&self) -> String {
            "x".repeat(16 << 20)
        }
    }

    fn get(path: &str, query: Option<&str>) -> Page {
        answer(&Fixed, &Method::GET, path, query).now_or_never().unwrap()
    }

    /// 80 connections ask for a page and read nothing of it; the next one still hears that the broker lives.
    #[tokio::test]
    async fn clients_that_do_not_read_leave_probes_their_place() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let listener =
            crate::net::listen("127.0.0.1", 0, crate::net::SocketOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_drain, draining) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, Arc::new(Fixed), draining));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX + 16 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            silent.push(client);
        }
        let probe = async {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer =
            tokio::time::timeout(Duration::from_secs(5), probe).await.expect("the probe is answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serving.abort();
    }

    #[test]
    fn a_broker_that_is_not_ready_says_what_is_missing() {
        assert_eq!(get("/readyz", None), text(503, "not ready: not registered yet\n"));
    }

    #[test]
    fn restart_safety_wants_broker_ids() {
        assert_eq!(get("/v1/restart-safety", None).status, 400);
        assert_eq!(get("/v1/restart-safety", Some("brokers=1,x")).status, 400);
        assert_eq!(get("/v1/restart-safety", Some("brokers=-1")).status, 400);
        assert_eq!(get("/v1/restart-safety", Some("brokers=1,2")).body, "2");
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        assert_eq!(answer(&Fixed, &Method::POST, "/metrics", None).now_or_never().unwrap().status, 405);
        assert_eq!(get("/", None).status, 404);
    }
}
