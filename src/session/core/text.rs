//! `switchboard.v1` as a client sees it: requests as JSON, and the server's texts as values.

use super::pace::{Allowed, Rates};
use crate::error::Error;
use crate::hub::protocol::{Json, Text, quote};
use crate::session::{Data, Event, History, Member, Page, Position, RoomMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::time::Duration;

/// What a request costs besides its data.
const OVERHEAD: usize = 256;

type Fields<'a> = HashMap<String, &'a RawValue>;

/// What the program asks for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) enum Ask {
    Join { room: String, since: Option<Position>, history: usize },
    Leave { room: String },
    Publish { room: String, data: Data },
    Direct { to: String, data: Data },
    Members { room: String },
    History { room: String, query: History },
    Ping,
}

impl Ask {
    /// About what it takes to keep it, in bytes.
    pub(super) fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Publish { room, data } => room.len() + data.json().len(),
                Self::Direct { to, data } => to.len() + data.json().len(),
                Self::Join { room, .. }
                | Self::Leave { room }
                | Self::Members { room }
                | Self::History { room, .. } => room.len(),
                Self::Ping => 0,
            }
    }

    /// `key`: for what must not be done twice.
    pub(super) fn text(&self, id: u64, key: &str) -> String {
        let id: Json = id.to_string().into();
        let text = |kind| Text::new(kind, Some(&id));
        match self {
            Self::Join { room, since, history } => {
                let text = text("join").string("room", room);
                let text = match since {
                    Some(at) => {
                        let (epoch, offset) = (quote(&at.epoch), at.offset);
                        text.raw("since", &format!(r#"{{"epoch":{epoch},"offset":{offset}}}"#))
                    }
                    None => text,
                };
                if 0 < *history { text.number("history", *history as u64) } else { text }
            }
            Self::Leave { room } => text("leave").string("room", room),
            Self::Publish { room, data } => {
                text("publish").string("room", room).string("key", key).raw("data", data.json())
            }
            Self::Direct { to, data } => text("direct").string("to", to).raw("data", data.json()),
            Self::Members { room } => text("members").string("room", room),
            Self::History { room, query } => {
                let bounds = [("before", query.before), ("after", query.after)];
                let limit = query.limit.map(|limit| limit as u64);
                let bounds = bounds.into_iter().chain([("limit", limit)]);
                let given = bounds.filter_map(|(name, value)| Some((name, value?)));
                given.fold(text("history").string("room", room), |text, (name, value)| {
                    text.number(name, value)
                })
            }
            Self::Ping => text("ping"),
        }
        .end()
    }
}

/// What the server says.
#[derive(Debug, PartialEq)]
pub(in crate::session) enum Said {
    /// `message`: the largest that it takes, in bytes.
    Welcome {
        user: String,
        message: usize,
        rates: Rates,
    },
    Joined {
        id: Option<u64>,
        joined: Joined,
    },
    Reply {
        id: u64,
        reply: Reply,
    },
    Refused {
        id: u64,
        refusal: Refusal,
    },
    Gap {
        room: String,
    },
    GoingAway {
        after: Duration,
    },
    /// A message, presence, direct message, broadcast, or the end: passed on as it is.
    Event(Event),
}

/// The answer to a `join`.
#[derive(Debug, PartialEq)]
pub(in crate::session) struct Joined {
    pub(super) room: String,
    pub(super) at: Position,
    pub(super) recovered: bool,
    pub(super) messages: Vec<RoomMessage>,
    pub(super) members: Vec<Member>,
    /// How many users there are.
    pub(super) users: u64,
}

/// The answer to another request.
#[derive(Debug, PartialEq)]
pub(in crate::session) enum Reply {
    Published(Position),
    Sent(u64),
    Members(Vec<Member>),
    History(Page),
    /// Joined, left, alive: there is no more to say.
    Done,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    /// What the server would refuse anyway, by closing the connection.
    pub(super) fn too_large(size: usize, limit: usize) -> Self {
        let message = format!("the message has {size} bytes, the server takes {limit}: send less at once");
        Self { code: "too_large".into(), message }
    }

    pub(super) fn into_error(self) -> Error {
        Error::Rejected { code: self.code, message: self.message }
    }

    /// Whether the same request may be carried out later.
    pub(super) fn is_passing(&self) -> bool {
        ["unavailable", "rate_limited"].contains(&self.code.as_str())
    }
}

impl Joined {
    pub(super) fn room(&self) -> &str {
        &self.room
    }
}

impl Said {
    /// `None`: nothing that concerns this client, or nothing that it understands.
    pub(in crate::session) fn read(text: &str) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(text).ok()?;
        let field = Reader(&fields);
        let id = field.get::<u64>("id");
        Some(match field.get::<String>("type")?.as_str() {
            "welcome" => field.welcome()?,
            "joined" => Self::Joined { id, joined: field.joined()? },
            "published" => Self::Reply { id: id?, reply: Reply::Published(field.position()?) },
            "sent" => Self::Reply { id: id?, reply: Reply::Sent(field.get("connections")?) },
            "members" => Self::Reply { id: id?, reply: Reply::Members(field.members()?) },
            "history" => Self::Reply { id: id?, reply: Reply::History(field.page()?) },
            "left" | "pong" => Self::Reply { id: id?, reply: Reply::Done },
            "error" => Self::Refused { id: id?, refusal: field.refusal()? },
            "gap" => Self::Gap { room: field.get("room")? },
            "going_away" => Self::GoingAway { after: Duration::from_millis(field.get("reconnect_after")?) },
            "message" => {
                let (room, epoch): (String, String) = (field.get("room")?, field.get("epoch")?);
                Self::Event(Event::Message(field.message(&room, &epoch)?))
            }
            "presence" => Self::Event(Event::Presence {
                room: field.get("room")?,
                user: field.get("user")?,
                present: field.get::<String>("change")? == "join",
                users: field.get("users")?,
                version: field.get("version")?,
            }),
            "direct" => Self::Event(Event::Direct {
                from: field.get("from"),
                data: field.data()?,
                time: field.get("time")?,
            }),
            "broadcast" => Self::Event(Event::Broadcast { data: field.data()?, time: field.get("time")? }),
            "kicked" => Self::Event(Event::Kicked {
                room: field.get("room"),
                reason: field.get("reason").unwrap_or_default(),
            }),
            _ => return None,
        })
    }
}

