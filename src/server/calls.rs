//! What a program asks of the rooms and users of `switchboard.v1`, and waits for: by a [`Handle`], or through the server API.

use super::handle::Handle;
use super::request::check_name;
use super::shared::Shared;
use crate::engine::{Listed, Receipt};
use crate::error::{Error, Result};
use crate::hub::calls::{Answer, Call, Members, Standing, Totals};
use crate::hub::protocol::{Fault, Json, Text};
use crate::hub::{Command, Name};
use crate::limits::{ANSWER, KICK_REASON, LISTED};
use crate::wire::frame;
use crossbeam_channel::{RecvTimeoutError, bounded};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Weak;
use tungstenite::protocol::frame::coding::CloseCode;

/// Where a message lies in its room's history: what [`Handle::publish`] gives.
///
/// ```
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// let first = server.publish("tea", r#""hello""#, Some("greeting"))?;
/// assert_eq!(first.offset, 1);
/// let again = server.publish("tea", r#""hello""#, Some("greeting"))?;
/// assert_eq!(again, first, "published once");
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Which life of the room's history it is.
    pub epoch: String,
    /// One more than that of the message before.
    pub offset: u64,
}

/// How a room of `switchboard.v1` stands: what [`Handle::rooms`] gives.
///
/// ```
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// let mut ann = server.connect("/ws?user=ann")?;
/// ann.send(r#"{"type":"join","room":"tea","id":1}"#)?;
/// # for _ in 0..2 { ann.recv()?; }
/// let rooms = server.rooms()?;
/// assert_eq!((rooms[0].room.as_str(), rooms[0].users, rooms[0].connections), ("tea", 1, 1));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomState {
    /// Its name.
    pub room: String,
    /// Users that are present, also those who have the grace period to come back.
    pub users: usize,
    /// Their connections.
    pub connections: usize,
    /// Which life of its history it is.
    pub epoch: String,
    /// The newest message's; 0 when there was none yet.
    pub offset: u64,
}

/// Asking the rooms and users of `switchboard.v1` ([`Builder::protocol`](crate::Builder::protocol)), with the feature
/// `protocol`. With an engine that several servers share ([`Engine`](crate::engine::Engine)) they reach all of these.
///
/// Data is JSON text. All of these block until the hub has answered, which takes microseconds, or as long as its
/// queue is full; not to be called from a view of a room ([`WebSocket::join_with`](crate::WebSocket::join_with)), which is the
/// hub's own.
///
/// # Errors
/// Of each: [`Error::Name`] for a name that nobody can have, [`Error::Config`] for data that is not JSON,
/// [`Error::Unavailable`] when there is no answer within 12 s, [`Error::Stopped`] when the server has stopped.
impl Handle {
    /// Publishes a message to a room, which need not have members; it comes from nobody (`"from":null`). Returns when it is
    /// in the history. With a `key` (1 to 64 bytes) that was published in this room before, nothing is published again. Users'
    /// keys are others. [`Published`] has an example.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the room keeps less than that; [`Error::InvalidData`] when it does not fit the room's schema
    /// (`Builder::check_room`, with the feature `schema`); [`Error::Config`] for a key that is none.
    pub fn publish(&self, room: &str, json: &str, key: Option<&str>) -> Result<Published> {
        check_name(room, self.shared.limits.name)?;
        if key.is_some_and(|key| !super::protocol::is_key(key)) {
            return Err(Error::Config("a key must have 1 to 64 bytes".into()));
        }
        self.shared.publish(room, data(json)?, key)
    }

