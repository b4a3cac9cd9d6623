//! One connection's protocol state: bytes and the present moment in, events out. RFC 6455 §5.4, §5.5, §7.
//!
//! Owns the order of frames, the close handshake and the ping clock. Sends nothing itself: what must go out is an
//! event ([`Event::Send`]); the driver encodes and writes it.

use super::deflate::Inflate;
use super::frame::{self, Role, Violation, apply_mask, check_header};
use super::message::{Assembler, Format, Kind};
use crate::limits::{LONGEST, Limits, SHORTEST};
use std::io::Cursor;
use std::time::{Duration, Instant};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::{Bytes, Message};

/// What came of the bytes received or of the time passed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A text or binary message.
    Message(Message),
    /// A control frame to be sent: a pong, a ping, a Close.
    Send(OpCode, Bytes),
    /// A pong came: of a ping that took this long, or unasked for.
    Pong(Option<Duration>),
    /// Nothing more will come. Whatever had to be sent has been asked for before.
    Ended(Ending),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer's Close frame: its answer to ours, or the first one, which has been answered.
    Closed(Option<CloseFrame>),
    /// The peer broke the protocol.
    Violated(Violation),
    /// The peer was silent for longer than the ping interval and timeout.
    Silent,
    /// The peer did not answer our Close in time.
    CloseIgnored,
}

/// The state of the close handshake. RFC 6455 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our Close is out, the peer's is awaited.
    CloseSent(Instant),
    Over,
}

/// The data or control frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: Option<[u8; 4]>,
    length: u64,
    seen: u64,
}

/// See the module.
pub(crate) struct Session {
    role: Role,
    phase: Phase,
    message: Assembler,
    /// A header that came in pieces.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// Payload of a control frame that came in pieces.
    control: Vec<u8>,
    ping_interval: Duration,
    ping_timeout: Duration,
    close_deadline: Duration,
    last_heard: Instant,
    ping_sent: Option<Instant>,
}

impl Session {
    /// `inflate`: there when permessage-deflate was agreed on.
    pub(crate) fn new(role: Role, limits: &Limits, inflate: Option<Box<dyn Inflate>>, now: Instant) -> Self {
        Self {
            role,
            phase: Phase::Open,
            message: Assembler::new(limits.message, limits.fragments, inflate),
            header: Vec::new(),
            frame: None,
            control: Vec::new(),
            ping_interval: limits.ping_interval,
            ping_timeout: limits.ping_timeout,
            close_deadline: limits.close_deadline,
            last_heard: now,
            ping_sent: None,
        }
    }

    /// Takes bytes as they came from the peer, cut anywhere; unmasks them in place.
    pub(crate) fn receive(&mut self, mut bytes: &mut [u8], now: Instant, out: &mut Vec<Event>) {
        self.last_heard = now;
        while !bytes.is_empty() && self.phase != Phase::Over {
            bytes = match self.step(bytes, now, out) {
                Ok(rest) => rest,
                Err(violation) => return self.fail(violation, self.is_open(), out),
            };
        }
    }

