//! One room of `switchboard.v1`: who is present, what was said lately, and the texts that tell it.

use super::engine::{Member, Publish, Receipt, Stored};
use super::history::{History, Now, Published};
use super::protocol::{Json, Since, Text, quote};
use super::rules::RoomRules;
use super::{ConnectionId, Name, Room};
use std::collections::BTreeMap;
use std::mem::take;
use std::time::Instant;

/// What an answer has, at most, besides what says which it is, and its lists: their names, `recovered`, `users`, `more`.
const FIELDS: usize = 100;

/// What a user has in a list besides the name, about: with a comma, and a few connections.
const ENTRY: usize = 28;

/// The part of an answer to a `join` that is left to the users, if they need it, is one in so many.
const USERS_PART: usize = 4;

pub(super) struct Topic<L> {
    /// Its connections.
    pub(super) room: Room<L>,
    pub(super) history: History,
    users: BTreeMap<Name, Here>,
    /// Of the presence: rises with each change.
    version: u64,
    /// Who waits for an engine to tell what there is of the room; `None`: that is known.
    pub(super) waiters: Option<Vec<Waiter>>,
    /// Something was missed, and the engine has been asked for it.
    pub(super) asked_again: bool,
    /// Who was told that a message is kept before it came in here.
    unheard: Vec<(Receipt, ConnectionId)>,
}

/// Who waits for what an engine tells of a room.
pub(super) enum Waiter {
    Join(Joiner),
    #[cfg(feature = "protocol")]
    Look(super::calls::Answer<super::calls::Seen>),
}

/// A `join`.
pub(super) struct Joiner {
    pub(super) id: ConnectionId,
    pub(super) tag: Option<Json>,
    pub(super) since: Option<Since>,
    pub(super) history: Option<usize>,
}

/// A user who is present.
#[derive(Default)]
struct Here {
    connections: usize,
    /// Connections at other servers.
    elsewhere: BTreeMap<Name, usize>,
    /// When the grace period ends, for one without a connection.
    until: Option<Instant>,
}

impl Here {
    fn all(&self) -> usize {
        self.elsewhere.values().fold(self.connections, |all, some| all.saturating_add(*some))
    }
}

/// What a change of somebody's connections means for the others in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Came,
    Left,
    /// Nothing yet: the grace period has begun, and will end then.
    Waits(Instant),
    /// Within the grace period, which would have ended then: nobody is told.
    CameBack(Instant),
    Nothing,
}

impl<L> Topic<L> {
    pub(super) fn new(history: History, waiters: Option<Vec<Waiter>>) -> Self {
        Self {
            room: Room::default(),
            history,
            users: BTreeMap::new(),
            version: 0,
            waiters,
            asked_again: false,
            unheard: Vec::new(),
        }
    }

    /// Nobody is here, nor waits to be, nor for what is said.
    pub(super) fn is_empty(&self) -> bool {
        let waits = self.waiters.as_ref().is_some_and(|waiters| !waiters.is_empty());
        self.users.is_empty() && self.room.is_empty() && !waits && self.unheard.is_empty()
    }

    /// `true`: the message is yet to come in; [`heard`](Self::heard) tells when it has.
    pub(super) fn await_message(&mut self, at: &Receipt, id: ConnectionId) -> bool {
        let is_yet_to_come = self.is_yet_to_come(at);
        if is_yet_to_come {
            self.unheard.push((at.clone(), id));
        }
        is_yet_to_come
    }

    /// Who need not wait any longer; `at_all`: for whatever it is.
    pub(super) fn heard(&mut self, at_all: bool) -> Vec<ConnectionId> {
        let (waits, heard) =
            take(&mut self.unheard).into_iter().partition(|(at, _)| !at_all && self.is_yet_to_come(at));
        self.unheard = waits;
        heard.into_iter().map(|(_, id): (Receipt, ConnectionId)| id).collect()
    }

    fn is_yet_to_come(&self, at: &Receipt) -> bool {
        self.history.epoch() == &*at.epoch && self.history.offset() < at.offset
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.room.has(id)
    }

