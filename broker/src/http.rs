//! The HTTP listener: `/healthz`, `/readyz`, `/v1/restart-safety` and `/metrics`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
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
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::stop::until_true;

/// Connections served at once: probes and one or two scrapers; more wait in the accept queue.
const CONNECTIONS_MAX: usize = 32;
/// A client that has not sent its headers by then is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What would suffer if the brokers named stopped now.
const RESTART_SAFETY: &str = "/v1/restart-safety";
/// Ids in one restart-safety question; a larger set than any cluster has.
const BROKERS_MAX: usize = 10_000;

/// What an endpoint answers: a status, a content type and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

/// What the endpoints ask of the broker.
pub trait Facts: Send + Sync + 'static {
    /// `Err` with what is missing until the broker is registered, unfenced and caught up.
    fn ready(&self) -> Result<(), String>;
    /// JSON: what would suffer if these brokers stopped now; `Err` when it cannot be known.
    fn restart_safety(&self, brokers: BTreeSet<NodeId>) -> BoxFuture<'static, Result<String, String>>;
    /// The metrics page.
    fn metrics(&self) -> String;
}

/// Serves until `drain` turns true.
pub async fn serve<F: Facts>(listener: TcpListener, facts: Arc<F>, mut drain: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = until_true(&mut drain) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else { continue };
        let facts = Arc::clone(&facts);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let page = answer(&*facts, request.method(), request.uri().path(), request.uri().query());
                async move { Ok::<_, Infallible>(to_response(page.await)) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%address, %error, "http connection ended early");
            }
            drop(slot);
        });
    }
}

fn to_response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(page.content_type));
    response
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
        "/healthz" => text(200, "ok\n"),
        "/readyz" => match facts.ready() {
            Ok(()) => text(200, "ready\n"),
            Err(missing) => text(503, &format!("not ready: {missing}\n")),
        },
        "/metrics" => Page {
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
        fn ready(&self) -> Result<(), String> {
            Err("not registered yet".to_owned())
        }
        fn restart_safety(&self, brokers: BTreeSet<NodeId>) -> BoxFuture<'static, Result<String, String>> {
            std::future::ready(Ok(brokers.len().to_string())).boxed()
        }
        fn metrics(&self) -> String {
            String::new()
        }
    }

    fn get(path: &str, query: Option<&str>) -> Page {
        answer(&Fixed, &Method::GET, path, query).now_or_never().unwrap()
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
