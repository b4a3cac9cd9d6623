//! Tables for what the program asks: who gets what, what is answered, and when.

use super::*;
use crate::hub::engine::{Member, Notice};
use crate::hub::protocol::{Ask, Fault};
use crate::hub::rules::RoomRules;
use crate::hub::{Command, Rules};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What each line got, one text for each delivery; a Close frame as `close:` and its bytes. And what an engine is to do.
#[derive(Default)]
struct Lines(HashMap<u64, Vec<String>>, Vec<Order>);

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        self.0.entry(*to).or_default().push(String::from_utf8(frames.to_vec()).unwrap());
    }

    fn close(&mut self, to: &u64, frame: &Bytes) {
        self.0.entry(*to).or_default().push(format!("close:{}", frame.escape_ascii()));
    }

    fn order(&mut self, order: Order) {
        self.1.push(order);
    }

    fn encode(&mut self, text: &str) -> Frames {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }
}

struct World {
    hub: Hub<u64>,
    lines: Lines,
    start: Instant,
    ms: u64,
}

type Given<T> = Receiver<Result<T, (Fault, String)>>;

/// What is given once, as a value.
fn answer<T: Send + 'static>() -> (Answer<T>, Given<T>) {
    let (tell, told) = channel();
    (Answer::new(move |result| drop(tell.send(result))), told)
}

impl World {
    /// Rooms that the test keeps, as an engine would; shared with others or not.
    fn outside(is_shared: bool) -> Self {
        let hub = Hub::new(
            "n",
            Rules { reply: 1 << 20, rooms: 9, bytes: 1 << 20, ..Rules::default() },
            Some(is_shared),
        );
        let mut world = Self { hub, lines: Lines::default(), start: Instant::now(), ms: 0 };
        world.notice(Notice::Hearing);
        world
    }

    fn notice(&mut self, notice: Notice) {
        self.apply(Command::Notices(vec![notice]));
    }

    /// Asks; the answer may come later.
    fn begin<T: Send + 'static>(&mut self, call: impl FnOnce(Answer<T>) -> Call) -> Given<T> {
        let (answer, told) = answer();
        self.apply(Command::Call(Box::new(call(answer))));
        told
    }

    fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.lines.1)
    }

    fn with(rules: Rules) -> Self {
        Self { hub: Hub::new("n", rules, None), lines: Lines::default(), start: Instant::now(), ms: 0 }
    }

    fn new() -> Self {
        Self::with(Rules { reply: 1 << 20, rooms: 9, bytes: 1 << 20, ..Rules::default() })
    }

    fn apply(&mut self, command: Command<u64>) {
        let now = Now { instant: self.start + Duration::from_millis(self.ms), unix_ms: self.ms };
        self.hub.tick(now, &mut self.lines);
        self.hub.apply(now, command, &mut self.lines);
    }

    /// Asks; the answer is there before the turn ends.
    fn ask<T: Send + 'static>(&mut self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, Wrong> {
        self.begin(call).try_recv().expect("an answer at once")
    }

    fn connect(&mut self, number: u64, owner: Option<&str>, protocol: bool) {
        let (id, owner) = (ConnectionId(number), owner.map(Name::from));
        self.apply(Command::Connect { id, line: number, compressed: false, owner, protocol });
    }

    /// Speaks the protocol, and has seen its welcome.
    fn enter(&mut self, number: u64, user: &str) {
        self.connect(number, None, true);
        let id = ConnectionId(number);
        self.apply(Command::Enter { id, user: user.into(), welcome: "welcome".into() });
        assert_eq!(self.got(number), ["welcome"]);
    }

    fn join(&mut self, number: u64, rooms: &[&str]) {
        for room in rooms {
            let ask = Ask::Join { room: (*room).into(), since: None, history: None };
            self.apply(Command::Ask { id: ConnectionId(number), tag: None, ask });
        }
    }

    fn publish(&mut self, room: &str, data: &str, key: Option<&str>) -> Result<u64, Fault> {
        let (room, data, key) = (room.into(), data.into(), key.map(String::from));
        let place = self.ask(|answer| Call::Publish { room, data, key, answer });
        place.map(|place| place.offset).map_err(|(fault, _)| fault)
    }

    fn broadcast(&mut self) -> usize {
        let frames = |text: &'static str| Frames::from(Bytes::from_static(text.as_bytes()));
        let (protocol, plain) = (frames("protocol"), frames("plain"));
        self.ask(|answer| Call::Broadcast { protocol, plain, answer }).unwrap()
    }

    fn kick(&mut self, user: &str) -> usize {
        let (user, reason, frame) = (user.into(), "no\"ise".into(), Bytes::from_static(b"end"));
        self.ask(|answer| Call::Kick { user, reason, frame, answer }).unwrap()
    }

    fn standing(&mut self, room: &str) -> Seen {
        self.ask(|answer| Call::Room { room: room.into(), answer }).unwrap()
    }

    fn totals(&mut self) -> (usize, usize, usize) {
        let totals = self.ask(|answer| Call::Totals { answer }).unwrap();
        (totals.connections, totals.users, totals.rooms)
    }

    fn end_turn(&mut self) {
        self.hub.end_turn(&mut self.lines);
    }

    fn got(&mut self, number: u64) -> Vec<String> {
        self.lines.0.remove(&number).unwrap_or_default()
    }

    /// What it got, as JSON.
    fn told(&mut self, number: u64) -> Vec<Value> {
        self.got(number).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }
}

