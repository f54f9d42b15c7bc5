//! Connections in memory and over loopback, with a handler that answers at once.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_protocol::{FileRange, FileSource, Segment};
use ottla_broker_types::MonotonicMs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::{self, Carried, ConnectionSettings, Ended};
use super::handler::{AnswerFrame, Frame, Handled, Handler, PeerInfo, Reply};
use super::limits::{Budgets, ByteBudget, FIRST_GRANT_BYTES};
use super::memory_transport::MemoryTransport;
use super::session::{Role, Session};
use super::transport::Transport;
use crate::net::SocketOptions;

/// A wait that a working broker ends much earlier.
const PATIENCE: Duration = Duration::from_secs(20);
const BUDGET_BYTES: usize = 4 << 20;
const LEFTOVER_BYTES: usize = 64 << 10;

/// Frames of this length are answered at the end of time.
const NEVER: usize = 1;
/// Frames of this length are answered by [`LARGE_BYTES`].
const LARGE: usize = 2;
/// More than a transport takes for a side that is not read.
const LARGE_BYTES: usize = 8 << 20;
/// Frames of this length are answered by a file that has a descriptor.
const FILE: usize = 3;
/// Frames of this length are answered by a file that has none.
const READ_FILE: usize = 4;
/// Frames of this length are answered with [`THROTTLE`].
const THROTTLED: usize = 5;
const THROTTLE: Duration = Duration::from_secs(3);
/// Frames that begin with this number are replication.
const REPLICATION: i16 = 0x0101;
/// More than one call sends of a file.
const FILE_BYTES: usize = (2 << 20) + 7;

/// A file with or without a descriptor to send it by.
struct TestFile {
    file: File,
    has_descriptor: bool,
}

impl FileSource for TestFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.has_descriptor.then(|| self.file.as_fd())
    }

    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, pos)
    }
}

/// The bytes of [`TestFile`]s, of which the first is not answered.
fn file_bytes() -> Vec<u8> {
    (0..=FILE_BYTES).map(|at| at as u8 ^ (at >> 8) as u8).collect()
}

fn file_answer(has_descriptor: bool) -> Reply {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&file_bytes()).unwrap();
    let range = FileRange { file: Arc::new(TestFile { file, has_descriptor }), position: 1, len: FILE_BYTES };
    let head = Bytes::copy_from_slice(&(FILE_BYTES as u32).to_be_bytes());
    Reply::frame(vec![Segment::Bytes(head), Segment::File(range)])
}

/// Answers each frame by its length.
#[derive(Default)]
struct Lengths {
    handled: AtomicUsize,
}

impl Handler for Lengths {
    fn handle(&self, _: &PeerInfo, frame: Frame) -> Handled {
        self.handled.fetch_add(1, Ordering::Relaxed);
        match frame.bytes.len() {
            NEVER => return Handled::Later(Box::pin(std::future::pending())),
            LARGE => {
                let answer = vec![7; LARGE_BYTES];
                return Handled::Now(Reply::frame(vec![Segment::Bytes(answer.into())]));
            }
            FILE => return Handled::Now(file_answer(true)),
            READ_FILE => return Handled::Now(file_answer(false)),
            _ => {}
        }
        let answer = Bytes::copy_from_slice(&(frame.bytes.len() as u32).to_be_bytes());
        let throttle = if frame.bytes.len() == THROTTLED { THROTTLE } else { Duration::ZERO };
        Handled::Now(Reply::Frame(AnswerFrame { segments: vec![Segment::Bytes(answer)], throttle }))
    }

    fn answer_bytes(&self, frame: &[u8]) -> usize {
        if frame.len() == LARGE { LARGE_BYTES } else { 0 }
    }

    fn is_replication(&self, api_key: i16) -> bool {
        api_key == REPLICATION
    }

    fn connection_count(&self, _: &PeerInfo, _: i64) {}
}

struct Rig {
    budget: ByteBudget,
    leftovers: ByteBudget,
    handler: Arc<Lengths>,
    stalled_frame_max: Duration,
    unread_answer_max: Duration,
    _drain: watch::Sender<bool>,
    draining: watch::Receiver<bool>,
}

