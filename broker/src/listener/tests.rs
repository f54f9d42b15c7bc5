//! Connections over loopback, with a handler that answers at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_protocol::Segment;
use ottla_broker_types::MonotonicMs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::{self, ConnectionSettings, Ended};
use super::handler::{Frame, Handled, Handler, PeerInfo, Reply};
use super::limits::{Budgets, ByteBudget, FIRST_GRANT_BYTES};
use crate::net::SocketOptions;

/// A wait that a working broker ends much earlier.
const PATIENCE: Duration = Duration::from_secs(20);
const BUDGET_BYTES: usize = 4 << 20;
const LEFTOVER_BYTES: usize = 64 << 10;

/// Answers each frame by its length.
struct Lengths;

impl Handler for Lengths {
    fn handle(&self, _: &PeerInfo, frame: Frame) -> Handled {
        let answer = (frame.bytes.len() as u32).to_be_bytes();
        Handled::Now(Reply::Frame(vec![Segment::Bytes(Bytes::copy_from_slice(&answer))]))
    }

    fn connection_count(&self, _: &PeerInfo, _: i64) {}
}

struct Rig {
    budget: ByteBudget,
    leftovers: ByteBudget,
    stalled_frame_max: Duration,
    _drain: watch::Sender<bool>,
    draining: watch::Receiver<bool>,
}

impl Rig {
    fn new(stalled_frame_max: Duration) -> Rig {
        let (drain, draining) = watch::channel(false);
        let leftovers = ByteBudget::new(LEFTOVER_BYTES);
        Rig { budget: ByteBudget::new(BUDGET_BYTES), leftovers, stalled_frame_max, _drain: drain, draining }
    }

    async fn connect(&self) -> (TcpStream, JoinHandle<Ended>) {
        let listener = crate::net::listen("127.0.0.1", 0, SocketOptions::default()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let settings = ConnectionSettings {
            frame_bytes_max: 100 << 20,
            idle_max: Duration::from_secs(600),
            stalled_frame_max: self.stalled_frame_max,
            budgets: Budgets { frames: self.budget.clone(), leftovers: self.leftovers.clone() },
        };
        let peer = PeerInfo {
            address,
            listener: "TEST".into(),
            internal: false,
            accepted: MonotonicMs::default(),
            order: Arc::default(),
            refusals: Arc::default(),
        };
        let serve = connection::run(stream, peer, Arc::new(Lengths), settings, self.draining.clone());
        (client, tokio::spawn(serve))
    }

    async fn until_held(&self, bytes: usize) {
        let held = async {
            while BUDGET_BYTES - self.budget.free_bytes() != bytes {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, held).await;
        assert!(waited.is_ok(), "{} are held, not {bytes}", BUDGET_BYTES - self.budget.free_bytes());
    }
}

async fn announce(client: &mut TcpStream, len: usize) {
    client.write_u32(len as u32).await.unwrap();
}

async fn answer(client: &mut TcpStream) -> usize {
    tokio::time::timeout(PATIENCE, client.read_u32()).await.unwrap().unwrap() as usize
}

#[tokio::test]
async fn an_announced_frame_holds_as_much_as_has_arrived_of_it() {
    let rig = Rig::new(PATIENCE);
    let (mut client, _serving) = rig.connect().await;
    let len = 3 << 20;
    announce(&mut client, len).await;
    rig.until_held(FIRST_GRANT_BYTES).await;
    let first = FIRST_GRANT_BYTES - size_of::<u32>();
    client.write_all(&vec![7; first]).await.unwrap();
    rig.until_held(2 * FIRST_GRANT_BYTES).await;
    client.write_all(&vec![7; len - first]).await.unwrap();
    assert_eq!(answer(&mut client).await, len);
    rig.until_held(0).await;
}

#[tokio::test]
async fn a_frame_that_stalls_ends_its_connection() {
    let rig = Rig::new(Duration::from_millis(50));
    let (mut client, serving) = rig.connect().await;
    // A small one holds nothing that others wait for.
    let (mut small, _serving) = rig.connect().await;
    announce(&mut small, 1_000).await;
    // 100 ms at the least rate.
    announce(&mut client, 17 << 10).await;
    client.write_all(&[7; 16 << 10]).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(matches!(ended, Ended::Stalled { arrived } if arrived == (16 << 10) + 4), "{ended}");
    rig.until_held(0).await;
    small.write_all(&[7; 1_000]).await.unwrap();
    assert_eq!(answer(&mut small).await, 1_000);
}

/// Together they announce many times the budget, and each sends half before any sends the rest: no frame is complete
/// when the budget is used up.
#[tokio::test]
async fn frames_that_use_up_the_budget_together_all_complete() {
    let rig = Rig::new(PATIENCE);
    let len = 1 << 20;
    let mut clients = Vec::new();
    for _ in 0..3 * BUDGET_BYTES / len {
        let (mut client, serving) = rig.connect().await;
        announce(&mut client, len).await;
        client.write_all(&vec![7; len / 2]).await.unwrap();
        clients.push((client, serving));
    }
    let sends = clients.into_iter().map(|(mut client, _serving)| async move {
        client.write_all(&vec![7; len / 2]).await.unwrap();
        assert_eq!(answer(&mut client).await, len);
    });
    tokio::time::timeout(PATIENCE, futures::future::join_all(sends)).await.unwrap();
    rig.until_held(0).await;
}

#[tokio::test]
async fn silent_clients_leave_the_budget_to_others() {
    let rig = Rig::new(PATIENCE);
    let mut silent = Vec::new();
    for _ in 0..8 {
        let (mut client, serving) = rig.connect().await;
        announce(&mut client, 100 << 20).await;
        silent.push((client, serving));
    }
    rig.until_held(8 * FIRST_GRANT_BYTES).await;
    let (mut client, _serving) = rig.connect().await;
    let len = 1 << 20;
    announce(&mut client, len).await;
    client.write_all(&vec![7; len]).await.unwrap();
    assert_eq!(answer(&mut client).await, len);
}

/// Each sends a piece of a small request and then nothing: such pieces are counted, and too many of them end.
#[tokio::test]
async fn pieces_of_small_requests_do_not_fill_the_memory() {
    let rig = Rig::new(PATIENCE);
    let mut held = Vec::new();
    for _ in 0..LEFTOVER_BYTES / (8 << 10) {
        let (mut client, serving) = rig.connect().await;
        announce(&mut client, 16 << 10).await;
        client.write_all(&[7; 6 << 10]).await.unwrap();
        held.push((client, serving));
    }
    let full = async {
        while rig.leftovers.free_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.expect("they are counted");
    let (mut client, serving) = rig.connect().await;
    announce(&mut client, 16 << 10).await;
    let ended = tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(matches!(ended, Ended::Crowded { .. }), "{ended}");
    let (mut first, _serving) = held.remove(0);
    first.write_all(&vec![7; 10 << 10]).await.unwrap();
    assert_eq!(answer(&mut first).await, 16 << 10);
    let (mut whole, _serving) = rig.connect().await;
    whole.write_all(&[&100_u32.to_be_bytes()[..], &[7; 100]].concat()).await.unwrap();
    assert_eq!(answer(&mut whole).await, 100);
}
