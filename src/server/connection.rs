//! One client's WebSocket connection, from the 101 to the end of TCP: reads, drives the session, runs the handler, and
//! closes as the handler ended.
//!
//! Lives on one thread. Everything other threads may do to it goes through its outbox.

use super::hub_line::HubLine;
use super::request::Request;
use super::router::Handler;
use super::shared::{Registered, Shared};
use super::websocket::WebSocket;
use crate::error::{Error, Result};
use crate::hub::{Command, ConnectionId};
use crate::limits::KIB;
use crate::net::outbox::Outbox;
use crate::net::stream::Stream;
use crate::wire::frame::{self, Role};
use crate::wire::session::{Ending, Event, Session};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};
use tungstenite::{Bytes, Message};

/// A connection's read buffer at first: thousands of connections have one each, and most messages are smaller.
const READ_BUFFER: usize = KIB;
/// The read buffer of a connection whose client sends much.
const READ_BUFFER_MAX: usize = 64 * KIB;
/// After so many reads that needed less, a large read buffer is given back.
const SMALL_READS: u32 = 16;

pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Arc<HubLine>,
    pub(crate) request: Request,
    pub(crate) subprotocol: Option<String>,
    pub(crate) outbox: Arc<Outbox>,
    session: Session,
    buffer: Vec<u8>,
    small_reads: u32,
    events: Vec<Event>,
    /// Messages that are complete and not yet taken by the handler.
    inbox: VecDeque<Message>,
    /// The Close frame that answers what came behind the messages of the inbox: their replies go first.
    last_word: Option<Bytes>,
    end: Option<End>,
    in_hub: bool,
    _registered: Registered,
}

/// How the connection ended, as far as reading goes.
#[derive(Debug)]
enum End {
    Session(Ending),
    /// TCP ended without a Close frame.
    Eof,
    #[expect(dead_code, reason = "what happened is told in the log")]
    Io(io::Error),
}

/// How a connection begins: what the front has found out.
pub(crate) struct Opening {
    pub(crate) stream: Arc<Stream>,
    pub(crate) registered: Registered,
    pub(crate) request: Request,
    pub(crate) subprotocol: Option<String>,
    /// Bytes that came behind the request.
    pub(crate) leftover: Vec<u8>,
}

/// Where a handler's [`WebSocket`] leaves its connection when it is dropped, so that the close code can tell how the
/// handler ended.
pub(crate) enum Slot {
    Lent,
    Back(Box<Connection>),
    /// The handler is over, but has given its socket away: whoever drops it closes the connection.
    Abandoned,
}

/// Runs the handler for a connection that has just been upgraded, and then ends the connection.
pub(crate) fn run(shared: &Arc<Shared>, opening: Opening, handler: &Handler) {
    let connection = Box::new(Connection::open(shared, opening));
    let (peer, path) = (connection.outbox.stream().peer(), connection.request.path().to_string());
    log::debug!("{peer}: open {path}");
    let slot = Arc::new(Mutex::new(Slot::Lent));
    let websocket = WebSocket::new(connection, slot.clone());
    let result = catch_unwind(AssertUnwindSafe(|| handler(websocket)));
    let failed = match &result {
        Ok(Ok(()) | Err(Error::Closed | Error::Stopped)) => false,
        // The peer did it, and has been told by a Close frame already.
        Ok(Err(Error::Violation(..) | Error::Silent | Error::Io(_))) => false,
        Ok(Err(error)) => {
            log::warn!("{peer}: the handler of {path} failed: {error}");
            true
        }
        Err(_) => {
            shared.metrics.panics.add(1);
            log::error!("{peer}: the handler of {path} panicked");
            true
        }
    };
    let back = std::mem::replace(&mut *slot.lock(), Slot::Abandoned);
    if let Slot::Back(mut connection) = back {
        let (code, reason) =
            if failed { (CloseCode::Error, "handler failed") } else { (CloseCode::Normal, "") };
        connection.finish(code, reason);
    }
}

