//! A connection's writer channel: frames that wait for its socket, bounded in bytes.
//!
//! Anyone may put frames in ([`Outbox::push`], never blocks); at most one thread at a time takes them out
//! ([`Outbox::drain`], never blocks either): the connection's own thread, a writer, or the slow lane. Data frames keep
//! their order; control frames overtake them, but never cut a frame that has begun to leave.

use super::slow_lane::{Held, SlowLane};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::limits::KIB;
use crate::metrics::Metrics;
use crate::wire::frame;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::{swap, take};
use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::{CloseCode, OpCode};

/// What a waiting piece is charged beside its length: about what its place in the queue costs.
const PIECE_OVERHEAD: usize = 64;
/// Replies of this size or more are not gathered with others; gathered ones leave when they come to that.
const CORK: usize = 16 * KIB;
/// Pongs that may wait. "An endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame."
/// RFC 6455 §5.5.3
const PONGS: usize = 32;
/// Pieces of one write. The kernel takes 1024 (`UIO_MAXIOV`); more than these save nothing.
const WRITE_PIECES: usize = 64;
/// Queues longer than this are given back to the allocator once they are empty.
const KEEP_PIECES: usize = 64;

pub(crate) struct Outbox {
    stream: Arc<Stream>,
    limit: usize,
    slow_lane: Arc<SlowLane>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// There is room again, everything is written, or nothing ever will be.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Somebody drains, or has promised to.
    taken: bool,
    /// Replies held back while the peer's next messages are handled.
    corked: Vec<u8>,
    cork_watched: bool,
    /// How often something was let go: what is corked now has been since then.
    cork_epoch: u32,
    /// A piece that has left in part, and how much of it.
    begun: Option<(Bytes, usize)>,
    control: VecDeque<Bytes>,
    data: VecDeque<Bytes>,
    close: Option<Bytes>,
    /// Whether somebody must see to it that the peer answers our Close: not when the connection's own thread does.
    watch_close: bool,
    /// The queue overflowed: what was taken out and did not leave is not to be put back.
    abandoned: bool,
    charged: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// A Close frame is queued or written: nothing more is taken in. RFC 6455 §5.5.1.
    Closing,
    /// Nothing more is written.
    Closed,
}

/// What must be done after something was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    Nothing,
    /// The caller must see that a writer calls [`Outbox::drain`].
    NeedsWriter,
}

/// How a [`Outbox::drain`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Everything is written.
    Empty,
    /// The socket is full. The caller keeps the right to drain and hands it to the slow lane.
    Full { progress: bool },
    /// The connection is closed.
    Gone,
}

impl Outbox {
    pub(crate) fn new(
        stream: Arc<Stream>,
        limit: usize,
        slow_lane: Arc<SlowLane>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { stream, limit, slow_lane, metrics, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Puts whole frames in. Never blocks. When they do not fit, the client is a slow consumer and gets 1013.
    pub(crate) fn push(&self, frames: &Bytes) -> Pushed {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Pushed::Nothing;
        }
        // A piece larger than the whole bound still passes when nothing else waits.
        if self.limit < state.charged + cost(frames) && 0 < state.charged {
            return self.overflow(&mut state, "slow consumer: its outbox is full");
        }
        state.queue(frames.clone());
        state.claim()
    }

    /// Puts a Close frame behind everything else; nothing is taken in after it.
    pub(crate) fn close(&self, frame: &Bytes) -> Pushed {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Pushed::Nothing;
        }
        state.watch_close = true;
        state.queue_close(frame.clone());
        state.claim()
    }

