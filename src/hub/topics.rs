//! All of `switchboard.v1` that concerns more than one connection: its rooms, its users, their requests one after another.

use super::protocol::{Ask, Fault, Json, Text, error};
use super::topic::{Now, Published, RoomRules, Topic};
use super::{ConnectionId, Deliver, Name};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What the rooms of the protocol may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Rooms that one connection is in at once.
    pub(crate) rooms: usize,
    /// Bytes in all histories together.
    pub(crate) bytes: usize,
    /// For rooms that no pattern fits.
    pub(crate) room: RoomRules,
    /// Names, or with a `*` at the end beginnings of names; the first that fits counts.
    pub(crate) patterns: Vec<(String, RoomRules)>,
}

impl Rules {
    pub(crate) fn of(&self, room: &str) -> &RoomRules {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => room.starts_with(start),
            None => pattern == room,
        };
        self.patterns.iter().find(|(pattern, _)| fits(pattern)).map_or(&self.room, |(_, rules)| rules)
    }
}

pub(super) struct Topics<L> {
    rules: Rules,
    /// With a count it makes epochs that no other server, and no other life of this one, has.
    node: String,
    epochs: u64,
    topics: HashMap<Name, Topic<L>>,
    clients: HashMap<ConnectionId, Client<L>>,
    people: HashMap<Name, Vec<ConnectionId>>,
    /// Topics with frames that this turn has not delivered yet.
    unsent: Vec<Name>,
    /// Whose grace period ends when, and where.
    leaving: BTreeSet<(Instant, Name, Name)>,
    /// Everything that was published, oldest first; entries whose message is gone are passed over.
    order: VecDeque<(Name, u64)>,
    /// Messages and bytes in all histories.
    kept: (usize, usize),
    sweep_at: Option<Instant>,
}

/// A connection that speaks the protocol.
struct Client<L> {
    line: L,
    compressed: bool,
    user: Name,
    rooms: Vec<Name>,
}

type Reply = Result<Option<String>, (Fault, String)>;

impl<L: Clone> Topics<L> {
    pub(super) fn new(node: &str, rules: Rules) -> Self {
        Self {
            rules,
            node: node.into(),
            epochs: 0,
            topics: HashMap::new(),
            clients: HashMap::new(),
            people: HashMap::new(),
            unsent: Vec::new(),
            leaving: BTreeSet::new(),
            order: VecDeque::new(),
            kept: (0, 0),
            sweep_at: None,
        }
    }

    pub(super) fn enter(&mut self, id: ConnectionId, line: L, compressed: bool, user: Name) {
        self.people.entry(user.clone()).or_default().push(id);
        self.clients.insert(id, Client { line, compressed, user, rooms: Vec::new() });
    }