    /// What is due by now: a ping, or the end.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Event>) {
        match self.next_deadline() {
            Some(deadline) if deadline <= now => {}
            _ => return,
        }
        if self.phase != Phase::Open {
            self.end(Ending::CloseIgnored, out);
        } else if self.unheard_ping().is_some() {
            out.push(close_event(CloseCode::Error, "keepalive ping timeout"));
            self.end(Ending::Silent, out);
        } else {
            self.ping_sent = Some(now);
            out.push(Event::Send(frame::PING, Bytes::new()));
        }
    }

    /// When [`Session::tick`] has something to do; `None` once the session is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Over => None,
            Phase::CloseSent(at) => Some(at + self.close_deadline),
            Phase::Open => Some(match self.unheard_ping() {
                Some(sent) => sent + self.ping_timeout,
                None => self.last_heard + self.ping_interval,
            }),
        }
    }

    /// When the ping was sent since which nothing was heard. Any byte counts as life, a pong or not.
    fn unheard_ping(&self) -> Option<Instant> {
        self.ping_sent.filter(|sent| *sent >= self.last_heard)
    }

    /// Other times for the ping clock, as short as [`SHORTEST`] and as long as [`LONGEST`] at most.
    pub(crate) fn set_keepalive(&mut self, interval: Duration, timeout: Duration) {
        self.ping_interval = interval.clamp(SHORTEST, LONGEST);
        self.ping_timeout = timeout.clamp(SHORTEST, LONGEST);
    }

    /// Whether messages may still be sent: no Close frame has gone either way.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether nothing more will come of what is received.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Starts the close handshake: `true` when a Close frame must be sent now, `false` when one was sent before.
    pub(crate) fn close(&mut self, now: Instant) -> bool {
        let first = self.phase == Phase::Open;
        if first {
            self.phase = Phase::CloseSent(now);
        }
        first
    }

    /// One frame, or as much of it as there is. Returns the bytes behind it.
    fn step<'a>(
        &mut self,
        bytes: &'a mut [u8],
        now: Instant,
        out: &mut Vec<Event>,
    ) -> Result<&'a mut [u8], Violation> {
        let Some(current) = self.frame else {
            let Some((header, length, used)) = self.read_header(bytes)? else { return Ok(&mut []) };
            return self.begin(&header, length, &mut bytes[used..], now, out);
        };
        let left = usize::try_from(current.length - current.seen).unwrap_or(usize::MAX);
        let (part, rest) = bytes.split_at_mut(left.min(bytes.len()));
        self.payload(current, part, now, out)?;
        Ok(rest)
    }

    /// The header at the start of `bytes`, its payload's length, and how many of `bytes` it took.
    fn read_header(&mut self, bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Violation> {
        if self.header.is_empty() {
            if let Some((header, length, size)) = parse_header(bytes)? {
                return Ok(Some((header, length, size)));
            }
            self.header.extend_from_slice(bytes);
            return Ok(None);
        }
        let held = self.header.len();
        let more = bytes.len().min(frame::HEADER_MAX - held);
        self.header.extend_from_slice(&bytes[..more]);
        let Some((header, length, size)) = parse_header(&self.header)? else { return Ok(None) };
        self.header.clear();
        Ok(Some((header, length, size - held)))
    }

    fn begin<'a>(
        &mut self,
        header: &FrameHeader,
        length: u64,
        bytes: &'a mut [u8],
        now: Instant,
        out: &mut Vec<Event>,
    ) -> Result<&'a mut [u8], Violation> {
        check_header(header, length, self.role, self.message.takes_compressed())?;
        let frame =
            Frame { opcode: header.opcode, is_final: header.is_final, mask: header.mask, length, seen: 0 };
        let whole = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
        if let (Some(length), true, Some(kind)) = (whole, frame.is_final, kind(header)) {
            let (payload, rest) = bytes.split_at_mut(length);
            if let Some(mask) = frame.mask {
                apply_mask(payload, mask, 0);
            }
            out.push(Event::Message(self.message.whole(kind, payload)?));
            return Ok(rest);
        }
        match frame.opcode {
            OpCode::Data(Data::Continue) => self.message.proceed(length)?,
            OpCode::Control(_) => self.control.clear(),
            OpCode::Data(_) => {
                self.message.begin(kind(header).ok_or(RESERVED_OPCODE)?, length)?;
            }
        }
        self.frame = Some(frame);
        if length == 0 {
            self.payload(frame, &mut [], now, out)?;
        }
        Ok(bytes)
    }

    fn payload(
        &mut self,
        mut frame: Frame,
        part: &mut [u8],
        now: Instant,
        out: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        if let Some(mask) = frame.mask {
            apply_mask(part, mask, (frame.seen % 4) as usize);
        }
        frame.seen += part.len() as u64;
        let complete = frame.seen == frame.length;
        self.frame = (!complete).then_some(frame);
        match frame.opcode {
            OpCode::Control(control) => {
                self.control.extend_from_slice(part);
                if complete {
                    let payload = std::mem::take(&mut self.control);
                    self.control(control, payload, now, out)?;
                }
            }
            OpCode::Data(_) => {
                self.message.push(part)?;
                if complete && frame.is_final {
                    out.extend(self.message.finish()?.map(Event::Message));
                }
            }
        }
        Ok(())
    }

    fn control(
        &mut self,
        control: Control,
        payload: Vec<u8>,
        now: Instant,
        out: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        match control {
            // "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already
            // received a Close frame." RFC 6455 §5.5.2; after our own Close nothing is sent either, §5.5.1.
            Control::Ping if self.phase == Phase::Open => out.push(Event::Send(frame::PONG, payload.into())),
            Control::Ping => {}
            Control::Pong => out.push(Event::Pong(self.ping_sent.take().map(|sent| now - sent))),
            Control::Close => {
                let said = frame::parse_close(&payload)?;
                if self.phase == Phase::Open {
                    // The answer typically echoes the code. RFC 6455 §5.5.1.
                    let code = said.as_ref().map_or(CloseCode::Status, |frame| frame.code);
                    out.push(close_event(code, ""));
                }
                self.end(Ending::Closed(said), out);
            }
            // FrameHeader::parse refuses reserved opcodes.
            Control::Reserved(_) => return Err(RESERVED_OPCODE),
        }
        Ok(())
    }

    /// "Fail the WebSocket Connection": a Close that says why, then nothing more is read. RFC 6455 §7.1.7. `was_open`: no Close
    /// frame has gone out; whoever drops events may have dropped one that this counts as sent.
    pub(crate) fn fail(&mut self, violation: Violation, was_open: bool, out: &mut Vec<Event>) {
        if was_open {
            out.push(close_event(violation.code, violation.reason));
        }
        self.end(Ending::Violated(violation), out);
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<Event>) {
        self.phase = Phase::Over;
        out.push(Event::Ended(ending));
    }
}

const RESERVED_OPCODE: Violation = Violation::protocol("this opcode is reserved");

fn parse_header(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Violation> {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((header, length))) => Ok(Some((header, length, cursor.position() as usize))),
        Ok(None) => Ok(None),
        Err(_) => Err(RESERVED_OPCODE),
    }
}

/// What a frame that begins a message says of it.
fn kind(header: &FrameHeader) -> Option<Kind> {
    let format = match header.opcode {
        OpCode::Data(Data::Text) => Format::Text,
        OpCode::Data(Data::Binary) => Format::Binary,
        OpCode::Data(_) | OpCode::Control(_) => return None,
    };
    Some(Kind { format, compressed: header.rsv1 })
}

fn close_event(code: CloseCode, reason: &str) -> Event {
    Event::Send(OpCode::Control(Control::Close), frame::close_payload(code, reason).into())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