    /// Connections of the user at this server.
    pub(super) fn connections(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |here| here.connections)
    }

    /// One more connection of the user.
    pub(super) fn enter(&mut self, user: &Name) -> Change {
        self.change(user, None, |here| here.connections += 1)
    }

    /// One connection fewer; `until` then the user is waited for.
    pub(super) fn exit(&mut self, user: &Name, until: Option<Instant>) -> Change {
        self.change(user, until, |here| here.connections = here.connections.saturating_sub(1))
    }

    /// So many connections at another server.
    pub(super) fn elsewhere(&mut self, member: &Member, until: Option<Instant>) -> Change {
        self.change(&member.user, until, |here| match member.connections {
            0 => drop(here.elsewhere.remove(&member.node)),
            some => drop(here.elsewhere.insert(member.node.clone(), some)),
        })
    }

    fn change(&mut self, user: &Name, until: Option<Instant>, make: impl FnOnce(&mut Here)) -> Change {
        let here = self.users.entry(user.clone()).or_default();
        let was = here.all();
        let waited = here.until.is_some();
        make(here);
        match (was, here.all()) {
            (0, 0) if waited && until.is_none() => self.forget(user),
            (0, 0) => {
                if !waited {
                    self.users.remove(user);
                }
                Change::Nothing
            }
            (0, _) => {
                if let Some(until) = here.until.take() {
                    return Change::CameBack(until);
                }
                self.version += 1;
                Change::Came
            }
            (_, 0) => {
                here.until = until;
                until.map_or_else(|| self.forget(user), Change::Waits)
            }
            _ => Change::Nothing,
        }
    }

    /// `true`: the user's grace period is over.
    pub(super) fn expire(&mut self, user: &Name, now: Instant) -> bool {
        let is_over = self.users.get(user).is_some_and(|here| here.until.is_some_and(|until| until <= now));
        is_over && self.forget(user) == Change::Left
    }

    fn forget(&mut self, user: &Name) -> Change {
        self.version += 1;
        self.users.remove(user);
        Change::Left
    }

    /// Everybody at other servers, or at that one.
    pub(super) fn strangers(&self, node: Option<&str>) -> Vec<Member> {
        let of = |(user, here): (&Name, &Here)| -> Vec<Member> {
            let at = here.elsewhere.iter().filter(|(at, _)| node.is_none_or(|node| ***at == *node));
            at.map(|(node, connections)| Member {
                node: node.clone(),
                user: user.clone(),
                connections: *connections,
            })
            .collect()
        };
        self.users.iter().flat_map(of).collect()
    }

    pub(super) fn publish(&mut self, now: Now, publish: &Publish) -> Published {
        self.history.publish(now, publish)
    }

    /// Forgets what is too old or too much.
    pub(super) fn trim(&mut self, now: Instant, rules: &RoomRules) {
        self.history.trim(now, rules);
    }

    /// The answer to a `join`, in so many bytes: everything after `since` if it is all there, otherwise the newest. Of more
    /// users than then fit, some: the messages leave them a part of the answer.
    pub(super) fn joined(&self, joiner: &Joiner, (room, user): (&str, &str), bytes: usize) -> String {
        let text = Text::new("joined", joiner.tag.as_ref()).string("room", room);
        let text = text.string("epoch", self.history.epoch()).number("offset", self.history.offset());
        let left = bytes.saturating_sub(text.len() + FIELDS);
        let for_users = self.users.keys().map(|user| user.len() + ENTRY).sum();
        let for_messages = left - (left / USERS_PART).min(for_users);
        let recovered = joiner.since.as_ref().and_then(|since| self.history.after(since, for_messages));
        let count = joiner.history.unwrap_or(if joiner.since.is_some() { usize::MAX } else { 0 });
        let is_recovered = recovered.is_some();
        let messages = recovered.unwrap_or_else(|| self.history.newest(count, for_messages));
        let text = text.bool("recovered", is_recovered).list("messages", messages.into_iter());
        self.with_members(text, user, bytes).end()
    }

    /// Of more users than fit into so many bytes, some.
    pub(super) fn members(&self, id: Option<&Json>, (room, user): (&str, &str), bytes: usize) -> String {
        self.with_members(Text::new("members", id).string("room", room), user, bytes).end()
    }

    /// How many users there are, and as many of them as fit; among them, always, the one who asks.
    fn with_members(&self, text: Text, asker: &str, bytes: usize) -> Text {
        let text = text.number("users", self.users.len() as u64);
        let own = self.users.get(asker).map_or(0, |here| entry(asker, here).len() + 1);
        let mut left = bytes.saturating_sub(text.len() + FIELDS + own);
        let mut members = Vec::new();
        for (user, here) in &self.users {
            let is_asker = **user == *asker;
            if !is_asker && left < user.len() + ENTRY {
                continue;
            }
            let entry = entry(user, here);
            if is_asker {
                members.push(entry);
            } else if entry.len() < left {
                left -= entry.len() + 1;
                members.push(entry);
            }
        }
        text.list("members", members.iter().map(String::as_str))
    }

    pub(super) fn page(
        &self,
        id: Option<&Json>,
        room: &str,
        (before, after): (Option<u64>, Option<u64>),
        (limit, bytes): (usize, usize),
    ) -> String {
        let text = Text::new("history", id).string("room", room).string("epoch", self.history.epoch());
        let page = self.history.page(before, after, limit, bytes.saturating_sub(text.len() + FIELDS));
        text.list("messages", page.elements.into_iter()).bool("more", page.more).end()
    }

    /// What its members get of a message.
    pub(super) fn message(&self, room: &str, message: &Stored) -> String {
        let text = Text::new("message", None).string("room", room).string("epoch", self.history.epoch());
        text.fields(&message.element)
    }

    /// Messages between what a member has seen and this may be missing.
    pub(super) fn gap(&self, room: &str) -> String {
        let text = Text::new("gap", None).string("room", room).string("epoch", self.history.epoch());
        text.number("offset", self.history.offset()).end()
    }

    pub(super) fn presence(&self, room: &str, user: &str, change: &str) -> String {
        let text = Text::new("presence", None).string("room", room).string("user", user);
        let text = text.string("change", change).number("users", self.users.len() as u64);
        text.number("version", self.version).end()
    }

    /// Who is present, with how many connections.
    #[cfg(feature = "protocol")]
    pub(super) fn users(&self) -> impl ExactSizeIterator<Item = (&Name, usize)> {
        self.users.iter().map(|(user, here)| (user, here.all()))
    }
}

/// A user in a list of them.
fn entry(user: &str, here: &Here) -> String {
    format!("{{\"user\":{},\"connections\":{}}}", quote(user), here.all())
}

/// The answer to a `publish`.
pub(super) fn published(id: Option<&Json>, room: &str, epoch: &str, offset: u64) -> String {
    let text = Text::new("published", id).string("room", room);
    text.string("epoch", epoch).number("offset", offset).end()
}
