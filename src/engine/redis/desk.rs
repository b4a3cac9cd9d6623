//! What lies between the hub and the engine's two threads: orders on their way, and what the hub wants to be so.
//!
//! The hub puts something down and goes on. What must be kept up (open rooms, who is present, who listens) is a table, and
//! bounded by what there is; what is said is a queue, and bounded by number and bytes.

use crate::engine::{Address, Name, Notice, Order, RoomRules, Ticket};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem::take;
use std::time::{Duration, Instant};

/// Orders, and their bytes, that may wait.
const QUEUE: usize = 16_384;
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Orders, and their bytes, that are sent together.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// An order that has waited for so long is not carried out any more.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    bell: Condvar,
}

/// A channel that servers subscribe to while somebody here needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Channel {
    /// A room of `switchboard.v1`.
    Room(Name),
    Plain(Name),
}

/// How a connection to Redis is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Side {
    Up,
    /// It is being made, for the first time or because it was lost.
    #[default]
    Connecting,
    Down(String),
}

#[derive(Default)]
struct State {
    orders: VecDeque<(Instant, Order)>,
    bytes: usize,
    rooms: HashMap<Name, RoomRules>,
    /// Of the rooms, those that Redis has had: there is something to keep up.
    known: HashSet<Name>,
    plain: HashSet<Name>,
    present: HashMap<Name, BTreeMap<Name, usize>>,
    listeners: HashMap<Address, usize>,
    /// Whose presence is not what Redis knows; whether they have left.
    moved: HashMap<(Name, Name), bool>,
    /// Which listeners are not what Redis knows.
    turned: HashSet<Address>,
    /// What the subscriber is to look at.
    asked: HashSet<Channel>,
    wake: bool,
    publisher: Side,
    subscriber: Side,
    /// What has happened to the subscriber may have happened to the publisher.
    check: bool,
    /// The publisher tells Redis what changes. Otherwise it tells everything once it does.
    follows: bool,
    told: Told,
    /// The hub has been told of it.
    is_told: bool,
    stop: bool,
}

/// What the hub believes.
#[derive(Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Hearing,
    Deaf(String),
}

/// A user's presence as it is now.
pub(super) struct Moved {
    pub(super) room: Name,
    pub(super) user: Name,
    pub(super) connections: usize,
    pub(super) left: bool,
}

/// What the publisher is to do.
#[derive(Default)]
pub(super) struct Work {
    /// To look first whether Redis can still be reached.
    pub(super) check: bool,
    pub(super) orders: Vec<Order>,
    pub(super) moved: Vec<Moved>,
    pub(super) turned: Vec<(Address, usize)>,
    /// The subscriber has something to do.
    pub(super) wake: bool,
    /// What the hub must know, before anything else.
    pub(super) news: Vec<Notice>,
    pub(super) stop: bool,
}

impl Desk {
    /// What the hub wants.
    pub(super) fn put(&self, orders: Vec<Order>) -> Vec<Notice> {
        let mut state = self.state.lock();
        let refused = orders.into_iter().filter_map(|order| state.put(order)).collect();
        drop(state);
        self.bell.notify_all();
        refused
    }

    /// Waits for something to do, until `deadline`.
    pub(super) fn work(&self, deadline: Instant) -> Work {
        let mut state = self.state.lock();
        loop {
            let work = state.work();
            if work.is_some() || self.bell.wait_until(&mut state, deadline).timed_out() {
                return work.unwrap_or_default();
            }
        }
    }

    /// How the publisher's connection is; what the hub must be told for that.
    pub(super) fn publisher(&self, side: Side) -> Vec<Notice> {
        let mut state = self.state.lock();
        state.publisher = side;
        state.news()
    }

    pub(super) fn subscriber(&self, side: Side) {
        let mut state = self.state.lock();
        state.subscriber = side;
        state.check = true;
        drop(state);
        self.bell.notify_all();
    }

    /// Waits until `deadline`, or the end (`true`).
    pub(super) fn pause(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.stop && !self.bell.wait_until(&mut state, deadline).timed_out() {}
        state.stop
    }

    /// From now on changes of who is present and who listens are [`Work`], or they are not any more.
    pub(super) fn follow(&self, follows: bool) {
        let mut state = self.state.lock();
        state.follows = follows;
        state.moved.clear();
        state.turned.clear();
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.bell.notify_all();
    }

    /// The hub has been told whether Redis can be reached.
    pub(super) fn told(&self) {
        self.state.lock().is_told = true;
        self.bell.notify_all();
    }

    /// Waits until it has, or until `deadline`.
    pub(super) fn wait_told(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while !state.is_told && !self.bell.wait_until(&mut state, deadline).timed_out() {}
    }

