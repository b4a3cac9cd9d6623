//! What comes into the hub, and the way out of it.

use super::engine::{Name, Notice, Order};
use super::protocol::{Ask, Json};
use std::fmt;
use tungstenite::Bytes;

/// A connection, for as long as the server lives: never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Frames on their way to lines of two kinds.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    pub(crate) plain: Bytes,
    /// The same messages for lines that take compressed frames, when any was worth it.
    pub(crate) compressed: Option<Bytes>,
}

impl Frames {
    /// For a line that takes compressed frames, or one that does not.
    pub(super) fn fit(&self, compressed: bool) -> &Bytes {
        match &self.compressed {
            Some(frames) if compressed => frames,
            _ => &self.plain,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.compressed.as_ref().map_or(0, Bytes::len)
    }
}

impl From<Bytes> for Frames {
    fn from(plain: Bytes) -> Self {
        Self { plain, compressed: None }
    }
}

/// What one member makes of a room's frames before its line gets them: whole frames in, whole frames out, none for none.
/// `Err` is a Close frame: the member gets that, and no more. Called in the hub's turn, so it must not block.
pub(crate) struct View(pub(crate) ViewFn);

pub(crate) type ViewFn = Box<dyn FnMut(&Bytes) -> Result<Bytes, Bytes> + Send>;

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

/// Takes what the hub sends. Must not block.
pub(crate) trait Deliver<L> {
    /// Whole frames, laid end to end, for one connection.
    fn deliver(&mut self, to: &L, frames: &Bytes);
    /// A Close frame for one connection, after everything delivered before.
    fn close(&mut self, to: &L, frame: &Bytes);
    /// A text as frames for lines of both kinds.
    fn encode(&mut self, text: &str) -> Frames;
    /// What an engine is to do. Only asked when there is one.
    fn order(&mut self, order: Order);
}

/// What connections and the program ask of the hub.
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
#[derive(Debug)]
pub(crate) enum Command<L> {
    /// A connection is open.
    Connect {
        id: ConnectionId,
        line: L,
        /// Whether its line takes compressed frames.
        compressed: bool,
        /// Whose it is, when somebody has proved that; it is this user's until another is identified.
        owner: Option<Name>,
        /// Whether it is going to [`Command::Enter`]: until then nothing but the welcome is for it.
        protocol: bool,
    },
    /// The connection speaks `switchboard.v1`, as this user, and is welcomed.
    Enter {
        id: ConnectionId,
        user: Name,
        welcome: String,
    },
    /// What the program asks, and is answered.
    #[cfg(feature = "protocol")]
    Call(Box<super::calls::Call>),
    /// A request of `switchboard.v1`, with its `id` as JSON.
    Ask {
        id: ConnectionId,
        tag: Option<Json>,
        ask: Ask,
    },
    /// A connection has ended, however. It leaves its rooms.
    Disconnect {
        id: ConnectionId,
    },
    /// The connection is this user's from now on. A user may have many connections.
    Identify {
        id: ConnectionId,
        user: Name,
    },
    /// Joining again changes the view only.
    Join {
        id: ConnectionId,
        room: Name,
        view: Option<Box<View>>,
    },
    Leave {
        id: ConnectionId,
        room: Name,
    },
    /// To all members of the room, but for one.
    SendRoom {
        room: Name,
        frames: Frames,
        except: Option<ConnectionId>,
    },
    /// To all connections of the user; when there are none, `otherwise` goes to that connection.
    SendUser {
        user: Name,
        frames: Frames,
        otherwise: Option<(ConnectionId, Bytes)>,
    },
    /// To every connection.
    Broadcast {
        frames: Frames,
    },
    /// A Close frame to all members of the room.
    CloseRoom {
        room: Name,
        frame: Bytes,
    },
    /// A Close frame to all connections of the user.
    CloseUser {
        user: Name,
        frame: Bytes,
    },
    /// What an engine tells.
    Notices(Vec<Notice>),
    /// A Close frame to at most so many connections that have not been told yet.
    CloseSome {
        at_most: usize,
        frame: Bytes,
    },
}

impl<L> Command<L> {
    /// Bytes of payload that this command keeps in memory.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::SendRoom { frames, .. } | Self::Broadcast { frames } => frames.len(),
            Self::SendUser { frames, otherwise, .. } => {
                frames.len() + otherwise.as_ref().map_or(0, |(_, frames)| frames.len())
            }
            Self::Ask { ask, .. } => ask.size(),
            Self::Notices(notices) => notices.iter().map(Notice::size).sum(),
            Self::Enter { welcome, .. } => welcome.len(),
            #[cfg(feature = "protocol")]
            Self::Call(call) => call.size(),
            _ => 0,
        }
    }
}
