//! The protocol without a socket: bytes and the time in, events and bytes out.
//!
//! For a transport of one's own, for tests, and to see what a WebSocket is when nothing else is in the way.
//! It is the same code that the server and the client of this crate run on. Compression is not negotiated
//! here.
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

use crate::client::key;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::net::masks::Masks;
use crate::sender::{close_code, data_of};
use crate::wire::frame::{self, Outgoing, Role};
use crate::wire::handshake::{self, Origins, Policy};
use crate::wire::http::{Refusal, encode_response, parse_head};
use crate::wire::opening::{Declined, Target, Wish, read_answer, request};
use crate::wire::session::{self, Ending, Session};
use std::mem::take;
use std::time::{Duration, Instant};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::OpCode;

/// What came of bytes received or of time passed.
///
/// ```
/// # use switchboard::{Limits, sansio::{Event, Protocol}};
/// # let now = std::time::Instant::now();
/// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
/// # let mut server = Protocol::server(Limits::default(), now)?;
/// # server.receive(&client.output(), now);
/// # client.receive(&server.output(), now);
/// client.send("hello")?;
/// # let bytes = client.output();
/// for event in server.receive(&bytes, now) {
///     match event {
///         Event::Message(message) => server.send(message)?, // an echo
///         Event::Closed { code, reason } => println!("gone: {code} {reason}"),
///         _ => {}
///     }
/// }
/// assert_eq!(client.receive(&server.output(), now), [Event::Message("hello".into())]);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The opening handshake is done. RFC 6455 §4
    Opened {
        /// Path and query of the request, percent-encoded.
        path: String,
    },
    /// A text or binary message. Pings are no event: the output has the pong.
    Message(Message),
    /// A pong came: the answer to a ping, after this time, or unasked for. RFC 6455 §5.5.3
    Pong(Option<Duration>),
    /// The connection has ended, by the closing handshake or without one. RFC 6455 §7.1.5
    Closed {
        /// The peer's code: 1005 when its Close frame had none, 1006 when there was no Close frame.
        code: u16,
        /// The peer's reason; may be empty.
        reason: String,
    },
    /// The connection has ended by the peer's fault; what has to be said to it is in the output. RFC 6455
    /// §7.1.7
    Failed {
        /// Our close code. Before the connection was open: the status of the HTTP answer, ours or the peer's;
        /// 0 when what answered is no WebSocket server.
        code: u16,
        /// What was wrong.
        reason: String,
    },
}

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
    output: Vec<u8>,
}

enum Stage {
    Opening(Opening),
    Open(Session),
    Over,
}

struct Opening {
    since: Instant,
    input: Vec<u8>,
    /// A client's request.
    asked: Option<Asked>,
}

struct Asked {
    wish: Wish,
    key: String,
    path: String,
}

impl Protocol {
    /// A server's end: awaits a request, for whatever path and from whatever page. Who may come is for the
    /// caller to decide at [`Event::Opened`].
    ///
    /// # Errors
    /// [`Error::Config`] for a limit that cannot be.
    pub fn server(limits: Limits, now: Instant) -> Result<Self> {
        limits.check()?;
        let opening = Opening { since: now, input: Vec::new(), asked: None };
        Ok(Self { limits, stage: Stage::Opening(opening), masks: None, output: Vec::new() })
    }