    /// [`Outbox::close`] by the connection's own thread, which awaits the answer itself.
    pub(crate) fn close_own(self: &Arc<Self>, frame: Bytes) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.queue_close(frame);
            self.drain_if_free(state);
        }
    }

    /// Encodes and sends one data frame from a thread that may wait. `more`: other messages of the peer are about to be
    /// handled, so the frame is held back to leave with their replies.
    ///
    /// Waits while the outbox is full. That ends: a socket that takes nothing for the write deadline is cut.
    pub(crate) fn send(self: &Arc<Self>, opcode: OpCode, payload: &[u8], more: bool) -> Result<()> {
        if CORK <= payload.len() {
            let frame = frame::encode(opcode, payload);
            let mut state = self.wait_for_room(cost(&frame))?;
            state.queue(frame);
            self.drain_if_free(state);
            return Ok(());
        }
        let mut state = self.wait_for_room(payload.len())?;
        let before = state.corked.len();
        frame::encode_into(&mut state.corked, opcode, payload, None);
        state.charged += state.corked.len() - before;
        if more && state.corked.len() < CORK {
            self.watch_cork(state);
        } else {
            self.drain_if_free(state);
        }
        Ok(())
    }

    /// [`Outbox::send`] that gives [`Error::Full`] instead of waiting.
    pub(crate) fn try_send(self: &Arc<Self>, opcode: OpCode, payload: &[u8]) -> Result<()> {
        let frame = frame::encode(opcode, payload);
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(Error::Closed);
        }
        if self.limit < state.charged + cost(&frame) && 0 < state.charged {
            return Err(Error::Full);
        }
        state.queue(frame);
        self.drain_if_free(state);
        Ok(())
    }

    /// A ping or pong, from the connection's own thread: overtakes data, is never refused.
    pub(crate) fn send_control(self: &Arc<Self>, opcode: OpCode, payload: &[u8], more: bool) {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return;
        }
        if PONGS <= state.control.len() {
            let dropped = state.control.pop_front();
            state.charged -= dropped.as_ref().map_or(0, cost);
        }
        let frame = frame::encode(opcode, payload);
        state.charged += cost(&frame);
        state.control.push_back(frame);
        if more { self.watch_cork(state) } else { self.drain_if_free(state) }
    }

    /// Sends what was held back.
    pub(crate) fn flush(self: &Arc<Self>) {
        let state = self.state.lock();
        if !state.corked.is_empty() || !state.control.is_empty() {
            self.drain_if_free(state);
        }
    }

    /// Waits until everything is written, or nothing ever will be, or `deadline`.
    pub(crate) fn wait_written(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while state.taken && state.phase != Phase::Closed {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Writes what waits, as much as the socket takes. Only for whoever was told to ([`Pushed::NeedsWriter`]).
    pub(crate) fn drain(self: &Arc<Self>, batch: &mut Batch) -> Drained {
        let mut progress = false;
        loop {
            if let Some(ended) = self.next_batch(batch) {
                return ended;
            }
            match batch.write(&self.stream) {
                Ok(written) => {
                    progress |= 0 < written;
                    if !batch.is_empty() {
                        self.put_back(batch);
                        return Drained::Full { progress };
                    }
                }
                Err(error) => {
                    log::debug!("{}: write: {error}", self.stream.peer());
                    self.cut();
                }
            }
        }
    }

    /// Ends the connection at once: nothing more is written, and its thread wakes from reading.
    pub(crate) fn cut(&self) {
        self.state.lock().phase = Phase::Closed;
        self.stream.shutdown(Shutdown::Both);
        self.changed.notify_all();
    }

    /// The slow lane waited for long enough. Gives the client up with 1013; cuts it when that was done before.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            // Who drains is the caller itself.
            let _ = self.overflow(&mut state, "slow consumer: it took nothing within the write deadline");
        } else {
            drop(state);
            self.cut();
        }
    }

    /// Whether the queue overflowed and only the Close frame is still to leave.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.lock().abandoned
    }

    /// Makes 1013 all that is left to say. What has begun to leave is finished, or the Close would not be read.
    fn overflow(&self, state: &mut State, reason: &str) -> Pushed {
        self.metrics.slow_consumers.add(1);
        *state = State {
            taken: state.taken,
            begun: state.begun.take().and_then(rest_of_begun_frame),
            watch_close: true,
            abandoned: true,
            ..State::default()
        };
        state.charged = state.begun.as_ref().map_or(0, |(piece, _)| cost(piece));
        state.queue_close(frame::encode_close(CloseCode::Again, reason));
        self.changed.notify_all();
        let pushed = state.claim();
        if pushed == Pushed::Nothing {
            self.slow_lane.nudge();
        }
        pushed
    }

    /// Waits until `more` bytes fit.
    fn wait_for_room(self: &Arc<Self>, more: usize) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        loop {
            if state.phase != Phase::Open {
                return Err(Error::Closed);
            }
            if state.charged + more <= self.limit || state.charged == 0 {
                return Ok(state);
            }
            if state.taken {
                self.changed.wait(&mut state);
            } else {
                // Only a cork can be as full as that, and it is ours.
                self.drain_if_free(state);
                state = self.state.lock();
            }
        }
    }

    fn watch_cork(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if !state.cork_watched {
            state.cork_watched = true;
            let epoch = state.cork_epoch;
            drop(state);
            let outbox: Weak<Self> = Arc::downgrade(self);
            self.slow_lane.watch_held(outbox, epoch);
        }
    }

    /// Drains on this thread, unless somebody else does.
    fn drain_if_free(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.taken {
            return;
        }
        state.taken = true;
        state.cork_epoch = state.cork_epoch.wrapping_add(1);
        if !state.has_pieces() {
            let reply = take(&mut state.corked);
            drop(state);
            if self.write_reply(reply) {
                return;
            }
        } else {
            drop(state);
        }
        if let Drained::Full { .. } = self.drain(&mut Batch::default()) {
            self.slow_lane.take_over(self.clone());
        }
    }

    /// The usual case, an answer to a client that reads: one write, and the buffer is used again. `false`: more is to
    /// be drained.
    fn write_reply(&self, mut reply: Vec<u8>) -> bool {
        let written = match self.stream.try_write(&reply) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.cut();
                return false;
            }
        };
        let mut state = self.state.lock();
        if written < reply.len() {
            state.charged += PIECE_OVERHEAD;
            state.begun = Some((Bytes::from(reply), written));
            return false;
        }
        state.charged -= reply.len();
        if state.corked.capacity() == 0 && reply.capacity() <= 4 * KIB {
            reply.clear();
            state.corked = reply;
        }
        if state.has_waiting() || state.phase == Phase::Closed {
            return false;
        }
        state.taken = false;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Settles the written batch and takes out the next one; what to tell the caller when there is none.
    fn next_batch(self: &Arc<Self>, batch: &mut Batch) -> Option<Drained> {
        let mut state = self.state.lock();
        state.charged = state.charged.saturating_sub(take(&mut batch.charged));
        if state.phase == Phase::Closed {
            *state = State { phase: Phase::Closed, ..State::default() };
            drop(state);
            self.changed.notify_all();
            // A writer uses the batch for other connections too: what did not leave must not reach them.
            batch.pieces.clear();
            batch.written = 0;
            return Some(Drained::Gone);
        }
        state.uncork();
        batch.fill(&mut state);
        if !batch.is_empty() {
            return None;
        }
        state.taken = false;
        let closed = state.phase == Phase::Closing;
        let abandoned = state.abandoned;
        let watch = closed && take(&mut state.watch_close);
        drop(state);
        self.changed.notify_all();
        if abandoned {
            // It will not read this before long. Nothing follows, and the kernel keeps it for the client.
            self.stream.shutdown(Shutdown::Write);
        }
        if watch {
            self.slow_lane.watch_close(self);
        }
        Some(Drained::Empty)
    }

    /// Takes back what did not leave.
    fn put_back(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        state.charged = state.charged.saturating_sub(take(&mut batch.charged));
        let written = take(&mut batch.written);
        let Some(front) = batch.pieces.pop_front() else { return };
        let mut begun = Some((front, written));
        if state.abandoned && !batch.of_abandoned {
            // It overflowed while we wrote: the Close comes right behind the frame that has begun.
            batch.pieces.clear();
            begun = begun.and_then(rest_of_begun_frame);
        }
        while let Some(piece) = batch.pieces.pop_back() {
            state.charged += cost(&piece);
            state.data.push_front(piece);
        }
        if let Some((piece, written)) = begun {
            state.charged += cost(&piece);
            state.begun = Some((piece, written));
        }
    }
}

