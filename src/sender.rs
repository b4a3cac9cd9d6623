//! What sends messages to one peer: the part that server and client share.

use crate::error::{Error, Result};
use crate::net::outbox::Outbox;
use crate::wire::frame;
use std::sync::{Arc, Weak};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{CloseCode, OpCode};

/// Sends to one peer from any thread, while the connection's own receives. Costs nothing to clone; clones are
/// for the same peer. It holds nothing open: once the connection has ended, sending fails.
///
/// ```
/// use std::thread;
/// use switchboard::{Result, Server, WebSocket};
///
/// fn count(mut ws: WebSocket) -> Result<()> {
///     let sender = ws.sender();
///     thread::spawn(move || (1..=3).try_for_each(|n| sender.send(n.to_string())));
///     while ws.recv()?.is_some() {} // pings are answered meanwhile
///     Ok(())
/// }
///
/// let server = Server::builder().route("/count", count).bind("127.0.0.1:0")?.start()?;
/// let client = server.connect("/count")?;
/// let numbers: Vec<String> = client.take(3).map(|message| message.to_string()).collect();
/// assert_eq!(numbers, ["1", "2", "3"]);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Sender {
    /// Whoever holds senders of connections that have ended would hold their sockets, too.
    outbox: Weak<Outbox>,
}

impl Sender {
    pub(crate) fn new(outbox: &Arc<Outbox>) -> Self {
        Self { outbox: Arc::downgrade(outbox) }
    }

    fn outbox(&self) -> Result<Arc<Outbox>> {
        self.outbox.upgrade().ok_or(Error::Closed)
    }

    /// Sends a message; blocks while the peer's outbox is full ([`Limits::outbox`](crate::Limits::outbox)).
    /// That ends: a peer that takes nothing for [`Limits::write_deadline`](crate::Limits::write_deadline) is
    /// closed.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way; [`Error::Config`] for
    /// a message other than text, binary, or a ping of at most 125 bytes.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        send_message(&self.outbox()?, &message.into(), false)
    }

    /// Sends a text or binary message, or gives up at once.
    ///
    /// ```
    /// # use switchboard::{Error, Server};
    /// # let (tell, told) = std::sync::mpsc::channel();
    /// # let server = Server::builder().compression(false).route("/", move |mut ws| {
    /// #     let _ = tell.send(ws.sender());
    /// #     ws.recv().map(drop)
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let client = server.connect("/")?;
    /// # let sender = told.recv().unwrap();
    /// // The client receives nothing: soon the kernel's buffers and the outbox are full.
    /// let refused = std::iter::repeat_with(|| sender.try_send(vec![0; 100_000])).find_map(Result::err);
    /// assert!(matches!(refused, Some(Error::Full)));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Full`] when the outbox has no room; [`Error::Closed`] as for [`Sender::send`];
    /// [`Error::Config`] for a message that is neither text nor binary.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        let (opcode, payload) = data_of(&message)?;
        self.outbox()?.try_send(opcode, payload)
    }

    /// Starts the closing handshake behind what waits to be sent, with the codes and reasons of
    /// [`WebSocket::close`](crate::WebSocket::close). Does not block; whoever receives gets `None` once the
    /// peer has answered, or when [`Limits::close_deadline`](crate::Limits::close_deadline) has passed (for a
    /// [`Client`](crate::Client) its default, 5 s). RFC 6455 §7.1.2
    pub fn close(&self, code: u16, reason: &str) {
        if let Ok(outbox) = self.outbox() {
            outbox.close_aside(&frame::close_payload(close_code(code), reason));
        }
    }
}

/// For a handler or a client: see [`WebSocket::send`].
pub(crate) fn send_message(outbox: &Arc<Outbox>, message: &Message, more: bool) -> Result<()> {
    match message {
        Message::Ping(payload) if payload.len() <= frame::CONTROL_MAX => {
            outbox.send_control(frame::PING, payload, more);
            Ok(())
        }
        _ => {
            let (opcode, payload) = data_of(message)?;
            outbox.send(opcode, payload, more)
        }
    }
}

/// A code that may be sent; 1011 in place of one that may not. RFC 6455 §7.4
pub(crate) fn close_code(code: u16) -> CloseCode {
    frame::valid_close_code(code).unwrap_or(CloseCode::Error)
}

/// Opcode and payload of a text or binary message; the others are not a handler's to send.
pub(crate) fn data_of(message: &Message) -> Result<(OpCode, &[u8])> {
    match message {
        Message::Text(text) => Ok((frame::TEXT, text.as_bytes())),
        Message::Binary(binary) => Ok((frame::BINARY, binary)),
        Message::Close(_) => {
            Err(Error::Config("to close a connection, call `close` instead of sending a Close".into()))
        }
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
            Err(Error::Config("only text, binary, and pings of at most 125 bytes can be sent".into()))
        }
    }
}