    /// Sends a message from nobody to all connections of a user of `switchboard.v1`; how many there are.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// let mut ann = server.connect("/ws?user=ann")?;
    /// ann.recv()?; // the welcome
    /// assert_eq!(server.direct("ann", r#"{"mail":3}"#)?, 1);
    /// let message = ann.recv()?.unwrap();
    /// assert!(message.to_text().unwrap().starts_with(r#"{"type":"direct","from":null,"data":{"mail":3},"time":"#));
    /// assert_eq!(server.direct("bob", "1")?, 0);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn direct(&self, user: &str, json: &str) -> Result<usize> {
        check_name(user, self.shared.limits.name)?;
        self.shared.direct(user, data(json)?)
    }

    /// Tells everybody, each in its own way: a connection of `switchboard.v1` that is in a room gets a `broadcast`, once;
    /// every other kind of connection gets the bare text of a JSON string, and any other JSON as text. How many there are, at
    /// this server.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().protocol("/ws").route("/plain", |mut ws| ws.recv().map(drop));
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let mut plain = server.connect("/plain")?;
    /// # while server.announce(r#""settle""#)? < 1 {}
    /// # plain.recv()?;
    /// server.announce(r#""closing soon""#)?;
    /// assert_eq!(plain.recv()?, Some("closing soon".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn announce(&self, json: &str) -> Result<usize> {
        self.shared.announce(&data(json)?)
    }

    /// Ends all connections of a user: those of `switchboard.v1` get `kicked` with the reason and then a Close frame with 1008
    /// and as much of the reason as fits; so do, without the `kicked`, those of other paths that
    /// [`Builder::authenticate`](crate::Builder::authenticate) has found to be the user's. How many there were. Who may still
    /// connect can come back at once. Those of other paths at other servers are ended, but not counted.
    ///
    /// What a handler has named by [`WebSocket::identify`](crate::WebSocket::identify) is not meant:
    /// [`User::close`](crate::User::close) ends those.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// let mut ann = server.connect("/ws?user=ann")?;
    /// ann.recv()?; // the welcome
    /// assert_eq!(server.kick("ann", "too loud")?, 1);
    /// assert_eq!(ann.recv()?, Some(r#"{"type":"kicked","reason":"too loud"}"#.into()));
    /// assert_eq!(ann.recv()?, None);
    /// assert_eq!(ann.closed(), Some((1008, "too loud")));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a reason of more than 1024 bytes.
    pub fn kick(&self, user: &str, reason: &str) -> Result<usize> {
        check_name(user, self.shared.limits.name)?;
        self.shared.kick(user, reason)
    }

    /// The rooms of `switchboard.v1` that have members or a history, those of all servers if several share an engine: the
    /// first 10 000 by name. The engine is asked on this thread, which can take seconds: Redis goes through all its keys. Of
    /// rooms without members at this server it tells what it knows. [`RoomState`] has an example.
    pub fn rooms(&self) -> Result<Vec<RoomState>> {
        self.rooms_after("", LISTED)
    }

    /// [`Handle::rooms`] behind the one of that name, whether there is one or not: the first `most`, 10 000 at most.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// for room in ["a", "b", "c"] {
    ///     server.publish(room, "1", None)?;
    /// }
    /// let (mut all, mut last) = (Vec::new(), String::new());
    /// while let Some(page) = Some(server.rooms_after(&last, 2)?).filter(|page| !page.is_empty()) {
    ///     last = page[page.len() - 1].room.clone();
    ///     all.extend(page.into_iter().map(|state| state.room));
    /// }
    /// assert_eq!(all, ["a", "b", "c"]);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn rooms_after(&self, room: &str, most: usize) -> Result<Vec<RoomState>> {
        self.shared.rooms(room, most).map(|(rooms, _)| rooms)
    }
}

/// The same, with names and data that were checked.
#[cfg_attr(not(feature = "auth"), allow(dead_code, reason = "some are asked by the server API only"))]
impl Shared {
    pub(super) fn publish(&self, room: &str, data: Json, key: Option<&str>) -> Result<Published> {
        self.check_data(room, &data).map_err(failed)?;
        let (room, key) = (Name::from(room), key.map(String::from));
        let Receipt { epoch, offset } = self.call(|answer| Call::Publish { room, data, key, answer })?;
        Ok(Published { epoch: epoch.to_string(), offset })
    }

    pub(super) fn direct(&self, to: &str, data: Json) -> Result<usize> {
        self.call(|answer| Call::Direct { to: to.into(), data, answer })
    }

