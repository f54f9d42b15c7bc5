//! The only place that opens sockets and resolves names.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use hickory_resolver::TokioResolver;
use tokio::net::{TcpListener, TcpStream};

/// A name that does not resolve in this time counts as unknown; the caller retries.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer in the same cluster answers a SYN in microseconds, so a second means it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens a listening socket; an empty `host` listens on every address.
pub async fn listen(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let address = resolve(host, port).await?;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {host}:{port}; is another process using the port?"))
}

/// Connects to `host:port` with Nagle's algorithm off.
pub async fn connect(host: &str, port: u16) -> anyhow::Result<TcpStream> {
    let address = resolve(host, port).await?;
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .with_context(|| format!("connect to {host}:{port}: no answer in {CONNECT_TIMEOUT:?}"))?
        .with_context(|| format!("connect to {host}:{port}"))?;
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    Ok(stream)
}

/// The first address of a name. Static glibc cannot load its resolver modules, hence our own resolver.
async fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    if host == "localhost" {
        return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
    }
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, resolver()?.lookup_ip(host))
        .await
        .with_context(|| format!("resolve {host}: no answer in {RESOLVE_TIMEOUT:?}"))?
        .with_context(|| format!("resolve {host}"))?;
    let ip = found.iter().next().with_context(|| format!("resolve {host}: it has no address"))?;
    Ok(SocketAddr::new(ip, port))
}

fn resolver() -> anyhow::Result<&'static TokioResolver> {
    static RESOLVER: OnceLock<TokioResolver> = OnceLock::new();
    if let Some(resolver) = RESOLVER.get() {
        return Ok(resolver);
    }
    let mut builder = TokioResolver::builder_tokio().context("read /etc/resolv.conf")?;
    // A pod's address changes when it is replaced: a cached one, or a cached "unknown", would cost a failover.
    builder.options_mut().cache_size = 0;
    let resolver = builder.build().context("start the name resolver")?;
    Ok(RESOLVER.get_or_init(|| resolver))
}
