//! The way out of an outbox: what waits goes into the socket, as much as it takes, by one thread at a time.

use super::batch::Batch;
use super::state::{PIECE_OVERHEAD, Phase, State, cost, rest_of_begun_frame};
use super::{Drained, GREETING, Outbox};
use crate::limits::KIB;
use crate::metrics::Unclean;
use crate::net::stream::Flushed;
use parking_lot::MutexGuard;
use std::io;
use std::mem::take;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Bytes;

/// Opcodes from here on are those of pings and pongs. RFC 6455 §5.2.
const PING_OPCODE: u8 = 0x9;

impl Outbox {
    /// Writes what waits, as much as the socket takes. Only for whoever was told to ([`Pushed::NeedsWriter`]).
    pub(crate) fn drain(self: &Arc<Self>, batch: &mut Batch) -> Drained {
        let mut progress = false;
        loop {
            match self.stream.flush() {
                Ok(Flushed::All) => {}
                Ok(flushed) => {
                    // What was written before is settled: whoever goes on does not know of it.
                    self.put_back(batch);
                    return Drained::Full { progress: progress || flushed == Flushed::Part };
                }
                Err(_) => self.cut(),
            }
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

    /// Settles the written batch and takes out the next one; what to tell the caller when there is none.
    fn next_batch(self: &Arc<Self>, batch: &mut Batch) -> Option<Drained> {
        let mut state = self.state.lock();
        state.settle(take(&mut batch.charged));
        self.write_greeting(&mut state);
        if state.phase == Phase::Closed {
            let State { abandoned, close_code, cut_off, .. } = *state;
            // Whoever ended it could not know whether what we had in hand would still leave.
            let unsent = state.unsent && (0 < state.charged || !batch.is_empty());
            *state =
                State { phase: Phase::Closed, abandoned, close_code, cut_off, unsent, ..State::default() };
            drop(state);
            self.changed.notify_all();
            // A writer uses the batch for other connections too: what did not leave must not reach them.
            batch.clear();
            return Some(Drained::Gone);
        }
        state.uncork();
        batch.fill(&mut state);
        if !batch.is_empty() || take(&mut state.poked) {
            return None;
        }
        state.taken = false;
        let (abandoned, watch) = (state.abandoned, take(&mut state.watch_close));
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

    /// Settles the batch but for what did not leave, which it takes back.
    fn put_back(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        state.settle(take(&mut batch.charged));
        let written = take(&mut batch.written);
        let Some(front) = batch.pieces.pop_front() else { return };
        let mut begun = Some((front, written));
        if state.abandoned && !batch.of_abandoned {
            // It overflowed while we wrote: the Close comes right behind the frame that has begun.
            batch.pieces.clear();
            begun = begun.and_then(rest_of_begun_frame);
        }
        while let Some(piece) = batch.pieces.pop_back() {
            state.unsettle(cost(&piece));
            // Pings and pongs go back before later ones, not behind them. A Close stays behind the data.
            let overtakes = piece.first().is_some_and(|first| PING_OPCODE <= first & 0x0f);
            if overtakes { state.control.push_front(piece) } else { state.data.push_front(piece) }
        }
        if let Some((piece, written)) = begun {
            state.unsettle(cost(&piece));
            state.begun = Some((piece, written));
        }
    }

    /// Drains on this thread, unless somebody else does.
    pub(super) fn drain_if_free(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.taken {
            return;
        }
        state.taken = true;
        state.cork_epoch = state.cork_epoch.wrapping_add(1);
        self.write_greeting(&mut state);
        let is_settled = if !state.has_pieces() && !state.corked.is_empty() {
            let (reply, messages) = (take(&mut state.corked), take(&mut state.uncounted));
            drop(state);
            self.write_reply(reply, messages)
        } else {
            self.is_settled(state)
        };
        if !is_settled {
            self.drain_here();
        }
    }

    /// Not inlined: a connection that only listens never needs the stack for it.
    #[inline(never)]
    fn drain_here(self: &Arc<Self>) {
        let mut batch = Batch::default();
        let drained = self.drain(&mut batch);
        batch.count(&self.metrics);
        if let Drained::Full { .. } = drained {
            self.slow_lane.take_over(self.clone());
        }
    }

    /// The usual case, an answer to a client that reads: one write, and the buffer is used again. `false`: more is to
    /// be drained.
    pub(super) fn write_reply(&self, mut reply: Vec<u8>, messages: [u32; 2]) -> bool {
        let written = match self.stream.try_write(&reply) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.cut();
                return false;
            }
        };
        self.metrics.messages_out.add_each(messages.map(|count| count as usize));
        self.metrics.bytes_out.add(written);
        let mut state = self.state.lock();
        if state.abandoned {
            // It overflowed while we wrote: nothing is charged for this any more, and only what has begun is finished.
            state.begun = rest_of_begun_frame((Bytes::from(reply), written));
            state.charged += state.begun.as_ref().map_or(0, |(piece, _)| cost(piece));
            return false;
        }
        if written < reply.len() {
            state.charged += PIECE_OVERHEAD;
            state.begun = Some((Bytes::from(reply), written));
            return false;
        }
        state.settle(reply.len());
        if state.corked.capacity() == 0 && reply.capacity() <= 4 * KIB {
            reply.clear();
            state.corked = reply;
        }
        self.is_settled(state)
    }

    /// Does not block: nothing has been written to the socket before, and this fits into the kernel's buffer.
    fn write_greeting(&self, state: &mut MutexGuard<'_, State>) {
        let Some((answer, _)) = state.greeting.take() else { return };
        MutexGuard::unlocked(state, || {
            if self.stream.write_all(&answer, Instant::now() + GREETING).is_err() {
                self.cut();
            }
        });
    }

    /// Gives the right to drain back if nothing more is to be written.
    fn is_settled(&self, mut state: MutexGuard<'_, State>) -> bool {
        if state.has_waiting() || state.phase == Phase::Closed || self.stream.is_tls() {
            return false;
        }
        state.taken = false;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// The slow lane waited for long enough. Gives the client up with 1013; cuts it when that was done before.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            // Who drains is the caller itself.
            let _ = self.overflow(&mut state, "slow consumer: it took nothing within the write deadline");
        } else {
            drop(state);
            self.cut_off();
        }
    }

    /// Ends the connection at once: nothing more is written, and its thread wakes from reading.
    pub(crate) fn cut(&self) {
        self.end(false);
    }

    /// The same, because the peer has had its time.
    pub(crate) fn cut_off(&self) {
        self.end(true);
    }

    fn end(&self, cut_off: bool) {
        let mut state = self.state.lock();
        let is_first = state.close();
        state.cut_off |= is_first && cut_off;
        drop(state);
        if is_first {
            self.stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Nothing is written any more, because all is said: TCP ends when the socket is dropped.
    pub(crate) fn retire(&self) {
        self.state.lock().close();
    }

    /// How it ended, if not as it should. To be asked when it has.
    pub(crate) fn unclean(&self) -> Option<Unclean> {
        let state = self.state.lock();
        match (state.unsent || state.abandoned, state.cut_off || state.abandoned) {
            (true, true) => Some(Unclean::Stalled),
            (true, false) => Some(Unclean::Gone),
            (false, true) => Some(Unclean::Unanswered),
            (false, false) => None,
        }
    }
}
