//! A running server as the program around it sees it: rooms, users, everybody, and the end. From any thread.

use super::drain::{self, Drain, Report, Running};
use super::hub_line::HubLine;
use super::hub_thread::HubCommand;
use super::shared::Shared;
use crate::client::Client;
use crate::error::Result;
use crate::hub::{Command, ConnectionId, Frames, Name};
use crate::sender::{close_code, data_of};
use crate::wire::frame;
use crate::wire::handshake::Origins;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use tungstenite::{Bytes, Message};

/// A running server. Dropping it shuts it down, as [`Handle::shutdown`] does within the close deadline.
///
/// Everything else is [`Handle`]'s, which can be cloned and given to other threads.
pub struct Server {
    handle: Handle,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, running: Running, address: SocketAddr) -> Self {
        Self { handle: Handle { shared, running: Arc::new(running), address } }
    }

    /// A handle for another thread. It does not keep the server running.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown(Drain::within(self.handle.shared.limits.close_deadline));
    }
}

/// The way to a running server, from any thread. Costs nothing to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    running: Arc<Running>,
    address: SocketAddr,
}

impl Handle {
    /// Where the server listens: with the real port when it was bound to port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A room to send to. It need not exist.
    pub fn room(&self, room: &str) -> Room {
        Room::new(Via::Hub(self.shared.clone()), room)
    }

    /// A user to send to. Nobody needs to be there.
    pub fn user(&self, user: &str) -> User {
        User::new(Via::Hub(self.shared.clone()), user)
    }

    /// Sends a message to every open connection. Never blocks: `false` when the hub's queue is full, or the server has
    /// stopped, and the message is lost.
    pub fn broadcast(&self, message: impl Into<Message>) -> bool {
        encode(&self.shared, message)
            .is_ok_and(|frames| self.shared.hub.try_send(Command::Broadcast { frames }).is_ok())
    }

    /// A client of this server, connected to `path` over the loopback interface: for tests of handlers, through the whole
    /// server and no mock. Blocks until the connection is open; the certificate of a TLS server is not checked.
    ///
    /// ```
    /// # fn main() -> switchboard::Result<()> {
    /// # use switchboard::Server;
    /// let server = Server::builder()
    ///     .route("/echo", |mut ws| { while let Some(message) = ws.recv()? { ws.send(message)?; } Ok(()) })
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let mut client = server.connect("/echo")?;
    /// client.send("hello")?;
    /// assert_eq!(client.recv()?.unwrap().to_text().unwrap(), "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`](crate::ClientBuilder::connect).
    pub fn connect(&self, path: &str) -> Result<Client> {
        let client = Client::builder();
        #[cfg(feature = "tls")]
        if self.shared.tls.is_some() {
            return client.danger_accept_any_certificate().connect(&self.url("wss", path));
        }
        client.connect(&self.url("ws", path))
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        format!("{scheme}://{address}{path}")
    }

    /// Connections that are open now, plain HTTP included.
    pub fn connections(&self) -> usize {
        self.shared.metrics.connections.get() as usize
    }

    /// Connections that can be open at once: [`Limits::connections`](crate::Limits::connections), or what the machine
    /// grants.
    pub fn max_connections(&self) -> usize {
        self.shared.max_connections
    }

    /// Changes which pages may connect: for handshakes from now on, connections that are open stay. Does not block. See
    /// [`Builder::origins`](crate::Builder::origins).
    pub fn set_origins(&self, origins: Origins) {
        Arc::make_mut(&mut self.shared.policy.write()).origins = origins;
    }

    /// All counters and gauges in the Prometheus text format.
    pub fn metrics(&self) -> String {
        self.shared.metrics.text()
    }

    /// Ends the server: new requests are answered 503, every client gets what waits for it and then a Close frame, and
    /// whoever has not ended by the deadline is cut. Blocks until then. A handler that is busy with something else than
    /// its socket is not waited for any longer; its thread goes on.
    ///
    /// Further calls wait for the first one's end and report the same.
    #[expect(clippy::needless_pass_by_value, reason = "a drain is made for one call")]
    pub fn shutdown(&self, drain: Drain) -> Report {
        drain::shutdown(&self.shared, &self.running, &drain)
    }
}

/// How a room or user is reached: from a connection, which waits while the hub's queue is full, or from elsewhere.
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

/// A room to send to.
#[derive(Clone)]
pub struct Room {
    via: Via,
    name: Name,
}

impl Room {
    pub(crate) fn new(via: Via, name: &str) -> Self {
        Self { via, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to all members of the room, the sender too if it is one. All members see a room's messages in the
    /// same order; between two rooms there is none.
    ///
    /// From a handler ([`WebSocket::room`](crate::WebSocket::room)) it blocks while the hub's queue is full, so that the
    /// client that sends too much waits. From elsewhere it never blocks. `false`: the queue was full or the server has
    /// stopped, and the message is lost.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.send_but(&message.into(), None)
    }

    /// [`Room::send`] to all members but the connection that sends.
    pub fn send_others(&self, message: impl Into<Message>) -> bool {
        self.send_but(&message.into(), self.via.id())
    }

    /// Closes the connections of all members with this code and reason, behind what was sent before; the same rules as for
    /// [`WebSocket::close`](crate::WebSocket::close). Blocks and fails as [`Room::send`] does.
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

/// A user to send to.
#[derive(Clone)]
pub struct User {
    via: Via,
    name: Name,
}

impl User {
    pub(crate) fn new(via: Via, name: &str) -> Self {
        Self { via, name: name.into() }
    }

    /// The user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to every connection of the user; blocks and fails as [`Room::send`] does. When the user has no
    /// connection, nothing happens.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.send_with(message, None)
    }

    /// [`User::send`]; when the user has no connection, `otherwise` goes to the connection that sends.
    pub fn send_or(&self, message: impl Into<Message>, otherwise: impl Into<Message>) -> bool {
        let Ok(frames) = encode(self.via.shared(), otherwise) else { return false };
        self.send_with(message, self.via.id().map(|from| (from, frames.plain)))
    }

    /// Closes all connections of the user with this code and reason; the same rules as for
    /// [`WebSocket::close`](crate::WebSocket::close).
    pub fn close(&self, code: u16, reason: &str) -> bool {
        let frame = frame::encode_close(close_code(code), reason);
        self.via.send(Command::CloseUser { user: self.name.clone(), frame })
    }

    fn send_with(&self, message: impl Into<Message>, otherwise: Option<(ConnectionId, Bytes)>) -> bool {
        let Ok(frames) = encode(self.via.shared(), message) else { return false };
        self.via.send(Command::SendUser { user: self.name.clone(), frames, otherwise })
    }
}

fn encode(shared: &Shared, message: impl Into<Message>) -> Result<Frames> {
    let message = message.into();
    let (opcode, payload) = data_of(&message)?;
    Ok(shared.encode(opcode, payload))
}
