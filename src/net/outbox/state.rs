//! What waits in an outbox, and what each piece of it is charged.

use super::Pushed;
use super::bounds::Behind;
use crate::wire::frame;
use std::collections::VecDeque;
use std::mem::{replace, take};
use std::time::Instant;
use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::OpCode;

/// What a waiting piece is charged beside its length: about what its place in the queue costs.
pub(super) const PIECE_OVERHEAD: usize = 64;

#[derive(Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Somebody drains, or has promised to.
    pub(super) taken: bool,
    /// The answer to the handshake, until it leaves, and when it must.
    pub(super) greeting: Option<(Vec<u8>, Instant)>,
    /// Replies held back while the peer's next messages are handled.
    pub(super) corked: Vec<u8>,
    pub(super) cork_watched: bool,
    /// How often something was let go: what is corked now has been since then.
    pub(super) cork_epoch: u32,
    /// A piece that has left in part, and how much of it.
    pub(super) begun: Option<(Bytes, usize)>,
    pub(super) control: VecDeque<Bytes>,
    pub(super) data: VecDeque<Bytes>,
    pub(super) close: Option<Bytes>,
    /// TLS has something of its own to say.
    pub(super) poked: bool,
    /// Whether somebody must see to it that the peer answers our Close: not when the connection's own thread does.
    pub(super) watch_close: bool,
    /// The queue overflowed: what was taken out and did not leave is not to be put back.
    pub(super) abandoned: bool,
    pub(super) charged: usize,
    /// Our patience has ended the connection, not the peer.
    pub(super) cut_off: bool,
    /// It ended before all had left.
    pub(super) unsent: bool,
    /// What has left since the beginning, charged alike.
    pub(super) left: u64,
    pub(super) behind: Option<Behind>,
    /// The code of our Close frame, once there is one.
    pub(super) close_code: Option<u16>,
    /// Texts and binary messages that were put in one by one and are not counted yet: whoever drains does it.
    pub(super) uncounted: [u32; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    /// A Close frame is queued or written: nothing more is taken in. RFC 6455 §5.5.1.
    Closing,
    /// Nothing more is written.
    Closed,
}

impl State {
    pub(super) fn queue(&mut self, frames: Bytes) {
        self.uncork();
        self.charged += cost(&frames);
        self.data.push_back(frames);
    }

    pub(super) fn queue_close(&mut self, frame: Bytes, watch: bool) {
        self.phase = Phase::Closing;
        self.watch_close = watch;
        self.charged += cost(&frame);
        self.close_code = Some(frame::close_code(&frame));
        self.close = Some(frame);
    }

    /// So much of what is charged has left.
    pub(super) fn settle(&mut self, charged: usize) {
        self.charged = self.charged.saturating_sub(charged);
        self.left += charged as u64;
    }

    /// So much of it has not, after all.
    pub(super) fn unsettle(&mut self, charged: usize) {
        self.charged += charged;
        self.left = self.left.saturating_sub(charged as u64);
    }

    /// Makes a piece of the replies held back, so that what comes later stays behind them.
    pub(super) fn uncork(&mut self) {
        if !self.corked.is_empty() {
            self.charged += PIECE_OVERHEAD;
            self.data.push_back(Bytes::from(take(&mut self.corked)));
        }
    }

    /// A message is put in by itself.
    pub(super) fn note_message(&mut self, opcode: OpCode) {
        self.uncounted[usize::from(opcode == frame::BINARY)] += 1;
    }

    pub(super) fn claim(&mut self) -> Pushed {
        if replace(&mut self.taken, true) { Pushed::Nothing } else { Pushed::NeedsWriter }
    }

    /// Nothing leaves any more. `false`: nothing did before.
    pub(super) fn close(&mut self) -> bool {
        let is_first = replace(&mut self.phase, Phase::Closed) != Phase::Closed;
        self.unsent |= is_first && 0 < self.charged;
        is_first
    }

    /// Whether something waits that only a cork holds back.
    pub(super) fn is_held(&self) -> bool {
        self.greeting.is_some() || !self.corked.is_empty() || !self.control.is_empty()
    }

    /// Whether all that is held back is a greeting that has time.
    pub(super) fn greets_later(&self, now: Instant) -> bool {
        let has_time = self.greeting.as_ref().is_some_and(|(_, until)| now < *until);
        has_time && self.corked.is_empty() && self.control.is_empty()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.corked.is_empty() || self.has_pieces()
    }

    pub(super) fn has_pieces(&self) -> bool {
        self.begun.is_some() || !self.control.is_empty() || !self.data.is_empty() || self.close.is_some()
    }
}

pub(super) fn cost(piece: &Bytes) -> usize {
    piece.len() + PIECE_OVERHEAD
}

/// A piece of which `written` bytes have left, cut behind the frame that has begun to leave; `None`: no frame has.
pub(super) fn rest_of_begun_frame((piece, written): (Bytes, usize)) -> Option<(Bytes, usize)> {
    let end = frame::end_of_frame(&piece, written.checked_sub(1)?);
    (written < end).then(|| (piece.slice(..end), written))
}
