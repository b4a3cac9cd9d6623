//! A client of `switchboard.v1` that never loses its place: rooms, presence and acknowledged publishing over a connection that
//! comes and goes.
//!
//! ```
//! use switchboard::session::{Event, Session};
//!
//! # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
//! # let url = format!("ws://{}/ws", server.local_addr());
//! let session = Session::builder().user("ann").connect(&url)?; // returns at once
//! let room = session.join("tea")?;
//! room.publish("hello")?; // on return the server has it
//! for event in session.events() {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.from.as_deref().unwrap_or("the server"), message.data);
//!         # break;
//!     }
//! }
//! # Ok::<(), switchboard::Error>(())
//! ```
//!
//! What a session does by itself:
//!
//! - **It comes back.** After each loss it waits as [`Reconnecting`](crate::Reconnecting) does, or as long as the server asks,
//!   and tries again. A connection that has died is found by pings, within 20 s.
//! - **It finds its place.** All rooms are joined again with the last message that was seen: each message comes once, in order.
//!   If some are no longer to be had, [`Event::Gap`] says so.
//! - **It says everything once.** What is not acknowledged is sent again, in order, with the key it had.
//! - **It has patience.** Requests wait while there is no connection; what the server refuses for now (`unavailable`,
//!   `rate_limited`) is asked again after a random wait that grows. Each has 30 s altogether ([`Builder::patience`]).
//! - **It is polite.** It asks no faster than the server says it may, and so is not closed for it.
//!
//! It does not come back when that would not help: after [`Event::Kicked`], when the server closes with 1008 (a wrong token, a
//! limit; but see [`Builder::token_from`]) or 1000, and when it refuses the request itself (404). The last event says why, with
//! `retry_in: None`; then and later every request fails with [`Error::Ended`].
//!
//! # What is bounded, and what happens then
//!
//! | what waits | at most | then |
//! |---|---|---|
//! | requests without an answer | 1024, or 8 MiB | who makes another one waits |
//! | requests in flight | 32 | the others wait for their turn |
//! | events not received | 1024, or 8 MiB | messages of rooms and presence are fetched again once half of it is received; what the server keeps no longer is an [`Event::Gap`]. Direct messages and broadcasts are lost: [`Event::Dropped`] |
//!
//! So a program that only publishes need not receive.

mod builder;
mod core;
mod data;
mod event;
mod line;
mod room;
mod token;

pub use builder::Builder;
pub use data::Data;
pub use event::{Event, Member, Position, RoomMessage};
pub use room::{History, JoinOptions, Page, Pending, Room};

use self::core::{Ask, Core, Reply};
use crate::error::{Error, Result};
use crate::limits::from_now;
use line::Shared;
use serde::Serialize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A session with a server that speaks `switchboard.v1`. All its methods may be called from any thread.
///
/// ```
/// use switchboard::Session;
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::connect(&url)?;
/// let room = session.join("tea")?;
/// std::thread::scope(|threads| {
///     threads.spawn(|| room.publish("from a thread"));
///     for event in session.events() {
///         println!("{event:?}");
///         # if matches!(event, switchboard::session::Event::Message(_)) {
///         session.close(); // the events end
///         # }
///     }
/// });
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// Dropping it ends it: closes with 1000 and waits for the server's answer, for
/// [`Limits::close_deadline`](crate::Limits::close_deadline) at most; a try to connect that is under way is not waited for.
/// What is not acknowledged by then may be lost.
pub struct Session {
    shared: Arc<Shared>,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Begins a session with the defaults of [`Session::builder`]. Does not block.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url)
    }

    /// Joins a room. Blocks until the server has answered; then [`Event::Joined`] is on its way, and what happens in the room
    /// follows it. The session is in the room until [`Room::leave`], whatever happens to the connection.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn join(&self, room: impl Into<String>) -> Result<Room> {
        self.join_with(room, JoinOptions::default())
    }

    /// [`Session::join`] that begins with messages that were there before.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn join_with(&self, room: impl Into<String>, options: JoinOptions) -> Result<Room> {
        let room = self.room(room);
        let JoinOptions { history, since } = options;
        self.ask(Ask::Join { room: room.name.clone(), since, history })?;
        Ok(room)
    }

    /// A room without joining it: enough to publish.
    ///
    /// ```
    /// # use switchboard::Session;
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}/ws", server.local_addr());
    /// let session = Session::connect(&url)?;
    /// session.room("log").publish("started")?;
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn room(&self, name: impl Into<String>) -> Room {
        Room { shared: self.shared.clone(), patience: self.patience, name: name.into() }
    }

    /// Sends a message to all connections of a user; how many these are. Blocks as [`Room::publish`] does.
    ///
    /// Unlike what is published, it has no key: when the connection is lost before the answer has come, it is not sent again.
    ///
    /// # Errors
    /// [`Error::Rejected`] with `no_such_user` when the user is not there; [`Error::Closed`] when the connection was lost (the
    /// message may have been sent or not); and as for [`Room::publish`].
    pub fn direct(&self, to: impl Into<String>, data: impl Serialize) -> Result<u64> {
        match self.ask(Ask::Direct { to: to.into(), data: Data::new(&data)? })? {
            Reply::Sent(connections) => Ok(connections),
            _ => Err(unfit()),
        }
    }

    /// Asks the server for a sign of life: how long it took, waits for a connection included. Blocks as [`Room::publish`] does.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn ping(&self) -> Result<Duration> {
        let begin = Instant::now();
        self.ask(Ask::Ping).map(|_| begin.elapsed())
    }

    /// The next event; blocks until there is one. `None`: the session is over.
    pub fn recv(&self) -> Option<Event> {
        self.shared.next_event(None)
    }

    /// [`Session::recv`] that blocks for `timeout` at most. `None` also when the time is up.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::Session;
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}/ws", server.local_addr());
    /// let session = Session::connect(&url)?;
    /// while let Some(event) = session.recv_timeout(Duration::from_millis(20)) {
    ///     println!("{event:?}");
    /// }
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        self.shared.next_event(Some(from_now(timeout)))
    }

    /// The events until the session is over. Blocks for each.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        std::iter::from_fn(|| self.recv())
    }

    /// Who the server takes us for; `None` before it has said so.
    pub fn user(&self) -> Option<String> {
        self.shared.read(|core| core.user().map(String::from))
    }

    /// Whether there is a connection at present.
    pub fn is_connected(&self) -> bool {
        self.shared.read(Core::is_here)
    }

    /// Ends the session, with 1000. Does not block. What is not answered fails with [`Error::Closed`], the events end.
    pub fn close(&self) {
        self.shared.close();
    }

    fn ask(&self, ask: Ask) -> Result<Reply> {
        self.shared.wait(&self.shared.ask(ask, self.patience)?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take()
            && self.shared.ends_soon()
        {
            // It does not panic; if it did, there would be nothing to be done about it here.
            let _ = thread.join();
        }
    }
}

/// The server answered with something else than what it was asked for.
fn unfit() -> Error {
    Error::other("the server's reply does not fit the request: does it speak switchboard.v1?")
}