    /// Whether Redis can be reached, and how many orders wait.
    pub(super) fn shown(&self) -> (bool, usize) {
        let state = self.state.lock();
        (state.told == Told::Hearing, state.orders.len())
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stop
    }

    /// What is to be looked at again.
    pub(super) fn ask(&self, channels: impl IntoIterator<Item = Channel>) {
        let mut state = self.state.lock();
        let before = state.asked.len();
        state.asked.extend(channels);
        state.wake |= before < state.asked.len();
    }

    /// What the subscriber is to look at.
    pub(super) fn asked(&self) -> Vec<Channel> {
        take(&mut self.state.lock().asked).into_iter().collect()
    }

    /// Everything that is wanted.
    pub(super) fn all(&self) -> Vec<Channel> {
        let mut state = self.state.lock();
        state.asked.clear();
        let rooms = state.rooms.keys().cloned().map(Channel::Room);
        rooms.chain(state.plain.iter().cloned().map(Channel::Plain)).collect()
    }

    /// `None`: it is not open.
    pub(super) fn rules(&self, room: &str) -> Option<RoomRules> {
        self.state.lock().rooms.get(room).cloned()
    }

    pub(super) fn has_plain(&self, room: &str) -> bool {
        self.state.lock().plain.contains(room)
    }

    pub(super) fn rooms(&self) -> Vec<Name> {
        self.state.lock().rooms.keys().cloned().collect()
    }

    /// Redis has this room.
    pub(super) fn know(&self, room: &Name) {
        let mut state = self.state.lock();
        if state.rooms.contains_key(room) {
            state.known.insert(room.clone());
        }
    }

    /// Rooms that Redis has had.
    pub(super) fn known(&self) -> Vec<Name> {
        self.state.lock().known.iter().cloned().collect()
    }

    /// Who is in a room here.
    pub(super) fn present(&self, room: &str) -> Vec<(Name, usize)> {
        let state = self.state.lock();
        let users = state.present.get(room).into_iter().flatten();
        users.map(|(user, connections)| (user.clone(), *connections)).collect()
    }

    pub(super) fn listeners(&self) -> Vec<(Address, usize)> {
        let state = self.state.lock();
        state.listeners.iter().map(|(to, connections)| (to.clone(), *connections)).collect()
    }
}

impl State {
    fn put(&mut self, order: Order) -> Option<Notice> {
        match order {
            Order::Open { room, rules } => {
                self.rooms.insert(room.clone(), rules);
                self.ask(Channel::Room(room));
            }
            Order::Close { room } => {
                self.rooms.remove(&room);
                self.known.remove(&room);
                self.present.remove(&room);
                self.ask(Channel::Room(room));
            }
            Order::Listen { to: Address::Room(room), connections } => {
                let is_new =
                    if connections == 0 { self.plain.remove(&room) } else { self.plain.insert(room.clone()) };
                if is_new {
                    self.ask(Channel::Plain(room));
                }
            }
            Order::Listen { to, connections } => {
                match connections {
                    0 => drop(self.listeners.remove(&to)),
                    some => drop(self.listeners.insert(to.clone(), some)),
                }
                if self.follows {
                    self.turned.insert(to);
                }
            }
            Order::Presence { room, user, connections, left } => {
                let users = self.present.entry(room.clone()).or_default();
                match connections {
                    0 => drop(users.remove(&user)),
                    some => drop(users.insert(user.clone(), some)),
                }
                if self.follows {
                    self.moved.insert((room, user), left);
                }
            }
            order => return self.put_in_line(order),
        }
        None
    }

    fn ask(&mut self, channel: Channel) {
        self.asked.insert(channel);
        self.wake = true;
    }

    fn put_in_line(&mut self, order: Order) -> Option<Notice> {
        let size = order.size();
        let why = match self.trouble() {
            Some(why) => why,
            None if QUEUE <= self.orders.len() || QUEUE_BYTES < self.bytes + size => {
                "Redis does not keep up with what is said".into()
            }
            None => {
                self.bytes += size;
                self.orders.push_back((Instant::now(), order));
                return None;
            }
        };
        order.refused(why)
    }

    /// Why nothing can be said.
    fn trouble(&self) -> Option<String> {
        match (&self.publisher, &self.subscriber) {
            _ if self.stop => Some("the server is stopping".into()),
            (Side::Down(_), _) | (_, Side::Down(_)) => Some("Redis cannot be reached".into()),
            (Side::Connecting, _) => Some("there is no connection to Redis at this moment".into()),
            (Side::Up, _) => None,
        }
    }

