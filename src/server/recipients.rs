//! Whom messages go to besides one's own client: the members of a room, the connections of a user.

use super::hub_line::HubLine;
use super::hub_thread::HubCommand;
use super::shared::Shared;
use crate::error::Result;
use crate::hub::{Command, ConnectionId, Frames, Name};
use crate::sender::{close_code, data_of};
use crate::wire::frame;
use std::sync::Arc;
use tungstenite::{Bytes, Message};

/// How a room or user is reached: from a connection, which waits while the hub's queue is full, or from
/// elsewhere.
#[derive(Clone)]
pub(crate) enum Via {
    Line(Arc<HubLine>),
    Hub(Arc<Shared>),
}

impl Via {
    fn send(&self, command: HubCommand) -> bool {
        match self {
            Self::Line(line) => line.send(command).is_ok(),
            Self::Hub(shared) => shared.hub.try_send(command).is_ok(),
        }
    }

    fn shared(&self) -> &Shared {
        match self {
            Self::Line(line) => line.shared(),
            Self::Hub(shared) => shared,
        }
    }

    fn id(&self) -> Option<ConnectionId> {
        match self {
            Self::Line(line) => Some(line.id),
            Self::Hub(_) => None,
        }
    }
}

/// A room to send to: what [`WebSocket::join`](crate::WebSocket::join),
/// [`WebSocket::room`](crate::WebSocket::room) and [`Handle::room`](crate::Handle::room) give. Costs nothing
/// to clone; it is only a name and a way, and keeps no room.
///
/// ```
/// use switchboard::{Result, Server, WebSocket};
///
/// fn chat(mut ws: WebSocket) -> Result<()> {
///     let room = ws.join(ws.param("room"))?;
///     room.send_others("somebody has come in");
///     while let Some(message) = ws.recv()? {
///         room.send(message); // to all members, the sender too
///     }
///     Ok(())
/// }
///
/// let server = Server::builder().route("/chat/{room}", chat).bind("127.0.0.1:0")?.start()?;
/// let mut ann = server.connect("/chat/den")?;
/// ann.send("anybody here?")?;
/// assert_eq!(ann.recv()?, Some("anybody here?".into()));
/// let bob = server.connect("/chat/den")?;
/// assert_eq!(ann.recv()?, Some("somebody has come in".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Room {
    via: Via,
    name: Name,
}

impl Room {
    pub(crate) fn new(via: Via, name: &str) -> Self {
        Self { via, name: name.into() }
    }

    /// Its name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a text or binary message to all members of the room, the sender too if it is one. All members
    /// see a room's messages in the same order. A member that reads too slowly to have room for it is closed
    /// with 1013 ([`Limits::outbox`](crate::Limits::outbox)); nobody else waits for it.
    ///
    /// From a handler ([`WebSocket::room`](crate::WebSocket::room)) or a [`Peer`](crate::Peer) it blocks
    /// while the hub's queue is full, so that the client that sends too much waits. From a
    /// [`Handle`](crate::Handle) it never blocks. `false`: the queue was full or the server has stopped, and
    /// the message is lost. That a room has no members is none of these.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.send_but(&message.into(), None)
    }

    /// [`Room::send`] to all members but the connection that sends; from a [`Handle`](crate::Handle), to all.
    pub fn send_others(&self, message: impl Into<Message>) -> bool {
        self.send_but(&message.into(), self.via.id())
    }

    /// Closes the connections of all members, behind what was sent before, with the codes and reasons of
    /// [`WebSocket::close`](crate::WebSocket::close). Blocks and fails as [`Room::send`] does.
    ///
    /// ```
    /// # let server = switchboard::Server::builder()
    /// #     .route("/", |mut ws| { ws.join("den")?.send("hello"); ws.recv().map(drop) })
    /// #     .bind("127.0.0.1:0")?.start()?;
    /// # let mut ann = server.connect("/")?;
    /// # assert_eq!(ann.recv()?, Some("hello".into()));
    /// let den = server.room("den");
    /// den.send("closing time");
    /// den.close(4002, "closed until tomorrow");
    /// assert_eq!(ann.recv()?, Some("closing time".into()));
    /// assert_eq!(ann.recv()?, None);
    /// assert_eq!(ann.closed(), Some((4002, "closed until tomorrow")));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn close(&self, code: u16, reason: &str) -> bool {
        let frame = frame::encode_close(close_code(code), reason);
        self.via.send(Command::CloseRoom { room: self.name.clone(), frame })
    }

    fn send_but(&self, message: &Message, except: Option<ConnectionId>) -> bool {
        let Ok((opcode, payload)) = data_of(message) else { return false };
        match &self.via {
            Via::Line(line) => line.send_room(&self.name, except, opcode, payload).is_ok(),
            Via::Hub(shared) => {
                let frames = shared.encode(opcode, payload);
                shared.hub.try_send(Command::SendRoom { room: self.name.clone(), frames, except }).is_ok()
            }
        }
    }
}

/// A user to send to, on all connections that [`WebSocket::identify`](crate::WebSocket::identify) has made
/// the user's. Costs nothing to clone; it is only a name and a way.
///
/// ```
/// use switchboard::{Result, Server, WebSocket};
///
/// fn to_bob(mut ws: WebSocket) -> Result<()> {
///     ws.identify(ws.param("nick"))?;
///     while let Some(message) = ws.recv()? {
///         ws.user("bob").send_or(message, "bob is not here");
///     }
///     Ok(())
/// }
///
/// let server = Server::builder().route("/{nick}", to_bob).bind("127.0.0.1:0")?.start()?;
/// let mut ann = server.connect("/ann")?;
/// ann.send("hi, bob")?;
/// assert_eq!(ann.recv()?, Some("bob is not here".into()));
/// let mut bob = server.connect("/bob")?;
/// bob.send("a note to myself")?;
/// assert_eq!(bob.recv()?, Some("a note to myself".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct User {
    via: Via,
    name: Name,
}

impl User {
    pub(crate) fn new(via: Via, name: &str) -> Self {
        Self { via, name: name.into() }
    }

    /// The user's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a text or binary message to every connection of the user; blocks and fails as [`Room::send`]
    /// does. When the user has no connection, nothing happens.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.send_with(message, None)
    }

    /// [`User::send`]; when the user has no connection, `otherwise` goes to the connection that sends (from a
    /// [`Handle`](crate::Handle): to nobody).
    pub fn send_or(&self, message: impl Into<Message>, otherwise: impl Into<Message>) -> bool {
        let Ok(frames) = encode(self.via.shared(), otherwise) else { return false };
        self.send_with(message, self.via.id().map(|from| (from, frames.plain)))
    }

    /// Closes all connections of the user, behind what was sent before, with the codes and reasons of
    /// [`WebSocket::close`](crate::WebSocket::close). Blocks and fails as [`Room::send`] does.
    pub fn close(&self, code: u16, reason: &str) -> bool {
        let frame = frame::encode_close(close_code(code), reason);
        self.via.send(Command::CloseUser { user: self.name.clone(), frame })
    }

    fn send_with(&self, message: impl Into<Message>, otherwise: Option<(ConnectionId, Bytes)>) -> bool {
        let Ok(frames) = encode(self.via.shared(), message) else { return false };
        self.via.send(Command::SendUser { user: self.name.clone(), frames, otherwise })
    }
}

pub(super) fn encode(shared: &Shared, message: impl Into<Message>) -> Result<Frames> {
    let message = message.into();
    let (opcode, payload) = data_of(&message)?;
    Ok(shared.encode(opcode, payload))
}
