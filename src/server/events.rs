//! The event loop's view: all connections' events in one queue, for a program that has a loop of its own, as
//! a game or a GUI.
//!
//! The connections' threads put events in, the loop takes them out. The queue is bounded in bytes: while it
//! is full the connections wait, and TCP makes their clients wait.

use super::byte_bound::ByteBound;
use super::hub_line::HubLine;
use super::recipients::{Room, Via};
use super::request::{Request, check_name};
use super::websocket::WebSocket;
use crate::error::{Error, Result};
use crate::hub::Command;
use crate::limits::{MIB, from_now};
use crate::sender::Sender;
use crossbeam_channel::{Receiver, unbounded};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::Message;

/// Bytes that may wait for the loop.
const WAITING: usize = 8 * MIB;
/// What an event counts besides its payload.
const EVENT: usize = 128;

/// A handler and the events that it makes of its connections: give the handler to one or more routes
/// ([`Builder::route`](crate::Builder::route)), and take the events in a loop of your own.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Event, Server, events};
///
/// let (handler, events) = events();
/// let server = Server::builder().route("/game", handler).bind("127.0.0.1:0")?.start()?;
/// # let mut client = server.connect("/game")?;
/// # client.send("left")?;
/// # client.close(1000, "");
/// let mut players = 0;
/// let mut running = true;
/// while running {
///     // What has come since the last frame, and then (not here) the frame itself.
///     while let Some(event) = events.recv_timeout(Duration::from_millis(16)) {
///         match event {
///             Event::Connected(_) => players += 1,
///             Event::Message(player, message) => drop(player.send(message)),
///             Event::Disconnected(..) => running = false,
///         }
///     }
/// }
/// assert_eq!(players, 1);
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// 8 MiB of events may wait; then the connections wait until some are taken, with their pings unanswered.
/// When the [`Events`] are dropped, each connection is closed with 1001 as soon as there would be another
/// event of it.
pub fn events() -> (impl Fn(WebSocket) -> Result<()> + Clone + Send + Sync + 'static, Events) {
    let (sender, receiver) = unbounded();
    let room = Arc::new(ByteBound::new(WAITING));
    let queue = Queue { sender, room: room.clone() };
    (move |ws| queue.run(ws), Events { queue: Some(receiver), room })
}

/// Where the handler puts events.
#[derive(Clone)]
struct Queue {
    sender: crossbeam_channel::Sender<(Event, usize)>,
    room: Arc<ByteBound>,
}

/// What happened on a connection. For each there is one `Connected`, then its messages, then one
/// `Disconnected`.
///
/// ```
/// use switchboard::{Event, Server, events};
///
/// let (handler, events) = events();
/// let server = Server::builder().route("/", handler).bind("127.0.0.1:0")?.start()?;
/// let mut client = server.connect("/")?;
/// client.send("hi")?;
/// client.close(4000, "bye");
/// let Some(Event::Connected(peer)) = events.recv() else { panic!() };
/// let Some(Event::Message(from, message)) = events.recv() else { panic!() };
/// assert_eq!((from, message), (peer, "hi".into()));
/// assert!(matches!(events.recv(), Some(Event::Disconnected(_, 4000, reason)) if reason == "bye"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is open.
    Connected(Peer),
    /// A text or binary message has come.
    Message(Peer, Message),
    /// The connection has ended, with this code and reason: [`WebSocket::closed`] says which can be. It is
    /// out of its rooms soon, but may still be a member now.
    Disconnected(Peer, u16, String),
}

/// The events of a handler's connections: what [`events`] gives. To be taken by one thread, which it may be
/// given to.
///
/// ```
/// use std::thread;
/// use switchboard::{Event, Server, events};
///
/// let (handler, events) = events();
/// let server = Server::builder().route("/", handler).bind("127.0.0.1:0")?.start()?;
/// thread::spawn(move || {
///     while let Some(event) = events.recv() {
///         if let Event::Message(peer, message) = event {
///             peer.send(message);
///         }
///     } // the server has ended
/// });
/// let mut client = server.connect("/")?;
/// client.send("hello")?;
/// assert_eq!(client.recv()?, Some("hello".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Events {
    /// There until it is dropped.
    queue: Option<Receiver<(Event, usize)>>,
    room: Arc<ByteBound>,
}

/// A connection as an event loop holds it, or any thread but its own: to send, to join rooms, to close. Costs
/// nothing to clone; equal when it is the same connection. It holds nothing open.
///
/// ```
/// use switchboard::{Event, Server, events};
///
/// let (handler, events) = events();
/// let server = Server::builder().route("/chat/{nick}", handler).bind("127.0.0.1:0")?.start()?;
/// # let mut ann = server.connect("/chat/ann")?;
/// # let ann = std::thread::spawn(move || { ann.send("hello")?; ann.recv() });
/// while let Some(event) = events.recv() {
///     match event {
///         Event::Connected(peer) => drop(peer.join("lobby")?),
///         Event::Message(peer, message) => {
///             peer.room("lobby").send(format!("{}: {message}", peer.param("nick")));
///         }
///         Event::Disconnected(..) => break,
///     }
/// }
/// # let got = ann.join().unwrap()?;
/// assert_eq!(got, Some("ann: hello".into())); // what Ann got, who said "hello" and then left
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Peer {
    sender: Sender,
    line: Arc<HubLine>,
    request: Arc<Request>,
}

