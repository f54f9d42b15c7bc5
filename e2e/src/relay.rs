//! The network between the brokers of a test: every connection to a broker's private listener goes through here and can
//! be cut, so that bytes vanish without an error as behind a broken switch.
//!
//! A connection that was cut never carries anything again, also after healing: whoever waits on it waits for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where the client's name begins in a connection's first request: size, key, version, correlation id.
const NAME_AT: usize = 12;
/// What every broker calls itself towards others, with its id behind it.
const NAME_PREFIX: &str = "broker-";

/// All ways between the brokers; dropping it ends them.
#[derive(Debug)]
pub struct Relays {
    cut_off: Arc<watch::Sender<BTreeSet<usize>>>,
    ports: Vec<u16>,
    _tasks: JoinSet<()>,
}

impl Relays {
    /// A relay in front of each of `targets`, the ports of the brokers' private listeners.
    pub(crate) async fn start(targets: &[u16]) -> Result<Relays> {
        let cut_off = Arc::new(watch::Sender::new(BTreeSet::new()));
        let mut relays = Relays { cut_off, ports: Vec::new(), _tasks: JoinSet::new() };
        for (to, target) in targets.iter().copied().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("open a relay")?;
            relays.ports.push(listener.local_addr()?.port());
            relays._tasks.spawn(serve(listener, to, target, Arc::clone(&relays.cut_off)));
        }
        Ok(relays)
    }

    /// Where a broker is reached through its relay.
    pub(crate) fn port(&self, broker: usize) -> u16 {
        self.ports[broker]
    }

    /// Lets nothing through to or from a broker any more.
    pub fn cut(&self, broker: usize) {
        self.cut_off.send_if_modified(|cut_off| cut_off.insert(broker));
    }

    /// Lets new connections of every broker through again.
    pub fn heal(&self) {
        self.cut_off.send_modify(BTreeSet::clear);
    }
}

async fn serve(listener: TcpListener, to: usize, target: u16, cut_off: Arc<watch::Sender<BTreeSet<usize>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(relay(stream, to, target, cut_off.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(
    mut client: TcpStream,
    to: usize,
    target: u16,
    mut cut_off: watch::Receiver<BTreeSet<usize>>,
) -> Option<()> {
    let (first, from) = first_request(&mut client).await?;
    if !is_cut(&cut_off.borrow(), from, to) {
        let mut server = TcpStream::connect(("127.0.0.1", target)).await.ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        server.write_all(&first).await.ok()?;
        let ((mut up, mut down), (mut out, mut back)) = (client.split(), server.split());
        tokio::select! {
            () = copy(&mut up, &mut back) => return Some(()),
            () = copy(&mut out, &mut down) => return Some(()),
            _ = cut_off.wait_for(|cut_off| is_cut(cut_off, from, to)) => {}
        }
        swallow(&mut client).await;
        return Some(());
    }
    swallow(&mut client).await;
    Some(())
}

fn is_cut(cut_off: &BTreeSet<usize>, from: Option<usize>, to: usize) -> bool {
    cut_off.contains(&to) || from.is_some_and(|from| cut_off.contains(&from))
}

/// What the client has sent up to its name, and which broker it is.
async fn first_request(client: &mut TcpStream) -> Option<(Vec<u8>, Option<usize>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(len) = bytes.get(NAME_AT..NAME_AT + 2) {
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            if let Some(name) = bytes.get(NAME_AT + 2..NAME_AT + 2 + len) {
                let name = std::str::from_utf8(name).ok()?;
                let from = name.strip_prefix(NAME_PREFIX).and_then(|id| id.parse().ok());
                return Some((bytes, from));
            }
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    drop(tokio::io::copy(from, to).await);
}

/// Takes what comes and answers nothing, until the client goes.
async fn swallow(client: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while client.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
}
