//! Where rooms of `switchboard.v1` can be kept instead of in the hub's memory: what such an engine must do.
//!
//! The hub's own memory needs none of this: a server without an engine keeps its rooms itself. An engine adds that rooms
//! outlive the process, or that several servers have the same rooms. [`Memory`] is the reference: the simplest one that is
//! right, for servers of one process.

mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg_attr(not(feature = "store"), allow(dead_code, reason = "only what is on disk is restored"))]
mod shelf;
#[cfg(feature = "store")]
mod store;

pub use crate::hub::engine::{Address, Member, Name, Notice, Order, Publish, Receipt, Stored, Ticket};
pub use crate::hub::rules::RoomRules;
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisFound};
#[cfg(feature = "store")]
pub use store::Store;

use crate::error::Result;
use crate::hub::Now;
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Keeps rooms outside of the hub. [`Builder::engine`](crate::Builder::engine) gives it to a server.
///
/// What it must hold to:
/// - **One truth.** It alone hands out epochs and offsets. Within an epoch offsets rise by exactly 1, and all servers are told
///   the same messages in that order.
/// - **Answered is kept.** [`Notice::Published`] and [`Notice::Message`] come after the message is as durable as it will get.
///   Every [`Order::Publish`] gets exactly one answer, soon: an engine that waits for something gives up within 10 s.
/// - **Keys.** A key seen before in what is kept of the room, from the same user, is answered with the offset of that time.
/// - **No holes.** After [`Notice::State`] every later message of an open room comes. After an interruption it tells
///   [`Notice::State`] of each open room again; if it has lost messages that were told, under a new epoch.
/// - **It never makes the hub wait.**
///
/// The repository has tests for all of that which run for any engine: `tests/it/engines.rs` says how.
///
/// ```
/// # #[cfg(feature = "protocol")] fn main() -> switchboard::Result<()> {
/// use switchboard::engine::Memory;
/// use switchboard::Server;
///
/// let rooms = Memory::new(); // two servers, the same rooms
/// let east = Server::builder().protocol("/ws").engine(rooms.clone()).bind("127.0.0.1:0")?.start()?;
/// let west = Server::builder().protocol("/ws").engine(rooms).bind("127.0.0.1:0")?.start()?;
///
/// let (mut ann, mut bob) = (east.connect("/ws?user=ann")?, west.connect("/ws?user=bob")?);
/// ann.send(r#"{"type":"join","room":"tea","id":1}"#)?;
/// while !ann.recv()?.unwrap().to_text().unwrap().contains("joined") {}
/// bob.send(r#"{"type":"publish","room":"tea","data":"hello from the west"}"#)?;
/// while !ann.recv()?.unwrap().to_text().unwrap().contains("hello from the west") {}
/// # Ok(()) }
/// # #[cfg(not(feature = "protocol"))] fn main() {}
/// ```
pub trait Engine: Send + Sync {
    /// Begins to serve one server, whose name is `node`. What there is to tell goes to `inbox`, [`Notice::Hearing`] first when
    /// the engine can be reached; until then joining and publishing are answered `unavailable`. May block for a second.
    ///
    /// # Errors
    /// When it can never work: the server does not start. That something is away for the moment is no error.
    fn start(&self, node: &str, inbox: Inbox) -> Result<()>;

    /// Takes what the hub wants, in that order. Called on the hub's thread: must not block, and must not call the inbox. Gives
    /// back what can be told at once, as that an order is refused because too many wait.
    fn take(&self, orders: Vec<Order>) -> Vec<Notice>;

    /// Whether several servers have the same rooms. If so it is also told who is where, and carries notes between servers.
    fn is_shared(&self) -> bool;

    /// The rooms that it knows, whether they are in use or not, sorted by name: of those behind `after` the first `most`. For
    /// people to look at ([`Handle::rooms`](crate::Handle::rooms)); how a room stands may have changed meanwhile. Called from
    /// any thread but the hub's: may block, for 10 s at most. An engine that names none, as by default, has those listed that
    /// are in use at the server.
    ///
    /// # Errors
    /// Why it cannot tell for now, and what would help.
    fn rooms(&self, after: &str, most: usize) -> Result<Vec<Listed>> {
        let _ = (after, most);
        Ok(Vec::new())
    }

    /// What `/metrics` has of it, in the Prometheus text format; it is put behind what the server shows, whether the engine is
    /// reached included. Whole families, each with its HELP and TYPE, under names that begin with the engine's. Called for each
    /// scrape, from any thread, while the engine runs: must not block.
    fn metrics(&self) -> String {
        String::new()
    }

    /// Ends; what was taken is done first. Blocks, for 10 s at most.
    fn stop(&self);
}

/// How a room stands that an engine keeps: what [`Engine::rooms`] gives.
///
/// ```
/// use switchboard::engine::{Engine, Inbox, Listed, Memory, Order, RoomRules};
///
/// let engine = Memory::new();
/// engine.start("here", Inbox::new(|_| true))?;
/// let (room, user) = ("tea".into(), "ann".into());
/// engine.take(vec![Order::Presence { room, user, connections: 2, left: false }]);
/// let rooms: Vec<Listed> = engine.rooms("", 10)?;
/// assert_eq!((&*rooms[0].room, rooms[0].users, rooms[0].connections), ("tea", 1, 2));
/// assert!(engine.rooms("tea", 10)?.is_empty()); // there is none behind it
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub room: Name,
    /// Which life of its history it is; empty when nothing has begun yet.
    pub epoch: Name,
    /// The newest message's; 0 when there was none yet.
    pub offset: u64,
    /// Users that are in it, at all servers; 0 if the engine is not told.
    pub users: usize,
    /// Their connections.
    pub connections: usize,
}

/// The way from an engine to its server's hub. Costs nothing to clone.
///
/// ```
/// use switchboard::engine::{Engine, Inbox, Memory, Notice};
///
/// let (tell, told) = std::sync::mpsc::channel();
/// Memory::new().start("here", Inbox::new(move |notices| tell.send(notices).is_ok()))?;
/// assert_eq!(told.recv().unwrap(), [Notice::Hearing]);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Inbox(Arc<dyn Fn(Vec<Notice>) -> bool + Send + Sync>);

impl Inbox {
    /// One that calls `deliver`, for tests of an engine. A server makes its own.
    pub fn new(deliver: impl Fn(Vec<Notice>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(deliver))
    }

    /// Tells the hub. Blocks while the hub's queue is full; `false`: the server has stopped.
    pub fn tell(&self, notices: Vec<Notice>) -> bool {
        notices.is_empty() || (self.0)(notices)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// By this machine's clocks.
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: unix.as_millis() as u64 }
}
