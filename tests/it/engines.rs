//! What every engine must do, whatever it keeps its rooms in: one set of tests, run for each.
//!
//! For an engine of one's own: implement `World` for what makes engines that have the same rooms, and name it in `engines!`.

use crate::support::PATIENCE;
use crate::support_redis::Redis as RedisServer;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs};
use switchboard::RoomRules;
use switchboard::engine::{
    Address, Engine, Inbox, Member, Memory, Name, Notice, Order, Publish, Receipt, Redis, Store, Stored,
    Ticket,
};

/// Something that makes engines which have the same rooms.
pub(crate) trait World {
    fn engine(&self) -> Box<dyn Engine>;
}

impl World for Memory {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }
}

impl World for RedisServer {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Redis::open(&self.url()).unwrap())
    }
}

/// Rooms are spread over two.
impl World for [RedisServer; 2] {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Redis::open(&self[0].url()).unwrap().and(&self[1].url()).unwrap())
    }
}

/// For one server at a time.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("switchboard-engines-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl World for Disk {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Store::open(self.0.join("rooms.db")).unwrap())
    }
}

/// A server without a hub: what it is told is looked at here.
pub(crate) struct Server {
    name: &'static str,
    pub(crate) engine: Box<dyn Engine>,
    inbox: Receiver<Vec<Notice>>,
    /// What came before that which was waited for.
    pub(crate) told: Vec<Notice>,
    tickets: Ticket,
}

impl Server {
    pub(crate) fn start(world: &impl World, name: &'static str) -> Self {
        let (tell, inbox) = channel();
        let engine = world.engine();
        engine.start(name, Inbox::new(move |notices| tell.send(notices).is_ok())).unwrap();
        let mut server = Self { name, engine, inbox, told: Vec::new(), tickets: 0 };
        server.wait("that the engine can be reached", |notice| (*notice == Notice::Hearing).then_some(()));
        server
    }

    pub(crate) fn order(&mut self, order: Order) {
        let told = self.engine.take(vec![order]);
        self.told.extend(told);
    }

