//! One connection: a task that reads frames, has them handled in order, and writes the answers in order.
//!
//! Invariants: answers leave in the order of their requests; at most [`IN_FLIGHT_REQUESTS_MAX`] requests are
//! unanswered and about [`QUEUED_ANSWER_BYTES_MAX`] answer bytes wait; beyond either, reading stops, and so it does
//! while the input holds a complete frame. A frame above [`UNRESERVED_FRAME_BYTES_MAX`] holds about twice of what has
//! arrived of it, out of a budget that all connections share, and not for ever.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::handler::{Frame, Handled, Handler, PeerInfo, Reply};
use super::limits::{
    ByteBudget, FIRST_GRANT_BYTES, FRAME_BYTES_PER_SECOND_MIN, IN_FLIGHT_REQUESTS_MAX, KEPT_BUFFER_BYTES_MAX,
    QUEUED_ANSWER_BYTES_MAX, Reservation, UNRESERVED_FRAME_BYTES_MAX,
};
use super::outbox::Outbox;

/// The length in front of every frame.
const LENGTH_BYTES: usize = 4;

/// Bounds that the listener's configuration gives each connection.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// `socket.request.max.bytes`: a larger announced frame ends the connection.
    pub frame_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// How long the granted bytes of a large frame may take to arrive.
    pub stalled_frame_max: Duration,
    /// Shared by all connections.
    pub budget: ByteBudget,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed it.
    #[error("closed by the peer")]
    ByPeer,
    /// Nothing arrived for `connections.max.idle.ms`.
    #[error("idle for too long")]
    Idle,
    /// The broker is shutting down.
    #[error("the broker stops")]
    Drained,
    /// The peer announced a frame that is negative or above `socket.request.max.bytes`.
    #[error("frame of {announced} bytes announced, {max} allowed")]
    FrameSize {
        /// The announced length.
        announced: i64,
        /// The limit.
        max: usize,
    },
    /// A large frame did not go on arriving.
    #[error("a frame of which {arrived} bytes arrived and then too few")]
    Stalled {
        /// What is there of it.
        arrived: usize,
    },
    /// The handler refused the connection.
    #[error("{0}")]
    Refused(&'static str),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

enum Slot {
    Ready(Reply),
    Waiting(BoxFuture<'static, Reply>),
}

enum Event {
    Readable,
    Writable,
    FrontDone(Reply),
    Reserved(Reservation),
    FrameStalled,
    IdleTimer,
    Drain,
}

/// Serves a connection to its end.
pub async fn run<H: Handler>(
    stream: TcpStream,
    peer: PeerInfo,
    handler: Arc<H>,
    settings: ConnectionSettings,
    drain: watch::Receiver<bool>,
) -> Ended {
    handler.connection_count(&peer, 1);
    let mut connection = Connection::new(stream, peer, handler, settings);
    let ended = connection.serve(drain).await.err().unwrap_or(Ended::Drained);
    connection.handler.connection_count(&connection.peer, -1);
    ended
}

/// What a large frame may hold, and until when its bytes are waited for.
struct Grant {
    reservation: Reservation,
    deadline: Pin<Box<Sleep>>,
}

struct Connection<H> {
    stream: TcpStream,
    peer: PeerInfo,
    handler: Arc<H>,
    settings: ConnectionSettings,
    input: BytesMut,
    slots: VecDeque<Slot>,
    outbox: Outbox,
    /// Of the large frame that is being read.
    grant: Option<Grant>,
    /// The next part of it, while the budget has no room.
    growing: Option<BoxFuture<'static, Reservation>>,
    active: bool,
}

impl<H: Handler> Connection<H> {
    fn new(stream: TcpStream, peer: PeerInfo, handler: Arc<H>, settings: ConnectionSettings) -> Self {
        Connection {
            stream,
            peer,
            handler,
            settings,
            input: BytesMut::new(),
            slots: VecDeque::new(),
            outbox: Outbox::default(),
            grant: None,
            growing: None,
            active: false,
        }
    }

    async fn serve(&mut self, mut drain: watch::Receiver<bool>) -> Result<(), Ended> {
        let mut idle = Box::pin(tokio::time::sleep(self.settings.idle_max));
        loop {
            self.handle_frames()?;
            self.collect_answers()?;
            if !self.outbox.is_empty() {
                self.outbox.write_to(&self.stream)?;
            }
            if *drain.borrow() && self.slots.is_empty() && self.outbox.is_empty() {
                return Ok(());
            }
            if self.has_room() && self.holds_frame()? {
                // More frames than may be unanswered came at once. They go first: reading on beside them would let a
                // client that sends and sends fill the memory.
                tokio::task::yield_now().await;
                continue;
            }
            match self.next_event(&mut idle, &mut drain).await? {
                Event::Readable => self.fill()?,
                Event::Writable | Event::Drain => {}
                Event::FrontDone(reply) => {
                    if let Some(front) = self.slots.front_mut() {
                        *front = Slot::Ready(reply);
                    }
                }
                Event::Reserved(more) => {
                    self.growing = None;
                    self.grant(more);
                }
                Event::FrameStalled => return Err(Ended::Stalled { arrived: self.input.len() }),
                Event::IdleTimer => {
                    if !self.active && self.slots.is_empty() {
                        return Err(Ended::Idle);
                    }
                    self.active = false;
                    idle = Box::pin(tokio::time::sleep(self.settings.idle_max));
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.slots.len() < IN_FLIGHT_REQUESTS_MAX && self.outbox.queued_bytes() < QUEUED_ANSWER_BYTES_MAX
    }

    /// Hands every complete frame to the handler, as far as the limits allow.
    fn handle_frames(&mut self) -> Result<(), Ended> {
        while self.has_room() {
            let Some(len) = self.announced_len()? else { break };
            if self.input.len() < LENGTH_BYTES + len {
                self.prepare_for(len);
                return Ok(());
            }
            self.input.advance(LENGTH_BYTES);
            let held = self.grant.take().map(|grant| grant.reservation);
            let frame = Frame { bytes: self.input.split_to(len), held };
            let slot = match self.handler.handle(&self.peer, frame) {
                Handled::Now(reply) => Slot::Ready(reply),
                Handled::Later(future) => Slot::Waiting(future),
            };
            self.slots.push_back(slot);
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER_BYTES_MAX {
            self.input = BytesMut::new();
        }
        Ok(())
    }

    /// Whether the input begins with a complete frame.
    fn holds_frame(&self) -> Result<bool, Ended> {
        Ok(self.announced_len()?.is_some_and(|len| self.input.len() >= LENGTH_BYTES + len))
    }

    fn announced_len(&self) -> Result<Option<usize>, Ended> {
        let Some(prefix) = self.input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let announced = i32::from_be_bytes(*prefix);
        match usize::try_from(announced) {
            Ok(len) if len <= self.settings.frame_bytes_max => Ok(Some(len)),
            _ => {
                Err(Ended::FrameSize { announced: i64::from(announced), max: self.settings.frame_bytes_max })
            }
        }
    }

    /// Makes room for the rest of a frame; for a large one only as its bytes arrive and the shared budget allows.
    fn prepare_for(&mut self, len: usize) {
        let whole = LENGTH_BYTES + len;
        let arrived = self.input.len();
        if len <= UNRESERVED_FRAME_BYTES_MAX {
            self.input.reserve(whole - arrived);
            return;
        }
        let granted = self.grant.as_ref().map_or(0, |grant| grant.reservation.bytes());
        if arrived < granted || self.growing.is_some() {
            return;
        }
        let more = whole.min((2 * arrived).max(FIRST_GRANT_BYTES)) - granted;
        let budget = &self.settings.budget;
        match budget.try_reserve(self.grant.as_ref().map(|grant| &grant.reservation), more) {
            Some(more) => self.grant(more),
            None => self.growing = Some(Box::pin(budget.clone().reserve(more))),
        }
    }

    /// Lets the frame grow, and its bytes come.
    fn grant(&mut self, more: Reservation) {
        let bytes = more.bytes();
        let reservation = match self.grant.take() {
            Some(grant) => grant.reservation.and(more),
            None => more,
        };
        // One that goes over the budget stands in everybody's way, so that no slow link excuses it.
        let rate_time = match reservation.is_beyond() {
            true => Duration::ZERO,
            false => Duration::from_secs(bytes as u64 / FRAME_BYTES_PER_SECOND_MIN),
        };
        let deadline = Box::pin(tokio::time::sleep(self.settings.stalled_frame_max + rate_time));
        self.input.reserve(reservation.bytes().saturating_sub(self.input.len()));
        self.grant = Some(Grant { reservation, deadline });
    }

    /// Moves the answers at the front that are ready into the outbox.
    fn collect_answers(&mut self) -> Result<(), Ended> {
        while let Some(Slot::Ready(_)) = self.slots.front() {
            match self.slots.pop_front() {
                Some(Slot::Ready(Reply::Frame(frame))) => self.outbox.push(frame),
                Some(Slot::Ready(Reply::Close(reason))) => {
                    // Answers to earlier requests are still owed.
                    self.outbox.write_to(&self.stream)?;
                    return Err(Ended::Refused(reason));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Ended> {
        self.active = true;
        if self.input.capacity() - self.input.len() < 512 {
            self.input.reserve(8 << 10);
        }
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(Ended::ByPeer),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn next_event(
        &mut self,
        idle: &mut Pin<Box<Sleep>>,
        drain: &mut watch::Receiver<bool>,
    ) -> Result<Event, Ended> {
        let draining = *drain.borrow();
        let mut changed = Box::pin(drain.changed());
        std::future::poll_fn(|context| {
            if let Poll::Ready(event) = self.poll_own(context, draining) {
                return Poll::Ready(event);
            }
            if let (None, Some(grant)) = (&self.growing, &mut self.grant)
                && grant.deadline.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Ok(Event::FrameStalled));
            }
            if !draining && changed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(Event::Drain));
            }
            if idle.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(Event::IdleTimer));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_own(&mut self, context: &mut Context<'_>, draining: bool) -> Poll<Result<Event, Ended>> {
        if let Some(Slot::Waiting(future)) = self.slots.front_mut()
            && let Poll::Ready(reply) = future.as_mut().poll(context)
        {
            return Poll::Ready(Ok(Event::FrontDone(reply)));
        }
        if !self.outbox.is_empty()
            && let Poll::Ready(ready) = self.stream.poll_write_ready(context)
        {
            return Poll::Ready(ready.map(|()| Event::Writable).map_err(Ended::from));
        }
        if let Some(growing) = &mut self.growing {
            // The rest of a large frame stays in the kernel until the shared budget has room for it.
            if let Poll::Ready(more) = growing.as_mut().poll(context) {
                return Poll::Ready(Ok(Event::Reserved(more)));
            }
        } else if self.has_room()
            && !draining
            && let Poll::Ready(ready) = self.stream.poll_read_ready(context)
        {
            return Poll::Ready(ready.map(|()| Event::Readable).map_err(Ended::from));
        }
        Poll::Pending
    }
}
