//! Either end's side of one WebSocket connection: reads from the stream, drives the session, answers through the outbox, and
//! ends it properly. The server's connections and the client are built on it.
//!
//! Lives on one thread at a time; what other threads send goes through the outbox.

use super::meter::Meter;
use super::outbox::Outbox;
use super::read_buffer::{self, ReadBuffer};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::wire::frame::{self, Role};
use crate::wire::session::{Ending, Event, Session};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};
use tungstenite::{Bytes, Message};

/// Reads of [`Link::pending`], and what its messages may have waiting: one more buffer's worth at most.
const PENDING_READS: usize = 16;
const PENDING_BYTES: usize = PENDING_READS * read_buffer::LARGE;
/// So many events of one read are enough: tiny frames make lists that are larger than the bytes they came in, and larger
/// reads would make them longer.
const EVENTS_MAX: usize = 256;
/// Lists longer than this are given back to the allocator once they are empty: a burst of tiny frames makes long ones.
const KEEP_LISTED: usize = 64;

pub(crate) struct Link {
    pub(crate) outbox: Arc<Outbox>,
    session: Session,
    /// There when the peer may not send as much as it likes.
    meter: Option<Box<Meter>>,
    metrics: Arc<Metrics>,
    close_deadline: Duration,
    buffer: ReadBuffer,
    events: Vec<Event>,
    /// Messages that are complete and not yet taken.
    inbox: VecDeque<Message>,
    /// Bytes that were read since the inbox was empty.
    taken_in: usize,
    /// The payload of the Close frame that answers what came behind the messages of the inbox: their replies go first.
    last_word: Option<Bytes>,
    /// Waits for replies that others give to what the peer has sent, for so long at most.
    settle: Option<Box<Settle>>,
    end: Option<End>,
}

type Settle = dyn Fn(Duration) + Send;

/// How the connection ended, as far as reading goes.
#[derive(Debug)]
enum End {
    Session(Ending),
    /// TCP ended without a Close frame.
    Eof,
    #[expect(dead_code, reason = "what happened is told in the log")]
    Io(io::Error),
}

