//! One connection: a task that reads frames, has them handled in order, and writes the answers in order.
//!
//! Invariants: answers leave in the order of their requests, and effects of those carried out elsewhere come in that
//! order, too; at most [`IN_FLIGHT_REQUESTS_MAX`] requests are
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
use tokio::sync::watch;
use tokio::time::Sleep;

use super::handler::{AnswerSize, Frame, Handled, Handler, PeerInfo, Reply};
use super::limits::{
    Budgets, FIRST_GRANT_BYTES, FRAME_BYTES_PER_SECOND_MIN, IN_FLIGHT_REQUESTS_MAX, KEPT_BUFFER_BYTES_MAX,
    QUEUED_ANSWER_BYTES_MAX, QUIET_AFTER, READ_BYTES_MAX, READ_BYTES_MIN, Reservation,
    UNCOUNTED_REQUESTS_MAX, UNREAD_ANSWER_BYTES, UNRESERVED_FRAME_BYTES_MAX, WAITING_REQUEST_BYTES,
};
use super::outbox::Outbox;
use super::transport::Transport;
use crate::stop::until_true;

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
    /// How long large answers may be left unread.
    pub unread_answer_max: Duration,
    /// Whether it ends as [`Ended::Moves`] when it begins to replicate, which other threads serve.
    pub moves: bool,
    /// Shared by all connections.
    pub budgets: Budgets,
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
    /// The next request belongs on other threads.
    #[error("it moves to other threads")]
    Moves,
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
    /// The connections together hold too much for slow peers, and this is one of them.
    #[error("{held} bytes are kept for a slow peer while memory is short")]
    Crowded {
        /// What this one holds.
        held: usize,
    },
    /// The peer has left a large answer unread.
    #[error("{held} bytes of answers are left unread")]
    Unread {
        /// What lies in memory of them.
        held: usize,
    },
    /// The handler refused the connection.
    #[error("{0}")]
    Refused(&'static str),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

enum Slot {
    Ready(Reply),
    Waiting {
        reply: BoxFuture<'static, Reply>,
        /// What it counts as, if it does.
        _counted: Option<Reservation>,
    },
    /// Only the last one.
    Elsewhere(BoxFuture<'static, Handled>),
}

enum Event {
    Readable,
    Writable,
    FrontDone(Reply),
    LastDone(Handled),
    Reserved(Reservation),
    /// There is room for the answer to the next request.
    Room(Reservation),
    /// The throttle time is over.
    Unmuted,
    FrameStalled,
    IdleTimer,
    Drain,
}

/// A connection between two requests.
pub struct Carried<T> {
    /// What carries it.
    pub transport: T,
    /// What has arrived of the next request.
    pub input: BytesMut,
}

impl<T> Carried<T> {
    /// One of which nothing has been read.
    pub fn new(transport: T) -> Carried<T> {
        Carried { transport, input: BytesMut::new() }
    }
}

/// Serves a connection to its end.
pub fn run<T: Transport, H: Handler>(
    carried: Carried<T>,
    peer: PeerInfo,
    handler: Arc<H>,
    settings: ConnectionSettings,
    drain: watch::Receiver<bool>,
) -> impl Future<Output = (Ended, Carried<T>)> {
    // Outside of the future, which would keep room for each of these twice: there are many idle connections.
    let mut connection = Connection::new(carried, peer, handler, settings);
    async move {
        connection.handler.connection_count(&connection.peer, 1);
        let ended = connection.serve(drain).await.err().unwrap_or(Ended::Drained);
        connection.handler.connection_count(&connection.peer, -1);
        (ended, Carried { transport: connection.transport, input: connection.input })
    }
}

/// What a large frame may hold, and until when its bytes are waited for.
struct Grant {
    reservation: Reservation,
    deadline: Pin<Box<Sleep>>,
}

struct Connection<T, H> {
    transport: T,
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
    /// What is counted of the input and of answers while the peer is slow.
    leftover: Option<Reservation>,
    /// Room for the answer to the next request, while there is none.
    waiting_for_room: Option<BoxFuture<'static, Reservation>>,
    /// Until when later requests wait because of an answer's throttle time.
    muted: Option<Pin<Box<Sleep>>>,
    /// Answers that wait for earlier ones.
    ready: AnswerSize,
    /// Whether the peer took bytes since the timer was set.
    wrote: bool,
    /// For how long it has not, while a large answer lies here.
    unread: Duration,
    /// Room for the next read.
    read_bytes: usize,
    /// Whether something arrived since the timer was set.
    active: bool,
    /// Whether the peer has closed its side while a request was carried out elsewhere.
    ended: bool,
}

/// When to look at a silent connection again.
struct Idle {
    timer: Pin<Box<Sleep>>,
    /// For how long nothing has arrived when the timer was set.
    before: Duration,
    /// What the timer was set to.
    waits: Duration,
}

impl Idle {
    fn new(before: Duration, waits: Duration) -> Idle {
        Idle { timer: Box::pin(tokio::time::sleep(waits)), before, waits }
    }
}

impl<T: Transport, H: Handler> Connection<T, H> {
    fn new(carried: Carried<T>, peer: PeerInfo, handler: Arc<H>, settings: ConnectionSettings) -> Self {
        Connection {
            transport: carried.transport,
            peer,
            handler,
            settings,
            input: carried.input,
            slots: VecDeque::new(),
            outbox: Outbox::default(),
            grant: None,
            growing: None,
            leftover: None,
            waiting_for_room: None,
            muted: None,
            ready: AnswerSize::default(),
            wrote: false,
            unread: Duration::ZERO,
            read_bytes: READ_BYTES_MIN,
            active: false,
            ended: false,
        }
    }

    async fn serve(&mut self, drain: watch::Receiver<bool>) -> Result<(), Ended> {
        let quiet_after = QUIET_AFTER.min(self.settings.idle_max);
        let mut idle = Idle::new(Duration::ZERO, quiet_after);
        let mut told = drain.clone();
        let mut drained = std::pin::pin!(until_true(&mut told));
        loop {
            self.handle_frames()?;
            self.collect_answers()?;
            if !self.outbox.is_empty() {
                self.wrote |= self.outbox.write_to(&mut self.transport)? > 0;
            }
            self.count_leftovers()?;
            let draining = *drain.borrow();
            if draining && self.slots.is_empty() && self.outbox.is_empty() {
                return Ok(());
            }
            let waits_for_turn = self.is_held_up() && self.holds_frame()?;
            if self.ended && !self.is_held_up() && !self.holds_frame()? {
                return Err(Ended::ByPeer);
            }
            if self.has_room() && !self.is_held_up() && self.holds_frame()? {
                // More frames than may be unanswered came at once. They go first: reading on beside them would let a
                // client that sends and sends fill the memory.
                tokio::task::yield_now().await;
                continue;
            }
            let event = std::future::poll_fn(|context| {
                self.poll_event(context, &mut idle, (!draining).then_some(drained.as_mut()), waits_for_turn)
            });
            match event.await? {
                Event::Readable => {
                    self.fill()?;
                    if idle.waits > quiet_after {
                        idle = Idle::new(Duration::ZERO, quiet_after);
                    }
                }
                Event::Writable | Event::Drain => {}
                Event::FrontDone(reply) => {
                    let ready = self.answered(reply);
                    if let Some(front) = self.slots.front_mut() {
                        *front = ready;
                    }
                }
                Event::Unmuted => self.muted = None,
                Event::LastDone(handled) => {
                    self.slots.pop_back();
                    self.push_slot(handled)?;
                }
                Event::Reserved(more) => {
                    self.growing = None;
                    self.grant(more);
                }
                Event::Room(room) => {
                    self.waiting_for_room = None;
                    self.leftover = Some(room);
                }
                Event::FrameStalled => return Err(Ended::Stalled { arrived: self.input.len() }),
                Event::IdleTimer => idle = self.look_at_idle(&idle, quiet_after)?,
            }
        }
    }

    /// Gives back what a quiet connection does not need, and ends one that is idle for too long.
    fn look_at_idle(&mut self, idle: &Idle, quiet_after: Duration) -> Result<Idle, Ended> {
        self.look_at_unread(idle.waits)?;
        if std::mem::take(&mut self.active) || !self.slots.is_empty() || self.muted.is_some() {
            return Ok(Idle::new(Duration::ZERO, quiet_after));
        }
        let silent = idle.before.saturating_add(idle.waits);
        if silent >= self.settings.idle_max {
            return Err(Ended::Idle);
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_bytes = READ_BYTES_MIN;
        }
        self.slots = VecDeque::new();
        self.outbox.shrink();
        let wait = match self.outbox.is_empty() {
            true => self.settings.idle_max.saturating_sub(silent).max(quiet_after),
            false => quiet_after,
        };
        Ok(Idle::new(silent, wait))
    }

    /// Ends a connection whose peer leaves large answers unread; `waited` has passed since the last look.
    fn look_at_unread(&mut self, waited: Duration) -> Result<(), Ended> {
        let held = self.outbox.memory_bytes() + self.ready.memory;
        if std::mem::take(&mut self.wrote) || held < UNREAD_ANSWER_BYTES || self.outbox.is_empty() {
            self.unread = Duration::ZERO;
            return Ok(());
        }
        self.unread += waited;
        if self.unread >= self.settings.unread_answer_max { Err(Ended::Unread { held }) } else { Ok(()) }
    }

    fn has_room(&self) -> bool {
        let queued = self.outbox.queued_bytes() + self.ready.bytes;
        self.slots.len() < IN_FLIGHT_REQUESTS_MAX && queued < QUEUED_ANSWER_BYTES_MAX
    }

    /// Whether a request is carried out elsewhere, or waits for room or for the end of a throttle time, so that later
    /// ones wait for their turn.
    fn is_held_up(&self) -> bool {
        self.waiting_for_room.is_some()
            || self.muted.is_some()
            || matches!(self.slots.back(), Some(Slot::Elsewhere(_)))
    }

    /// Keeps an answer that is there until its turn comes, and lets later requests wait for as long as it says.
    fn answered(&mut self, reply: Reply) -> Slot {
        self.ready.add(reply.size());
        if reply.throttle() > Duration::ZERO {
            let until = Box::pin(tokio::time::sleep(reply.throttle()));
            if self.muted.as_ref().is_none_or(|muted| muted.deadline() < until.deadline()) {
                self.muted = Some(until);
            }
        }
        Slot::Ready(reply)
    }

    fn push_slot(&mut self, handled: Handled) -> Result<(), Ended> {
        let slot = match handled {
            Handled::Now(reply) => self.answered(reply),
            Handled::Later(future) => {
                let mut counted = None;
                if self.slots.len() >= UNCOUNTED_REQUESTS_MAX {
                    counted = self.settings.budgets.leftovers.try_reserve(None, WAITING_REQUEST_BYTES);
                    if counted.is_none() {
                        return Err(Ended::Crowded { held: self.slots.len() * WAITING_REQUEST_BYTES });
                    }
                }
                Slot::Waiting { reply: future, _counted: counted }
            }
            Handled::Elsewhere(future) => Slot::Elsewhere(future),
        };
        self.slots.push_back(slot);
        Ok(())
    }

    /// Counts what stays because the peer is slow: a piece of a small request, answers that the transport does not take.
    fn count_leftovers(&mut self) -> Result<(), Ended> {
        let piece = if self.grant.is_none() { self.input.len() } else { 0 };
        let held = piece + self.outbox.memory_bytes() + self.ready.memory;
        let counted = self.leftover.as_ref().map_or(0, Reservation::bytes);
        // Room that was waited for is for the answer that is being made.
        let is_answering = matches!(self.slots.back(), Some(Slot::Elsewhere(_)));
        if held == 0 && !is_answering {
            self.leftover = None;
        } else if held > counted || (!is_answering && counted > 2 * held.max(WAITING_REQUEST_BYTES)) {
            let before = self.leftover.take();
            let whole = held.next_multiple_of(WAITING_REQUEST_BYTES);
            self.leftover = match before.filter(Reservation::is_beyond) {
                // It had waited for room, and was let in beside the budget.
                Some(before) => self.more(before, whole),
                None => self.settings.budgets.leftovers.try_reserve(None, whole),
            };
            if self.leftover.is_none() {
                return Err(Ended::Crowded { held });
            }
        }
        Ok(())
    }

    fn more(&self, held: Reservation, whole: usize) -> Option<Reservation> {
        let more = whole.saturating_sub(held.bytes());
        let more = self.settings.budgets.leftovers.try_reserve(Some(&held), more)?;
        Some(held.and(more))
    }

    /// Whether the answer to the frame at the front has to wait for room, so that not all large answers lie in memory
    /// at once. One that has waited has its room.
    fn must_wait_for_room(&mut self, len: usize) -> bool {
        if self.waiting_for_room.is_some() {
            return true;
        }
        let frame = self.input.get(LENGTH_BYTES..LENGTH_BYTES + len).unwrap_or_default();
        let bytes = self.handler.answer_bytes(frame);
        if bytes == 0 || self.leftover.as_ref().is_some_and(|held| held.bytes() >= bytes) {
            return false;
        }
        let budget = &self.settings.budgets.leftovers;
        if budget.try_reserve(None, bytes).is_some() {
            return false;
        }
        self.waiting_for_room = Some(Box::pin(budget.clone().room(bytes)));
        true
    }

    /// Hands every complete frame to the handler, as far as the limits allow.
    fn handle_frames(&mut self) -> Result<(), Ended> {
        while self.has_room() {
            let Some(len) = self.announced_len()? else { break };
            if self.settings.moves && self.begins_to_replicate() {
                return Err(Ended::Moves);
            }
            if self.input.len() < LENGTH_BYTES + len {
                self.prepare_for(len);
                return Ok(());
            }
            if self.is_held_up() || self.must_wait_for_room(len) {
                return Ok(());
            }
            self.input.advance(LENGTH_BYTES);
            let held = self.grant.take().map(|grant| grant.reservation);
            let frame = Frame { bytes: self.input.split_to(len), held };
            let handled = self.handler.handle(&self.peer, frame);
            self.push_slot(handled)?;
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER_BYTES_MAX {
            self.input = BytesMut::new();
        }
        Ok(())
    }

    /// Whether nothing is open and the next request is of replication.
    fn begins_to_replicate(&self) -> bool {
        let key = self.input.get(LENGTH_BYTES..).and_then(|frame| frame.first_chunk::<2>());
        self.slots.is_empty()
            && self.outbox.is_empty()
            && self.grant.is_none()
            && key.is_some_and(|key| self.handler.is_replication(i16::from_be_bytes(*key)))
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
        let budget = &self.settings.budgets.frames;
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
                Some(Slot::Ready(reply @ Reply::Frame(_))) => {
                    self.ready.take(reply.size());
                    if let Reply::Frame(frame) = reply {
                        self.outbox.push(frame.segments);
                    }
                }
                Some(Slot::Ready(Reply::Close(reason))) => {
                    // Answers to earlier requests are still owed.
                    self.outbox.write_to(&mut self.transport)?;
                    return Err(Ended::Refused(reason));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Ended> {
        self.active = true;
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN / 2 {
            self.input.reserve(self.read_bytes);
        }
        match self.transport.try_read(&mut self.input) {
            Ok(0) if self.is_held_up() => {
                self.ended = true;
                Ok(())
            }
            Ok(0) => Err(Ended::ByPeer),
            Ok(_) => {
                if self.input.len() == self.input.capacity() {
                    self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
        idle: &mut Idle,
        drained: Option<Pin<&mut impl Future<Output = ()>>>,
        waits_for_turn: bool,
    ) -> Poll<Result<Event, Ended>> {
        let reads = drained.is_some() && !self.ended && !waits_for_turn;
        if let Poll::Ready(event) = self.poll_own(context, reads) {
            return Poll::Ready(event);
        }
        if let (None, Some(grant), false) = (&self.growing, &mut self.grant, waits_for_turn)
            && grant.deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Ok(Event::FrameStalled));
        }
        if let Some(drained) = drained
            && drained.poll(context).is_ready()
        {
            return Poll::Ready(Ok(Event::Drain));
        }
        if idle.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(Event::IdleTimer));
        }
        Poll::Pending
    }

    fn poll_own(&mut self, context: &mut Context<'_>, reads: bool) -> Poll<Result<Event, Ended>> {
        if let Some(Slot::Waiting { reply, .. }) = self.slots.front_mut()
            && let Poll::Ready(reply) = reply.as_mut().poll(context)
        {
            return Poll::Ready(Ok(Event::FrontDone(reply)));
        }
        if let Some(Slot::Elsewhere(future)) = self.slots.back_mut()
            && let Poll::Ready(handled) = future.as_mut().poll(context)
        {
            return Poll::Ready(Ok(Event::LastDone(handled)));
        }
        if !self.outbox.is_empty()
            && let Poll::Ready(ready) = self.transport.poll_write_ready(context)
        {
            return Poll::Ready(ready.map(|()| Event::Writable).map_err(Ended::from));
        }
        if let Some(room) = &mut self.waiting_for_room
            && let Poll::Ready(room) = room.as_mut().poll(context)
        {
            return Poll::Ready(Ok(Event::Room(room)));
        }
        if let Some(muted) = &mut self.muted
            && muted.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Ok(Event::Unmuted));
        }
        if let Some(growing) = &mut self.growing {
            // The rest of a large frame stays in the kernel until the shared budget has room for it.
            if let Poll::Ready(more) = growing.as_mut().poll(context) {
                return Poll::Ready(Ok(Event::Reserved(more)));
            }
        } else if self.has_room()
            && reads
            && let Poll::Ready(ready) = self.transport.poll_read_ready(context)
        {
            return Poll::Ready(ready.map(|()| Event::Readable).map_err(Ended::from));
        }
        Poll::Pending
    }
}