impl Connection {
    fn open(shared: &Arc<Shared>, opening: Opening) -> Self {
        let Opening { stream, registered, request, subprotocol, leftover } = opening;
        let now = Instant::now();
        shared.metrics.upgraded.add(1);
        shared.metrics.websockets.add(1);
        let outbox =
            Outbox::new(stream, shared.limits.outbox, shared.slow_lane.clone(), shared.metrics.clone());
        let mut connection = Self {
            shared: shared.clone(),
            hub: Arc::new(HubLine::new(shared.clone(), ConnectionId(registered.id))),
            request,
            subprotocol,
            outbox: Arc::new(outbox),
            session: Session::new(Role::Server, &shared.limits, now),
            buffer: leftover,
            small_reads: 0,
            events: Vec::new(),
            inbox: VecDeque::new(),
            last_word: None,
            end: None,
            in_hub: true,
            _registered: registered,
        };
        let connect = Command::Connect { id: connection.hub.id, line: connection.outbox.clone() };
        if connection.hub.send(connect).is_err() {
            connection.in_hub = false;
        }
        connection.session.receive(&mut connection.buffer, now, &mut connection.events);
        connection.buffer.resize(READ_BUFFER, 0);
        connection.buffer.shrink_to_fit();
        connection.handle_events();
        connection
    }

