//! HTTP: the operator's own health and metrics, and questions to brokers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// A broker that takes longer to answer is treated as one that does not.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer of restart safety lists a few hundred partitions at most.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Connections served at once: probes and a scraper; more wait in the accept queue.
const CONNECTIONS_MAX: usize = 16;
/// A client that has not sent its headers by then is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks `address` for `path`; the body if the status is 200.
pub async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<Bytes> {
    match tokio::time::timeout(ASK_TIMEOUT, exchange(address, path)).await {
        Ok(answer) => answer,
        Err(_) => bail!("{address} gave no answer in {} s", ASK_TIMEOUT.as_secs()),
    }
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("speak HTTP")?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .context("write the request")?;
    let answer = async {
        let response = sender.send_request(request).await.context("send the request")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?.to_bytes();
        if status != StatusCode::OK {
            bail!("{address} answers {status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    }
    .await;
    driver.abort();
    answer
}

/// Serves `/healthz`, `/readyz` and `/metrics` until the process ends.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = page(request.uri().path(), &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an http connection ended early");
            }
            drop(slot);
        });
    }
}

fn page(path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        "/healthz" | "/readyz" => (StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => (StatusCode::OK, metrics.text()),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_served_and_errors_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(serve(listener, Arc::default()));
        assert_eq!(ask(address, "/healthz").await.expect("it answers"), "ok\n");
        let metrics = ask(address, "/metrics").await.expect("it answers");
        let metrics = String::from_utf8_lossy(&metrics);
        assert!(metrics.contains("ottla_operator_reconciles_total 0"));
        let resident = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        assert!(resident.is_some_and(|bytes| bytes.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 20)));
        let error = ask(address, "/other").await.expect_err("there is no such page");
        assert!(error.to_string().contains("404"), "{error}");
        server.abort();
    }
}
