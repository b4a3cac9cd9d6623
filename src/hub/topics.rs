//! The rooms and users of `switchboard.v1`, and what time does to them. What clients ask for is in `requests`.

use super::pattern::ByPattern;
use super::protocol::Text;
use super::topic::{Now, RoomRules, Topic};
use super::{ConnectionId, Deliver, Name};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// When clients are to come back after the server has ended, in milliseconds: between this and that more.
const RECONNECT_AFTER: u64 = 1000;
const RECONNECT_SPREAD: u64 = 4000;

/// What the rooms of the protocol may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Rooms that one connection is in at once.
    pub(crate) rooms: usize,
    /// Bytes in all histories together.
    pub(crate) bytes: usize,
    /// For rooms that no pattern fits.
    pub(crate) room: RoomRules,
    /// For the others.
    pub(crate) patterns: ByPattern<RoomRules>,
}

impl Rules {
    pub(crate) fn of(&self, room: &str) -> &RoomRules {
        self.patterns.of(room).unwrap_or(&self.room)
    }
}

pub(super) struct Topics<L> {
    pub(super) rules: Rules,
    /// With a count it makes epochs that no other server, and no other life of this one, has.
    node: String,
    epochs: u64,
    pub(super) topics: HashMap<Name, Topic<L>>,
    pub(super) clients: HashMap<ConnectionId, Client<L>>,
    pub(super) people: HashMap<Name, Vec<ConnectionId>>,
    /// Topics with frames that this turn has not delivered yet.
    unsent: Vec<Name>,
    /// Whose grace period ends when, and where.
    leaving: BTreeSet<(Instant, Name, Name)>,
    /// Everything that was published, oldest first; entries whose message is gone are passed over.
    pub(super) order: VecDeque<(Name, u64)>,
    /// Messages and bytes in all histories.
    kept: (usize, usize),
    sweep_at: Option<Instant>,
}

/// A connection that speaks the protocol.
pub(super) struct Client<L> {
    pub(super) line: L,
    pub(super) compressed: bool,
    pub(super) user: Name,
    pub(super) rooms: Vec<Name>,
}

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

    /// A text for one connection, after what was asked before.
    pub(super) fn say(&self, id: ConnectionId, text: &str, out: &mut impl Deliver<L>) {
        if let Some(client) = self.clients.get(&id) {
            let frames = out.encode(text);
            out.deliver(&client.line, frames.fit(client.compressed));
        }
    }

    /// The server ends; all would come back at once if they were not told different times.
    pub(super) fn say_going_away(&self, id: ConnectionId, out: &mut impl Deliver<L>) {
        if self.clients.contains_key(&id) {
            let after = RECONNECT_AFTER + id.0.wrapping_mul(7919) % RECONNECT_SPREAD;
            self.say(id, &Text::new("going_away", None).number("reconnect_after", after).end(), out);
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

    /// Takes a connection out of a room; its user at once, or when nobody of it has come back `until` then.
    pub(super) fn remove(
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

    pub(super) fn announce(
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

    pub(super) fn send(
        &mut self,
        name: &Name,
        text: &str,
        except: Option<ConnectionId>,
        out: &mut impl Deliver<L>,
    ) {
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

    pub(super) fn topic(&mut self, name: &Name, now: Instant) -> &mut Topic<L> {
        self.sweep_at.get_or_insert(now + SWEEP);
        let (node, epochs) = (&self.node, &mut self.epochs);
        self.topics.entry(name.clone()).or_insert_with(|| {
            *epochs += 1;
            Topic::new(&format!("{node}-{epochs:x}"))
        })
    }

    pub(super) fn trim(&mut self, name: &Name, now: Instant) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let before = topic.kept();
        topic.trim(now, self.rules.of(name));
        let after = topic.kept();
        self.count(before, after);
    }

    pub(super) fn count(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.kept.0 = self.kept.0 + after.0 - before.0;
        self.kept.1 = self.kept.1 + after.1 - before.1;
    }

    /// Forgets the oldest messages of all while there are too many bytes.
    pub(super) fn make_room(&mut self) {
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

    pub(super) fn drop_if_void(&mut self, name: &Name) {
        if self.topics.get(name).is_some_and(Topic::is_void) {
            self.topics.remove(name);
        }
    }
}
