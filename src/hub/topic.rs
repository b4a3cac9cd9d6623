//! One room of `switchboard.v1`: who is present, what was said lately, and where everybody is in it.
//!
//! An *epoch* is one life of a room's history; within it each message has the offset after the one before.

use super::protocol::{Json, Since, Text, quote};
use super::{ConnectionId, Name, Room};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a message that is kept costs besides its text.
const OVERHEAD: usize = 256;

/// How much of a room of `switchboard.v1` is kept, and how long.
///
/// ```
/// use std::time::Duration;
/// use switchboard::RoomRules;
///
/// let rules = RoomRules { messages: 1000, age: Duration::from_secs(3600), ..RoomRules::default() };
/// assert_eq!(rules.bytes, 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// Messages in the history. Default 100.
    pub messages: usize,
    /// Bytes in the history. Default 1 MiB. Data that alone is more is refused: `too_large`.
    pub bytes: usize,
    /// How old a message in the history gets. Default 300 s.
    pub age: Duration,
    /// How long a user whose last connection has ended is still present, so that a reconnect goes unnoticed. Default 5 s.
    pub grace: Duration,
    /// Whether only members may publish. Default: everybody may.
    pub members_publish: bool,
}

impl Default for RoomRules {
    fn default() -> Self {
        Self {
            messages: 100,
            bytes: 1024 * 1024,
            age: Duration::from_secs(300),
            grace: Duration::from_secs(5),
            members_publish: false,
        }
    }
}

/// The present moment, for timers and for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix_ms: u64,
}

pub(super) struct Topic<L> {
    /// Its connections.
    pub(super) room: Room<L>,
    epoch: Json,
    /// The newest message's.
    offset: u64,
    history: VecDeque<Kept>,
    bytes: usize,
    keys: HashMap<Arc<str>, u64>,
    users: BTreeMap<Name, Here>,
    /// Of the presence: rises with each change.
    version: u64,
}

struct Kept {
    offset: u64,
    at: Instant,
    element: String,
    key: Option<Arc<str>>,
}

/// A user who is present.
#[derive(Default)]
struct Here {
    connections: usize,
    /// When the grace period ends, for one without a connection.
    until: Option<Instant>,
}

/// How a publishing went.
pub(super) enum Published {
    New {
        offset: u64,
        text: String,
    },
    /// The key was seen before.
    Before {
        offset: u64,
    },
    TooLarge,
}

/// What a history was asked for, and what there was.
pub(super) struct Page<'a> {
    pub(super) elements: Vec<&'a str>,
    pub(super) more: bool,
}

impl Kept {
    fn size(&self) -> usize {
        self.element.len() + OVERHEAD
    }
}

impl<L> Topic<L> {
    pub(super) fn new(epoch: &str) -> Self {
        Self {
            room: Room::default(),
            epoch: quote(epoch).into(),
            offset: 0,
            history: VecDeque::new(),
            bytes: 0,
            keys: HashMap::new(),
            users: BTreeMap::new(),
            version: 0,
        }
    }

    /// Nothing would be lost with it.
    pub(super) fn is_void(&self) -> bool {
        self.users.is_empty() && self.room.is_empty() && self.history.is_empty()
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.room.has(id)
    }

    pub(super) fn kept(&self) -> (usize, usize) {
        (self.history.len(), self.bytes)
    }

    /// One more connection of the user. `true`: the user was not present before.
    pub(super) fn enter(&mut self, user: &Name) -> bool {
        let here = self.users.entry(user.clone()).or_default();
        let is_new = here.connections == 0 && here.until.take().is_none();
        here.connections += 1;
        self.version += u64::from(is_new);
        is_new
    }

    /// One connection fewer. `true`: the user is gone; at once, or `until` the grace period is over
    pub(super) fn exit(&mut self, user: &Name, until: Option<Instant>) -> bool {
        let Some(here) = self.users.get_mut(user) else { return false };
        here.connections = here.connections.saturating_sub(1);
        if 0 < here.connections {
            return false;
        }
        here.until = until;
        until.is_none() && self.forget(user)
    }

    /// `true`: the user's grace period is over.
    pub(super) fn expire(&mut self, user: &Name, now: Instant) -> bool {
        let is_over = self.users.get(user).is_some_and(|here| here.until.is_some_and(|until| until <= now));
        is_over && self.forget(user)
    }

    fn forget(&mut self, user: &Name) -> bool {
        self.version += 1;
        self.users.remove(user).is_some()
    }

