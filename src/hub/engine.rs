//! What the hub and an engine say to each other: plain values.
//!
//! An engine keeps rooms of `switchboard.v1` outside of the hub: on disk, or where several servers share them. It hands out
//! epochs and offsets; what the hub has of such a room is a copy, for as long as the room has members here.

use super::protocol::{Json, quote};
use super::rules::RoomRules;
use std::sync::Arc;
use tungstenite::Bytes;

/// The name of a room or a user. Shared, as each member's entry refers to it.
///
/// ```
/// let room: switchboard::engine::Name = "tea".into();
/// assert_eq!(&*room, "tea");
/// ```
pub type Name = Arc<str>;

/// Tells an order whose answer is awaited from all others of this server.
///
/// ```
/// use switchboard::engine::{Address, Order, Ticket};
///
/// let ticket: Ticket = 7;
/// let to = Address::User("ann".into());
/// let order = Order::Tell { ticket: Some(ticket), to, note: switchboard::Bytes::from_static(b"note") };
/// assert_eq!(order.size(), 4);
/// ```
pub type Ticket = u64;

/// A message on its way into a room's history.
///
/// ```
/// use switchboard::engine::{Publish, RoomRules};
///
/// let publish = Publish {
///     room: "tea".into(),
///     from: Some("ann".into()),
///     data: r#"{"text":"hello"}"#.into(),
///     key: None,
///     time: 1_700_000_000_000,
///     rules: RoomRules::default(),
/// };
/// assert_eq!(
///     &*publish.stored(1).element,
///     r#"{"offset":1,"from":"ann","data":{"text":"hello"},"time":1700000000000}"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Where it is said.
    pub room: Name,
    /// Who says it; `None`: the program.
    pub from: Option<Name>,
    /// A JSON text.
    pub data: Json,
    /// When it was said before with the same key by the same user, it is not said again.
    pub key: Option<String>,
    /// When it is said, in Unix milliseconds.
    pub time: u64,
    /// How much of the room is to be kept.
    pub rules: RoomRules,
}

impl Publish {
    /// The key, apart from those of other users. Names hold no control character, so no two users' can be the same.
    pub fn scoped_key(&self) -> Option<Arc<str>> {
        self.key.as_ref().map(|key| format!("{}\0{key}", self.from.as_deref().unwrap_or_default()).into())
    }

    /// What follows the offset in the message's JSON text, [`Stored::element`].
    pub fn after_offset(&self) -> String {
        let from = self.from.as_deref().map_or("null".into(), quote);
        format!(",\"from\":{from},\"data\":{},\"time\":{}}}", self.data, self.time)
    }

    /// The message with its offset.
    pub fn stored(&self, offset: u64) -> Stored {
        let element = format!("{{\"offset\":{offset}{}", self.after_offset());
        Stored { offset, time: self.time, element: element.into() }
    }
}

/// A message in a room's history.
///
/// ```
/// use switchboard::engine::Stored;
///
/// let element = r#"{"offset":1,"from":null,"data":1,"time":0}"#.into();
/// let stored = Stored { offset: 1, time: 0, element };
/// assert_eq!(stored.clone(), stored);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The first message of an epoch has 1, each next one 1 more.
    pub offset: u64,
    /// When it was said, in Unix milliseconds.
    pub time: u64,
    /// The message as JSON: `{"offset":…,"from":…,"data":…,"time":…}`.
    pub element: Json,
}

/// Who of a server's connections are meant.
///
/// ```
/// use switchboard::engine::Address;
///
/// // A nick of a plain route is no user of `switchboard.v1`.
/// assert_ne!(Address::Nick("ann".into()), Address::User("ann".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The members of a plain room.
    Room(Name),
    /// The connections of a user of plain routes ([`WebSocket::identify`](crate::WebSocket::identify)).
    Nick(Name),
    /// The connections of a user of `switchboard.v1`.
    User(Name),
    /// Everybody.
    Everyone,
}

/// A user in a room, as another server told.
///
/// ```
/// use switchboard::engine::Member;
///
/// let gone = Member { node: "east".into(), user: "ann".into(), connections: 0 };
/// assert_eq!(gone.connections, 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The server.
    pub node: Name,
    /// The user.
    pub user: Name,
    /// The user's connections in the room at that server.
    pub connections: usize,
}