    /// `None`: nothing.
    fn work(&mut self) -> Option<Work> {
        if take(&mut self.check) {
            return Some(Work { check: true, ..Work::default() });
        }
        let mut work =
            Work { news: self.news(), stop: self.stop, wake: take(&mut self.wake), ..Work::default() };
        let (mut bytes, now) = (0, Instant::now());
        while work.orders.len() < BATCH && bytes < BATCH_BYTES {
            let Some((since, order)) = self.orders.pop_front() else { break };
            self.bytes -= order.size();
            if PATIENCE < now.saturating_duration_since(since) {
                work.news.extend(order.refused("Redis does not keep up with what is said".into()));
                continue;
            }
            bytes += order.size();
            work.orders.push(order);
        }
        let connections = |room: &Name, user: &Name| self.present.get(room)?.get(user).copied();
        let moved = take(&mut self.moved).into_iter().map(|((room, user), left)| Moved {
            connections: connections(&room, &user).unwrap_or_default(),
            room,
            user,
            left,
        });
        work.moved = moved.collect();
        let turned = take(&mut self.turned).into_iter();
        work.turned = turned
            .map(|to| {
                let connections = self.listeners.get(&to).copied().unwrap_or_default();
                (to, connections)
            })
            .collect();
        let is_idle = work.orders.is_empty() && work.moved.is_empty() && work.turned.is_empty();
        (!is_idle || work.wake || work.stop || !work.news.is_empty()).then_some(work)
    }

    /// Whether Redis can be reached, if that is new. Orders that wait for what cannot be are answered before.
    fn news(&mut self) -> Vec<Notice> {
        let mut news = Vec::new();
        let is_lost = self.publisher != Side::Up || matches!(self.subscriber, Side::Down(_));
        if let Some(why) = self.trouble().filter(|_| is_lost) {
            self.bytes = 0;
            news.extend(take(&mut self.orders).iter().filter_map(|(_, order)| order.refused(why.clone())));
        }
        match (&self.publisher, &self.subscriber) {
            (Side::Down(why), _) | (_, Side::Down(why)) => {
                let (why, deaf) = (why.clone(), Told::Deaf(why.clone()));
                if self.told != deaf {
                    self.told = deaf;
                    news.push(Notice::Deaf { why });
                }
            }
            (Side::Up, Side::Up) if self.told != Told::Hearing => {
                self.told = Told::Hearing;
                news.push(Notice::Hearing);
            }
            _ => {}
        }
        news
    }
}