impl Rig {
    fn new(stalled_frame_max: Duration) -> Rig {
        let (drain, draining) = watch::channel(false);
        Rig {
            budget: ByteBudget::new(BUDGET_BYTES),
            leftovers: ByteBudget::new(LEFTOVER_BYTES),
            handler: Arc::default(),
            stalled_frame_max,
            unread_answer_max: PATIENCE,
            _drain: drain,
            draining,
        }
    }

    async fn until_handled(&self, count: usize) {
        let handled = async {
            while self.handler.handled.load(Ordering::Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, handled).await.expect("they are handled");
    }

    /// A client in memory.
    fn connect(&self) -> (MemoryTransport, JoinHandle<Ended>) {
        let (client, transport) = MemoryTransport::pair();
        (client, self.serve(transport))
    }

    /// A client over loopback.
    async fn connect_plain(&self) -> (TcpStream, JoinHandle<Ended>) {
        let listener = crate::net::listen("127.0.0.1", 0, SocketOptions::default()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, self.serve(stream))
    }

    fn serve(&self, transport: impl Transport) -> JoinHandle<Ended> {
        let settings = ConnectionSettings {
            frame_bytes_max: 100 << 20,
            idle_max: Duration::from_secs(600),
            stalled_frame_max: self.stalled_frame_max,
            unread_answer_max: self.unread_answer_max,
            moves: false,
            budgets: Budgets { frames: self.budget.clone(), leftovers: self.leftovers.clone() },
        };
        let peer = PeerInfo {
            address: ([127, 0, 0, 1], 1).into(),
            session: Session::anonymous("TEST", Role::Client).into(),
            accepted: MonotonicMs::default(),
            order: Arc::default(),
            refusals: Arc::default(),
        };
        let (handler, draining) = (Arc::clone(&self.handler), self.draining.clone());
        let serving = connection::run(Carried::new(transport), peer, handler, settings, draining);
        tokio::spawn(async move { serving.await.0 })
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

async fn announce(client: &mut (impl AsyncWrite + Unpin), len: usize) {
    client.write_u32(len as u32).await.unwrap();
}

async fn answer(client: &mut (impl AsyncRead + Unpin)) -> usize {
    tokio::time::timeout(PATIENCE, client.read_u32()).await.unwrap().unwrap() as usize
}

#[tokio::test]
async fn an_announced_frame_holds_as_much_as_has_arrived_of_it() {
    let rig = Rig::new(PATIENCE);
    let (mut client, _serving) = rig.connect();
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
    let (mut client, serving) = rig.connect();
    // A small one holds nothing that others wait for.
    let (mut small, _serving) = rig.connect();
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
        let (mut client, serving) = rig.connect();
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
        let (mut client, serving) = rig.connect();
        announce(&mut client, 100 << 20).await;
        silent.push((client, serving));
    }
    rig.until_held(8 * FIRST_GRANT_BYTES).await;
    let (mut client, _serving) = rig.connect();
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
        let (mut client, serving) = rig.connect();
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
    let (mut client, serving) = rig.connect();
    announce(&mut client, 16 << 10).await;
    let ended = tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(matches!(ended, Ended::Crowded { .. }), "{ended}");
    let (mut first, _serving) = held.remove(0);
    first.write_all(&vec![7; 10 << 10]).await.unwrap();
    assert_eq!(answer(&mut first).await, 16 << 10);
    let (mut whole, _serving) = rig.connect();
    whole.write_all(&[&100_u32.to_be_bytes()[..], &[7; 100]].concat()).await.unwrap();
    assert_eq!(answer(&mut whole).await, 100);
}

/// Sixty answers of 8 MiB behind one that never comes would hold half a gigabyte that nobody counts.
#[tokio::test]
async fn answers_that_wait_for_an_earlier_one_are_counted_and_bounded() {
    let rig = Rig { leftovers: ByteBudget::new(4 * LARGE_BYTES), ..Rig::new(PATIENCE) };
    let (mut client, _serving) = rig.connect();
    client.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
    client.write_all(&[0, 0, 0, 2, 7, 7].repeat(60)).await.unwrap();
    rig.until_handled(2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.handler.handled.load(Ordering::Relaxed), 2, "the others are handled when there is room");
    let free = rig.leftovers.free_bytes();
    assert!((2 * LARGE_BYTES..=3 * LARGE_BYTES).contains(&free), "{free}");
}

#[tokio::test]
async fn a_large_answer_waits_for_room_and_slow_readers_make_it() {
    let rig = Rig {
        leftovers: ByteBudget::new(LARGE_BYTES),
        unread_answer_max: Duration::from_millis(100),
        ..Rig::new(PATIENCE)
    };
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (mut client, serving) = rig.connect();
        client.write_all(&[0, 0, 0, 2, 7, 7]).await.unwrap();
        readers.push((client, serving));
    }
    // One within the budget, one beside it; the third is not handled before one of them ends.
    rig.until_handled(2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.handler.handled.load(Ordering::Relaxed), 2);
    let (mut small, _serving) = rig.connect();
    small.write_all(&[&100_u32.to_be_bytes()[..], &[7; 100]].concat()).await.unwrap();
    assert_eq!(answer(&mut small).await, 100, "small answers need no room");
    rig.until_handled(4).await;
    let ended = tokio::time::timeout(PATIENCE, readers.remove(0).1).await.unwrap().unwrap();
    assert!(matches!(ended, Ended::Unread { .. }), "{ended}");
}

#[tokio::test]
async fn a_large_answer_that_is_read_slowly_comes_whole() {
    let rig = Rig { unread_answer_max: Duration::from_secs(1), ..Rig::new(PATIENCE) };
    let (mut client, _serving) = rig.connect_plain().await;
    client.write_all(&[0, 0, 0, 2, 7, 7]).await.unwrap();
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while read < LARGE_BYTES {
        tokio::time::sleep(Duration::from_millis(5)).await;
        read += tokio::time::timeout(PATIENCE, client.read(&mut buffer)).await.unwrap().unwrap();
    }
}

/// One frame that is answered by a file, read in pieces of any size.
async fn answers_a_file(mut client: impl AsyncRead + AsyncWrite + Unpin, which: usize) {
    announce(&mut client, which).await;
    client.write_all(&vec![7; which]).await.unwrap();
    assert_eq!(answer(&mut client).await, FILE_BYTES);
    let mut read = vec![0; FILE_BYTES];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut read)).await.unwrap().unwrap();
    assert!(read == file_bytes()[1..], "the range comes as it lies in the file");
}

