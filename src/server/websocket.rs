//! What a handler holds: receive, send, rooms, close. And the sender that other threads hold.

use super::connection::{Connection, FAILED, Slot};
use super::events::Peer;
#[cfg(feature = "protocol")]
use super::hub_line::HubLine;
use super::identity::Identity;
use super::messages::Messages;
use super::recipients::{Room, User, Via};
use super::request::{Request, check_name};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::hub::{Command, Name, View};
use crate::limits::from_now;
use crate::sender::{Sender, close_code, send_message};
#[cfg(doc)]
use crate::{client::Client, limits::Limits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// An open WebSocket connection, as its handler sees it.
///
/// A handler is a plain function on a thread of the connection's own; it may block. When it returns, the
/// connection is closed: with 1000 if it returned `Ok`, with 1011 if it failed or panicked.
///
/// ```
/// use switchboard::{Result, Server, WebSocket};
///
/// fn shout(mut ws: WebSocket) -> Result<()> {
///     while let Some(message) = ws.recv()? {
///         ws.send(message.to_string().to_uppercase())?;
///     }
///     Ok(())
/// }
///
/// let server = Server::builder().route("/shout", shout).bind("127.0.0.1:0")?.start()?;
/// let mut client = server.connect("/shout")?;
/// client.send("hello")?;
/// assert_eq!(client.recv()?, Some("HELLO".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// Pings are answered, and sent, while the handler is inside one of the receiving methods; so a handler
/// should come back to them within the ping interval.
///
/// The client learns that it is connected when the handler first waits for a message or sends one, or after a second. So
/// what the handler does before that, joining a room say, holds for everything the client does.
///
/// A handler may give its connection to another thread and return: then the connection lives until it is
/// dropped there.
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

    pub(super) fn line_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a WebSocket has its connection until it is dropped")
    }

    /// The next text or binary message. Blocks until there is one. `None`: the connection has ended, by a
    /// Close frame of either side or because the peer is gone ([`WebSocket::closed`] tells which).
    ///
    /// # Errors
    /// [`Error::Violation`] when the peer broke the protocol, [`Error::Silent`] when it answered no ping. It
    /// has been sent a Close frame that says so.
    pub fn recv(&mut self) -> Result<Option<Message>> {
        self.line_mut().receive(None)
    }

    /// [`WebSocket::recv`] that blocks for `timeout` at most. `Ok(None)` also when the time is up: the
    /// connection has ended only if [`WebSocket::is_closed`].
    ///
    /// ```
    /// # use switchboard::{Result, Server, WebSocket};
    /// # use std::time::Duration;
    /// fn greet(mut ws: WebSocket) -> Result<()> {
    ///     match ws.recv_timeout(Duration::from_millis(20))? {
    ///         Some(name) => ws.send(format!("welcome, {name}"))?,
    ///         None if ws.is_closed() => {}
    ///         None => ws.close(1008, "say your name first"),
    ///     }
    ///     Ok(())
    /// }
    /// # let server = Server::builder().route("/", greet).bind("127.0.0.1:0")?.start()?;
    /// let mut silent = server.connect("/")?;
    /// assert_eq!(silent.recv()?, None);
    /// assert_eq!(silent.closed(), Some((1008, "say your name first")));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>> {
        self.line_mut().receive(Some(from_now(timeout)))
    }

    /// [`WebSocket::recv`] that never blocks: `Ok(None)` also when no complete message is there.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().route("/", |mut ws| {
    /// let mut pieces = 0;
    /// while ws.try_recv()?.is_none() && !ws.is_closed() {
    ///     pieces += 1; // of the work, until the client says that it is enough
    /// }
    /// ws.send(format!("stopped after {pieces}"))
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let mut client = server.connect("/")?;
    /// # client.send("enough")?;
    /// # assert!(client.recv()?.unwrap().to_string().starts_with("stopped after "));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Message>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// How many complete messages can be received without blocking; [`Client::pending`] has an example. Never
    /// blocks; takes in some 1 MiB at most, and leaves the rest to TCP. Those that will not pass a check
    /// ([`Builder::check`](crate::Builder::check)) count too: take them with [`WebSocket::try_recv`] then.
    pub fn pending(&mut self) -> usize {
        self.line_mut().link.pending()
    }

    /// The messages until the connection ends, however it ends. Blocks for each. The same as `for message in
    /// &mut ws`.
    pub fn iter(&mut self) -> Messages<'_> {
        Messages { ws: self }
    }

    /// Sends a message to this client: `&str` and `String` as text; `Vec<u8>`, `&[u8]` and `Bytes` as binary.
    ///
    /// Returns when it is in the outbox, usually also in the kernel's hands. While the handler has not taken
    /// all messages that have arrived, replies are gathered and leave together, after 5 ms at the latest
    /// ([`Limits::cork`]). When the outbox is full ([`Limits::outbox`]), blocks until the client has read
    /// enough, or has taken nothing for [`Limits::write_deadline`]: that a client reads slowly slows down its
    /// own handler only.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way; [`Error::Config`] for
    /// a message other than text, binary, or a ping of at most 125 bytes. (A ping overtakes what waits, and
    /// is never refused.)
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        let line = self.line();
        send_message(&line.link.outbox, &message.into(), line.link.has_more())
    }

    /// A sender for this client that any thread may use, while this one receives. [`Sender`] has an example.
    pub fn sender(&self) -> Sender {
        Sender::new(&self.line().link.outbox)
    }

    #[cfg(feature = "protocol")]
    pub(crate) fn hub_line(&self) -> Arc<HubLine> {
        self.line().hub.clone()
    }

    /// This connection as other threads may hold it: to send, to join rooms, to close. [`Peer`] has an
    /// example.
    pub fn peer(&self) -> Peer {
        Peer::new(self.sender(), self.line().hub.clone(), self.line().request.clone())
    }

    /// Makes this connection a member of a room; rooms exist while they have members. Joining twice counts
    /// once, and when the connection ends it leaves all its rooms. [`Room`] has an example.
    ///
    /// Blocks only while the hub's queue is full. What is sent to the room afterwards, by anybody who knows
    /// of the joining, arrives here.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is empty, longer than twice [`Limits::name`](crate::Limits::name), or holds a control
    /// character; [`Error::Quota`] when the connection is in too many rooms ([`Quotas::rooms`](crate::Quotas::rooms));
    /// [`Error::Stopped`] when the server has stopped.
    pub fn join(&self, room: &str) -> Result<Room> {
        self.join_room(room, None)
    }

    /// [`WebSocket::join`] with a view: this connection gets of each of the room's messages what `view` makes
    /// of it, and nothing for `None`. Joining again replaces the view.
    ///
    /// The view is called for every message, on the hub's thread, while all other messages wait: it must be
    /// quick and must not block. If it panics, this connection is closed with 1011.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().route("/news", |mut ws| {
    /// let word = ws.request().query("word").unwrap_or_default();
    /// ws.join_with("news", move |message| message.to_string().contains(&word).then_some(message))?;
    /// # ws.send("joined")?;
    /// # ws.recv().map(drop)
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// let mut reader = server.connect("/news?word=rust")?;
    /// # assert_eq!(reader.recv()?, Some("joined".into()));
    /// let news = server.room("news");
    /// news.send("it rains");
    /// news.send("rust never sleeps");
    /// assert_eq!(reader.recv()?, Some("rust never sleeps".into()));
    /// # Ok::<(), switchboard::Error>(())
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

    /// Ends the membership; messages sent before still arrive. Does nothing for a room that was not joined.
    /// Blocks only while the hub's queue is full.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().route("/", |mut ws| {
    /// let lobby = ws.join("lobby")?;
    /// lobby.send("for members");
    /// ws.leave("lobby")?;
    /// lobby.send("for the others");
    /// # ws.recv().map(drop)
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let mut client = server.connect("/")?;
    /// assert_eq!(client.recv()?, Some("for members".into()));
    /// server.broadcast("for everybody");
    /// assert_eq!(client.recv()?, Some("for everybody".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Stopped`] when the server has stopped.
    pub fn leave(&self, room: &str) -> Result<()> {
        self.line().hub.leave(room)
    }

    /// A room to send to, joined or not. Does not block; a name that no room can have is a room without
    /// members.
    pub fn room(&self, room: &str) -> Room {
        Room::new(Via::Line(self.line().hub.clone()), room)
    }

    /// Makes this connection one of the user's: what is sent to the user arrives here. A user may have many
    /// connections; a connection has one user, the latest. Whether it is that user is for the program to
    /// know. Blocks only while the hub's queue is full. [`User`] has an example.
    ///
    /// # Errors
    /// [`Error::Name`] as for [`WebSocket::join`]; [`Error::Stopped`] when the server has stopped.
    pub fn identify(&self, user: &str) -> Result<()> {
        check_name(user, self.line().shared.limits.own_name())?;
        let hub = &self.line().hub;
        hub.send(Command::Identify { id: hub.id, user: Name::from(user) })
    }

    /// A user to send to, there or not. Does not block.
    pub fn user(&self, user: &str) -> User {
        User::new(Via::Line(self.line().hub.clone()), user)
    }

    /// Other times than [`Limits::ping_interval`] and [`Limits::ping_timeout`] for this connection, from now
    /// on; below 1 ms counts as 1 ms, above 100 years as 100 years. RFC 6455 §5.5.2
    ///
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use switchboard::{Error, Server};
    ///
    /// let (tell, told) = mpsc::channel();
    /// let server = Server::builder().route("/", move |mut ws| {
    ///     ws.set_keepalive(Duration::from_millis(20), Duration::from_millis(20));
    ///     let _ = tell.send(ws.recv());
    ///     Ok(())
    /// });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// let client = server.connect("/")?; // is never inside `recv`, so it answers no ping
    /// assert!(matches!(told.recv(), Ok(Err(Error::Silent))));
    /// # Ok::<(), Error>(())
    /// ```
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

    /// The part of the path that stood for `{name}` in the route, percent-decoded; empty when the route has
    /// none such. Short for `request().param(name)`.
    pub fn param(&self, name: &str) -> &str {
        self.request().param(name)
    }

    /// The subprotocol that was agreed on, if any ([`Builder::subprotocols`](crate::Builder::subprotocols)).
    /// RFC 6455 §1.9
    pub fn subprotocol(&self) -> Option<&str> {
        self.line().subprotocol.as_deref()
    }

    /// Starts the closing handshake behind everything that waits to be sent: `code` as RFC 6455 §7.4 defines
    /// it (1000 to 1003, 1007 to 1014, or 3000 to 4999; another becomes 1011), and a reason of at most 123
    /// bytes (a longer one is cut). Does nothing when a Close frame is on its way already. Does not block;
    /// messages that the client sent before its answer can still be received.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().route("/", |mut ws| {
    /// ws.send("the last word")?;
    /// ws.close(4001, "come back tomorrow");
    /// assert!(ws.send("one more").is_err());
    /// # Ok(())
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let mut client = server.connect("/")?;
    /// assert_eq!(client.recv()?, Some("the last word".into()));
    /// assert_eq!(client.recv()?, None);
    /// assert_eq!(client.closed(), Some((4001, "come back tomorrow")));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn close(&mut self, code: u16, reason: &str) {
        self.line_mut().link.close(close_code(code), reason);
    }

    /// Whether nothing more will be received: the connection has ended, and all that came before was taken.
    pub fn is_closed(&self) -> bool {
        self.line().link.closed().is_some() && !self.line().link.has_more()
    }

    /// Code and reason of the closing, once the connection has ended: the client's own, 1005 when its Close
    /// frame had no code, 1006 when there was no Close frame, those of [`Error::Violation`] when it broke the
    /// protocol. RFC 6455 §7.1.5
    ///
    /// ```
    /// # let (tell, told) = std::sync::mpsc::channel();
    /// # let server = switchboard::Server::builder().route("/", move |mut ws| {
    /// while ws.recv()?.is_some() {}
    /// let why = ws.closed().map(|(code, reason)| format!("{code} {reason}"));
    /// # let _ = tell.send(why);
    /// # Ok(())
    /// # });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let mut client = server.connect("/")?;
    /// # client.close(4000, "had enough");
    /// # let why = told.recv().unwrap();
    /// assert_eq!(why.as_deref(), Some("4000 had enough"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
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