struct Reader<'f, 'a>(&'f Fields<'a>);

impl<'a> Reader<'_, 'a> {
    fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    fn welcome(&self) -> Option<Said> {
        let limits: Fields<'_> = self.get("limits").unwrap_or_default();
        let limit = Reader(&limits);
        let allowed = |name: &str| {
            let rate: Fields<'_> = limit.get(name)?;
            let rate = Reader(&rate);
            Some(Allowed { count: rate.get("count")?, per: rate.get("per")?, burst: rate.get("burst")? })
        };
        Some(Said::Welcome {
            user: self.get("user")?,
            message: limit.get("message").unwrap_or(usize::MAX),
            rates: Rates { texts: allowed("rate"), bytes: allowed("byte_rate") },
        })
    }

    fn data(&self) -> Option<Data> {
        self.0.get("data").map(|raw| Data((*raw).to_owned()))
    }

    fn position(&self) -> Option<Position> {
        Some(Position { epoch: self.get("epoch")?, offset: self.offset()? })
    }

    /// No server comes to the largest number there is; so there is always one more.
    fn offset(&self) -> Option<u64> {
        self.get("offset").filter(|offset| *offset < u64::MAX)
    }

    fn message(&self, room: &str, epoch: &str) -> Option<RoomMessage> {
        Some(RoomMessage {
            room: room.into(),
            // The first one has 1.
            at: Position { epoch: epoch.into(), offset: self.offset().filter(|offset| 0 < *offset)? },
            from: self.get("from"),
            data: self.data()?,
            time: self.get("time")?,
        })
    }

    fn messages(&self, room: &str, epoch: &str) -> Option<Vec<RoomMessage>> {
        let messages: Vec<Fields<'_>> = self.get("messages")?;
        messages.iter().map(|message| Reader(message).message(room, epoch)).collect()
    }

    fn members(&self) -> Option<Vec<Member>> {
        let members: Vec<Fields<'_>> = self.get("members")?;
        let member = |member: &Fields<'a>| {
            let member = Reader(member);
            Some(Member { user: member.get("user")?, connections: member.get("connections")? })
        };
        members.iter().map(member).collect()
    }

    fn joined(&self) -> Option<Joined> {
        let (room, at): (String, Position) = (self.get("room")?, self.position()?);
        let messages = self.messages(&room, &at.epoch)?;
        let members = self.members()?;
        let users = self.get("users").unwrap_or(members.len() as u64);
        Some(Joined { room, at, recovered: self.get("recovered")?, messages, members, users })
    }

    fn page(&self) -> Option<Page> {
        let (room, epoch): (String, String) = (self.get("room")?, self.get("epoch")?);
        Some(Page { messages: self.messages(&room, &epoch)?, epoch, more: self.get("more")? })
    }

    fn refusal(&self) -> Option<Refusal> {
        let message: String = self.get("message").unwrap_or_default();
        let message = match self.get::<String>("path") {
            Some(path) => format!("{message} (at `{path}`)"),
            None => message,
        };
        Some(Refusal { code: self.get("code")?, message })
    }
}