pub(super) fn told(ticket: Ticket, result: Result<usize, String>) -> Notice {
    Notice::Told { ticket, result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Publish;
    use std::thread;

    fn say(ticket: Ticket, bytes: usize) -> Order {
        let publish = Publish {
            room: "tea".into(),
            from: None,
            data: "x".repeat(bytes).into(),
            key: None,
            time: 0,
            rules: RoomRules::default(),
        };
        Order::Publish { ticket, publish }
    }

    /// Answers as ticket and whether it is one of success.
    fn refused(notices: &[Notice]) -> Vec<Ticket> {
        let refused = |notice: &Notice| match notice {
            Notice::Published { ticket, result: Err(_) } | Notice::Told { ticket, result: Err(_) } => {
                Some(*ticket)
            }
            _ => None,
        };
        notices.iter().filter_map(refused).collect()
    }

    fn up() -> Desk {
        let desk = Desk::default();
        desk.subscriber(Side::Up);
        assert!(desk.work(Instant::now()).check);
        assert_eq!(desk.publisher(Side::Up), [Notice::Hearing]);
        desk
    }

    fn work(desk: &Desk) -> Work {
        desk.work(Instant::now())
    }

    #[test]
    fn the_line_is_bounded_by_number_and_by_bytes() {
        let desk = up();
        let full = (1..=QUEUE as Ticket).map(|ticket| say(ticket, 1)).collect();
        assert!(refused(&desk.put(full)).is_empty());
        let note = Order::Tell { ticket: Some(2), to: Address::Everyone, note: b"x".as_slice().into() };
        let silent = Order::Tell { ticket: None, to: Address::Everyone, note: b"x".as_slice().into() };
        assert_eq!(refused(&desk.put(vec![say(1, 1), note, silent])), [1, 2]);
        assert_eq!(work(&desk).orders.len(), BATCH);
        assert!(refused(&desk.put(vec![say(3, 1)])).is_empty());
        let desk = up();
        let large = (1..=3).map(|ticket| say(ticket, QUEUE_BYTES / 2)).collect();
        assert_eq!(refused(&desk.put(large)), [3]);
        assert_eq!(work(&desk).orders.len(), 1, "a batch is bounded by bytes");
        assert!(refused(&desk.put(vec![say(4, QUEUE_BYTES / 2)])).is_empty());
        assert_eq!(desk.shown(), (true, 2));
    }

    #[test]
    fn whoever_waits_is_answered_before_the_hub_is_told() {
        let desk = Desk::default();
        assert_eq!(refused(&desk.put(vec![say(1, 1)])), [1], "nothing can be said yet");
        assert!(desk.publisher(Side::Connecting).is_empty(), "nothing has been tried");
        desk.subscriber(Side::Up);
        assert_eq!(desk.publisher(Side::Up), [Notice::Hearing]);
        desk.put(vec![say(2, 1), say(3, 1)]);
        desk.subscriber(Side::Connecting);
        assert!(work(&desk).check, "perhaps both are lost");
        assert!(work(&desk).news.is_empty(), "nobody has to know of a moment");
        desk.put(vec![say(4, 1)]);
        desk.subscriber(Side::Down("why".into()));
        assert_eq!(refused(&desk.put(vec![say(5, 1)])), [5]);
        assert!(work(&desk).check);
        let Work { news, orders, .. } = work(&desk);
        assert_eq!((refused(&news), orders.len()), (vec![4], 0));
        assert_eq!(news.last(), Some(&Notice::Deaf { why: "why".into() }));
        assert!(desk.publisher(Side::Down("why".into())).is_empty(), "once");
        assert_eq!(desk.publisher(Side::Down("other".into())), [Notice::Deaf { why: "other".into() }]);
        desk.subscriber(Side::Up);
        assert_eq!(desk.publisher(Side::Up), [Notice::Hearing]);
        desk.put(vec![say(6, 1)]);
        assert_eq!(refused(&desk.publisher(Side::Connecting)), [6]);
        assert_eq!(refused(&desk.put(vec![say(7, 1)])), [7], "it could not be sent now");
    }

    #[test]
    fn what_is_wanted_is_kept_up_and_what_has_changed_is_work() {
        let desk = up();
        let here = |user: &str, connections, left| Order::Presence {
            room: "tea".into(),
            user: user.into(),
            connections,
            left,
        };
        let listen = |connections| Order::Listen { to: Address::Nick("ann".into()), connections };
        desk.put(vec![here("ann", 1, false), here("bob", 2, false), listen(1)]);
        let Work { moved, turned, .. } = work(&desk);
        assert!(moved.is_empty() && turned.is_empty(), "everything will be said");
        desk.follow(true);
        assert_eq!(desk.present("tea"), [("ann".into(), 1), ("bob".into(), 2)]);
        desk.put(vec![here("ann", 0, true), listen(2), listen(3)]);
        let Work { moved, turned, .. } = work(&desk);
        assert_eq!((moved.len(), moved[0].connections, moved[0].left), (1, 0, true));
        assert_eq!(turned, [(Address::Nick("ann".into()), 3)]);
        assert_eq!(desk.present("tea"), [("bob".into(), 2)]);
        desk.put(vec![Order::Open { room: "tea".into(), rules: RoomRules::default() }]);
        desk.put(vec![Order::Listen { to: Address::Room("plain".into()), connections: 1 }]);
        assert!(work(&desk).wake);
        assert_eq!(desk.asked().len(), 2);
        assert!(desk.asked().is_empty() && desk.has_plain("plain") && desk.rules("tea").is_some());
        desk.know(&"tea".into());
        desk.know(&"other".into());
        assert_eq!(desk.known(), [Name::from("tea")]);
        desk.put(vec![Order::Close { room: "tea".into() }]);
        assert_eq!((desk.rules("tea"), desk.present("tea").len(), desk.known().len()), (None, 0, 0));
        assert_eq!(desk.all(), [Channel::Plain("plain".into())]);
    }

    #[test]
    fn who_waits_for_work_is_woken_by_it_and_by_the_end() {
        let desk = up();
        let far = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let worker = scope.spawn(|| desk.work(far).orders.len());
            desk.put(vec![say(1, 1)]);
            assert_eq!(worker.join().unwrap(), 1);
            let worker = scope.spawn(|| desk.work(far).stop);
            let pauser = scope.spawn(|| desk.pause(far));
            desk.stop();
            assert!(worker.join().unwrap() && pauser.join().unwrap());
        });
        assert_eq!(refused(&desk.put(vec![say(2, 1)])), [2]);
    }

    #[test]
    fn what_was_taken_before_the_end_is_done_or_answered() {
        let desk = up();
        desk.put(vec![say(1, 1), say(2, 1)]);
        desk.stop();
        let Work { orders, stop: true, .. } = work(&desk) else { panic!("it was not told to stop") };
        assert_eq!(orders.len(), 2);
        let desk = up();
        desk.put(vec![say(1, 1)]);
        desk.stop();
        assert_eq!(refused(&desk.publisher(Side::Down("x".into()))), [1]);
    }
}