#[tokio::test]
async fn ranges_of_files_come_whole_over_each_transport() {
    let rig = Rig::new(PATIENCE);
    for which in [FILE, READ_FILE] {
        answers_a_file(rig.connect_plain().await.0, which).await;
        answers_a_file(rig.connect().0, which).await;
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_client_over_each_transport() {
    let rig = Rig::new(PATIENCE);
    let (plain, serving_plain) = rig.connect_plain().await;
    let (client, serving) = rig.connect();
    drop((plain, client));
    for serving in [serving_plain, serving] {
        let ended = tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
        assert!(matches!(ended, Ended::ByPeer), "{ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_throttle_time_goes_out_at_once_and_the_next_request_waits_for_its_end() {
    let rig = Rig::new(PATIENCE);
    let (mut client, _serving) = rig.connect();
    let frame = |len: usize| [&(len as u32).to_be_bytes()[..], &vec![7; len]].concat();
    client.write_all(&[frame(THROTTLED), frame(9), frame(10)].concat()).await.unwrap();
    let short = Duration::from_millis(1);
    let first = tokio::time::timeout(short, client.read_u32()).await.expect("at once").unwrap();
    assert_eq!(first as usize, THROTTLED);
    tokio::time::sleep(THROTTLE - 2 * short).await;
    assert_eq!(rig.handler.handled.load(Ordering::Relaxed), 1, "nothing is handled meanwhile");
    for later in [9, 10] {
        let answer = tokio::time::timeout(3 * short, client.read_u32()).await.expect("after it").unwrap();
        assert_eq!(answer, later);
    }
}
