//! Who is on which line and in which room: commands in, deliveries out.
//!
//! Pure: the hub knows neither sockets nor threads nor clocks. A *line* is whatever the caller hands a connection's
//! frames to ([`Deliver`]); frames are bytes it never looks into. `server::hub_thread` drives it, tests drive it as a
//! table.

#[cfg(feature = "protocol")]
pub(crate) mod calls;
mod command;
mod elsewhere;
pub(crate) mod engine;
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
pub(crate) mod history;
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
mod notes;
mod outside;
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
pub(crate) mod pattern;
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
pub(crate) mod protocol;
#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
mod requests;
mod room;
pub(crate) mod rules;
mod topic;
mod topics;
mod waiting;

pub(crate) use command::{Command, ConnectionId, Deliver, Frames, View};
pub(crate) use engine::Name;
pub(crate) use history::Now;
pub(crate) use topics::Rules;

use engine::{Address, Notice, Order};
use notes::Note;
use outside::Outside;
use room::Room;
use std::collections::HashMap;
use std::time::Instant;
use topics::Topics;
use tungstenite::Bytes;

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) rooms: usize,
    pub(crate) protocol: ProtocolCounts,
}

/// The same of `switchboard.v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProtocolCounts {
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) rooms: usize,
    /// Messages that are kept, and their bytes.
    pub(crate) kept: (usize, usize),
    /// Requests to publish so far, and those of them that were acknowledged.
    pub(crate) publishes: u64,
    pub(crate) acknowledged: u64,
}

#[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
struct Connection<L> {
    line: L,
    compressed: bool,
    user: Option<Name>,
    owner: Option<Name>,
    protocol: bool,
    rooms: Vec<Name>,
    told_to_close: bool,
}

/// The user map and the room map.
///
/// A *turn* is any number of [`Hub::apply`] and then one [`Hub::end_turn`]. What one turn sends to one room is laid end
/// to end and delivered to each member once; everything else is delivered at once, after what was sent before it.
pub(crate) struct Hub<L> {
    connections: HashMap<ConnectionId, Connection<L>>,
    users: HashMap<Name, Vec<ConnectionId>>,
    rooms: HashMap<Name, Room<L>>,
    /// Rooms with frames that this turn has not delivered yet, in the order of their first one.
    unsent: Vec<Name>,
    topics: Topics<L>,
}

impl<L: Clone> Hub<L> {
    /// `node`: what tells this server, and this life of it, from all others. `engine`: whether rooms of `switchboard.v1` are
    /// kept by one, and whether that is shared with other servers.
    pub(crate) fn new(node: &str, rules: Rules, engine: Option<bool>) -> Self {
        let mut topics = Topics::new(node, rules);
        topics.outside = engine.map(Outside::new);
        Self {
            connections: HashMap::new(),
            users: HashMap::new(),
            rooms: HashMap::new(),
            unsent: Vec::new(),
            topics,
        }
    }