/// What the hub wants of an engine.
///
/// ```
/// use switchboard::engine::{Engine, Inbox, Memory, Notice, Order, RoomRules};
///
/// let (tell, told) = std::sync::mpsc::channel();
/// let engine = Memory::new();
/// engine.start("here", Inbox::new(move |notices| tell.send(notices).is_ok()))?;
/// engine.take(vec![Order::Open { room: "tea".into(), rules: RoomRules::default() }]);
/// let state = told.iter().flatten().find(|notice| matches!(notice, Notice::State { .. }));
/// assert!(matches!(state, Some(Notice::State { offset: 0, .. })));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Say this in a room: give it the next offset, keep it, and tell it to all servers that have the room open. Answered by
    /// [`Notice::Published`] once it is as durable as it will get.
    Publish {
        /// For the answer.
        ticket: Ticket,
        /// What to say.
        publish: Publish,
    },
    /// The room has members here: tell its state ([`Notice::State`]), and then each later message. Asked again for an open room
    /// when the hub has missed something.
    Open {
        /// Its name.
        room: Name,
        /// What to keep of it.
        rules: RoomRules,
    },
    /// The room has no members here any more.
    Close {
        /// Its name.
        room: Name,
    },
    /// So many connections of this server listen to that address. Only for engines that are shared.
    Listen {
        /// Who they are.
        to: Address,
        /// 0: nobody any more.
        connections: usize,
    },
    /// Tell this to those connections of all *other* servers ([`Notice::Note`]). Only for engines that are shared.
    Tell {
        /// Answered by [`Notice::Told`] if there is one.
        ticket: Option<Ticket>,
        /// To whom.
        to: Address,
        /// Meant for hubs; an engine does not look into it.
        note: Bytes,
    },
    /// So many connections of this server are that user's in that room. Only for engines that are shared.
    Presence {
        /// The room.
        room: Name,
        /// The user.
        user: Name,
        /// 0: none any more.
        connections: usize,
        /// The user has left and will not be waited for.
        left: bool,
    },
}

/// What an engine tells the hub.
///
/// ```
/// use switchboard::engine::Notice;
///
/// // What a hub is told when nothing that is said would be kept.
/// let notice = Notice::Deaf { why: "the disk is full".into() };
/// assert_eq!(notice.size(), 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The answer to [`Order::Publish`]: exactly one for each, in their order. The message itself may be told before or after.
    Published {
        /// The order's.
        ticket: Ticket,
        /// Where it is in the history; for a key that was seen before, where it was. Or why it is not.
        result: Result<Receipt, String>,
    },
    /// What there is of an open room. Every message after `offset` follows as [`Notice::Message`].
    State {
        /// The room.
        room: Name,
        /// Another one than before: nothing from before counts.
        epoch: Name,
        /// The newest message's; 0: nothing was said in this epoch.
        offset: u64,
        /// What is kept, without holes, up to `offset`.
        messages: Vec<Stored>,
        /// Who is there, at other servers.
        members: Vec<Member>,
    },
    /// What there is of this open room cannot be told, although the engine can be reached: who waits for it is answered
    /// `unavailable`, who is in it stays. [`Notice::State`] comes once it can be told, if the room is still open then.
    Unavailable {
        /// The room.
        room: Name,
    },
    /// Something was said in an open room. That it comes twice does no harm.
    Message {
        /// The room.
        room: Name,
        /// Its epoch.
        epoch: Name,
        /// What was said.
        message: Stored,
    },
    /// The answer to [`Order::Tell`]: how many connections at other servers it went to.
    Told {
        /// The order's.
        ticket: Ticket,
        /// How many; or why nobody knows.
        result: Result<usize, String>,
    },
    /// What another server wants told here.
    Note {
        /// To whom.
        to: Address,
        /// What.
        note: Bytes,
    },
    /// A user's presence at another server has changed, in an open room.
    Presence {
        /// The room.
        room: Name,
        /// Who, and how much.
        member: Member,
        /// The user has left and will not be waited for.
        left: bool,
    },
    /// Another server is no more.
    Gone {
        /// Its name.
        node: Name,
    },
    /// The engine cannot be reached: nothing that is said would be kept. Orders that wait are answered before this.
    Deaf {
        /// Why, and what would help.
        why: String,
    },
    /// It can be reached again. The states of all open rooms were told before this.
    Hearing,
}

impl Order {
    /// Bytes of payload that this keeps in memory.
    pub fn size(&self) -> usize {
        match self {
            Self::Publish { publish, .. } => publish.data.len(),
            Self::Tell { note, .. } => note.len(),
            _ => 0,
        }
    }
}

impl Order {
    /// The answer when it is not carried out, if there is one.
    pub(crate) fn refused(&self, why: String) -> Option<Notice> {
        match self {
            Self::Publish { ticket, .. } => Some(Notice::Published { ticket: *ticket, result: Err(why) }),
            Self::Tell { ticket: Some(ticket), .. } => {
                Some(Notice::Told { ticket: *ticket, result: Err(why) })
            }
            _ => None,
        }
    }
}

impl Notice {
    /// Bytes of payload that this keeps in memory.
    pub fn size(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.element.len(),
            Self::State { messages, .. } => messages.iter().map(|message| message.element.len()).sum(),
            Self::Note { note, .. } => note.len(),
            _ => 0,
        }
    }
}

/// Where a message is in a room's history.
///
/// ```
/// use switchboard::engine::Receipt;
///
/// let receipt = Receipt { epoch: "5f3a-1".into(), offset: 7 };
/// assert_eq!(receipt.offset, 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The history's epoch.
    pub epoch: Name,
    /// The message's offset.
    pub offset: u64,
}
