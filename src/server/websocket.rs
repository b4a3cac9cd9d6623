//! What a handler holds: receive, send, rooms, close. And the sender that other threads hold.

use super::connection::{Connection, FAILED, Slot};
use super::events::Peer;
use super::handle::{Room, User, Via};
use super::identity::Identity;
use super::request::{Request, check_name};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::hub::{Command, Name, View};
use crate::limits::from_now;
use crate::sender::{Sender, close_code, send_message};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// An open WebSocket connection, as its handler sees it.
///
/// A handler is a plain function on a thread of the connection's own; it may block. When it returns, the connection is
/// closed: with 1000 if it returned `Ok`, with 1011 if it failed or panicked.
///
/// ```
/// use switchboard::{Result, WebSocket};
///
/// fn echo(mut ws: WebSocket) -> Result<()> {
///     while let Some(message) = ws.recv()? {
///         ws.send(message)?;
///     }
///     Ok(())
/// }
/// ```
///
/// Pings are answered, and sent, while the handler is inside one of the receiving methods; so a handler should come back
/// to them within the ping interval.
pub struct WebSocket {
    /// There until it is dropped.
    connection: Option<Box<Connection>>,
    slot: Arc<Mutex<Slot>>,
}

impl WebSocket {
    pub(crate) fn new(connection: Box<Connection>, slot: Arc<Mutex<Slot>>) -> Self {
        Self { connection: Some(connection), slot }
    }

    fn line(&self) -> &Connection {
        // Taken only by `drop`.
        self.connection.as_ref().expect("a WebSocket has its connection until it is dropped")
    }

