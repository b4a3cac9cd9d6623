//! A room, as the program sees it.

use super::core::{Ask, Reply};
use super::line::{Shared, Ticket};
use super::{Data, Member, Position, RoomMessage, unfit};
use crate::error::Result;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A room of a session: what [`Session::join`](super::Session::join) gives. Costs nothing to clone, and may be used by any
/// thread. Dropping it leaves nothing: see [`Room::leave`].
///
/// ```
/// use switchboard::Session;
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::connect(&url)?;
/// let room = session.join("tea")?;
/// let first = room.publish("is anybody here?")?; // on return the server has it
/// assert_eq!((first.offset, room.members()?.len()), (1, 1));
/// room.leave()?;
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Room {
    pub(super) shared: Arc<Shared>,
    pub(super) patience: Duration,
    pub(super) name: String,
}

/// How to join a room: [`Session::join_with`](super::Session::join_with).
///
/// ```
/// use switchboard::session::{Event, JoinOptions, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// # let session = Session::connect(&url)?;
/// # for n in 0..3 { session.room("tea").publish(n)?; }
/// session.join_with("tea", JoinOptions { history: 2, ..JoinOptions::default() })?;
/// let is_message = |event: &Event| matches!(event, Event::Message(_));
/// assert_eq!(session.events().filter(is_message).take(2).count(), 2); // the last two that were there
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinOptions {
    /// How many of the newest messages to begin with, as far as the server has them. Default none. Of no effect in a room
    /// that the session is in, or with `since`.
    pub history: usize,
    /// The last message that the program has seen in an earlier session, to go on from there. Of no effect in a room that
    /// the session is in.
    pub since: Option<Position>,
}

/// What to look for in a room's history: [`Room::history`]. By default its newest messages.
///
/// ```
/// use switchboard::session::{History, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::connect(&url)?;
/// let room = session.join("tea")?;
/// # for n in 1..=5 { room.publish(n)?; }
/// let page = room.history(History { before: Some(4), limit: Some(2), ..History::default() })?;
/// let offsets: Vec<u64> = page.messages.iter().map(|message| message.at.offset).collect();
/// assert_eq!((offsets, page.more), (vec![2, 3], true));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Only messages with a smaller offset.
    pub before: Option<u64>,
    /// Only messages with a larger offset; the oldest of them.
    pub after: Option<u64>,
    /// At most so many. Default: as many as the server keeps.
    pub limit: Option<usize>,
}

/// A part of a room's history: what [`Room::history`] gives.
///
/// ```
/// use switchboard::session::{History, Page, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// # let session = Session::connect(&url)?;
/// # let room = session.join("tea")?;
/// # for n in 1..=5 { room.publish(n)?; }
/// let (mut after, mut read) = (0, Vec::new());
/// loop {
///     let query = History { after: Some(after), limit: Some(2), ..History::default() };
///     let Page { messages, more, .. } = room.history(query)?;
///     after = messages.last().map_or(after, |message| message.at.offset);
///     read.extend(messages);
///     if !more {
///         break;
///     }
/// }
/// assert_eq!(read.len(), 5);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The present life of the history.
    pub epoch: String,
    /// In ascending order, without holes.
    pub messages: Vec<RoomMessage>,
    /// Whether there are further ones: after these with `after`, otherwise before them.
    pub more: bool,
}

/// A message on its way: what [`Room::publish_later`] gives. Dropping it stops nothing.
///
/// ```
/// use switchboard::session::{Pending, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::connect(&url)?;
/// let room = session.join("tea")?;
/// let pending = (1..=32).map(|n| room.publish_later(n)).collect::<Result<Vec<Pending>, _>>()?;
/// for (pending, offset) in pending.into_iter().zip(1..) {
///     assert_eq!(pending.wait()?.offset, offset);
/// }
/// # Ok::<(), switchboard::Error>(())
/// ```
#[must_use = "wait for it to learn whether the message was published"]
pub struct Pending {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Room {
    /// The room's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes a message: a string, a number, a `serde_json::Value`, a [`Data`], anything that serde can serialize. On
    /// return the server has it, as durably as it keeps anything. Blocks until then, for the session's
    /// [`patience`](super::Builder::patience) at most.
    ///
    /// The message has a key of its own. When the connection is lost before the answer has come, it is sent again over the
    /// next with that key, so that it is in the room once, as long as the room's history remembers the key. What one thread
    /// publishes stays in order.
    ///
    /// Publishing needs no membership, unless the server wants it.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) as the server says; [`Error::Timeout`](crate::Error::Timeout) when it has
    /// said nothing in time (the message may be in the room or not); [`Error::Ended`](crate::Error::Ended) and
    /// [`Error::Closed`](crate::Error::Closed) when the session is over; [`Error::Other`](crate::Error::Other) for data that
    /// JSON cannot express.
    pub fn publish(&self, data: impl Serialize) -> Result<Position> {
        self.publish_later(data)?.wait()
    }

    /// [`Room::publish`] that does not wait for the answer: many may be on their way. They are sent in order, up to 32 at a
    /// time, and no faster than the server's rate allows. A message that the server refuses for now (`unavailable`) is sent
    /// again later, and those that were in flight with it may overtake it.
    ///
    /// Blocks while too much waits for answers: 1024 requests, or 8 MiB.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) when so much waits all the time; [`Error::Ended`](crate::Error::Ended),
    /// [`Error::Closed`](crate::Error::Closed) and [`Error::Other`](crate::Error::Other) as for [`Room::publish`].
    pub fn publish_later(&self, data: impl Serialize) -> Result<Pending> {
        let ask = Ask::Publish { room: self.name.clone(), data: Data::new(&data)? };
        Ok(Pending { ticket: self.shared.ask(ask, self.patience)?, shared: self.shared.clone() })
    }

    /// Who is in the room; of very many users, as many as the server's answer holds. Blocks as [`Room::publish`] does.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn members(&self) -> Result<Vec<Member>> {
        match self.ask(Ask::Members { room: self.name.clone() })? {
            Reply::Members(members) => Ok(members),
            _ => Err(unfit()),
        }
    }

    /// Messages that the server has kept. Blocks as [`Room::publish`] does.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn history(&self, query: History) -> Result<Page> {
        match self.ask(Ask::History { room: self.name.clone(), query })? {
            Reply::History(page) => Ok(page),
            _ => Err(unfit()),
        }
    }

    /// Leaves the room: nothing more of it is received, but for what waits already. Blocks as [`Room::publish`] does; not at
    /// all without a connection. Leaving a room that the session is not in does nothing.
    ///
    /// # Errors
    /// As for [`Room::publish`]. The session is out of the room all the same.
    pub fn leave(&self) -> Result<()> {
        self.ask(Ask::Leave { room: self.name.clone() }).map(drop)
    }

    fn ask(&self, ask: Ask) -> Result<Reply> {
        self.shared.wait(&self.shared.ask(ask, self.patience)?)
    }
}

impl Pending {
    /// Where the message is, once the server has it. Blocks until then, at most for the session's
    /// [`patience`](super::Builder::patience) from when it was given away.
    ///
    /// # Errors
    /// As for [`Room::publish`].
    pub fn wait(self) -> Result<Position> {
        match self.shared.wait(&self.ticket)? {
            Reply::Published(at) => Ok(at),
            _ => Err(unfit()),
        }
    }
}
