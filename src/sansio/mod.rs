//! The protocol without a socket: bytes and the time in, events and bytes out.
//!
//! For a transport of one's own, for tests, and to see what a WebSocket is when nothing else is in the way.
//! It is the same code that the server and the client of this crate run on. A server's end does not
//! negotiate compression; a client's does if it was made by an [`Endpoint`].
//!
//! ```
//! use std::time::Instant;
//! use switchboard::Limits;
//! use switchboard::sansio::{Event, Protocol};
//!
//! # fn main() -> switchboard::Result<()> {
//! let now = Instant::now();
//! let mut client = Protocol::client("ws://example.com/chat", Limits::default(), now)?;
//! let mut server = Protocol::server(Limits::default(), now)?;
//!
//! let request = client.output(); // "GET /chat HTTP/1.1…": whatever carries bytes may carry it
//! assert_eq!(server.receive(&request, now), [Event::Opened { path: "/chat".into() }]);
//! let answer = server.output(); // "HTTP/1.1 101 Switching Protocols…"
//! assert_eq!(client.receive(&answer, now), [Event::Opened { path: "/chat".into() }]);
//!
//! server.send("hi")?;
//! assert_eq!(server.output(), b"\x81\x02hi"); // final text frame, two bytes, not masked
//! # Ok(())
//! # }
//! ```
//!
//! A driver does this, until [`Protocol::is_over`]: give what was read to [`Protocol::receive`], call
//! [`Protocol::tick`] when it is [`Protocol::next_deadline`], and after each of these and each send write
//! what [`Protocol::output`] gives.

mod endpoint;
mod event;
mod opening;

pub use endpoint::Endpoint;
pub use event::Event;
use opening::{Asked, Opening};

use crate::client::key;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::net::codecs::{Codecs, SharedInflate};
use crate::net::masks::Masks;
use crate::net::sealed::Sealed;
use crate::sender::{close_code, data_of};
use crate::wire::deflate::Inflate;
use crate::wire::frame::{self, Outgoing, Role};
use crate::wire::handshake::Agreed;
use crate::wire::opening::{Target, Wish, request};
use crate::wire::session::{self, Session};
use std::mem::take;
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::OpCode;

/// One end of a WebSocket connection, from its opening handshake to its end. Never blocks, and asks no clock:
/// the caller says when it is.
///
/// ```
/// # use switchboard::{Limits, sansio::{Event, Protocol}};
/// # let now = std::time::Instant::now();
/// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
/// # let mut server = Protocol::server(Limits::default(), now)?;
/// # server.receive(&client.output(), now);
/// # client.receive(&server.output(), now);
/// // Two ends that are open; what one puts out, the other is given.
/// server.close(1000, "that was all", now);
/// let closed = |reason: &str| [Event::Closed { code: 1000, reason: reason.into() }];
/// assert_eq!(client.receive(&server.output(), now), closed("that was all"));
/// assert_eq!(server.receive(&client.output(), now), closed("")); // the answer
/// assert!(client.is_over() && server.is_over());
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Protocol {
    limits: Limits,
    stage: Stage,
    /// There for a client.
    masks: Option<Masks>,
    /// There for a client of `wss://` that an [`Endpoint`] made.
    tls: Option<Box<Sealed>>,
    /// There when compression was offered.
    codecs: Option<Arc<Codecs>>,
    agreed: Agreed,
    output: Vec<u8>,
}

enum Stage {
    Opening(Opening),
    Open(Session),
    Over,
}

impl Protocol {
    /// A server's end: awaits a request, for whatever path and from whatever page. Who may come is for the
    /// caller to decide at [`Event::Opened`].
    ///
    /// # Errors
    /// [`Error::Config`] for a limit that cannot be.
    pub fn server(limits: Limits, now: Instant) -> Result<Self> {
        limits.check()?;
        Ok(Self::opening(limits, None, Vec::new(), now))
    }

    /// A client's end. The request is in the output at once; to what address that goes, and by TLS or not, is
    /// the caller's. RFC 6455 §4.1
    ///
    /// # Errors
    /// [`Error::Config`] when that is no `ws://` or `wss://` URL, and for a limit that cannot be.
    pub fn client(url: &str, limits: Limits, now: Instant) -> Result<Self> {
        limits.check()?;
        let target = Target::parse(url).map_err(Error::Config)?;
        Ok(Self::asking(&target, Arc::new(Wish::default()), limits, now))
    }