    pub(crate) fn apply(&mut self, now: Now, command: Command<L>, out: &mut impl Deliver<L>) {
        match command {
            Command::Ask { id, tag, ask } => self.topics.ask(now, id, tag.as_ref(), ask, out),
            Command::Enter { id, user, welcome } => {
                if let Some(connection) = self.connections.get(&id) {
                    self.topics.enter(id, connection.line.clone(), connection.compressed, &user, out);
                    // Who has seen it is there for everybody; and nothing comes before it.
                    self.topics.say(id, &welcome, out);
                }
            }
            #[cfg(feature = "protocol")]
            Command::Call(call) => self.call(now, *call, out),
            Command::SendRoom { room, frames, except } => {
                self.tell(|| Address::Room(room.clone()), &frames, out);
                self.send_room(&room, frames, except, out);
            }
            Command::Notices(notices) => {
                for notice in notices {
                    self.notice(now, notice, out);
                }
            }
            Command::Connect { id, line, compressed, owner, protocol } => {
                let user = owner.clone();
                let (rooms, told_to_close) = (Vec::new(), false);
                let connection =
                    Connection { line, compressed, user: None, owner, protocol, rooms, told_to_close };
                self.connections.insert(id, connection);
                user.into_iter().for_each(|user| self.identify(id, user, out));
            }
            Command::Disconnect { id } => {
                self.topics.gone(now, id, out);
                self.disconnect(id, out);
            }
            Command::Identify { id, user } => self.identify(id, user, out),
            Command::Join { id, room, view } => self.join(id, room, view, out),
            Command::Leave { id, room } => self.leave(id, &room, out),
            Command::SendUser { user, frames, otherwise } => self.send_user(user, &frames, otherwise, out),
            Command::Broadcast { frames } => {
                self.tell(|| Address::Everyone, &frames, out);
                self.broadcast(&frames, out);
            }
            Command::CloseRoom { room, frame } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.deliver(out);
                    room.close(&frame, out);
                }
            }
            Command::CloseUser { user, frame } => {
                self.end_turn(out);
                self.each_of(&user, |to| out.close(&to.line, &frame));
            }
            Command::CloseSome { at_most, frame } => {
                self.end_turn(out);
                let untold = self.connections.iter_mut().filter(|(_, connection)| !connection.told_to_close);
                for (id, connection) in untold.take(at_most) {
                    connection.told_to_close = true;
                    self.topics.say_going_away(*id, out);
                    out.close(&connection.line, &frame);
                }
            }
        }
    }

    /// Delivers what the rooms have gathered.
    pub(crate) fn end_turn(&mut self, out: &mut impl Deliver<L>) {
        for name in self.unsent.drain(..) {
            if let Some(room) = self.rooms.get_mut(&name) {
                room.deliver(out);
            }
        }
        self.topics.end_turn(out);
    }

    /// When [`Hub::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.topics.next_deadline()
    }

    /// What is due by now.
    pub(crate) fn tick(&mut self, now: Now, out: &mut impl Deliver<L>) {
        self.topics.tick(now, out);
    }

    /// Why rooms of `switchboard.v1` cannot be reached.
    pub(crate) fn deaf(&self) -> Option<&str> {
        self.topics.outside.as_ref()?.deaf.as_deref()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.len(),
            users: self.users.len(),
            rooms: self.rooms.len(),
            protocol: self.topics.counts(),
        }
    }

    fn broadcast(&mut self, frames: &Frames, out: &mut impl Deliver<L>) {
        self.end_turn(out);
        self.connections.values().for_each(|to| out.deliver(&to.line, frames.fit(to.compressed)));
    }

    fn send_user(
        &mut self,
        user: Name,
        frames: &Frames,
        otherwise: Option<(ConnectionId, Bytes)>,
        out: &mut impl Deliver<L>,
    ) {
        self.end_turn(out);
        let reached = self.each_of(&user, |to| out.deliver(&to.line, frames.fit(to.compressed)));
        let otherwise = otherwise.filter(|_| reached == 0);
        if self.topics.is_shared() {
            let ticket = otherwise.and_then(|(id, frames)| self.topics.otherwise(id, frames));
            out.order(Order::Tell { ticket, to: Address::Nick(user), note: notes::frames(&frames.plain) });
        } else if let Some((id, frames)) = otherwise {
            self.send_one(id, &frames, out);
        }
    }

    fn send_one(&self, id: ConnectionId, frames: &Bytes, out: &mut impl Deliver<L>) {
        if let Some(to) = self.connections.get(&id) {
            out.deliver(&to.line, frames);
        }
    }

    /// Tells other servers.
    fn tell(&self, to: impl FnOnce() -> Address, frames: &Frames, out: &mut impl Deliver<L>) {
        if self.topics.is_shared() {
            out.order(Order::Tell { ticket: None, to: to(), note: notes::frames(&frames.plain) });
        }
    }

    /// Tells other servers who of theirs can be reached here.
    fn listen(&self, to: Address, connections: usize, out: &mut impl Deliver<L>) {
        if self.topics.is_shared() {
            out.order(Order::Listen { to, connections });
        }
    }

    fn notice(&mut self, now: Now, notice: Notice, out: &mut impl Deliver<L>) {
        let Notice::Note { to, note } = notice else {
            if let Some((id, frames)) = self.topics.notice(now, notice, out) {
                self.send_one(id, &frames, out);
            }
            return;
        };
        match (notes::read(&note), to) {
            (Some(Note::Frames(frames)), Address::Room(room)) => {
                self.send_room(&room, frames.into(), None, out);
            }
            (Some(Note::Frames(frames)), Address::Nick(user)) => {
                self.end_turn(out);
                self.each_of(&user, |to| out.deliver(&to.line, &frames));
            }
            (Some(Note::Frames(frames)), Address::Everyone) => self.broadcast(&frames.into(), out),
            (Some(Note::Text(text)), Address::User(user)) => {
                self.topics.say_to_user(&user, text, out);
            }
            #[cfg(feature = "protocol")]
            (Some(Note::Kick { user, reason, close }), _) => {
                self.kick(now, &user.into(), reason, &close, out);
            }
            #[cfg(feature = "protocol")]
            (Some(Note::Announce(protocol, plain)), Address::Everyone) => {
                self.broadcast_by_kind(&protocol.into(), &plain.into(), out);
            }
            _ => {}
        }
    }

    fn send_room(
        &mut self,
        name: &Name,
        frames: Frames,
        except: Option<ConnectionId>,
        out: &mut impl Deliver<L>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.gather(frames, except, out) {
            self.unsent.push(name.clone());
        }
    }

    fn join(&mut self, id: ConnectionId, name: Name, view: Option<Box<View>>, out: &mut impl Deliver<L>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let room = self.rooms.entry(name.clone()).or_default();
        let is_first = room.is_empty();
        if room.join(id, connection.line.clone(), connection.compressed, view, out) {
            connection.rooms.push(name.clone());
        }
        if is_first {
            self.listen(Address::Room(name), 1, out);
        }
    }

    fn leave(&mut self, id: ConnectionId, name: &Name, out: &mut impl Deliver<L>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.rooms.retain(|room| room != name);
        }
        self.remove_member(id, name, out);
    }

    fn remove_member(&mut self, id: ConnectionId, name: &Name, out: &mut impl Deliver<L>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.leave(id, out);
        if room.is_empty() {
            self.rooms.remove(name);
            self.listen(Address::Room(name.clone()), 0, out);
        }
    }

    fn identify(&mut self, id: ConnectionId, user: Name, out: &mut impl Deliver<L>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = connection.user.replace(user.clone());
        if before.as_ref() == Some(&user) {
            return;
        }
        let connections = self.users.entry(user.clone()).or_default();
        connections.push(id);
        let connections = connections.len();
        self.listen(Address::Nick(user), connections, out);
        self.forget_user(id, before, out);
    }

    fn disconnect(&mut self, id: ConnectionId, out: &mut impl Deliver<L>) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.forget_user(id, connection.user, out);
        for room in connection.rooms {
            self.remove_member(id, &room, out);
        }
    }

    fn forget_user(&mut self, id: ConnectionId, user: Option<Name>, out: &mut impl Deliver<L>) {
        let Some(user) = user else { return };
        let Some(connections) = self.users.get_mut(&user) else { return };
        connections.retain(|other| *other != id);
        let connections = connections.len();
        if connections == 0 {
            self.users.remove(&user);
        }
        self.listen(Address::Nick(user), connections, out);
    }

    /// Calls `each` for every connection of the user; how many there were.
    fn each_of(&self, user: &Name, each: impl FnMut(&Connection<L>)) -> usize {
        let ids = self.users.get(user).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.connections.get(id)).map(each).count()
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod topics_tests;

#[cfg(test)]
mod outside_tests;

#[cfg(test)]
mod leak_tests;