impl Held for Outbox {
    fn release(self: Arc<Self>, seen: u32) -> Option<u32> {
        let mut state = self.state.lock();
        if state.corked.is_empty() && state.control.is_empty() {
            state.cork_watched = false;
        } else if state.cork_epoch == seen {
            state.cork_watched = false;
            self.drain_if_free(state);
        } else {
            return Some(state.cork_epoch);
        }
        None
    }
}

impl State {
    fn queue(&mut self, frames: Bytes) {
        self.uncork();
        self.charged += cost(&frames);
        self.data.push_back(frames);
    }

    fn queue_close(&mut self, frame: Bytes) {
        self.phase = Phase::Closing;
        self.charged += cost(&frame);
        self.close = Some(frame);
    }

    /// Makes a piece of the replies held back, so that what comes later stays behind them.
    fn uncork(&mut self) {
        if !self.corked.is_empty() {
            self.charged += PIECE_OVERHEAD;
            self.data.push_back(Bytes::from(take(&mut self.corked)));
        }
    }

    fn claim(&mut self) -> Pushed {
        if std::mem::replace(&mut self.taken, true) { Pushed::Nothing } else { Pushed::NeedsWriter }
    }

    fn has_waiting(&self) -> bool {
        !self.corked.is_empty() || self.has_pieces()
    }