    /// A client's end that asks `target` for `wish`.
    fn asking(target: &Target, wish: Arc<Wish>, limits: Limits, now: Instant) -> Self {
        let key = key();
        let output = request(target, &wish, &key);
        let asked = Asked { wish, key, path: target.resource().into() };
        Self::opening(limits, Some(asked), output, now)
    }

    fn opening(limits: Limits, asked: Option<Asked>, output: Vec<u8>, now: Instant) -> Self {
        let masks = asked.as_ref().map(|_| Masks::default());
        let stage = Stage::Opening(Opening::new(asked, now));
        Self { limits, stage, masks, tls: None, codecs: None, agreed: Agreed::default(), output }
    }

    /// Takes bytes as they came from the peer, cut anywhere, and tells what came of them, in order: nothing
    /// once the connection is over.
    ///
    /// ```
    /// # use switchboard::{Limits, sansio::{Event, Protocol}};
    /// # let now = std::time::Instant::now();
    /// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
    /// # let mut server = Protocol::server(Limits::default(), now)?;
    /// # server.receive(&client.output(), now);
    /// # client.receive(&server.output(), now);
    /// client.send("hello")?;
    /// let bytes = client.output();
    /// assert_eq!(server.receive(&bytes[..7], now), []); // not the whole frame
    /// assert_eq!(server.receive(&bytes[7..], now), [Event::Message("hello".into())]);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Vec<Event> {
        match self.tls.as_mut().map(|tls| tls.receive(bytes)) {
            None => self.receive_plain(bytes.to_vec(), now),
            Some(Ok(plain)) => self.receive_plain(plain, now),
            Some(Err(error)) => self.unsealed(&error),
        }
    }

    fn receive_plain(&mut self, mut bytes: Vec<u8>, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if let Stage::Opening(opening) = &mut self.stage {
            match opening.receive(&bytes, &self.limits, &mut self.output) {
                Ok(None) => return events,
                Ok(Some(opened)) => {
                    self.agreed = opened.agreed;
                    let role = if self.masks.is_some() { Role::Client } else { Role::Server };
                    self.stage = Stage::Open(Session::new(role, &self.limits, self.inflate(), now));
                    events.push(Event::Opened { path: opened.path });
                    bytes = opened.rest;
                }
                Err(failed) => {
                    self.stage = Stage::Over;
                    return vec![failed];
                }
            }
        }
        self.drive(&mut events, |session, out| session.receive(&mut bytes, now, out));
        events
    }

    /// The peer's bytes have ended. Without a closing handshake that is [`Event::Closed`] with 1006; `None`:
    /// the connection had ended before.
    ///
    /// ```
    /// # use switchboard::{Limits, sansio::{Event, Protocol}};
    /// # let now = std::time::Instant::now();
    /// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
    /// # let mut server = Protocol::server(Limits::default(), now)?;
    /// # server.receive(&client.output(), now);
    /// # client.receive(&server.output(), now);
    /// assert_eq!(server.receive_eof(), Some(Event::Closed { code: 1006, reason: "".into() }));
    /// assert_eq!(server.receive_eof(), None);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn receive_eof(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => None,
            Stage::Opening(_) | Stage::Open(_) => Some(Event::Closed { code: 1006, reason: String::new() }),
        }
    }

    /// Does what is due by now: a ping, or the end of a peer that is silent, or does not answer a Close
    /// frame. Nothing, when it is called too early.
    ///
    /// ```
    /// # use switchboard::{Limits, sansio::{Event, Protocol}};
    /// # let now = std::time::Instant::now();
    /// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
    /// # let mut server = Protocol::server(Limits::default(), now)?;
    /// # server.receive(&client.output(), now);
    /// # client.receive(&server.output(), now);
    /// let due = server.next_deadline().unwrap();
    /// assert_eq!(due, now + Limits::default().ping_interval);
    /// assert_eq!(server.tick(due), []);
    /// assert_eq!(server.output(), [0x89, 0]); // a ping
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn tick(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if let Stage::Opening(_) = &self.stage
            && self.next_deadline().is_some_and(|deadline| deadline <= now)
        {
            self.stage = Stage::Over;
            return vec![Event::Failed { code: 408, reason: "the handshake did not arrive in time".into() }];
        }
        self.drive(&mut events, |session, out| session.tick(now, out));
        events
    }

    /// When [`Protocol::tick`] has something to do; each of the other methods may change it. `None` once the
    /// connection is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Opening(opening) => Some(opening.since + self.limits.head_deadline),
            Stage::Open(session) => session.next_deadline(),
            Stage::Over => None,
        }
    }

    /// Sends a text or binary message: puts its frame into the output, which is not bounded here.
    ///
    /// # Errors
    /// [`Error::Closed`] before the connection is open, and after a Close frame; [`Error::Config`] for a
    /// message that is neither text nor binary.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        let (opcode, payload) = data_of(&message)?;
        match &self.stage {
            Stage::Open(session) if session.is_open() => {
                self.put_data(opcode, payload);
                Ok(())
            }
            _ => Err(Error::Closed),
        }
    }

    /// Starts the closing handshake, with the codes and reasons of
    /// [`WebSocket::close`](crate::WebSocket::close). What the peer sends before its answer is still
    /// received. Does nothing before the connection is open, and after a Close frame. RFC 6455 §7.1.2
    pub fn close(&mut self, code: u16, reason: &str, now: Instant) {
        if let Stage::Open(session) = &mut self.stage
            && session.close(now)
        {
            self.put(frame::CLOSE, &frame::close_payload(close_code(code), reason));
        }
    }

    /// The bytes to be sent to the peer, all that have come up since the last call. They are given once.
    #[must_use]
    pub fn output(&mut self) -> Vec<u8> {
        let (plain, is_over) = (take(&mut self.output), self.is_over());
        match &mut self.tls {
            Some(tls) => tls.send(&plain, is_over),
            None => plain,
        }
    }

    /// The subprotocol that the server chose, of those that a client offered. RFC 6455 §1.9
    pub fn subprotocol(&self) -> Option<&str> {
        self.agreed.subprotocol.as_deref()
    }

    /// Whether permessage-deflate was agreed on. RFC 7692
    pub fn is_compressed(&self) -> bool {
        self.agreed.deflate.is_some()
    }

    /// Whether nothing more will come: once the output is written, the transport can be closed. RFC 6455
    /// §7.1.1
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// There when permessage-deflate was agreed on.
    fn inflate(&self) -> Option<Box<dyn Inflate>> {
        let codecs = self.agreed.deflate.and(self.codecs.clone())?;
        Some(Box::new(SharedInflate(codecs)))
    }

    /// The peer's TLS is broken, or it is not the peer that we trust; the output has an alert that says so.
    fn unsealed(&mut self, error: &std::io::Error) -> Vec<Event> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        self.output.clear();
        match stage {
            Stage::Opening(_) => vec![Event::Failed { code: 0, reason: format!("TLS: {error}") }],
            Stage::Open(_) => vec![Event::Closed { code: 1006, reason: String::new() }],
            Stage::Over => Vec::new(),
        }
    }

    fn drive(&mut self, events: &mut Vec<Event>, step: impl FnOnce(&mut Session, &mut Vec<session::Event>)) {
        let Stage::Open(session) = &mut self.stage else { return };
        let mut happened = Vec::new();
        step(session, &mut happened);
        for event in happened {
            events.push(match event {
                session::Event::Send(opcode, payload) => {
                    self.put(opcode, &payload);
                    continue;
                }
                session::Event::Message(message) => Event::Message(message),
                session::Event::Pong(after) => Event::Pong(after),
                session::Event::Ended(ending) => {
                    self.stage = Stage::Over;
                    ending.into()
                }
            });
        }
    }

    fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = self.masks.as_ref().map(Masks::key);
        Outgoing::new(opcode, payload).encode_into(&mut self.output, mask);
    }

    /// A data frame, compressed if that was agreed on and is worth it.
    fn put_data(&mut self, opcode: OpCode, payload: &[u8]) {
        let codecs = self.agreed.deflate.zip(self.codecs.as_ref());
        match codecs.and_then(|(agreed, codecs)| codecs.deflate(payload, agreed.our_window_bits)) {
            None => self.put(opcode, payload),
            Some(compressed) => {
                let mask = self.masks.as_ref().map(Masks::key);
                Outgoing::compressed(opcode, &compressed).encode_into(&mut self.output, mask);
            }
        }
    }
}

#[cfg(test)]
mod tests;
