//! What sends messages to one peer: the part that server and client share.

use crate::error::{Error, Result};
use crate::net::outbox::Outbox;
use crate::wire::frame;
use std::sync::{Arc, Weak};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{CloseCode, OpCode};

/// Sends to one peer from any thread. Clones are for the same peer; it holds nothing open.
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

    /// Sends a message; blocks while the peer's outbox is full.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        send_message(&self.outbox()?, &message.into(), false)
    }

    /// Sends a message, or gives up at once.
    ///
    /// # Errors
    /// [`Error::Full`] when the outbox has no room, [`Error::Closed`] as for [`Sender::send`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        let (opcode, payload) = data_of(&message)?;
        self.outbox()?.try_send(opcode, payload)
    }

    /// Starts the closing handshake behind what waits to be sent; the same rules as for
    /// [`WebSocket::close`](crate::WebSocket::close). Does not block;
    /// whoever receives gets `None` once the peer has answered, or at the close deadline.
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
    let code = CloseCode::from(code);
    if code.is_allowed() { code } else { CloseCode::Error }
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