    /// The connection has ended: its user stays for the grace period.
    pub(super) fn gone(&mut self, now: Now, id: ConnectionId, out: &mut impl Deliver<L>) {
        let Some(client) = self.clients.remove(&id) else { return };
        if let Some(connections) = self.people.get_mut(&client.user) {
            connections.retain(|other| *other != id);
            if connections.is_empty() {
                self.people.remove(&client.user);
            }
        }
        for room in client.rooms {
            let until = now.instant + self.rules.of(&room).grace;
            self.remove(id, &client.user, &room, Some(until), out);
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        ask: Ask,
        out: &mut impl Deliver<L>,
    ) {
        if !self.clients.contains_key(&id) {
            return;
        }
        let reply = match ask {
            Ask::Join { room, since, history } => {
                self.join(now, id, tag, &room, since.as_ref(), history, out)
            }
            Ask::Leave { room } => self.leave(id, tag, &room, out),
            Ask::Publish { room, data, key } => {
                let from = self.clients[&id].user.clone();
                self.publish_from(now, id, &from, tag, &room, &data, key.as_deref(), out)
            }
            Ask::Direct { to, data } => self.direct(now, id, tag, &to, &data, out),
            Ask::Members { room } => self.of_member(id, &room, out, |topic| topic.members(tag, &room)),
            Ask::History { room, before, after, limit } => {
                let most = self.rules.of(&room).messages;
                self.trim(&room, now.instant);
                self.of_member(id, &room, out, |topic| {
                    let page = topic.history(before, after, limit.unwrap_or(most).min(most));
                    let text = Text::new("history", tag).string("room", &room).raw("epoch", topic.epoch());
                    text.list("messages", page.elements.into_iter()).bool("more", page.more).end()
                })
            }
            Ask::Ping => Ok(Some(Text::new("pong", tag).number("time", now.unix_ms).end())),
        };
        match reply {
            // Without an `id` only errors are replied.
            Ok(reply) => {
                if let Some(text) = reply.filter(|_| tag.is_some()) {
                    self.say(id, &text, out);
                }
            }
            Err((fault, message)) => self.say(id, &error(tag, fault, &message), out),
        }
    }

    /// A text for one connection, after what was asked before.
    pub(super) fn say(&self, id: ConnectionId, text: &str, out: &mut impl Deliver<L>) {
        if let Some(client) = self.clients.get(&id) {
            let frames = out.encode(text);
            out.deliver(&client.line, frames.fit(client.compressed));
        }
    }

    pub(super) fn end_turn(&mut self, out: &mut impl Deliver<L>) {
        for name in self.unsent.drain(..) {
            if let Some(topic) = self.topics.get_mut(&name) {
                topic.room.deliver(out);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let leaving = self.leaving.first().map(|(until, ..)| *until);
        leaving.into_iter().chain(self.sweep_at).min()
    }

    /// What is due by now: grace periods, and what is too old.
    pub(super) fn tick(&mut self, now: Now, out: &mut impl Deliver<L>) {
        while self.leaving.first().is_some_and(|(until, ..)| *until <= now.instant) {
            let Some((_, room, user)) = self.leaving.pop_first() else { break };
            if self.topics.get_mut(&room).is_some_and(|topic| topic.expire(&user, now.instant)) {
                self.announce(&room, &user, "leave", None, out);
                self.drop_if_void(&room);
            }
        }
        if self.sweep_at.is_some_and(|at| at <= now.instant) {
            let names: Vec<Name> = self.topics.keys().cloned().collect();
            for name in names {
                self.trim(&name, now.instant);
                self.drop_if_void(&name);
            }
            self.sweep_at = (!self.topics.is_empty()).then(|| now.instant + SWEEP);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    fn join(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        room: &Name,
        since: Option<&super::protocol::Since>,
        history: Option<usize>,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let most = self.rules.rooms;
        let Some(client) = self.clients.get_mut(&id) else { return Ok(None) };
        let is_member = client.rooms.contains(room);
        if !is_member && most <= client.rooms.len() {
            let message =
                format!("a connection may be in {most} rooms at once; leave one before joining another");
            return Err((Fault::TooManyRooms, message));
        }
        let (user, line, compressed) = (client.user.clone(), client.line.clone(), client.compressed);
        if !is_member {
            client.rooms.push(room.clone());
        }
        self.trim(room, now.instant);
        let topic = self.topic(room, now.instant);
        // What was said before is in the reply, if it was asked for.
        topic.room.deliver(out);
        if !is_member {
            let is_new = topic.enter(&user);
            topic.room.join(id, line, compressed, None);
            if is_new {
                self.announce(room, &user, "join", Some(id), out);
                self.topics.get_mut(room).into_iter().for_each(|topic| topic.room.deliver(out));
            }
        }
        Ok(self.topics.get(room).map(|topic| topic.joined(tag, room, since, history)))
    }

    fn leave(
        &mut self,
        id: ConnectionId,
        tag: Option<&Json>,
        room: &Name,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(None) };
        if !client.rooms.contains(room) {
            return Err(not_member(room));
        }
        client.rooms.retain(|other| other != room);
        let user = client.user.clone();
        self.remove(id, &user, room, None, out);
        Ok(Some(Text::new("left", tag).string("room", room).end()))
    }

    /// Takes a connection out of a room; its user at once, or when nobody of it has come back `until` then.
    fn remove(
        &mut self,
        id: ConnectionId,
        user: &Name,
        room: &Name,
        until: Option<Instant>,
        out: &mut impl Deliver<L>,
    ) {
        let Some(topic) = self.topics.get_mut(room) else { return };
        // What was said before is still for the leaver.
        topic.room.deliver(out);
        topic.room.leave(id);
        if topic.exit(user, until) {
            self.announce(room, user, "leave", None, out);
        } else if let Some(until) = until {
            self.leaving.insert((until, room.clone(), user.clone()));
        }
        self.drop_if_void(room);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    fn publish_from(
        &mut self,
        now: Now,
        id: ConnectionId,
        from: &Name,
        tag: Option<&Json>,
        room: &Name,
        data: &str,
        key: Option<&str>,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let is_member = self.topics.get(room).is_some_and(|topic| topic.has(id));
        if self.rules.of(room).members_publish && !is_member {
            return Err(not_member(room));
        }
        let offset = self.publish(now, room, Some(from), data, key, out)?;
        Ok(self.topics.get(room).map(|topic| topic.published(tag, room, offset)))
    }

    /// The message's offset, once it is in the history.
    pub(super) fn publish(
        &mut self,
        now: Now,
        room: &Name,
        from: Option<&str>,
        data: &str,
        key: Option<&str>,
        out: &mut impl Deliver<L>,
    ) -> Result<u64, (Fault, String)> {
        let rules = self.rules.of(room).clone();
        let topic = self.topic(room, now.instant);
        let before = topic.kept();
        let published = topic.publish(now, room, from, data, key, &rules);
        let after = topic.kept();
        self.count(before, after);
        match published {
            Published::Before { offset } => Ok(offset),
            Published::TooLarge => {
                self.drop_if_void(room);
                let message =
                    format!("the room keeps {} bytes, and this is more; send less at once", rules.bytes);
                Err((Fault::TooLarge, message))
            }
            Published::New { offset, text } => {
                self.order.push_back((room.clone(), offset));
                self.send(room, &text, None, out);
                self.make_room();
                Ok(offset)
            }
        }
    }

    fn direct(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        to: &Name,
        data: &str,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let from = self.clients.get(&id).map(|client| client.user.clone());
        let connections = self.deliver_direct(now, from.as_deref(), to, data, out);
        if connections == 0 {
            return Err((Fault::NoSuchUser, "this user is not connected".into()));
        }
        let text = Text::new("sent", tag).string("to", to);
        Ok(Some(text.number("connections", connections as u64).end()))
    }

    /// To all connections of a user; how many there are.
    pub(super) fn deliver_direct(
        &mut self,
        now: Now,
        from: Option<&str>,
        to: &Name,
        data: &str,
        out: &mut impl Deliver<L>,
    ) -> usize {
        let Some(ids) = self.people.get(to) else { return 0 };
        let from = from.map_or("null".into(), super::protocol::quote);
        let text = Text::new("direct", None).raw("from", &from).raw("data", data);
        let frames = out.encode(&text.number("time", now.unix_ms).end());
        for client in ids.iter().filter_map(|id| self.clients.get(id)) {
            out.deliver(&client.line, frames.fit(client.compressed));
        }
        ids.len()
    }

    fn of_member(
        &mut self,
        id: ConnectionId,
        room: &Name,
        out: &mut impl Deliver<L>,
        text: impl FnOnce(&Topic<L>) -> String,
    ) -> Reply {
        let topic =
            self.topics.get_mut(room).filter(|topic| topic.has(id)).ok_or_else(|| not_member(room))?;
        // What the reply counts as said has been delivered.
        topic.room.deliver(out);
        Ok(Some(text(topic)))
    }

    fn announce(
        &mut self,
        room: &Name,
        user: &str,
        change: &str,
        except: Option<ConnectionId>,
        out: &mut impl Deliver<L>,
    ) {
        if let Some(text) = self.topics.get(room).map(|topic| topic.presence(room, user, change)) {
            self.send(room, &text, except, out);
        }
    }

    fn send(&mut self, name: &Name, text: &str, except: Option<ConnectionId>, out: &mut impl Deliver<L>) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        if topic.room.is_empty() {
            return;
        }
        let frames = out.encode(text);
        if !topic.room.has_room_for(&frames) {
            topic.room.deliver(out);
        } else if !topic.room.has_unsent() {
            self.unsent.push(name.clone());
        }
        topic.room.add(frames, except);
    }

    fn topic(&mut self, name: &Name, now: Instant) -> &mut Topic<L> {
        self.sweep_at.get_or_insert(now + SWEEP);
        let (node, epochs) = (&self.node, &mut self.epochs);
        self.topics.entry(name.clone()).or_insert_with(|| {
            *epochs += 1;
            Topic::new(&format!("{node}-{epochs:x}"))
        })
    }

    fn trim(&mut self, name: &Name, now: Instant) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let before = topic.kept();
        topic.trim(now, self.rules.of(name));
        let after = topic.kept();
        self.count(before, after);
    }

    fn count(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.kept.0 = self.kept.0 + after.0 - before.0;
        self.kept.1 = self.kept.1 + after.1 - before.1;
    }

    /// Forgets the oldest messages of all while there are too many bytes.
    fn make_room(&mut self) {
        while self.rules.bytes < self.kept.1 {
            let Some((name, offset)) = self.order.pop_front() else { break };
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            let before = topic.kept();
            topic.drop_if_oldest(offset);
            let after = topic.kept();
            self.count(before, after);
            self.drop_if_void(&name);
        }
        if 2 * self.kept.0 + 1024 < self.order.len() {
            let topics = &self.topics;
            self.order.retain(|(name, offset)| topics.get(name).is_some_and(|topic| topic.keeps(*offset)));
        }
    }

    fn drop_if_void(&mut self, name: &Name) {
        if self.topics.get(name).is_some_and(Topic::is_void) {
            self.topics.remove(name);
        }
    }
}

fn not_member(room: &str) -> (Fault, String) {
    (Fault::NotMember, format!("join the room `{room}` first"))
}
