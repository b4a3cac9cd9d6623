//! A connection's writer channel: frames that wait for its socket, bounded in bytes.
//!
//! Anyone may put frames in ([`Outbox::push`], never blocks); at most one thread at a time takes them out
//! ([`Outbox::drain`], never blocks either): the connection's own thread, a writer, or the slow lane. Data frames keep
//! their order; control frames overtake them, but never cut a frame that has begun to leave.

mod batch;
mod bounds;
mod drain;
mod state;

pub(crate) use batch::Batch;
use bounds::Bounds;
use state::{Phase, State, cost, rest_of_begun_frame};

use super::codecs::Codecs;
use super::masks::Masks;
use super::slow_lane::{Held, SlowLane};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::limits::{KIB, Limits};
use crate::metrics::Metrics;
use crate::wire::deflate::{Agreement, WINDOW_BITS};
use crate::wire::frame::{self, Outgoing, Role};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::{CloseCode, OpCode};

/// Replies of this size or more are not gathered with others; gathered ones leave when they come to that.
const CORK: usize = 16 * KIB;
/// How long a handler may take to its first message before the client is told that it is connected. 1 s: until then it is
/// as if the client were still about to come, so what the handler does first, joining a room say, holds for all that it does.
const GREETING: Duration = Duration::from_secs(1);
/// Pongs that may wait. "An endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame."
/// RFC 6455 §5.5.3
const PONGS: usize = 32;