    pub(super) fn publish(
        &mut self,
        now: Now,
        room: &str,
        from: Option<&str>,
        data: &str,
        key: Option<&str>,
        rules: &RoomRules,
    ) -> Published {
        self.trim(now.instant, rules);
        // Names hold no control character, so this cannot be another user's.
        let key: Option<Arc<str>> = key.map(|key| format!("{}\0{key}", from.unwrap_or_default()).into());
        if let Some(offset) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return Published::Before { offset: *offset };
        }
        let offset = self.offset + 1;
        let from = from.map_or("null".into(), quote);
        let element =
            format!("{{\"offset\":{offset},\"from\":{from},\"data\":{data},\"time\":{}}}", now.unix_ms);
        let kept = Kept { offset, at: now.instant, element, key };
        if rules.bytes < kept.element.len() {
            return Published::TooLarge;
        }
        self.offset = offset;
        let text = Text::new("message", None).string("room", room).raw("epoch", &self.epoch);
        let text = text.number("offset", offset).raw("from", &from).raw("data", data);
        let text = text.number("time", now.unix_ms).end();
        if let Some(key) = &kept.key {
            self.keys.insert(key.clone(), offset);
        }
        self.bytes += kept.size();
        self.history.push_back(kept);
        self.trim(now.instant, rules);
        Published::New { offset, text }
    }

    /// Forgets what is too old or too much.
    pub(super) fn trim(&mut self, now: Instant, rules: &RoomRules) {
        while let Some(oldest) = self.history.front() {
            let too_much = rules.messages < self.history.len()
                || rules.bytes < self.bytes - self.history.len() * OVERHEAD;
            if !too_much && now.saturating_duration_since(oldest.at) < rules.age {
                return;
            }
            self.drop_oldest();
        }
    }

    /// Forgets the oldest message if it is that one. `false`: it was gone.
    pub(super) fn drop_if_oldest(&mut self, offset: u64) -> bool {
        let is_oldest = self.history.front().is_some_and(|oldest| oldest.offset == offset);
        if is_oldest {
            self.drop_oldest();
        }
        is_oldest
    }

    /// Whether the message with this offset is still kept.
    pub(super) fn keeps(&self, offset: u64) -> bool {
        self.history.front().is_some_and(|oldest| oldest.offset <= offset) && offset <= self.offset
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.history.pop_front() else { return };
        self.bytes -= oldest.size();
        if let Some(key) = oldest.key {
            self.keys.remove(&key);
        }
    }

    /// The answer to a `join`: everything after `since` if it is all there, otherwise the newest.
    pub(super) fn joined(
        &self,
        id: Option<&Json>,
        room: &str,
        since: Option<&Since>,
        history: Option<usize>,
    ) -> String {
        let recovered = since.filter(|since| {
            let oldest = self.history.front().map_or(self.offset + 1, |oldest| oldest.offset);
            quote(&since.epoch) == *self.epoch && since.offset <= self.offset && oldest <= since.offset + 1
        });
        let count = match (recovered, since, history) {
            (Some(since), ..) => (self.offset - since.offset) as usize,
            (None, _, Some(history)) => history,
            (None, Some(_), None) => usize::MAX,
            (None, None, None) => 0,
        };
        let skip = self.history.len().saturating_sub(count);
        let messages = self.history.iter().skip(skip).map(|kept| kept.element.as_str());
        let text = Text::new("joined", id).string("room", room).raw("epoch", &self.epoch);
        let text = text.number("offset", self.offset).bool("recovered", recovered.is_some());
        self.with_members(text.list("messages", messages)).end()
    }

    pub(super) fn members(&self, id: Option<&Json>, room: &str) -> String {
        self.with_members(Text::new("members", id).string("room", room)).end()
    }

    fn with_members(&self, text: Text) -> Text {
        let members: Vec<String> = self
            .users
            .iter()
            .map(|(user, here)| format!("{{\"user\":{},\"connections\":{}}}", quote(user), here.connections))
            .collect();
        text.list("members", members.iter().map(String::as_str))
    }

    /// Exclusive bounds; ascending. With `after` the oldest that follow, otherwise the newest.
    pub(super) fn history(&self, before: Option<u64>, after: Option<u64>, limit: usize) -> Page<'_> {
        let within = |kept: &&Kept| {
            before.is_none_or(|before| kept.offset < before) && after.is_none_or(|after| after < kept.offset)
        };
        let found: Vec<&str> = self.history.iter().filter(within).map(|kept| kept.element.as_str()).collect();
        let more = limit < found.len();
        let skip = if after.is_some() { 0 } else { found.len().saturating_sub(limit) };
        Page { elements: found.into_iter().skip(skip).take(limit).collect(), more }
    }

    pub(super) fn published(&self, id: Option<&Json>, room: &str, offset: u64) -> String {
        let text = Text::new("published", id).string("room", room);
        text.raw("epoch", &self.epoch).number("offset", offset).end()
    }

    pub(super) fn presence(&self, room: &str, user: &str, change: &str) -> String {
        let text = Text::new("presence", None).string("room", room).string("user", user);
        let text = text.string("change", change).number("users", self.users.len() as u64);
        text.number("version", self.version).end()
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The newest message's.
    #[cfg(feature = "protocol")]
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Who is present, with how many connections.
    #[cfg(feature = "protocol")]
    pub(super) fn users(&self) -> impl ExactSizeIterator<Item = (&Name, usize)> {
        self.users.iter().map(|(user, here)| (user, here.connections))
    }
}
