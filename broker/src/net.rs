//! The only place that opens sockets and resolves names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A name that does not resolve in this time counts as unknown; the caller retries.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// More than any kernel's `net.core.somaxconn` is by default; the kernel cuts it to that.
const BACKLOG_MAX: u32 = 65_535;
/// A peer in the same cluster answers a SYN in milliseconds. Shorter than the second after which the kernel sends it
/// again, so that a healed network is found by the next attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Who is at the other end, and so how soon a connection ends into which the network lets nothing through any more: the
/// kernel by itself would try for a quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherEnd {
    /// A broker: its host acknowledges in milliseconds whatever its process does.
    Broker,
    /// A client: behind links of any kind, and it may let its answers lie for a while.
    Client,
}

impl OtherEnd {
    /// How long sent bytes may stay unacknowledged, or unread behind a full window.
    const fn unacknowledged_max(self) -> Duration {
        match self {
            OtherEnd::Broker => Duration::from_secs(3),
            OtherEnd::Client => Duration::from_secs(60),
        }
    }

    /// After how much silence the other host is asked, and how often again.
    const fn probe_interval(self) -> Duration {
        match self {
            OtherEnd::Broker => Duration::from_secs(1),
            OtherEnd::Client => Duration::from_secs(20),
        }
    }
}

/// Unanswered probes after which a silent connection ends.
const PROBES_MAX: u32 = 3;

/// Has the kernel end the connection once its other end cannot be reached.
pub fn end_when_unreachable(stream: &TcpStream, other: OtherEnd) -> std::io::Result<()> {
    let unacknowledged_ms = u32::try_from(other.unacknowledged_max().as_millis()).unwrap_or(u32::MAX);
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, other.probe_interval())?;
    sockopt::set_tcp_keepintvl(stream, other.probe_interval())?;
    sockopt::set_tcp_keepcnt(stream, PROBES_MAX)?;
    sockopt::set_tcp_user_timeout(stream, unacknowledged_ms)?;
    Ok(())
}

/// What a listening socket asks of the kernel; the sockets that it accepts inherit the buffers.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Connections that the kernel holds until they are accepted; it allows at most `net.core.somaxconn`.
    pub backlog: u32,
    /// Bytes of the send buffer; `None` lets the kernel size it by need.
    pub send_buffer_bytes: Option<u32>,
    /// Bytes of the receive buffer; `None` lets the kernel size it by need.
    pub receive_buffer_bytes: Option<u32>,
}

impl Default for SocketOptions {
    /// All that the kernel allows.
    fn default() -> SocketOptions {
        SocketOptions { backlog: BACKLOG_MAX, send_buffer_bytes: None, receive_buffer_bytes: None }
    }
}

/// Opens a listening socket; an empty `host` listens on every address, of IPv6 too where the machine has it.
pub async fn listen(host: &str, port: u16, options: SocketOptions) -> anyhow::Result<TcpListener> {
    let opened = if host.is_empty() {
        listen_everywhere(port, options)
    } else {
        listen_at(resolve(host, port).await?, options)
    };
    opened.with_context(|| format!("listen on {host}:{port}; is another process using the port?"))
}

fn listen_everywhere(port: u16, options: SocketOptions) -> io::Result<TcpListener> {
    match listen_at((Ipv6Addr::UNSPECIFIED, port).into(), options) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // A machine without IPv6.
        Err(_) => listen_at((Ipv4Addr::UNSPECIFIED, port).into(), options),
        listening => listening,
    }
}

/// This machine's name as others may know it, as Java's canonical host name: what its own name resolves to, read back.
/// Its own name where nobody knows more.
pub async fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match tokio::time::timeout(RESOLVE_TIMEOUT, canonical_name(&name)).await {
        Ok(Ok(Some(canonical))) => canonical,
        _ => name,
    }
}

async fn canonical_name(name: &str) -> anyhow::Result<Option<String>> {
    let resolver = resolver()?;
    let Some(ip) = resolver.lookup_ip(name).await?.iter().next() else { return Ok(None) };
    let names = resolver.reverse_lookup(ip).await?;
    // A hosts file may give several names: the fullest one is the canonical one.
    let names = names.answers().iter().filter_map(|record| match &record.data {
        RData::PTR(name) => Some(name.to_string().trim_end_matches('.').to_owned()),
        _ => None,
    });
    Ok(names.max_by_key(|name| (name.len(), name.clone())))
}

fn listen_at(address: SocketAddr, options: SocketOptions) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        // Every address is meant; some machines are set to the contrary.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // A port whose former connections have just ended may be taken again.
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    socket.listen(options.backlog.min(BACKLOG_MAX))
}

/// The address of a name or of an address in text.
pub async fn address_of(host: &str) -> anyhow::Result<IpAddr> {
    Ok(resolve(host, 0).await?.ip())
}

/// Why there is no connection to another broker.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host answered that nobody listens there: the process is gone.
    #[error("connect to {host}:{port}: nobody listens there")]
    Refused {
        /// The host as it was named.
        host: String,
        /// On which nobody listens.
        port: u16,
    },
    /// Its name, the network or this machine is at fault.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Connects to another broker at `host:port` with Nagle's algorithm off.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let address = resolve(host, port).await?;
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = match connected
        .with_context(|| format!("connect to {host}:{port}: no answer in {CONNECT_TIMEOUT:?}"))?
    {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(ConnectError::Refused { host: host.to_owned(), port });
        }
        connected => connected.with_context(|| format!("connect to {host}:{port}"))?,
    };
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    end_when_unreachable(&stream, OtherEnd::Broker).context("set the connection's time limits")?;
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