    /// A client's end. The request is in the output at once; to what address that goes, and by TLS or not, is
    /// the caller's. RFC 6455 §4.1
    ///
    /// # Errors
    /// [`Error::Config`] when that is no `ws://` or `wss://` URL, and for a limit that cannot be.
    pub fn client(url: &str, limits: Limits, now: Instant) -> Result<Self> {
        limits.check()?;
        let target = Target::parse(url).map_err(Error::Config)?;
        let wish = Wish { headers: Vec::new(), subprotocols: Vec::new(), compression: false };
        let key = key();
        let output = request(&target, &wish, &key);
        let asked = Some(Asked { wish, key, path: target.resource().into() });
        let opening = Opening { since: now, input: Vec::new(), asked };
        Ok(Self { limits, stage: Stage::Opening(opening), masks: Some(Masks::default()), output })
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
        let mut events = Vec::new();
        let mut bytes = bytes.to_vec();
        if let Stage::Opening(opening) = &mut self.stage {
            opening.input.extend_from_slice(&bytes);
            let opened = match &opening.asked {
                Some(asked) => answered(opening, asked, &self.limits),
                None => self.output_of_request(),
            };
            match opened {
                Ok(None) => return events,
                Ok(Some((path, rest))) => {
                    let role = if self.masks.is_some() { Role::Client } else { Role::Server };
                    self.stage = Stage::Open(Session::new(role, &self.limits, None, now));
                    events.push(Event::Opened { path });
                    bytes = rest;
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
                self.put(opcode, payload);
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
        take(&mut self.output)
    }

    /// Whether nothing more will come: once the output is written, the transport can be closed. RFC 6455
    /// §7.1.1
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// The 101 or the refusal goes to the output. What comes behind the request is given back, with its path.
    fn output_of_request(&mut self) -> std::result::Result<Option<(String, Vec<u8>)>, Event> {
        let Stage::Opening(opening) = &mut self.stage else { return Ok(None) };
        let policy = Policy { origins: Origins::Any, compression: false, ..Policy::default() };
        let accepted = parse_head(&opening.input, &self.limits).and_then(|parsed| {
            let Some((request, size)) = parsed else { return Ok(None) };
            let accepted = handshake::accept(&request, &policy)?;
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_string();
            Ok(Some((accepted.response, path, size)))
        });
        match accepted {
            Ok(None) => Ok(None),
            Ok(Some((response, path, size))) => {
                self.output.extend(handshake::encode_switch(&response));
                Ok(Some((path, opening.input.split_off(size))))
            }
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Event {
        let (code, reason) = (refusal.status.as_u16(), refusal.reason.to_string());
        self.output.extend_from_slice(&encode_response(&refusal.into_response(), false));
        Event::Failed { code, reason }
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
                    ended(ending)
                }
            });
        }
    }

    fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = self.masks.as_ref().map(Masks::key);
        Outgoing::new(opcode, payload).encode_into(&mut self.output, mask);
    }
}

/// The path that was asked for and what comes behind the answer.
fn answered(
    opening: &Opening,
    asked: &Asked,
    limits: &Limits,
) -> std::result::Result<Option<(String, Vec<u8>)>, Event> {
    match read_answer(&opening.input, &asked.wish, &asked.key, limits.head, limits.headers) {
        Ok(None) => Ok(None),
        Ok(Some((_, size))) => Ok(Some((asked.path.clone(), opening.input[size..].to_vec()))),
        Err(Declined::Status { status, .. }) => {
            Err(Event::Failed { code: status, reason: "the server refuses".into() })
        }
        Err(Declined::Wrong(reason)) => Err(Event::Failed { code: 0, reason }),
    }
}