    /// The next message; blocks until there is one. `None`: the connection is closed.
    pub(crate) fn receive(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.next_message() {
                return Ok(Some(message));
            }
            if self.end.is_some() {
                return self.ended();
            }
            self.flush()?;
            let timeout = self.until_deadline();
            self.read(timeout);
        }
    }

    /// [`Connection::receive`] for `timeout` at most. `None`: the time is up.
    pub(crate) fn receive_within(&mut self, timeout: Duration) -> Result<Option<Option<Message>>> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(message) = self.next_message() {
                return Ok(Some(Some(message)));
            }
            if self.end.is_some() {
                return self.ended().map(Some);
            }
            self.flush()?;
            let left = until.saturating_duration_since(Instant::now());
            if self.wait_readable(left.min(self.until_deadline())) {
                self.read_waiting();
            } else {
                self.session.tick(Instant::now(), &mut self.events);
                self.handle_events();
            }
            if left.is_zero() && self.inbox.is_empty() && self.end.is_none() {
                return Ok(None);
            }
        }
    }

    /// How many messages are complete, after taking in what has arrived. Never blocks.
    pub(crate) fn pending(&mut self) -> usize {
        while self.end.is_none() && self.inbox.len() < 1024 && self.wait_readable(Duration::ZERO) {
            self.read_waiting();
        }
        self.inbox.len()
    }

    fn next_message(&mut self) -> Option<Message> {
        let message = self.inbox.pop_front()?;
        self.hub.set_more(!self.inbox.is_empty());
        Some(message)
    }

    /// Sends what was held back for the replies to messages that have arrived.
    fn flush(&self) -> Result<()> {
        self.outbox.flush();
        self.hub.flush()
    }

    /// Whether other messages of the peer are waiting to be handled.
    pub(crate) fn has_more(&self) -> bool {
        !self.inbox.is_empty()
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
            self.outbox.close_own(frame::encode_close(code, reason));
        }
    }

    /// The connection's thread has nothing more to say: closing handshake, then TCP's end. Takes the close deadline at
    /// most.
    pub(crate) fn finish(&mut self, code: CloseCode, reason: &str) {
        self.leave_hub();
        self.close(code, reason);
        let deadline = Instant::now() + self.shared.limits.close_deadline;
        while self.end.is_none() {
            self.inbox.clear();
            self.read(self.until_deadline());
        }
        self.inbox.clear();
        self.say_last_word();
        if !matches!(self.end, Some(End::Eof | End::Io(_))) {
            self.outbox.wait_written(deadline);
            self.drop_input(deadline);
        }
        self.outbox.cut();
        log::debug!("{}: closed, {:?}", self.outbox.stream().peer(), self.end);
    }

    /// Reads to the end and throws away: closing a socket with unread input would make the kernel reset it, and the
    /// peer could lose our last frames. RFC 6455 §7.1.1.
    fn drop_input(&mut self, deadline: Instant) {
        let stream = self.outbox.stream();
        stream.shutdown(Shutdown::Write);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(stream.read(&mut self.buffer, left), Ok(1..)) {
                return;
            }
        }
    }

    fn ended(&mut self) -> Result<Option<Message>> {
        self.say_last_word();
        match self.end {
            Some(End::Session(Ending::Violated(ref violation))) => {
                Err(Error::Violation(violation.code.into(), violation.reason))
            }
            Some(End::Session(Ending::Silent)) => Err(Error::Silent),
            _ => Ok(None),
        }
    }

    fn say_last_word(&mut self) {
        if let Some(frame) = self.last_word.take() {
            self.outbox.close_own(frame);
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
        let result = self.outbox.stream().read(&mut self.buffer, timeout);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.session.tick(Instant::now(), &mut self.events);
        }
        if self.take_in(result) {
            self.read_waiting();
        } else {
            self.handle_events();
        }
    }

    /// [`Connection::read`] that never blocks.
    fn read_waiting(&mut self) {
        loop {
            let result = self.outbox.stream().try_read(&mut self.buffer);
            if !self.take_in(result) {
                return self.handle_events();
            }
        }
    }

    /// What a read came to. `true`: there may be more.
    fn take_in(&mut self, result: io::Result<usize>) -> bool {
        let size = self.buffer.len();
        match result {
            Ok(0) => self.end = Some(End::Eof),
            Ok(read) => {
                let now = Instant::now();
                self.session.receive(&mut self.buffer[..read], now, &mut self.events);
                // A peer that sends and sends would otherwise never meet the close deadline.
                self.session.tick(now, &mut self.events);
                self.fit_buffer(read);
                return read == size && size < READ_BUFFER_MAX;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(End::Io(error)),
        }
        false
    }

    /// Grows the buffer for a client that fills it, shrinks it for one that no longer does.
    fn fit_buffer(&mut self, read: usize) {
        let size = self.buffer.len();
        if read == size && size < READ_BUFFER_MAX {
            self.buffer.resize(size * 4, 0);
        }
        self.small_reads = if read <= READ_BUFFER { self.small_reads + 1 } else { 0 };
        if SMALL_READS < self.small_reads && READ_BUFFER < size {
            self.buffer = vec![0; READ_BUFFER];
        }
    }

    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        let before = self.inbox.len();
        for event in events.drain(..) {
            match event {
                Event::Message(message) => self.inbox.push_back(message),
                Event::Send(OpCode::Control(Control::Close), payload) => {
                    let frame = frame::encode(OpCode::Control(Control::Close), &payload);
                    self.last_word = Some(frame);
                }
                Event::Send(opcode, payload) => {
                    self.outbox.send_control(opcode, &payload, !self.inbox.is_empty());
                }
                Event::Pong(_) => {}
                Event::Ended(ending) => self.end_session(ending),
            }
        }
        if self.inbox.is_empty() {
            self.say_last_word();
        }
        self.shared.metrics.messages_in.add(self.inbox.len() - before);
        self.events = events;
    }

    fn end_session(&mut self, ending: Ending) {
        match &ending {
            Ending::Violated(violation) => {
                self.shared.metrics.violations.add(1);
                log::info!("{}: {}", self.outbox.stream().peer(), violation.reason);
            }
            Ending::Silent => {
                self.shared.metrics.silent.add(1);
                log::info!("{}: answered no ping", self.outbox.stream().peer());
            }
            Ending::Closed(_) | Ending::CloseIgnored => {}
        }
        self.end = Some(End::Session(ending));
    }

    fn leave_hub(&mut self) {
        if std::mem::take(&mut self.in_hub) {
            // A stopped hub has forgotten everybody.
            let _ = self.hub.send(Command::Disconnect { id: self.hub.id });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave_hub();
        if self.outbox.is_abandoned() {
            log::info!("{}: cut as a slow consumer", self.outbox.stream().peer());
        }
        self.outbox.cut();
        self.shared.metrics.websockets.sub(1);
    }
}