    /// Takes out the first notice, told or yet to come, that is like that.
    #[track_caller]
    pub(crate) fn wait<T>(&mut self, what: &str, like: impl Fn(&Notice) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((at, found)) = self.told.iter().enumerate().find_map(|(at, n)| Some((at, like(n)?))) {
                self.told.remove(at);
                return found;
            }
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(notices) => self.told.extend(notices),
                Err(error) => panic!("{}: {what}: {error}; {:?}", self.name, self.told),
            }
        }
    }

    pub(crate) fn open(&mut self, room: &str) -> (Name, u64, Vec<Stored>, Vec<Member>) {
        self.open_by(room, RoomRules::default())
    }

    #[track_caller]
    pub(crate) fn open_by(&mut self, room: &str, rules: RoomRules) -> (Name, u64, Vec<Stored>, Vec<Member>) {
        self.order(Order::Open { room: room.into(), rules });
        self.wait("a state", |notice| match notice {
            Notice::State { room: at, epoch, offset, messages, members } if **at == *room => {
                Some((epoch.clone(), *offset, messages.clone(), members.clone()))
            }
            _ => None,
        })
    }

    pub(crate) fn ask_publish(&mut self, publish: Publish) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        self.order(Order::Publish { ticket, publish });
        ticket
    }

    #[track_caller]
    pub(crate) fn published(&mut self, ticket: Ticket) -> Result<Receipt, String> {
        self.wait("an answer", |notice| match notice {
            Notice::Published { ticket: answered, result } if *answered == ticket => Some(result.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn publish(&mut self, publish: Publish) -> Receipt {
        let ticket = self.ask_publish(publish);
        self.published(ticket).unwrap()
    }

    #[track_caller]
    pub(crate) fn message(&mut self, room: &str) -> (Name, Stored) {
        self.wait("a message", |notice| match notice {
            Notice::Message { room: at, epoch, message } if **at == *room => {
                Some((epoch.clone(), message.clone()))
            }
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn presence(&mut self, room: &str) -> (Member, bool) {
        self.wait("a presence", |notice| match notice {
            Notice::Presence { room: at, member, left } if **at == *room => Some((member.clone(), *left)),
            _ => None,
        })
    }

    pub(crate) fn here(&mut self, room: &str, user: &str, connections: usize, left: bool) {
        self.order(Order::Presence { room: room.into(), user: user.into(), connections, left });
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, to: Address, note: &'static [u8]) -> usize {
        self.tickets += 1;
        let ticket = self.tickets;
        self.order(Order::Tell { ticket: Some(ticket), to, note: note.into() });
        self.wait("how many were told", |notice| match notice {
            Notice::Told { ticket: answered, result } if *answered == ticket => Some(result.clone().unwrap()),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn note(&mut self) -> (Address, Vec<u8>) {
        self.wait("a note", |notice| match notice {
            Notice::Note { to, note } => Some((to.clone(), note.to_vec())),
            _ => None,
        })
    }

    /// Everything that was meant for it until now has come: a message in a room of its own goes behind it.
    #[track_caller]
    pub(crate) fn settle(&mut self, other: &mut Self) {
        let room = format!("settle-{}", self.name);
        self.open(&room);
        other.publish(say(&room, "\"settle\""));
        self.message(&room);
        self.order(Order::Close { room: room.as_str().into() });
    }

    pub(crate) fn all(&mut self, like: impl Fn(&Notice) -> bool) -> Vec<Notice> {
        self.told.extract_if(.., |notice| like(notice)).collect()
    }
}

pub(crate) fn say(room: &str, data: &str) -> Publish {
    Publish {
        room: room.into(),
        from: Some("ann".into()),
        data: data.into(),
        key: None,
        time: 1_700_000_000_000,
        rules: RoomRules::default(),
    }
}

pub(crate) fn with_key(publish: Publish, key: &str) -> Publish {
    Publish { key: Some(key.into()), ..publish }
}

pub(crate) fn member(node: &str, user: &str, connections: usize) -> Member {
    Member { node: node.into(), user: user.into(), connections }
}

fn messages_have_one_order(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    let (epoch, offset, messages, members) = east.open("tea");
    assert_eq!((offset, messages.len(), members.len()), (0, 0, 0));
    assert_eq!(west.open("tea").0, epoch);
    let mut tickets = Vec::new();
    for n in 0..50 {
        tickets.push((east.ask_publish(say("tea", &format!("\"east {n}\""))), true));
        tickets.push((west.ask_publish(say("tea", &format!("\"west {n}\""))), false));
    }
    let mut offsets: Vec<u64> = Vec::new();
    let (mut last_east, mut last_west) = (0, 0);
    for (ticket, is_east) in tickets {
        let (server, last) = if is_east { (&mut east, &mut last_east) } else { (&mut west, &mut last_west) };
        let at = server.published(ticket).unwrap();
        assert_eq!(at.epoch, epoch);
        assert!(*last < at.offset, "what one server says stays in order");
        *last = at.offset;
        offsets.push(at.offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=100).collect::<Vec<u64>>());
    for expected in 1..=100 {
        let (message, same) = (east.message("tea"), west.message("tea"));
        assert_eq!((message.1.offset, &message), (expected, &same));
        assert_eq!(message.0, epoch);
    }
}

fn a_message_is_told_as_it_was_said(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    west.open("tea");
    let data = r#"{"text":"a\"b\\c\n大","deep":[1,2.5,null,{"x":"\u0000"}]}"#;
    let publish = Publish { from: Some("a\"n\\n 大".into()), time: 1_712_345_678_901, ..say("tea", data) };
    let at = east.publish(publish.clone());
    let (epoch, message) = west.message("tea");
    assert_eq!((epoch, message.offset, message.time), (at.epoch, 1, publish.time));
    assert_eq!(message, publish.stored(1));
    let by_program = Publish { from: None, ..say("tea", "1") };
    east.publish(by_program.clone());
    assert_eq!(west.message("tea").1, by_program.stored(2));
    let mut late = Server::start(world, "late");
    let (_, offset, messages, _) = late.open("tea");
    assert_eq!((offset, messages), (2, vec![publish.stored(1), by_program.stored(2)]));
}

fn a_key_counts_once(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    west.open("tea");
    let first = east.publish(with_key(say("tea", "1"), "k"));
    assert_eq!(west.publish(with_key(say("tea", "2"), "k")), first);
    assert_eq!(east.publish(with_key(say("tea", "3"), "k")), first);
    assert_eq!(east.publish(with_key(say("tea", "4"), "other")).offset, 2);
    let by_bob = Publish { from: Some("bob".into()), ..with_key(say("tea", "5"), "k") };
    assert_eq!(east.publish(by_bob).offset, 3, "users' keys are apart");
    assert_ne!(east.publish(with_key(say("milk", "6"), "k")).epoch, first.epoch, "so are rooms'");
    let said: Vec<String> = (0..3).map(|_| west.message("tea").1.element.to_string()).collect();
    assert!(
        ["\"data\":1,", "\"data\":4,", "\"data\":5,"]
            .iter()
            .zip(&said)
            .all(|(data, said)| said.contains(data))
    );
    let at_once: Vec<Ticket> =
        (0..20).map(|_| east.ask_publish(with_key(say("tea", "7"), "at once"))).collect();
    let also: Vec<Ticket> = (0..20).map(|_| west.ask_publish(with_key(say("tea", "7"), "at once"))).collect();
    for ticket in at_once {
        assert_eq!(east.published(ticket).unwrap().offset, 4);
    }
    for ticket in also {
        assert_eq!(west.published(ticket).unwrap().offset, 4);
    }
}

fn a_room_keeps_so_much(world: &impl World) {
    let mut east = Server::start(world, "east");
    let rules = RoomRules { messages: 3, ..RoomRules::default() };
    let publish = |data: &str| Publish { rules: rules.clone(), ..say("tea", data) };
    let first = east.publish(with_key(publish("1"), "k"));
    for n in 2..=3 {
        east.publish(publish(&n.to_string()));
    }
    assert_eq!(east.publish(with_key(publish("1"), "k")), first, "the oldest one's counts, too");
    east.publish(publish("4"));
    let (_, offset, messages, _) = east.open_by("tea", rules.clone());
    let offsets: Vec<u64> = messages.iter().map(|message| message.offset).collect();
    assert_eq!((offset, offsets), (4, vec![2, 3, 4]));
    let again = east.publish(with_key(publish("5"), "k"));
    assert_eq!((again.offset, first.offset), (5, 1), "a key is forgotten with its message");

    let rules = RoomRules { bytes: 1000, ..RoomRules::default() };
    let publish = |letter: &str| Publish {
        rules: rules.clone(),
        ..say("milk", &format!("\"{}\"", letter.repeat(300)))
    };
    for letter in ["a", "b", "c", "d"] {
        east.publish(publish(letter));
    }
    let (_, offset, messages, _) = east.open_by("milk", rules.clone());
    let bytes: usize = messages.iter().map(|message| message.element.len()).sum();
    assert_eq!((offset, messages.len()), (4, 2), "{bytes} bytes are kept");
    let large = Publish { data: format!("\"{}\"", "x".repeat(1001)).into(), ..publish("") };
    let ticket = east.ask_publish(large);
    assert!(east.published(ticket).unwrap_err().contains("1000 bytes"));
    assert_eq!(east.publish(publish("e")).offset, 5, "what is refused takes no offset");

    let rules = RoomRules { age: Duration::from_millis(300), ..RoomRules::default() };
    let publish = Publish { rules: rules.clone(), ..say("old", "1") };
    let (epoch, offset) = (east.publish(with_key(publish.clone(), "k")).epoch, 1);
    let deadline = Instant::now() + PATIENCE;
    while !east.open_by("old", rules.clone()).2.is_empty() {
        assert!(Instant::now() < deadline, "nothing gets too old");
    }
    let (same, after, ..) = east.open_by("old", rules.clone());
    assert_eq!((same, after), (epoch.clone(), offset), "the room goes on without the message");
    let again = east.publish(with_key(publish, "k"));
    assert_eq!((again.epoch, again.offset), (epoch, 2), "and without the key");
}

fn an_open_room_hears_everything_a_closed_one_nothing(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    for round in 0..20 {
        let said: Vec<Ticket> = (0..5).map(|n| east.ask_publish(say("tea", &n.to_string()))).collect();
        let (_, offset, messages, _) = west.open("tea");
        said.into_iter().for_each(|ticket| drop(east.published(ticket).unwrap()));
        let last = east.publish(say("tea", "\"last\"")).offset;
        assert_eq!(messages.last().map_or(0, |message| message.offset), offset);
        assert_eq!(last, 6 * (round + 1));
        // From the state on, without a hole.
        let mut expected = offset;
        while expected < last {
            let offset = west.message("tea").1.offset;
            assert!(offset <= expected + 1, "{offset} after {expected}");
            expected = expected.max(offset);
        }
        west.order(Order::Close { room: "tea".into() });
        west.settle(&mut east);
        west.told.clear();
        east.publish(say("closed", "1"));
    }
    west.settle(&mut east);
    assert_eq!(west.all(|notice| matches!(notice, Notice::Message { .. })), []);
}

fn who_is_where_is_known(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    east.open("tea");
    east.here("tea", "ann", 1, false);
    east.here("tea", "bob lee", 2, false);
    let deadline = Instant::now() + PATIENCE;
    let mut members = west.open("tea").3;
    while members.len() < 2 {
        assert!(Instant::now() < deadline, "{members:?}");
        members = west.open("tea").3;
    }
    members.sort_by(|a, b| a.user.cmp(&b.user));
    assert_eq!(members, [member("east", "ann", 1), member("east", "bob lee", 2)]);
    assert_eq!(east.open("tea").3, [], "one's own are not told");
    west.settle(&mut east);
    west.told.clear();
    for (connections, left) in [(2, false), (1, false), (0, true), (1, false), (0, false)] {
        east.here("tea", "ann", connections, left);
        assert_eq!(west.presence("tea"), (member("east", "ann", connections), left));
    }
    assert_eq!(west.open("tea").3, [member("east", "bob lee", 2)]);
    assert_eq!(east.all(|notice| matches!(notice, Notice::Presence { .. })), [], "nor told later");
}

fn notes_reach_those_at_other_servers(world: &impl World) {
    let [mut east, mut west, mut north] = ["east", "west", "north"].map(|name| Server::start(world, name));
    let (user, nick, room) =
        (Address::User("ann".into()), Address::Nick("ann".into()), Address::Room("tea: 大".into()));
    for (server, connections) in [(&mut east, 1), (&mut west, 2), (&mut north, 3)] {
        server.order(Order::Listen { to: user.clone(), connections });
        server.order(Order::Listen { to: room.clone(), connections: 1 });
    }
    west.order(Order::Listen { to: nick.clone(), connections: 7 });
    let deadline = Instant::now() + PATIENCE;
    // Nothing says when others know it.
    while (
        east.tell(user.clone(), b"\0are\nyou there"),
        east.tell(nick.clone(), b"x"),
        east.tell(room.clone(), b"r"),
    ) != (5, 7, 2)
    {
        assert!(Instant::now() < deadline);
    }
    for server in [&mut east, &mut west, &mut north] {
        while server.all(|notice| matches!(notice, Notice::Note { .. })).len()
            + server.inbox.try_iter().count()
            > 0
        {}
    }
    west.settle(&mut east);
    north.settle(&mut east);
    for server in [&mut west, &mut north] {
        server.all(|notice| matches!(notice, Notice::Note { .. }));
    }
    assert_eq!(east.tell(user.clone(), b"one"), 5);
    assert_eq!(east.tell(nick.clone(), b"two"), 7);
    east.order(Order::Tell { ticket: None, to: room.clone(), note: b"three".as_slice().into() });
    east.order(Order::Tell { ticket: None, to: Address::Everyone, note: b"four\n\0".as_slice().into() });
    let mut heard: Vec<_> = (0..4).map(|_| west.note()).collect();
    heard.sort_by(|a, b| a.1.cmp(&b.1));
    let [four, one, three, two] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((&one.0, &one.1[..]), (&user, &b"one"[..]));
    assert_eq!((&two.0, &two.1[..]), (&nick, &b"two"[..]));
    assert_eq!((&three.0, &three.1[..]), (&room, &b"three"[..]));
    assert_eq!((&four.0, &four.1[..]), (&Address::Everyone, &b"four\n\0"[..]));
    let mut heard: Vec<Vec<u8>> = (0..3).map(|_| north.note().1).collect();
    heard.sort();
    assert_eq!(heard, [&b"four\n\0"[..], b"one", b"three"]);
    east.settle(&mut west);
    assert_eq!(east.all(|notice| matches!(notice, Notice::Note { .. })), [], "not to oneself");
    assert_eq!(east.tell(Address::User("nobody".into()), b"x"), 0);
    west.order(Order::Listen { to: nick.clone(), connections: 0 });
    let deadline = Instant::now() + PATIENCE;
    while east.tell(nick.clone(), b"x") != 0 {
        assert!(Instant::now() < deadline);
    }
}

fn who_stops_is_gone(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    east.open("tea");
    west.open("tea");
    east.here("tea", "ann", 1, false);
    assert_eq!(west.presence("tea").0, member("east", "ann", 1));
    let said = east.ask_publish(say("tea", "\"last words\""));
    east.engine.stop();
    assert_eq!(east.published(said).unwrap().offset, 1, "what was taken is done first");
    assert_eq!(west.message("tea").1.offset, 1);
    let gone = west.wait("that a server is gone", |notice| match notice {
        Notice::Gone { node } => Some(node.clone()),
        _ => None,
    });
    assert_eq!(&*gone, "east");
    assert_eq!(west.open("tea").3, [], "nor is anybody there whom it had");
    assert_eq!(east.engine.take(vec![Order::Close { room: "tea".into() }]), []);
    east.engine.stop();
    let mut late = Server::start(world, "late");
    assert_eq!(late.open("tea").3, []);
    late.here("tea", "ann", 1, false);
    assert_eq!(west.presence("tea").0, member("late", "ann", 1));
}

fn every_order_is_answered_once(world: &impl World) {
    let mut east = Server::start(world, "east");
    let is_shared = east.engine.is_shared();
    let orders: Vec<Order> = (1..=2000)
        .map(|ticket| match ticket % 3 {
            0 if is_shared => Order::Tell {
                ticket: Some(ticket),
                to: Address::User("x".into()),
                note: b"n".as_slice().into(),
            },
            _ => Order::Publish { ticket, publish: say("tea", "1") },
        })
        .collect();
    let told = east.engine.take(orders);
    east.told.extend(told);
    let mut answered: Vec<Ticket> = (1..=2000)
        .map(|_| {
            east.wait("an answer", |notice| match notice {
                Notice::Published { ticket, result: Ok(_) } | Notice::Told { ticket, result: Ok(0) } => {
                    Some(*ticket)
                }
                _ => None,
            })
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=2000).collect::<Vec<Ticket>>());
}

fn rooms_are_listed_in_use_or_not(world: &impl World) {
    let mut east = Server::start(world, "east");
    assert_eq!(east.engine.rooms("", 10).unwrap(), []);
    let mut rooms = ["tea", "a}:head", "{b}", "*?[c]", "大厅", "with blank"];
    for (n, room) in rooms.iter().enumerate() {
        let receipts: Vec<Receipt> = (0..=n).map(|_| east.publish(say(room, "1"))).collect();
        let listed = east.engine.rooms("", 10).unwrap();
        let found = listed.iter().find(|listed| &*listed.room == *room).unwrap();
        let last = receipts.last().unwrap();
        assert_eq!((&found.epoch, found.offset), (&last.epoch, n as u64 + 1), "{room}");
        assert_eq!((found.users, found.connections, listed.len()), (0, 0, n + 1), "{room}");
    }
    // Looked at, and nothing more.
    east.open("empty");
    rooms.sort_unstable();
    let names = |after: &str, most: usize| -> Vec<String> {
        let listed = east.engine.rooms(after, most).unwrap();
        listed.into_iter().map(|listed| listed.room.to_string()).collect()
    };
    assert_eq!(names("", 10), rooms);
    for most in 0..=rooms.len() {
        assert_eq!(names("", most), rooms[..most]);
    }
    for (at, room) in rooms.iter().enumerate() {
        assert_eq!(
            names(room, 2),
            rooms[at + 1..].iter().copied().take(2).collect::<Vec<_>>(),
            "behind {room}"
        );
    }
    assert_eq!((names("b", 1), names("\u{10ffff}", 1)), (vec!["tea".to_string()], vec![]));
}

fn rooms_are_listed_with_who_is_in_them_anywhere(world: &impl World) {
    let (mut east, mut west) = (Server::start(world, "east"), Server::start(world, "west"));
    for server in [&mut east, &mut west] {
        server.open("tea");
        server.here("tea", "ann", 2, false);
    }
    west.here("tea", "bob", 1, false);
    east.open("quiet");
    east.here("quiet", "ann", 1, false);
    east.publish(say("said", "1"));
    let standings = |server: &Server| -> Vec<(String, u64, usize, usize)> {
        let listed = server.engine.rooms("", 10).unwrap().into_iter();
        listed.map(|l| (l.room.to_string(), l.offset, l.users, l.connections)).collect()
    };
    let expected = [("quiet", 0, 1, 1), ("said", 1, 0, 0), ("tea", 0, 2, 5)];
    let expected =
        expected.map(|(room, offset, users, connections)| (room.into(), offset, users, connections));
    let deadline = Instant::now() + PATIENCE;
    for server in [&east, &west] {
        while standings(server) != expected {
            assert!(Instant::now() < deadline, "{:?}", standings(server));
        }
    }
    // Who has gone is in no room.
    east.here("quiet", "ann", 0, true);
    west.engine.stop();
    let left = [("said".into(), 1, 0, 0), ("tea".into(), 0, 1, 2)];
    let deadline = Instant::now() + 2 * PATIENCE;
    while standings(&east) != left {
        assert!(Instant::now() < deadline, "{:?}", standings(&east));
    }
}

/// One test for each engine and function.
macro_rules! engines {
    (one server: [$($single:ident),*], several: [$($test:ident),*]) => {
        mod store {
            $(#[test] fn $single() { super::$single(&super::Disk::new(stringify!($single))); })*
        }

        mod memory {
            $(#[test] fn $single() { super::$single(&super::Memory::new()); })*
            $(#[test] fn $test() { super::$test(&super::Memory::new()); })*
        }

        mod redis {
            $(
                #[test]
                #[ignore = "needs a Redis server: tests/run"]
                fn $single() { super::$single(&super::RedisServer::start(&[])); }
            )*
            $(
                #[test]
                #[ignore = "needs a Redis server: tests/run"]
                fn $test() { super::$test(&super::RedisServer::start(&[])); }
            )*
        }

        mod two_redises {
            $(
                #[test]
                #[ignore = "needs a Redis server: tests/run"]
                fn $single() { super::$single(&[(); 2].map(|()| super::RedisServer::start(&[]))); }
            )*
            $(
                #[test]
                #[ignore = "needs a Redis server: tests/run"]
                fn $test() { super::$test(&[(); 2].map(|()| super::RedisServer::start(&[]))); }
            )*
        }
    };
}

engines! {
    one server: [
    a_room_keeps_so_much,
    every_order_is_answered_once,
    rooms_are_listed_in_use_or_not
    ],
    several: [
    messages_have_one_order,
    a_message_is_told_as_it_was_said,
    a_key_counts_once,
    an_open_room_hears_everything_a_closed_one_nothing,
    who_is_where_is_known,
    notes_reach_those_at_other_servers,
    who_stops_is_gone,
    rooms_are_listed_with_who_is_in_them_anywhere
    ]
}
