//! One connection: a socket that does not block, and the protocol on it.

use rustix::io::Errno;
use socket2::{Domain, Protocol as Transport, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use switchboard::Message;
use switchboard::sansio::{Endpoint, Event, Protocol};

/// Bytes that a client which reads nothing lets the kernel hold; the kernel has a minimum of its own.
const NARROW: usize = 4096;

pub(super) struct Connection {
    socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) stage: Stage,
    /// From when its opening counts.
    pub(super) began: Instant,
    out: Vec<u8>,
    written: usize,
    /// How it ended, until TCP has ended too.
    pub(super) end: Option<(End, Instant)>,
    pub(super) is_paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP.
    Connecting,
    /// TLS and handshake.
    Opening,
    Open,
}

/// How a connection ended, or why it did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Unreachable(io::ErrorKind, String),
    /// Answered with that HTTP status, and what the server says about it.
    Refused(u16, String),
    /// Neither open nor refused.
    Misunderstood(String),
    /// The server's close code and reason; 1006: no Close frame came.
    Closed(u16, String),
    /// The server broke the protocol, or was silent.
    Failed(u16, String),
}

/// What came of reading once.
pub(super) enum Reading {
    /// What so many bytes brought.
    Events(Vec<Event>, usize),
    /// Nothing is left at present.
    Blocked,
    /// The peer's bytes have ended.
    Ended,
}

impl Connection {
    /// Begins to connect. `narrow`: for one that will read nothing.
    pub(super) fn start(
        endpoint: &Endpoint,
        address: SocketAddr,
        narrow: bool,
        began: Instant,
        now: Instant,
    ) -> Result<Self, End> {
        let protocol = endpoint.protocol(now).map_err(|error| End::Misunderstood(error.to_string()))?;
        let unreachable = |error: io::Error| End::Unreachable(error.kind(), error.to_string());
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket =
            Socket::new(Domain::for_address(address), kind, Some(Transport::TCP)).map_err(unreachable)?;
        socket.set_tcp_nodelay(true).map_err(unreachable)?;
        if narrow {
            socket.set_recv_buffer_size(NARROW).map_err(unreachable)?;
        }
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(unreachable(error)),
        }
        Ok(Self {
            socket,
            protocol,
            stage: Stage::Connecting,
            began,
            out: Vec::new(),
            written: 0,
            end: None,
            is_paused: false,
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket is writable, or broken: TCP has come about, or has not.
    pub(super) fn connected(&mut self) -> Result<(), End> {
        match self.socket.take_error() {
            Ok(None) => {
                self.stage = Stage::Opening;
                Ok(())
            }
            Ok(Some(error)) | Err(error) => Err(End::Unreachable(error.kind(), error.to_string())),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> (Reading, Instant) {
        let read = (&self.socket).read(buffer);
        let now = Instant::now();
        let reading = match read {
            Ok(0) => Reading::Ended,
            Ok(size) => Reading::Events(self.protocol.receive(&buffer[..size], now), size),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reading::Blocked,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Reading::Events(Vec::new(), buffer.len())
            }
            // A reset: what it says, 1006 says too.
            Err(_) => Reading::Ended,
        };
        (reading, now)
    }

    /// How it ended, by an event that says so.
    pub(super) fn end_of(&self, event: Event) -> Option<End> {
        match event {
            Event::Failed { code, reason } if self.stage != Stage::Open && code != 0 && code != 408 => {
                Some(End::Refused(code, reason))
            }
            Event::Failed { reason, .. } if self.stage != Stage::Open => Some(End::Misunderstood(reason)),
            Event::Closed { .. } if self.stage != Stage::Open => {
                Some(End::Misunderstood("the server ended the connection without an answer".into()))
            }
            Event::Failed { code, reason } => Some(End::Failed(code, reason)),
            Event::Closed { code, reason } => Some(End::Closed(code, reason)),
            _ => None,
        }
    }

    /// Writes what waits, as far as the socket takes it. What it does not take is written when it is writable.
    pub(super) fn flush(&mut self) {
        if self.stage == Stage::Connecting {
            return;
        }
        let fresh = self.protocol.output();
        if self.out.is_empty() {
            self.out = fresh;
        } else {
            self.out.extend_from_slice(&fresh);
        }
        while self.written < self.out.len() {
            match (&self.socket).write(&self.out[self.written..]) {
                Ok(size) => self.written += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whatever is wrong with the connection, reading tells.
                Err(_) => return,
            }
        }
        (self.out, self.written) = (Vec::new(), 0);
    }

    /// Writes a message down to its middle.
    pub(super) fn tear(&mut self, message: Message) {
        self.flush();
        if self.protocol.send(message).is_ok() {
            let frame = self.protocol.output();
            self.out.extend_from_slice(&frame[..frame.len() / 2]);
            self.flush();
        }
    }

    /// Bytes that the socket has not taken yet.
    pub(super) fn backlog(&self) -> usize {
        self.out.len() - self.written
    }

    /// Makes the end of it a reset: as if the network were gone.
    pub(super) fn cut(&self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

impl End {
    /// The server goes away in order, as for a restart: who was there may come back.
    pub(super) fn is_going_away(&self) -> bool {
        match self {
            Self::Closed(code, _) => [1001, 1012].contains(code),
            Self::Refused(503, body) => body.contains("going away"),
            _ => false,
        }
    }

    /// For a person, as the reason of a failure.
    pub(super) fn text(&self) -> String {
        let with = |what: String, reason: &str| {
            let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
            if reason.is_empty() { what } else { format!("{what}: {reason}") }
        };
        match self {
            Self::Unreachable(_, what) => format!("cannot connect: {what}"),
            Self::Refused(status, body) => with(format!("refused with HTTP status {status}"), body),
            Self::Misunderstood(what) => with("the handshake failed".into(), what),
            Self::Closed(1006, _) => "ended without a Close frame (1006)".into(),
            Self::Closed(code, reason) => with(format!("closed with {code}"), reason),
            Self::Failed(code, reason) => with(format!("failed with {code}"), reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_one_line() {
        for (end, text) in [
            (End::Refused(503, "all in use".into()), "refused with HTTP status 503: all in use"),
            (End::Refused(404, String::new()), "refused with HTTP status 404"),
            (End::Closed(1013, "slow\u{1b}[2J\nx".into()), "closed with 1013: slow[2Jx"),
            (End::Closed(1006, String::new()), "ended without a Close frame (1006)"),
            (End::Failed(1011, "silent".into()), "failed with 1011: silent"),
        ] {
            assert_eq!(end.text(), text);
        }
    }
}
