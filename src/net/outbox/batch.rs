//! Pieces that were taken out of an outbox, on their way into its socket.

use super::state::{State, cost};
use crate::metrics::Metrics;
use crate::net::stream::Stream;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::{swap, take};
use tungstenite::Bytes;

/// Pieces of one write. The kernel takes 1024 (`UIO_MAXIOV`); more than these save nothing.
const WRITE_PIECES: usize = 64;
/// Queues longer than this are given back to the allocator once they are empty.
const KEEP_PIECES: usize = 64;

/// Pieces on their way from an outbox to its socket. Whoever drains many outboxes uses one again and again.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) pieces: VecDeque<Bytes>,
    /// How much of the first piece has left.
    pub(super) written: usize,
    pub(super) charged: usize,
    /// Taken out after the overflow: all that is left to say.
    pub(super) of_abandoned: bool,
    sent: Sent,
}

/// What was sent and is not counted yet.
#[derive(Default)]
struct Sent {
    /// Texts and binary ones.
    messages: [usize; 2],
    bytes: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Tells what was sent since the last time: once for many connections, if one thread serves them.
    pub(crate) fn count(&mut self, metrics: &Metrics) {
        let Sent { messages, bytes } = take(&mut self.sent);
        metrics.messages_out.add_each(messages);
        metrics.bytes_out.add(bytes);
    }

    /// What did not leave is dropped.
    pub(super) fn clear(&mut self) {
        *self = Self { sent: take(&mut self.sent), ..Self::default() };
    }

    pub(super) fn fill(&mut self, state: &mut State) {
        for (sum, more) in self.sent.messages.iter_mut().zip(take(&mut state.uncounted)) {
            *sum += more as usize;
        }
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
    pub(super) fn write(&mut self, stream: &Stream) -> io::Result<usize> {
        let mut total = 0;
        while !self.pieces.is_empty() {
            let written = match self.write_once(stream) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += written;
            self.sent.bytes += written;
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