    pub(super) fn announce(&self, data: &str) -> Result<usize> {
        let bare = match data.starts_with('"') {
            true => serde_json::from_str(data).map_err(|_| half_a_character())?,
            false => data.to_string(),
        };
        let plain = self.encode(frame::TEXT, bare.as_bytes());
        let text =
            Text::new("broadcast", None).raw("data", data).number("time", crate::engine::now().unix_ms).end();
        let protocol = self.encode(frame::TEXT, text.as_bytes());
        self.call(|answer| Call::Broadcast { protocol, plain, answer })
    }

    pub(super) fn kick(&self, user: &str, reason: &str) -> Result<usize> {
        if KICK_REASON < reason.len() {
            return Err(Error::Config(format!("a reason must have at most {KICK_REASON} bytes")));
        }
        let frame = frame::encode_close(CloseCode::Policy, reason);
        self.call(|answer| Call::Kick { user: user.into(), reason: reason.into(), frame, answer })
    }

    /// The first `most` behind `after`, by name, and whether there are more. What the hub knows is newer than what its engine does.
    pub(super) fn rooms(&self, after: &str, most: usize) -> Result<(Vec<RoomState>, bool)> {
        let most = most.min(LISTED);
        let here = self.call(|answer| Call::Rooms { answer })?;
        let engine = self.engine.as_ref().and_then(Weak::upgrade);
        let kept = engine.map_or(Ok(Vec::new()), |engine| engine.rooms(after, most + 1))?;
        let states = kept.into_iter().map(RoomState::from).chain(here.into_iter().map(RoomState::from));
        let mut rooms: BTreeMap<String, RoomState> =
            states.filter(|state| after < &*state.room).map(|state| (state.room.clone(), state)).collect();
        let is_more = most < rooms.len();
        while most < rooms.len() {
            rooms.pop_last();
        }
        Ok((rooms.into_values().collect(), is_more))
    }

    /// A room and its members, if there is one.
    pub(super) fn room(&self, room: &str) -> Result<Option<(RoomState, Members)>> {
        let found = self.call(|answer| Call::Room { room: room.into(), answer })?;
        Ok(found.map(|(standing, members)| (standing.into(), members)))
    }

    pub(super) fn totals(&self) -> Result<Totals> {
        self.call(|answer| Call::Totals { answer })
    }

    /// Asks the hub, and waits for its answer.
    fn call<T: Send + 'static>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T> {
        let (tell, told) = bounded(1);
        // Whoever asked may have gone.
        let answer = Answer::new(move |result| drop(tell.try_send(result)));
        self.hub.send(Command::Call(Box::new(call(answer))))?;
        let answered = told.recv_timeout(ANSWER).map_err(|error| match error {
            RecvTimeoutError::Disconnected => Error::Stopped,
            RecvTimeoutError::Timeout => {
                let text = "there was no answer in time, so it may have been done or not: try again, and \
                            publish with a key, so that it is published once";
                Error::Unavailable(text.into())
            }
        })?;
        answered.map_err(failed)
    }
}

impl From<Standing> for RoomState {
    fn from(standing: Standing) -> Self {
        let Standing { room, users, connections, place } = standing;
        Self {
            room: room.to_string(),
            users,
            connections,
            epoch: place.epoch.to_string(),
            offset: place.offset,
        }
    }
}

impl From<Listed> for RoomState {
    fn from(listed: Listed) -> Self {
        let Listed { room, epoch, offset, users, connections } = listed;
        Self { room: room.to_string(), users, connections, epoch: epoch.to_string(), offset }
    }
}

fn failed((fault, text): (Fault, String)) -> Error {
    match fault {
        Fault::TooLarge => Error::TooLarge(text),
        Fault::Unavailable => Error::Unavailable(text),
        #[cfg(feature = "schema")]
        Fault::InvalidData { path } => Error::InvalidData { path, what: text },
        _ => Error::Config(text),
    }
}

/// One JSON value, and nothing around it.
fn data(json: &str) -> Result<Json> {
    let value: &RawValue =
        serde_json::from_str(json).map_err(|why| Error::Config(format!("this is not JSON: {why}")))?;
    Ok(value.get().into())
}

/// JSON lets one write it, but no text holds it. RFC 8259 §8.2
fn half_a_character() -> Error {
    Error::Config(r"the string holds one half of a surrogate pair, as \ud800: write both halves".into())
}
