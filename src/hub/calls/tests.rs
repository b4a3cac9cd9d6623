//! Tables for what the program asks: who gets what, what is answered, and when.

use super::*;
use crate::hub::protocol::{Ask, Fault};
use crate::hub::rules::RoomRules;
use crate::hub::{Command, Rules};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What each line got, one text for each delivery; a Close frame as `close:` and its bytes.
#[derive(Default)]
struct Lines(HashMap<u64, Vec<String>>);

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        self.0.entry(*to).or_default().push(String::from_utf8(frames.to_vec()).unwrap());
    }

    fn close(&mut self, to: &u64, frame: &Bytes) {
        self.0.entry(*to).or_default().push(format!("close:{}", frame.escape_ascii()));
    }

    fn order(&mut self, order: Order) {
        panic!("there is no engine to ask for {order:?}");
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
    (Answer::new(move |result| tell.send(result).unwrap()), told)
}

impl World {
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
    fn ask<T: Send + 'static>(&mut self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, (Fault, String)> {
        let (answer, told) = answer();
        self.apply(Command::Call(Box::new(call(answer))));
        told.try_recv().expect("an answer at once")
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

    fn standing(&mut self, room: &str) -> Option<(Standing, Members)> {
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