    fn line_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a WebSocket has its connection until it is dropped")
    }

    /// The next text or binary message. Blocks until there is one.
    ///
    /// `None`: the connection has ended, by a Close frame of either side or because the peer is gone
    /// ([`WebSocket::closed`] tells which).
    ///
    /// # Errors
    /// [`Error::Violation`] when the peer broke the protocol, [`Error::Silent`] when it answered no ping. It has been
    /// sent a Close frame that says so.
    pub fn recv(&mut self) -> Result<Option<Message>> {
        self.line_mut().receive(None)
    }

    /// [`WebSocket::recv`] that blocks for `timeout` at most. `Ok(None)` also when the time is up: the connection has
    /// ended only if [`WebSocket::is_closed`].
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>> {
        self.line_mut().receive(Some(from_now(timeout)))
    }

    /// [`WebSocket::recv`] that never blocks: `Ok(None)` also when no complete message is there.
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Message>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// How many complete messages can be received without blocking. Never blocks. Takes in some 1 MiB at most; what lies
    /// beyond is left to TCP. Those that will not pass a check ([`Builder::check`](crate::Builder::check)) count too: take
    /// them with [`WebSocket::try_recv`] then.
    pub fn pending(&mut self) -> usize {
        self.line_mut().link.pending()
    }

    /// The messages until the connection ends, however it ends. Blocks for each.
    ///
    /// ```
    /// # fn handler(mut ws: switchboard::WebSocket) {
    /// for message in &mut ws {
    ///     println!("{message}");
    /// }
    /// # }
    /// ```
    pub fn iter(&mut self) -> Messages<'_> {
        Messages { ws: self }
    }

    /// Sends a message to this client.
    ///
    /// Returns when it is in the outbox, usually also in the kernel's hands. While the handler has not taken all messages
    /// that have arrived, replies are gathered and leave together, after 5 ms at the latest ([`Limits::cork`](crate::Limits::cork)).
    /// When the outbox is full, blocks until the client has read enough: that a client reads slowly slows down its own
    /// handler only.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        let line = self.line();
        send_message(&line.link.outbox, &message.into(), line.link.has_more())
    }

    /// A sender for this client that any thread may use, while this one receives. Costs nothing to clone.
    pub fn sender(&self) -> Sender {
        Sender::new(&self.line().link.outbox)
    }

    /// This connection as other threads may hold it.
    pub fn peer(&self) -> Peer {
        Peer::new(self.sender(), self.line().hub.clone(), self.line().request.clone())
    }

    /// Makes this connection a member of a room; rooms exist while they have members. Joining twice counts once, and
    /// when the connection ends it leaves all its rooms.
    ///
    /// Blocks only while the hub's queue is full. What is sent to the room afterwards, by anybody who knows of the
    /// joining, arrives here.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty, longer than twice [`Limits::name`](crate::Limits::name), or holds a control
    /// character; [`Error::Quota`] when the connection is in too many rooms ([`Quotas::rooms`](crate::Quotas::rooms));
    /// [`Error::Stopped`] when the server has stopped.
    pub fn join(&self, room: &str) -> Result<Room> {
        self.join_room(room, None)
    }

    /// [`WebSocket::join`] with a view: this connection gets of each of the room's messages what `view` makes of it, and
    /// nothing for `None`. Joining again replaces the view.
    ///
    /// The view is called for every message, on the hub's thread, while all other messages wait: it must be quick and must
    /// not block. If it panics, this connection is closed with 1011.
    ///
    /// ```
    /// # fn handler(ws: switchboard::WebSocket) -> switchboard::Result<()> {
    /// let word = ws.request().query("word").unwrap_or_default();
    /// ws.join_with("news", move |message| message.to_text().is_ok_and(|text| text.contains(&word)).then_some(message))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`WebSocket::join`].
    pub fn join_with(
        &self,
        room: &str,
        view: impl FnMut(Message) -> Option<Message> + Send + 'static,
    ) -> Result<Room> {
        self.join_room(room, Some(super::view::view(&self.line().shared, view)))
    }

    fn join_room(&self, room: &str, view: Option<Box<View>>) -> Result<Room> {
        check_name(room, self.line().shared.limits.own_name())?;
        self.line().hub.join(room, view)?;
        Ok(self.room(room))
    }

    /// Ends the membership; messages sent before still arrive. Blocks only while the hub's queue is full.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the server has stopped.
    pub fn leave(&self, room: &str) -> Result<()> {
        self.line().hub.leave(room)
    }

    /// A room to send to, joined or not.
    pub fn room(&self, room: &str) -> Room {
        Room::new(Via::Line(self.line().hub.clone()), room)
    }

    /// Makes this connection one of the user's: what is sent to the user arrives here. A user may have many connections,
    /// a connection has one user.
    ///
    /// # Errors
    /// [`Error::Name`] as for [`WebSocket::join`]; [`Error::Stopped`] when the server has stopped.
    pub fn identify(&self, user: &str) -> Result<()> {
        check_name(user, self.line().shared.limits.own_name())?;
        let hub = &self.line().hub;
        hub.send(Command::Identify { id: hub.id, user: Name::from(user) })
    }

    /// A user to send to.
    pub fn user(&self, user: &str) -> User {
        User::new(Via::Line(self.line().hub.clone()), user)
    }

    /// Pings after other times than [`Limits::ping_interval`](crate::Limits::ping_interval) and
    /// [`Limits::ping_timeout`](crate::Limits::ping_timeout); below 1 ms counts as 1 ms, above 100 years as
    /// 100 years.
    pub fn set_keepalive(&mut self, interval: Duration, timeout: Duration) {
        self.line_mut().link.set_keepalive(interval, timeout);
    }

    /// The request that opened this connection: path, query, parameters, headers, the client's address.
    pub fn request(&self) -> &Request {
        &self.line().request
    }

    /// Who this is: what the authenticator found out ([`Builder::authenticate`](crate::Builder::authenticate)); without one,
    /// somebody without a name who may do everything.
    pub fn identity(&self) -> &Identity {
        &self.line().identity
    }

    /// The part of the path that stood for `{name}` in the route. Short for `request().param(name)`.
    pub fn param(&self, name: &str) -> &str {
        self.request().param(name)
    }

    /// The subprotocol that was agreed on, if any. RFC 6455 §1.9
    pub fn subprotocol(&self) -> Option<&str> {
        self.line().subprotocol.as_deref()
    }

    /// Starts the closing handshake behind everything that waits to be sent: `code` as RFC 6455 §7.4 defines it (1000 to
    /// 1003, 1007 to 1014, or 3000 to 4999; another becomes 1011), and a reason of at most 123 bytes (a longer one is cut).
    /// Does not block; messages that the client sent before its answer can still be received.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.line_mut().link.close(close_code(code), reason);
    }

    /// Whether nothing more will be received.
    pub fn is_closed(&self) -> bool {
        self.line().link.closed().is_some() && !self.line().link.has_more()
    }

    /// Code and reason of the closing, once [`WebSocket::recv`] has given `None`: the peer's own, 1005 when its Close frame
    /// had no code, 1006 when there was no Close frame. RFC 6455 §7.1.5
    pub fn closed(&self) -> Option<(u16, &str)> {
        self.line().link.closed()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let mut slot = self.slot.lock();
        match *slot {
            Slot::Lent => *slot = Slot::Back(connection),
            Slot::Back(_) | Slot::Abandoned => {
                drop(slot);
                let (code, reason) = match std::thread::panicking() {
                    true => FAILED,
                    false => (CloseCode::Normal, ""),
                };
                connection.finish(code, reason);
            }
        }
    }
}

/// [`WebSocket::iter`]
pub struct Messages<'a> {
    ws: &'a mut WebSocket,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.ws.recv().ok().flatten()
    }
}

impl<'a> IntoIterator for &'a mut WebSocket {
    type Item = Message;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}