impl Queue {
    fn run(&self, mut ws: WebSocket) -> Result<()> {
        let peer = ws.peer();
        // The loop takes its time: the client need not wait for it to be connected.
        ws.line_mut().link.outbox.flush();
        // It keeps the request's head, and the loop may not have seen it when the client has long gone.
        let head = peer.line.shared().limits.head.min(MIB);
        let mut result = self.put(Event::Connected(peer.clone()), EVENT + head);
        while result.is_ok() {
            let message = match ws.recv() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            let size = EVENT + message.len();
            result = self.put(Event::Message(peer.clone(), message), size);
        }
        let (code, reason) = ws.closed().unwrap_or((1006, ""));
        // It has its place already: there was room for its `Connected`.
        let told = self.put(Event::Disconnected(peer, code, reason.into()), 0);
        if told.is_err() {
            ws.close(1001, "the program takes no more events");
        }
        result
    }

    /// Waits while the queue is full. Fails when nobody takes events any more.
    fn put(&self, event: Event, size: usize) -> Result<()> {
        self.room.take(size);
        self.sender.send((event, size)).map_err(|_| {
            self.room.free(size);
            Error::Stopped
        })
    }
}

impl Events {
    /// The next event; blocks until there is one. `None`: all is over, the servers and connections with this
    /// handler, and no clone of it is left.
    pub fn recv(&self) -> Option<Event> {
        self.taken(self.queue().recv().ok())
    }

    /// [`Events::recv`] that blocks for `timeout` at most. `None` also when the time is up.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        self.recv_until(from_now(timeout))
    }

    /// [`Events::recv`] that blocks until `deadline` at most: the start of a game's next frame. `None` also
    /// when it is time.
    pub fn recv_until(&self, deadline: Instant) -> Option<Event> {
        self.taken(self.queue().recv_deadline(deadline).ok())
    }

    /// [`Events::recv`] that never blocks: `None` also when there is none now.
    pub fn try_recv(&self) -> Option<Event> {
        self.taken(self.queue().try_recv().ok())
    }

    fn queue(&self) -> &Receiver<(Event, usize)> {
        // Taken only by `drop`.
        self.queue.as_ref().expect("the queue is there until it is dropped")
    }

    fn taken(&self, event: Option<(Event, usize)>) -> Option<Event> {
        let (event, size) = event?;
        self.room.free(size);
        Some(event)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The queue first: whoever waits for room finds it gone then.
        self.queue = None;
        self.room.close();
    }
}

impl Peer {
    pub(super) fn new(sender: Sender, line: Arc<HubLine>, request: Arc<Request>) -> Self {
        Self { sender, line, request }
    }

    /// A number that no other connection of this server has or will have.
    pub fn id(&self) -> u64 {
        self.line.id.0
    }

    /// The request that opened the connection.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The part of the path that stood for `{name}` in the route, percent-decoded; empty when the route has
    /// none such.
    pub fn param(&self, name: &str) -> &str {
        self.request.param(name)
    }

    /// Sends a text or binary message to this client. Never blocks. `false`: it is lost, as the connection
    /// has ended or the client has not read what was sent before ([`Limits::outbox`](crate::Limits::outbox)).
    /// A game may leave such a client behind, a chat had better close it with 1013.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// A sender for other threads, which may wait for a client that reads slowly, or be told why sending
    /// fails.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Makes the connection a member of a room, as [`WebSocket::join`] does. Blocks only while the hub's
    /// queue is full.
    ///
    /// # Errors
    /// As [`WebSocket::join`].
    pub fn join(&self, room: &str) -> Result<Room> {
        check_name(room, self.line.shared().limits.own_name())?;
        self.line.join(room, None)?;
        Ok(self.room(room))
    }

    /// Ends the membership, as [`WebSocket::leave`] does. Blocks only while the hub's queue is full.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the server has stopped.
    pub fn leave(&self, room: &str) -> Result<()> {
        self.line.leave(room)
    }

    /// A room to send to; its `send_others` leaves out this connection. Sending waits while the hub's queue
    /// is full, and the hub waits for nobody.
    pub fn room(&self, room: &str) -> Room {
        Room::new(Via::Line(self.line.clone()), room)
    }

    /// Makes this connection one of the user's, as [`WebSocket::identify`] does. Blocks only while the hub's
    /// queue is full.
    ///
    /// # Errors
    /// As [`WebSocket::identify`].
    pub fn identify(&self, user: &str) -> Result<()> {
        check_name(user, self.line.shared().limits.own_name())?;
        self.line.send(Command::Identify { id: self.line.id, user: user.into() })
    }

    /// Starts the closing handshake, with the codes and reasons of [`WebSocket::close`]. Never blocks;
    /// [`Event::Disconnected`] follows.
    pub fn close(&self, code: u16, reason: &str) {
        self.sender.close(code, reason);
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id() && std::ptr::eq(self.line.shared(), other.line.shared())
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({} from {})", self.id(), self.request.peer())
    }
}