#[test]
fn what_is_published_is_nobodys_and_goes_to_members() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.join(1, &["r"]);
    assert_eq!(world.publish("r", r#"{"a":1}"#, None), Ok(1));
    world.end_turn();
    let message = json!({"type": "message", "room": "r", "epoch": "n-1", "offset": 1, "from": null,
                         "data": {"a": 1}, "time": 0});
    assert_eq!(world.told(1), [message]);
    assert_eq!(world.publish("empty", "1", None), Ok(1), "a room needs no members");
    let (state, members) = world.standing("empty").unwrap();
    let place = Receipt { epoch: "n-2".into(), offset: 1 };
    assert_eq!(state, Standing { room: "empty".into(), users: 0, connections: 0, place });
    assert_eq!(members, []);
}

#[test]
fn keys_of_the_program_are_apart_from_those_of_users() {
    let mut world = World::new();
    world.enter(1, "ann");
    let ask = Ask::Publish { room: "r".into(), data: "1".into(), key: Some("k".into()) };
    world.apply(Command::Ask { id: ConnectionId(1), tag: None, ask });
    for (room, key, offset) in [
        ("r", Some("k"), 2),
        ("r", Some("k"), 2),
        ("r", Some("l"), 3),
        ("r", None, 4),
        ("r", None, 5),
        ("s", Some("k"), 1),
        ("r", Some("l"), 3),
    ] {
        assert_eq!(world.publish(room, "1", key), Ok(offset), "{room} {key:?}");
    }
}

#[test]
fn who_publishes_for_the_program_need_not_be_a_member() {
    let room = RoomRules { members_publish: true, bytes: 200, ..RoomRules::default() };
    let mut world = World::with(Rules { reply: 1 << 20, rooms: 9, bytes: 1 << 20, room, ..Rules::default() });
    assert_eq!(world.publish("r", "1", None), Ok(1));
    let large = format!("\"{}\"", "x".repeat(200));
    assert_eq!(world.publish("s", &large, None), Err(Fault::TooLarge));
    assert_eq!(world.standing("s"), None, "nothing is left of it");
}

#[test]
fn a_history_that_keeps_nothing_still_gives_offsets() {
    let mut world = World::with(Rules { reply: 1 << 20, rooms: 9, bytes: 0, ..Rules::default() });
    assert_eq!(world.publish("r", "1", None), Ok(1));
    let room = RoomRules { messages: 0, ..RoomRules::default() };
    let mut world = World::with(Rules { reply: 1 << 20, rooms: 9, bytes: 1 << 20, room, ..Rules::default() });
    assert_eq!((world.publish("r", "1", None), world.publish("r", "1", None)), (Ok(1), Ok(2)));
}

#[test]
fn everybody_is_told_once_and_in_its_own_way() {
    let mut world = World::new();
    for (number, user, rooms) in [(1, "ann", &["r", "s", "t"][..]), (2, "ann", &["r"]), (3, "bob", &[])] {
        world.enter(number, user);
        world.join(number, rooms);
    }
    world.connect(4, None, false);
    world.connect(5, Some("bob"), false);
    // Open, but not welcomed yet: nothing may come before the welcome.
    world.connect(6, Some("bob"), true);
    world.end_turn();
    (1..=6).for_each(|number| drop(world.got(number)));
    assert_eq!(world.broadcast(), 4);
    world.end_turn();
    for (number, expected) in
        [(1, &["protocol"][..]), (2, &["protocol"]), (3, &[]), (4, &["plain"]), (5, &["plain"]), (6, &[])]
    {
        assert_eq!(world.got(number), expected, "{number}");
    }
}

#[test]
fn what_was_said_before_a_broadcast_comes_before_it() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.join(1, &["r"]);
    world.publish("r", "1", None).unwrap();
    assert_eq!(world.broadcast(), 1);
    let got = world.got(1);
    assert!(got.len() == 2 && got[0].starts_with(r#"{"type":"message""#) && got[1] == "protocol", "{got:?}");
}

#[test]
fn a_direct_message_of_the_program_is_nobodys() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.enter(2, "ann");
    world.connect(3, Some("ann"), false);
    let mut direct = |to: &str| {
        let (to, data) = (to.into(), "[1]".into());
        world.ask(|answer| Call::Direct { to, data, answer }).unwrap()
    };
    assert_eq!((direct("ann"), direct("bob")), (2, 0));
    let expected = [json!({"type": "direct", "from": null, "data": [1], "time": 0})];
    assert_eq!((world.told(1), world.told(2)), (expected.to_vec(), expected.to_vec()));
    assert_eq!(world.got(3), [] as [&str; 0], "it speaks no protocol");
}

#[test]
fn a_user_is_told_why_and_then_closed_on_every_connection() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.enter(2, "ann");
    world.enter(3, "bob");
    world.connect(4, Some("ann"), false);
    // A name of a handler's own, which proves nothing.
    world.connect(5, None, false);
    world.apply(Command::Identify { id: ConnectionId(5), user: "ann".into() });
    world.join(1, &["r"]);
    world.join(3, &["r"]);
    world.publish("r", "1", None).unwrap();
    world.end_turn();
    (1..=5).for_each(|number| drop(world.got(number)));
    world.publish("r", "2", None).unwrap();
    assert_eq!(world.kick("ann"), 3);
    world.publish("r", "3", None).unwrap();
    world.end_turn();
    let (kicked, close) = (r#"{"type":"kicked","reason":"no\"ise"}"#, "close:end");
    let got = world.got(1);
    assert!(got.len() == 3 && got[0].contains(r#""data":2"#), "what was said before: {got:?}");
    assert_eq!(got[1..], [kicked, close]);
    assert_eq!(world.got(2), [kicked, close]);
    assert_eq!(world.got(4), [close]);
    assert_eq!(world.got(5), [] as [&str; 0]);
    assert_eq!(world.got(3).len(), 2, "bob got both messages and nothing else: the grace period has begun");
    assert_eq!((world.kick("ann"), world.kick("nobody")), (0, 0), "they are on their way out");
    assert_eq!(world.broadcast(), 2, "to bob and to the one without a user");
    world.got(3);
    let members = world.standing("r").unwrap().1;
    assert_eq!(members, [("ann".into(), 0), ("bob".into(), 1)]);
    // Its end, when it comes, changes nothing more.
    world.apply(Command::Disconnect { id: ConnectionId(1) });
    world.ms += 5000;
    world.totals();
    world.end_turn();
    let left = world.told(3).into_iter().find(|text| text["type"] == "presence");
    assert_eq!(
        left.map(|text| (text["user"].clone(), text["users"].clone())),
        Some((json!("ann"), json!(1)))
    );
}

#[test]
fn rooms_and_totals_are_those_of_the_protocol() {
    let mut world = World::new();
    assert_eq!((world.totals(), world.standing("r")), ((0, 0, 0), None));
    world.enter(1, "ann");
    world.enter(2, "ann");
    world.enter(3, "bob");
    world.connect(4, Some("cid"), false);
    world.apply(Command::Join { id: ConnectionId(4), room: "plain".into(), view: None });
    world.join(1, &["r"]);
    world.join(2, &["r"]);
    world.join(3, &["r", "s"]);
    world.publish("r", "1", None).unwrap();
    assert_eq!((world.totals(), world.standing("plain")), ((4, 2, 2), None));
    let (state, members) = world.standing("r").unwrap();
    assert_eq!((state.users, state.connections, state.place.offset), (2, 3, 1));
    assert_eq!(members, [("ann".into(), 2), ("bob".into(), 1)]);
    let rooms = world.ask(|answer| Call::Rooms { answer }).unwrap();
    let mut rooms: Vec<(Name, usize)> = rooms.into_iter().map(|state| (state.room, state.users)).collect();
    rooms.sort();
    assert_eq!(rooms, [("r".into(), 2), ("s".into(), 1)]);
}

#[test]
fn who_asked_and_went_away_disturbs_nobody() {
    let mut world = World::new();
    let answer = Answer::new(|_: Result<usize, _>| ());
    let frames = Frames::from(Bytes::new());
    world.apply(Command::Call(Box::new(Call::Broadcast { protocol: frames.clone(), plain: frames, answer })));
    // An answer that is dropped, as by a hub that ends, drops what would have told.
    let token = Arc::new(());
    let kept = token.clone();
    let answer = Answer::new(move |_: Result<Totals, _>| drop(kept));
    assert_eq!(Arc::strong_count(&token), 2);
    drop(Call::Totals { answer });
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_call_weighs_what_it_carries() {
    let (answer, _told) = answer();
    let call = Call::Publish { room: "r".into(), data: "12345".into(), key: None, answer };
    assert_eq!(Command::<u64>::Call(Box::new(call)).size(), 5);
}

fn begin_publish(world: &mut World, room: &str) -> Given<Receipt> {
    let (room, data, key) = (room.into(), "1".into(), Some("k".into()));
    world.begin(|answer| Call::Publish { room, data, key, answer })
}

#[test]
fn an_engine_answers_what_is_published_when_it_has_it() {
    let mut world = World::outside(false);
    let [first, second] = ["r", "s"].map(|room| begin_publish(&mut world, room));
    let orders = world.orders();
    let tickets: Vec<u64> = orders
        .iter()
        .map(|order| match order {
            Order::Publish { ticket, publish } => {
                assert_eq!((&publish.from, publish.key.as_deref()), (&None, Some("k")));
                *ticket
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tickets.len() == 2 && first.try_recv().is_err());
    let at = Receipt { epoch: "e".into(), offset: 7 };
    world.notice(Notice::Published { ticket: tickets[0], result: Ok(at.clone()) });
    world.notice(Notice::Published { ticket: tickets[1], result: Err("the disk is full".into()) });
    assert_eq!(first.try_recv(), Ok(Ok(at)));
    assert_eq!(second.try_recv(), Ok(Err((Fault::Unavailable, "the disk is full; try again".into()))));
    // Refused by the hub itself, and answered once.
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(world.publish("r", &large, None), Err(Fault::TooLarge));
    world.notice(Notice::Deaf { why: "it is away".into() });
    assert_eq!(world.publish("r", "1", None), Err(Fault::Unavailable));
    assert_eq!(world.orders(), []);
}

fn state(room: &str, offset: u64, members: Vec<Member>) -> Notice {
    Notice::State { room: room.into(), epoch: "e".into(), offset, messages: Vec::new(), members }
}

#[test]
fn a_room_that_is_not_open_is_opened_to_be_looked_at() {
    let mut world = World::outside(false);
    let look = |world: &mut World, room: &str| {
        let room = room.into();
        world.begin(|answer| Call::Room { room, answer })
    };
    let [one, two] = ["r", "r"].map(|room| look(&mut world, room));
    let unknown = look(&mut world, "unknown");
    let opened: Vec<bool> = world.orders().iter().map(|order| matches!(order, Order::Open { .. })).collect();
    assert_eq!(opened, [true, true], "each room once");
    assert_eq!(world.ask(|answer| Call::Rooms { answer }), Ok(vec![]), "nothing is known of them yet");
    world.notice(state("r", 3, Vec::new()));
    world.notice(state("unknown", 0, Vec::new()));
    let place = Receipt { epoch: "e".into(), offset: 3 };
    let standing = Standing { room: "r".into(), users: 0, connections: 0, place };
    let expected = Ok(Ok(Some((standing, Vec::new()))));
    assert_eq!(
        (one.try_recv(), two.try_recv(), unknown.try_recv()),
        (expected.clone(), expected, Ok(Ok(None)))
    );
    let close = |room: &str| Order::Close { room: room.into() };
    assert_eq!(world.orders(), [close("r"), close("unknown")]);
    assert_eq!(world.totals(), (0, 0, 0));
    // In their order: who looks before somebody comes in does not see that one, who looks behind does.
    let before = look(&mut world, "r");
    world.enter(1, "ann");
    world.join(1, &["r"]);
    let behind = look(&mut world, "r");
    world.notice(state("r", 3, Vec::new()));
    let members = |told: Given<Seen>| told.try_recv().unwrap().unwrap().unwrap().1;
    assert_eq!((members(before), members(behind)), (vec![], vec![("ann".into(), 1)]));
    assert_eq!(world.standing("r").unwrap().1, [("ann".into(), 1)], "an open room is known");
    assert_eq!(world.ask(|answer| Call::Rooms { answer }).unwrap().len(), 1);
    // When the engine is away, nothing is known of others.
    let waiting = look(&mut world, "s");
    world.notice(Notice::Deaf { why: "it is away".into() });
    for told in [waiting, look(&mut world, "t")] {
        assert_eq!(told.try_recv().unwrap().map_err(|(fault, _)| fault), Err(Fault::Unavailable));
    }
}

#[test]
fn users_at_other_servers_are_reached_and_counted() {
    let mut world = World::outside(true);
    world.enter(1, "ann");
    world.orders();
    let (to, data) = (Name::from("ann"), "1".into());
    let direct = world.begin(|answer| Call::Direct { to, data, answer });
    assert_eq!(world.told(1).len(), 1, "who is here has it at once");
    let (user, frame) = (Name::from("ann"), Bytes::from_static(b"end"));
    let kicked =
        world.begin(|answer| Call::Kick { user, reason: "out".into(), frame: frame.clone(), answer });
    assert_eq!(world.got(1).len(), 2);
    let tells: Vec<(Option<u64>, Address)> = world
        .orders()
        .into_iter()
        .filter_map(|order| match order {
            Order::Tell { ticket, to, .. } => Some((ticket, to)),
            _ => None,
        })
        .collect();
    let user = Address::User("ann".into());
    let expected = [(Some(1), user.clone()), (Some(2), user), (None, Address::Everyone)];
    assert_eq!(tells, expected);
    assert!(direct.try_recv().is_err() && kicked.try_recv().is_err());
    world.notice(Notice::Told { ticket: 1, result: Ok(2) });
    world.notice(Notice::Told { ticket: 2, result: Err("it is away".into()) });
    assert_eq!(direct.try_recv(), Ok(Ok(3)));
    assert_eq!(kicked.try_recv().unwrap().map_err(|(fault, _)| fault), Err(Fault::Unavailable));
    world.notice(Notice::Deaf { why: "it is away".into() });
    world.enter(2, "ann");
    world.connect(3, None, false);
    let frames = Frames::from(Bytes::from_static(b"{}"));
    let calls: [fn(Frames, Answer<usize>) -> Call; 3] = [
        |frames, answer| Call::Broadcast { protocol: frames.clone(), plain: frames, answer },
        |_, answer| Call::Direct { to: "ann".into(), data: "1".into(), answer },
        |_, answer| Call::Kick {
            user: "ann".into(),
            reason: String::new(),
            frame: Bytes::from_static(b"end"),
            answer,
        },
    ];
    for call in calls {
        let result = world.ask(|answer| call(frames.clone(), answer));
        assert_eq!(result.map_err(|(fault, _)| fault), Err(Fault::Unavailable));
    }
    assert_eq!(world.got(3), [] as [&str; 0], "nobody got what not all can get");
    assert_eq!(world.got(2).len(), 2, "but whoever is here is out");
}

#[test]
fn what_other_servers_tell_is_done_here() {
    let [mut east, mut west] = [World::outside(true), World::outside(true)];
    west.enter(1, "ann");
    west.join(1, &["r"]);
    west.notice(state("r", 0, Vec::new()));
    west.connect(2, Some("ann"), false);
    west.enter(3, "bob");
    west.got(1);
    assert_eq!(east.broadcast(), 0);
    let _told = east.begin(|answer| {
        let frame = Bytes::from_static(b"end");
        Call::Kick { user: "ann".into(), reason: "out".into(), frame, answer }
    });
    for order in east.orders() {
        if let Order::Tell { to, note, .. } = order {
            west.notice(Notice::Note { to, note });
        }
    }
    let kicked = r#"{"type":"kicked","reason":"out"}"#;
    assert_eq!(west.got(1), ["protocol", kicked, "close:end"]);
    assert_eq!(west.got(2), ["plain", "close:end"]);
    assert_eq!(west.got(3), [] as [&str; 0]);
}
