//! The rooms and users of `switchboard.v1`, and what time does to them. What clients ask for is in `requests`; what an
//! engine tells, in `outside`.

use super::engine::{Address, Name, Order};
use super::history::{History, Now, Place};
use super::outside::Outside;
use super::pattern::ByPattern;
use super::protocol::{Ask, Json, Text};
use super::rules::RoomRules;
use super::topic::{Change, Topic};
use super::{ConnectionId, Deliver, ProtocolCounts};
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
    /// Bytes of one reply.
    pub(crate) reply: usize,
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
    pub(super) unsent: Vec<Name>,
    /// Whose grace period ends when, and where.
    pub(super) leaving: BTreeSet<(Instant, Name, Name)>,
    /// Everything that was published, oldest first; entries whose message is gone are passed over.
    pub(super) order: VecDeque<Place>,
    /// Messages and bytes in all histories.
    kept: (usize, usize),
    /// Requests to publish so far, and those of them that were acknowledged.
    pub(super) publishes: u64,
    pub(super) acknowledged: u64,
    sweep_at: Option<Instant>,
    /// When rooms are kept elsewhere.
    pub(super) outside: Option<Outside>,
}

/// A connection that speaks the protocol.
pub(super) struct Client<L> {
    pub(super) line: L,
    pub(super) compressed: bool,
    pub(super) user: Name,
    pub(super) rooms: Vec<Name>,
    /// Requests whose answers an engine has not given yet.
    pub(super) unanswered: usize,
    /// One of them is a `join`, or for another reason nothing may overtake it.
    pub(super) stands: bool,
    /// What was asked behind them, and its bytes.
    pub(super) waiting: VecDeque<(Option<Json>, Ask)>,
    pub(super) waiting_bytes: usize,
    /// To be told when nothing of that is left.
    #[cfg(feature = "protocol")]
    pub(super) settled: Option<super::calls::Answer<()>>,
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
            publishes: 0,
            acknowledged: 0,
            sweep_at: None,
            outside: None,
        }
    }

    pub(super) fn enter(
        &mut self,
        id: ConnectionId,
        line: L,
        compressed: bool,
        user: &Name,
        out: &mut impl Deliver<L>,
    ) {
        self.people.entry(user.clone()).or_default().push(id);
        let client = Client {
            line,
            compressed,
            user: user.clone(),
            rooms: Vec::new(),
            unanswered: 0,
            stands: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            #[cfg(feature = "protocol")]
            settled: None,
        };
        self.clients.insert(id, client);
        self.listen(user, out);
    }

    /// Tells other servers how many connections the user has here.
    fn listen(&self, user: &Name, out: &mut impl Deliver<L>) {
        if self.is_shared() {
            let connections = self.people.get(user).map_or(0, Vec::len);
            out.order(Order::Listen { to: Address::User(user.clone()), connections });
        }
    }

    pub(super) fn counts(&self) -> ProtocolCounts {
        ProtocolCounts {
            connections: self.clients.len(),
            users: self.people.len(),
            rooms: self.topics.len(),
            kept: self.kept,
            publishes: self.publishes,
            acknowledged: self.acknowledged,
        }
    }

    /// Whether other servers have the same rooms.
    pub(super) fn is_shared(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| outside.is_shared)
    }

    /// The connection has ended: its user stays for the grace period.
    pub(super) fn gone(&mut self, now: Now, id: ConnectionId, out: &mut impl Deliver<L>) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        self.carry_out_last(now, &mut client, out);
        if let Some(connections) = self.people.get_mut(&client.user) {
            connections.retain(|other| *other != id);
            if connections.is_empty() {
                self.people.remove(&client.user);
            }
        }
        self.listen(&client.user, out);
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
                self.drop_if_void(&room, out);
            }
        }
        if self.sweep_at.is_some_and(|at| at <= now.instant) {
            let names: Vec<Name> = self.topics.keys().cloned().collect();
            for name in names {
                self.trim(&name, now.instant);
                self.drop_if_void(&name, out);
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
        topic.room.leave(id, out);
        let change = topic.exit(user, until);
        let connections = topic.connections(user);
        if self.is_shared() {
            let (room, user, left) = (room.clone(), user.clone(), until.is_none());
            out.order(Order::Presence { room, user, connections, left });
        }
        self.changed(room, user, change, (until, None), out);
        self.drop_if_void(room, out);
    }

    /// What a change of somebody's connections brings about. `except` is not told.
    pub(super) fn changed(
        &mut self,
        room: &Name,
        user: &Name,
        change: Change,
        (until, except): (Option<Instant>, Option<ConnectionId>),
        out: &mut impl Deliver<L>,
    ) {
        match (change, until) {
            (Change::Came, _) => self.announce(room, user, "join", except, out),
            (Change::Left, _) => self.announce(room, user, "leave", except, out),
            (Change::Waits, Some(until)) => drop(self.leaving.insert((until, room.clone(), user.clone()))),
            (Change::CameBack(until), _) => drop(self.leaving.remove(&(until, room.clone(), user.clone()))),
            (Change::Waits | Change::Nothing, _) => {}
        }
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

    /// The room, which is made if it is not there; an engine has to be asked about a new one.
    pub(super) fn topic(&mut self, name: &Name, now: Instant, out: &mut impl Deliver<L>) -> &mut Topic<L> {
        self.sweep_at.get_or_insert(now + SWEEP);
        let (node, epochs, is_outside) = (&self.node, &mut self.epochs, self.outside.is_some());
        let rules = &self.rules;
        self.topics.entry(name.clone()).or_insert_with(|| {
            if is_outside {
                out.order(Order::Open { room: name.clone(), rules: rules.of(name).clone() });
                return Topic::new(History::new(""), Some(Vec::new()));
            }
            *epochs += 1;
            Topic::new(History::new(&format!("{node}-{epochs:x}")), None)
        })
    }

    pub(super) fn trim(&mut self, name: &Name, now: Instant) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let before = topic.history.kept();
        topic.trim(now, self.rules.of(name));
        let after = topic.history.kept();
        self.count(before, after);
    }

    pub(super) fn count(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.kept.0 = self.kept.0 + after.0 - before.0;
        self.kept.1 = self.kept.1 + after.1 - before.1;
    }

    /// A message has come into a room's history: forgets the oldest messages of all while there are too many bytes.
    pub(super) fn came_in(&mut self, name: &Name, out: &mut impl Deliver<L>) {
        self.order.extend(self.topics.get(name).map(|topic| topic.history.place(name)));
        while self.rules.bytes < self.kept.1 {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(topic) = self.topics.get_mut(&oldest.room) else { continue };
            let before = topic.history.kept();
            topic.history.drop_if_oldest(&oldest);
            let after = topic.history.kept();
            self.count(before, after);
            self.drop_if_void(&oldest.room, out);
        }
        if 2 * self.kept.0 + 1024 < self.order.len() {
            let topics = &self.topics;
            let is_kept =
                |place: &Place| topics.get(&place.room).is_some_and(|topic| topic.history.keeps(place));
            self.order.retain(is_kept);
        }
    }

    /// Forgets a room of which nothing would be lost.
    pub(super) fn drop_if_void(&mut self, name: &Name, out: &mut impl Deliver<L>) {
        let Some(topic) = self.topics.get(name).filter(|topic| topic.is_empty()) else { return };
        if self.outside.is_none() && !topic.history.is_empty() {
            return;
        }
        let kept = topic.history.kept();
        self.topics.remove(name);
        self.count(kept, (0, 0));
        if self.outside.is_some() {
            out.order(Order::Close { room: name.clone() });
        }
    }
}
