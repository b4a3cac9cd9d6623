//! What a session tells.

use super::data::Data;
use std::time::Duration;

/// What [`Session::recv`](super::Session::recv) tells, in the order in which it happened.
///
/// ```
/// use switchboard::session::{Event, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// # let session = Session::connect(&url)?;
/// # let room = session.join("tea")?;
/// # room.publish("hello")?;
/// # let mut said = String::new();
/// for event in session.events() {
///     match event {
///         Event::Message(message) => said = message.data.parse()?,
///         Event::Gap { room, .. } => eprintln!("{room}: messages are missing"),
///         Event::Disconnected { why, retry_in: None } => eprintln!("the end: {why}"),
///         _ => {}
///     }
/// #   if !said.is_empty() { break }
/// }
/// # assert_eq!(said, "hello");
/// # Ok::<(), switchboard::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// There is a connection, for the first time or again. Rooms are joined again by themselves.
    Connected {
        /// Who the server takes us for.
        user: String,
    },
    /// The connection was lost, or could not be made.
    Disconnected {
        /// For people to read: an error's text, or the server's close code and reason.
        why: String,
        /// How long until the next try. `None`: there will be none, the session is over.
        retry_in: Option<Duration>,
    },
    /// We are in a room, for the first time or again; what is known of its members counts from here.
    Joined {
        /// The room.
        room: String,
        /// Where the room stands.
        at: Position,
        /// What the server says: that all messages since the last one follow at once. If not, they are fetched as far as there
        /// are any, and an [`Event::Gap`] tells of those that are not.
        recovered: bool,
        /// Who is in the room; we are among them. Of very many, as many as the server's answer holds.
        members: Vec<Member>,
        /// How many users are in the room.
        users: u64,
    },
    /// Somebody published in a room that we are in: each message once, in the room's order.
    Message(RoomMessage),
    /// A user came into a room, or left it.
    Presence {
        /// The room.
        room: String,
        /// Who.
        user: String,
        /// `true`: came. `false`: left, or did not come back within the grace period.
        present: bool,
        /// How many users are in the room now.
        users: u64,
        /// Rises with each change; the same for all members.
        version: u64,
    },
    /// Messages of a room are missing here, and no longer to be had: we were away, or did not receive, for longer than its
    /// history reaches; or it began anew. The messages that follow are whole again.
    Gap {
        /// The room.
        room: String,
        /// How many are missing. `None`: unknown, perhaps none: the room has a new epoch.
        missed: Option<u64>,
    },
    /// A message to this user alone.
    Direct {
        /// Who sent it. `None`: the server itself.
        from: Option<String>,
        /// What.
        data: Data,
        /// When, in Unix milliseconds.
        time: u64,
    },
    /// A message to everybody.
    Broadcast {
        /// What.
        data: Data,
        /// When, in Unix milliseconds.
        time: u64,
    },
    /// The server took us out of a room, or does not let us back in; or ends the session, which is then over.
    Kicked {
        /// The room. `None`: the session.
        room: Option<String>,
        /// Why, as the server says.
        reason: String,
    },
    /// So many direct messages and broadcasts were dropped here, because too many events waited to be received. Messages of
    /// rooms are not among them: they are fetched again.
    Dropped {
        /// How many.
        events: u64,
    },
}

/// A message that was published in a room.
///
/// ```
/// use switchboard::session::{History, RoomMessage, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::builder().user("ann").connect(&url)?;
/// let room = session.join("tea")?;
/// room.publish("milk?")?;
/// let messages: Vec<RoomMessage> = room.history(History::default())?.messages;
/// assert_eq!((messages[0].from.as_deref(), messages[0].data.json()), (Some("ann"), r#""milk?""#));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RoomMessage {
    /// The room.
    pub room: String,
    /// Where in the room.
    pub at: Position,
    /// Who published it. `None`: the server itself.
    pub from: Option<String>,
    /// What.
    pub data: Data,
    /// When, in Unix milliseconds.
    pub time: u64,
}

/// A place in a room's history: one life of the history, and the number of a message in it. Within an epoch offsets rise by
/// one from message to message, beginning at 1.
///
/// ```
/// use switchboard::session::{JoinOptions, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// # let first = Session::connect(&url)?;
/// # let seen = first.room("tea").publish("seen")?;
/// # first.room("tea").publish("not seen")?;
/// let session = Session::connect(&url)?;
/// // A program that remembers where it was goes on from there after a restart.
/// session.join_with("tea", JoinOptions { since: Some(seen), ..JoinOptions::default() })?;
/// # let next = session.events().find_map(|event| match event {
/// #     switchboard::session::Event::Message(message) => Some(message.data), _ => None });
/// # assert_eq!(next.unwrap().json(), "\"not seen\"");
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// An opaque name, to be compared and given back. Another one: the history was lost, and began anew.
    pub epoch: String,
    /// The message's number; 0 is before the first.
    pub offset: u64,
}

/// A user who is in a room.
///
/// ```
/// use switchboard::session::{Member, Session};
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::builder().user("ann").connect(&url)?;
/// let members = session.join("tea")?.members()?;
/// assert_eq!(members, [Member { user: "ann".into(), connections: 1 }]);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: String,
    /// With how many connections; 0 within the grace period after the last.
    pub connections: u64,
}