fn ended(ending: Ending) -> Event {
    match ending {
        Ending::Closed(Some(frame)) => {
            Event::Closed { code: frame.code.into(), reason: frame.reason.to_string() }
        }
        Ending::Closed(None) => Event::Closed { code: 1005, reason: String::new() },
        Ending::CloseIgnored => Event::Closed { code: 1006, reason: String::new() },
        Ending::Violated(violation) => {
            Event::Failed { code: violation.code.into(), reason: violation.reason.into() }
        }
        Ending::Silent => Event::Failed { code: 1011, reason: "keepalive ping timeout".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Protocol, Protocol, Instant) {
        let now = Instant::now();
        let mut client = Protocol::client("ws://h/p?q", Limits::default(), now).unwrap();
        let mut server = Protocol::server(Limits::default(), now).unwrap();
        let opened = [Event::Opened { path: "/p?q".into() }];
        // A byte at a time: cut anywhere.
        let events: Vec<Event> =
            client.output().iter().flat_map(|byte| server.receive(&[*byte], now)).collect();
        assert_eq!(events, opened);
        let events: Vec<Event> =
            server.output().iter().flat_map(|byte| client.receive(&[*byte], now)).collect();
        assert_eq!(events, opened);
        (client, server, now)
    }

    #[test]
    fn two_ends_talk_and_part() {
        let (mut client, mut server, now) = pair();
        client.send("from the client").unwrap();
        client.send(Message::binary(vec![7; 70_000])).unwrap();
        let sent = client.output();
        assert_eq!(sent[1], 0x80 | 15, "a client masks");
        let got: Vec<Event> = sent.chunks(999).flat_map(|part| server.receive(part, now)).collect();
        let expected = [Message::text("from the client"), Message::binary(vec![7; 70_000])];
        assert_eq!(got, expected.map(Event::Message));
        server.close(1000, "done", now);
        assert!(matches!(server.send("late"), Err(Error::Closed)));
        let closed = |reason: &str| [Event::Closed { code: 1000, reason: reason.into() }];
        assert_eq!(client.receive(&server.output(), now), closed("done"));
        assert_eq!(server.receive(&client.output(), now), closed(""));
        assert!(client.is_over() && server.is_over() && server.receive_eof().is_none());
        assert_eq!((server.next_deadline(), server.tick(now)), (None, vec![]));
    }

    #[test]
    fn frames_may_come_with_the_handshake() {
        let now = Instant::now();
        let mut client = Protocol::client("ws://h/", Limits::default(), now).unwrap();
        let mut server = Protocol::server(Limits::default(), now).unwrap();
        server.receive(&client.output(), now);
        server.send("at once").unwrap();
        let events = client.receive(&server.output(), now);
        assert_eq!(events, [Event::Opened { path: "/".into() }, Event::Message(Message::text("at once"))]);
    }

    #[test]
    fn time_brings_pings_and_the_end_of_the_silent() {
        let (mut client, mut server, now) = pair();
        let limits = Limits::default();
        assert_eq!(server.next_deadline(), Some(now + limits.ping_interval));
        let later = now + limits.ping_interval;
        assert_eq!(server.tick(later), []);
        assert_eq!(client.receive(&server.output(), later), []);
        assert_eq!(server.receive(&client.output(), later), [Event::Pong(Some(Duration::ZERO))]);
        let (ping, end) = (later + limits.ping_interval, later + limits.ping_interval + limits.ping_timeout);
        assert_eq!(server.tick(ping), []);
        let silent = Event::Failed { code: 1011, reason: "keepalive ping timeout".into() };
        assert_eq!(server.tick(end), [silent]);
        assert!(server.is_over() && !server.output().is_empty());
    }

    #[test]
    fn wrong_handshakes_end_with_an_answer() {
        let now = Instant::now();
        let mut server = Protocol::server(Limits::default(), now).unwrap();
        let events = server.receive(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", now);
        assert!(matches!(&events[..], [Event::Failed { code: 426, .. }]), "{events:?}");
        assert!(server.output().starts_with(b"HTTP/1.1 426 ") && server.is_over());
        let mut client = Protocol::client("ws://h/", Limits::default(), now).unwrap();
        let events = client.receive(b"HTTP/1.1 503 Busy\r\n\r\n", now);
        assert!(matches!(&events[..], [Event::Failed { code: 503, .. }]), "{events:?}");
        let mut late = Protocol::server(Limits::default(), now).unwrap();
        let events = late.tick(late.next_deadline().unwrap());
        assert!(matches!(&events[..], [Event::Failed { code: 408, .. }]), "{events:?}");
        assert!(Protocol::client("http:/x", Limits::default(), now).is_err());
        let mut gone = Protocol::server(Limits::default(), now).unwrap();
        assert_eq!(gone.receive_eof(), Some(Event::Closed { code: 1006, reason: String::new() }));
    }
}