    fn has_pieces(&self) -> bool {
        self.begun.is_some() || !self.control.is_empty() || !self.data.is_empty() || self.close.is_some()
    }
}

fn cost(piece: &Bytes) -> usize {
    piece.len() + PIECE_OVERHEAD
}

/// A piece of which `written` bytes have left, cut behind the frame that has begun to leave; `None`: no frame has.
fn rest_of_begun_frame((piece, written): (Bytes, usize)) -> Option<(Bytes, usize)> {
    let end = frame::end_of_frame(&piece, written.checked_sub(1)?);
    (written < end).then(|| (piece.slice(..end), written))
}

/// Pieces on their way from an outbox to its socket. Whoever drains many outboxes uses one again and again.
#[derive(Default)]
pub(crate) struct Batch {
    pieces: VecDeque<Bytes>,
    /// How much of the first piece has left.
    written: usize,
    charged: usize,
    /// Taken out after the overflow: all that is left to say.
    of_abandoned: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn fill(&mut self, state: &mut State) {
        if KEEP_PIECES < self.pieces.capacity() {
            self.pieces = VecDeque::new();
        }
        if let Some((piece, written)) = state.begun.take() {
            self.pieces.push_back(piece);
            self.written = written;
        }
        self.pieces.append(&mut state.control);
        if self.pieces.is_empty() {
            swap(&mut self.pieces, &mut state.data);
        } else {
            self.pieces.append(&mut state.data);
        }
        self.pieces.extend(state.close.take());
        self.charged = self.pieces.iter().map(cost).sum();
        self.of_abandoned = state.abandoned;
    }

    /// Writes until the socket is full or all is written; how many bytes went.
    fn write(&mut self, stream: &Stream) -> io::Result<usize> {
        let mut total = 0;
        while !self.pieces.is_empty() {
            let written = match self.write_once(stream) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += written;
            self.written += written;
            while let Some(front) = self.pieces.front() {
                if self.written < front.len() {
                    break;
                }
                self.written -= front.len();
                self.pieces.pop_front();
            }
        }
        Ok(total)
    }

    fn write_once(&self, stream: &Stream) -> io::Result<usize> {
        if let [only] = self.pieces.as_slices().0
            && self.pieces.len() == 1
        {
            return stream.try_write(&only[self.written..]);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(if count == 0 { &piece[self.written..] } else { piece });
            count += 1;
        }
        stream.try_write_vectored(&slices[..count])
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