impl Link {
    /// `leftover`: what came behind the handshake.
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        session: Session,
        meter: Option<Box<Meter>>,
        metrics: Arc<Metrics>,
        close_deadline: Duration,
        leftover: Vec<u8>,
    ) -> Self {
        let mut link = Self {
            outbox,
            session,
            meter,
            metrics,
            close_deadline,
            buffer: ReadBuffer::of(leftover),
            events: Vec::new(),
            inbox: VecDeque::new(),
            taken_in: 0,
            last_word: None,
            settle: None,
            end: None,
        };
        link.feed(link.buffer.len(), Instant::now());
        link.buffer.begin();
        link.handle_events();
        link
    }

    /// The next message; blocks until there is one, or `until`. `None`: the connection has ended, or it is time.
    ///
    /// Before it waits, what was held back for the replies to messages that have arrived is sent, `flush` included.
    pub(crate) fn receive(
        &mut self,
        until: Option<Instant>,
        flush: impl Fn() -> Result<()>,
    ) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            self.empty_inbox();
            if let Some(ended) = self.ended() {
                return ended.map(|()| None);
            }
            self.outbox.flush();
            flush()?;
            match until {
                None => {
                    self.outbox.wait_for_calm();
                    self.wait();
                }
                Some(until) if !self.wait_until(until) => return Ok(None),
                Some(_) => {}
            }
        }
    }

    /// Whether nothing more will arrive; how it ended: `Err` when the peer is to blame.
    fn ended(&mut self) -> Option<Result<()>> {
        self.end.as_ref()?;
        self.say_last_word();
        Some(match &self.end {
            Some(End::Session(Ending::Violated(violation))) => {
                Err(Error::Violation(violation.code.into(), violation.reason))
            }
            Some(End::Session(Ending::Silent)) => Err(Error::Silent),
            _ => Ok(()),
        })
    }

    /// Blocks until something has arrived or was due.
    fn wait(&mut self) {
        let timeout = self.until_deadline();
        self.read(timeout);
    }

    /// [`Link::wait`] until then at most. `false`: nothing has, and it is time.
    fn wait_until(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if self.wait_readable(left.min(self.until_deadline())) {
            self.read_waiting();
        } else {
            self.session.tick(Instant::now(), &mut self.events);
            self.handle_events();
        }
        !(left.is_zero() && self.inbox.is_empty() && self.end.is_none())
    }

    /// How many messages are complete, after taking in what has arrived. Never blocks.
    pub(crate) fn pending(&mut self) -> usize {
        // So many reads at most: what a peer sends without end must not keep the caller.
        for _ in 0..PENDING_READS {
            let enough = !self.inbox.is_empty() && PENDING_BYTES <= self.taken_in;
            if enough || self.end.is_some() || !self.wait_readable(Duration::ZERO) {
                break;
            }
            self.read_waiting();
        }
        self.inbox.len()
    }

    /// Whether other messages of the peer are waiting to be handled.
    pub(crate) fn has_more(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// To be called before the Close frame that answers what the peer has sent: the replies to it go first.
    #[cfg(feature = "protocol")]
    pub(crate) fn settle_by(&mut self, settle: impl Fn(Duration) + Send + 'static) {
        self.settle = Some(Box::new(settle));
    }

    #[cfg(feature = "protocol")]
    pub(crate) fn set_meter(&mut self, meter: Option<Box<Meter>>) {
        self.meter = meter;
    }

    pub(crate) fn set_keepalive(&mut self, interval: Duration, timeout: Duration) {
        self.session.set_keepalive(interval, timeout);
    }

    /// Code and reason of the peer's Close frame, or what stands for them. RFC 6455 §7.1.5, §7.1.6.
    pub(crate) fn closed(&self) -> Option<(u16, &str)> {
        Some(match self.end.as_ref()? {
            End::Session(Ending::Closed(Some(frame))) => (frame.code.into(), frame.reason.as_str()),
            End::Session(Ending::Closed(None)) => (1005, ""),
            End::Session(Ending::Violated(violation)) => (violation.code.into(), violation.reason),
            End::Session(Ending::Silent | Ending::CloseIgnored) | End::Eof | End::Io(_) => (1006, ""),
        })
    }

    /// Sends a Close frame behind everything that waits. What the peer still sends can be received until it answers.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) {
        if self.end.is_none() && self.session.close(Instant::now()) {
            self.outbox.close_own(&frame::close_payload(code, reason));
        }
    }

    /// This side has nothing more to say: closing handshake, then TCP's end. Takes the close deadline at
    /// most.
    pub(crate) fn finish(&mut self, code: CloseCode, reason: &str) {
        self.close(code, reason);
        let deadline = Instant::now() + self.close_deadline;
        while self.end.is_none() {
            self.empty_inbox();
            self.read(self.until_deadline());
        }
        self.empty_inbox();
        self.say_last_word();
        match self.end {
            Some(End::Io(_)) | None => {}
            // Who has only stopped speaking may still read what it is owed.
            Some(End::Eof) => {
                self.outbox.flush();
                self.outbox.wait_written(deadline);
            }
            // Both Close frames are there: nothing may follow, and "the server MUST close the underlying TCP connection
            // immediately". RFC 6455 §7.1.1
            Some(End::Session(Ending::Closed(_))) if self.session.role() == Role::Server => {
                self.outbox.wait_written(deadline);
                self.outbox.stream().shutdown(Shutdown::Write);
                // What has come by now is read, but not for ever: a peer may send faster than that.
                while Instant::now() < deadline
                    && matches!(self.outbox.stream().try_read(self.buffer.bytes()), Ok(1..))
                {}
                self.outbox.retire();
            }
            Some(End::Session(_)) => {
                self.outbox.wait_written(deadline);
                self.drop_input(deadline);
            }
        }
        match self.end {
            Some(End::Session(Ending::CloseIgnored)) => self.outbox.cut_off(),
            _ => self.outbox.cut(),
        }
        log::debug!("{}: closed, {:?}", self.outbox.stream().peer(), self.end);
    }

    /// Reads to the end and throws away: closing a socket with unread input would make the kernel reset it, and the
    /// peer could lose our last frames. RFC 6455 §7.1.1.
    fn drop_input(&mut self, deadline: Instant) {
        let stream = self.outbox.stream();
        stream.shutdown(Shutdown::Write);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(stream.read(self.buffer.bytes(), left), Ok(1..)) {
                return;
            }
        }
    }

    /// Drops what was not taken, and the room for it.
    fn empty_inbox(&mut self) {
        self.inbox.clear();
        self.taken_in = 0;
        if KEEP_LISTED < self.inbox.capacity() {
            self.inbox = VecDeque::new();
        }
    }

    fn say_last_word(&mut self) {
        if let Some(payload) = self.last_word.take() {
            self.settle.iter().for_each(|settle| settle(self.close_deadline));
            self.outbox.close_own(&payload);
        }
    }

    fn until_deadline(&self) -> Duration {
        let deadline = self.session.next_deadline();
        deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn wait_readable(&mut self, timeout: Duration) -> bool {
        match self.outbox.stream().wait_readable(timeout) {
            Ok(readable) => readable,
            Err(error) => {
                self.end = Some(End::Io(error));
                false
            }
        }
    }

    /// Reads what there is, blocking for `timeout` at most, and does whatever comes of it. A full buffer means that there
    /// may be more: it is taken at once, so that what was sent together is handled together.
    fn read(&mut self, timeout: Duration) {
        let result = self.outbox.stream().read(self.buffer.bytes(), timeout);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.session.tick(Instant::now(), &mut self.events);
            // Silent for as long as a ping interval.
            self.buffer.shrink();
        }
        if self.take_in(result) {
            self.read_waiting();
        } else {
            self.handle_events();
        }
    }

    /// [`Link::read`] that never blocks.
    fn read_waiting(&mut self) {
        loop {
            let result = self.outbox.stream().try_read(self.buffer.bytes());
            if !self.take_in(result) {
                return self.handle_events();
            }
        }
    }

    /// What a read came to. `true`: there may be more.
    fn take_in(&mut self, result: io::Result<usize>) -> bool {
        match result {
            Ok(0) => self.end = Some(End::Eof),
            Ok(read) => {
                if self.outbox.stream().wants_flush() {
                    self.outbox.poke();
                }
                let now = Instant::now();
                self.feed(read, now);
                // A peer that sends and sends would otherwise never meet the close deadline.
                self.session.tick(now, &mut self.events);
                let may_grow = self.events.len() < EVENTS_MAX;
                return self.buffer.fit(read, may_grow) && !self.session.is_over();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(End::Io(error)),
        }
        false
    }

    /// Gives the session what was read. Of what is more than the peer may send nothing is passed on.
    fn feed(&mut self, read: usize, now: Instant) {
        self.taken_in += read;
        self.metrics.bytes_in.add(read);
        let (before, was_open) = (self.events.len(), self.session.is_open());
        self.session.receive(&mut self.buffer.bytes()[..read], now, &mut self.events);
        if let Some(meter) = &mut self.meter
            && let Err((allowed, violation)) = meter.count(read, &self.events[before..], now)
        {
            // A Close that answers the peer's may be among what is dropped.
            self.events.truncate(before + allowed);
            self.session.fail(violation, was_open, &mut self.events);
        }
    }

    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        let mut received = [0; 2];
        let mut waiting = events.drain(..);
        while let Some(event) = waiting.next() {
            match event {
                Event::Message(message) => {
                    received[usize::from(message.is_binary())] += 1;
                    self.inbox.push_back(message);
                }
                Event::Send(OpCode::Control(Control::Close), payload) => {
                    self.last_word = Some(payload);
                }
                Event::Send(opcode, payload) => {
                    // Not a write for each of a flood of pings.
                    let more = !self.inbox.is_empty() || 0 < waiting.len();
                    self.outbox.send_control(opcode, &payload, more);
                }
                Event::Pong(took) => took.into_iter().for_each(|took| self.metrics.pings.observe_time(took)),
                Event::Ended(ending) => self.end_session(ending),
            }
        }
        drop(waiting);
        if self.inbox.is_empty() {
            self.say_last_word();
        }
        self.metrics.messages_in.add_each(received);
        if events.capacity() <= KEEP_LISTED {
            self.events = events;
        }
    }

    fn end_session(&mut self, ending: Ending) {
        match &ending {
            Ending::Violated(violation) => {
                match violation.code {
                    CloseCode::Policy => self.metrics.rate_limited.add(1),
                    _ => self.metrics.violations.add(1),
                }
                log::info!("{}: {}", self.outbox.stream().peer(), violation.reason);
            }
            Ending::Silent => {
                self.metrics.silent.add(1);
                log::info!("{}: answered no ping", self.outbox.stream().peer());
            }
            Ending::Closed(_) | Ending::CloseIgnored => {}
        }
        self.end = Some(End::Session(ending));
    }
}