pub(crate) struct Outbox {
    stream: Arc<Stream>,
    bounds: Bounds,
    slow_lane: Arc<SlowLane>,
    metrics: Arc<Metrics>,
    codecs: Arc<Codecs>,
    /// There when permessage-deflate was agreed on.
    deflate: Option<Agreement>,
    /// There when we are the client: its frames are masked, each with a key of its own. RFC 6455 §5.3.
    masks: Option<Masks>,
    state: Mutex<State>,
    /// There is room again, everything is written, or nothing ever will be.
    changed: Condvar,
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
        limits: &Limits,
        slow_lane: Arc<SlowLane>,
        metrics: Arc<Metrics>,
        codecs: Arc<Codecs>,
        deflate: Option<Agreement>,
        role: Role,
    ) -> Self {
        let outbox = Self {
            stream,
            bounds: Bounds::of(limits),
            slow_lane,
            metrics,
            codecs,
            deflate,
            masks: (role == Role::Client).then(Masks::default),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        if outbox.takes_compressed() {
            outbox.codecs.count_taker(true);
        }
        outbox
    }

    /// Whether frames that are compressed once for a whole room can be pushed.
    pub(crate) fn takes_compressed(&self) -> bool {
        self.deflate.is_some_and(|agreed| agreed.our_window_bits == WINDOW_BITS)
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What must leave before everything else, the answer to the handshake: with the first frame, when the connection's
    /// own thread first waits, or after a while.
    pub(crate) fn greet(self: &Arc<Self>, answer: Vec<u8>) {
        let mut state = self.state.lock();
        state.greeting = Some((answer, Instant::now() + GREETING));
        self.watch_cork(state);
    }

    /// Puts whole frames in. Never blocks. When they do not fit, the client is a slow consumer and gets 1013.
    pub(crate) fn push(&self, frames: &Bytes) -> Pushed {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Pushed::Nothing;
        }
        if let Err(reason) = state.admit(cost(frames), &self.bounds, Instant::now) {
            return self.overflow(&mut state, reason);
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
        state.queue_close(frame.clone(), true);
        state.claim()
    }

    /// [`Outbox::close`] by the connection's own thread, which awaits the answer itself.
    pub(crate) fn close_own(self: &Arc<Self>, payload: &[u8]) {
        self.close_here(payload, false);
    }

    /// [`Outbox::close_own`] by a thread that does not read: the slow lane sees to it that the peer answers.
    pub(crate) fn close_aside(self: &Arc<Self>, payload: &[u8]) {
        self.close_here(payload, true);
    }

    fn close_here(self: &Arc<Self>, payload: &[u8], watch: bool) {
        let frame = self.encode(Outgoing::new(frame::CLOSE, payload));
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.queue_close(frame, watch);
            self.drain_if_free(state);
        }
    }

    /// Encodes and sends one data frame from a thread that may wait. `more`: other messages of the peer are about to be
    /// handled, so the frame is held back to leave with their replies.
    ///
    /// Waits while the outbox is full. That ends: a socket that takes nothing for the write deadline is cut.
    pub(crate) fn send(self: &Arc<Self>, opcode: OpCode, payload: &[u8], more: bool) -> Result<()> {
        let compressed = self.compress(payload);
        let frame = outgoing(opcode, payload, compressed.as_deref());
        if CORK <= frame.payload.len() {
            let frame = self.encode(frame);
            let mut state = self.wait_for_room(cost(&frame))?;
            state.note_message(opcode);
            state.queue(frame);
            self.drain_if_free(state);
            return Ok(());
        }
        let mut state = self.wait_for_room(frame.payload.len())?;
        state.note_message(opcode);
        let before = state.corked.len();
        frame.encode_into(&mut state.corked, self.mask());
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
        let compressed = self.compress(payload);
        let frame = self.encode(outgoing(opcode, payload, compressed.as_deref()));
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(Error::Closed);
        }
        if !self.bounds.have_room(state.charged, cost(&frame)) {
            return Err(Error::Full);
        }
        state.note_message(opcode);
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
        let frame = self.encode(Outgoing::new(opcode, payload));
        state.charged += cost(&frame);
        state.control.push_back(frame);
        let wait = more && state.control.len() < PONGS;
        if wait { self.watch_cork(state) } else { self.drain_if_free(state) }
    }

    /// Lets TLS say what it has to say of its own.
    pub(crate) fn poke(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.poked = true;
        self.drain_if_free(state);
    }

    /// Sends what was held back.
    pub(crate) fn flush(self: &Arc<Self>) {
        let state = self.state.lock();
        if state.is_held() {
            self.drain_if_free(state);
        }
    }

    /// Waits while so much waits that the peer should not be asked for more: what it says makes others speak to it.
    pub(crate) fn wait_for_calm(self: &Arc<Self>) {
        self.wait_for_less(self.bounds.calm());
    }

    /// Waits until a large reply fits, whatever waits before it.
    #[cfg(feature = "protocol")]
    pub(crate) fn wait_for_half(self: &Arc<Self>) {
        self.wait_for_less(self.bounds.limit / 2);
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

    /// Whether the queue overflowed and only the Close frame is still to leave.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.lock().abandoned
    }

    /// Bytes that wait, with what keeping them costs.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().charged
    }

    /// The code of our Close frame, if there was one.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.state.lock().close_code
    }

    fn encode(&self, frame: Outgoing<'_>) -> Bytes {
        let mut out = Vec::with_capacity(frame.payload.len() + frame::HEADER_MAX);
        frame.encode_into(&mut out, self.mask());
        Bytes::from(out)
    }

    fn mask(&self) -> Option<[u8; 4]> {
        self.masks.as_ref().map(Masks::key)
    }

    fn compress(&self, payload: &[u8]) -> Option<Vec<u8>> {
        self.codecs.deflate(payload, self.deflate?.our_window_bits)
    }

    /// Makes 1013 all that is left to say. What has begun to leave is finished, or the Close would not be read.
    fn overflow(&self, state: &mut State, reason: &str) -> Pushed {
        self.metrics.slow_consumers.add(1);
        *state = State {
            taken: state.taken,
            greeting: state.greeting.take(),
            begun: state.begun.take().and_then(rest_of_begun_frame),
            abandoned: true,
            ..State::default()
        };
        state.charged = state.begun.as_ref().map_or(0, |(piece, _)| cost(piece));
        let payload = frame::close_payload(CloseCode::Again, reason);
        state.queue_close(self.encode(Outgoing::new(frame::CLOSE, &payload)), true);
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
            if self.bounds.have_room(state.charged, more) {
                return Ok(state);
            }
            state = self.wait_for_change(state);
        }
    }

    /// Waits until at most `most` bytes wait, or nothing ever will be written.
    fn wait_for_less(self: &Arc<Self>, most: usize) {
        let mut state = self.state.lock();
        while most < state.charged && state.phase == Phase::Open {
            state = self.wait_for_change(state);
        }
    }

    fn wait_for_change<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.taken {
            self.changed.wait(&mut state);
            return state;
        }
        // Only a cork can be as full as that, and it is ours.
        self.drain_if_free(state);
        self.state.lock()
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
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.takes_compressed() {
            self.codecs.count_taker(false);
        }
    }
}

fn outgoing<'a>(opcode: OpCode, payload: &'a [u8], compressed: Option<&'a [u8]>) -> Outgoing<'a> {
    match compressed {
        Some(compressed) => Outgoing::compressed(opcode, compressed),
        None => Outgoing::new(opcode, payload),
    }
}

impl Held for Outbox {
    fn release(self: Arc<Self>, seen: u32) -> Option<u32> {
        let mut state = self.state.lock();
        if !state.is_held() {
            state.cork_watched = false;
        } else if state.greets_later(Instant::now()) {
            return Some(seen);
        } else if state.cork_epoch == seen {
            state.cork_watched = false;
            self.drain_if_free(state);
        } else {
            return Some(state.cork_epoch);
        }
        None
    }
}

#[cfg(test)]
mod tests;
