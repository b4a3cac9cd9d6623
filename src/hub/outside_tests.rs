//! Tables for rooms that an engine keeps: the engine is the test, which answers when it likes.

use super::engine::{Member, Publish, Receipt, Stored, Ticket};
use super::protocol::{Ask, Fault, Since};
use super::rules::RoomRules;
use super::*;
use serde_json::{Value, json};
#[cfg(feature = "protocol")]
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

#[derive(Default)]
struct Lines {
    got: HashMap<u64, Vec<Value>>,
    frames: HashMap<u64, Vec<Bytes>>,
    orders: Vec<Order>,
}

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        if frames.starts_with(b"{") {
            let texts = serde_json::Deserializer::from_slice(frames).into_iter().map(Result::unwrap);
            self.got.entry(*to).or_default().extend(texts);
        } else {
            self.frames.entry(*to).or_default().push(frames.clone());
        }
    }

    fn close(&mut self, _: &u64, _: &Bytes) {}

    fn order(&mut self, order: Order) {
        self.orders.push(order);
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

impl World {
    fn new(is_shared: bool) -> Self {
        let rules = Rules { reply: 1 << 20, rooms: 3, bytes: 1 << 20, ..Rules::default() };
        let hub = Hub::new("here", rules, Some(is_shared));
        let mut world = Self { hub, lines: Lines::default(), start: Instant::now(), ms: 1_000_000 };
        world.notice(Notice::Hearing);
        world
    }

    fn now(&self) -> Now {
        Now { instant: self.start + Duration::from_millis(self.ms), unix_ms: self.ms }
    }

    fn apply(&mut self, command: Command<u64>) {
        let now = self.now();
        self.hub.tick(now, &mut self.lines);
        self.hub.apply(now, command, &mut self.lines);
        self.hub.end_turn(&mut self.lines);
    }

    fn notice(&mut self, notice: Notice) {
        self.apply(Command::Notices(vec![notice]));
    }

    fn enter(&mut self, number: u64, user: &str) {
        let id = ConnectionId(number);
        self.apply(Command::Connect { id, line: number, compressed: false, owner: None, protocol: true });
        self.apply(Command::Enter { id, user: user.into(), welcome: "{}".into() });
        self.got(number);
    }

    fn ask(&mut self, number: u64, tag: &str, ask: Ask) {
        self.apply(Command::Ask { id: ConnectionId(number), tag: Some(tag.into()), ask });
    }

    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        self.hub.tick(now, &mut self.lines);
        self.hub.end_turn(&mut self.lines);
    }

    fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.lines.orders)
    }

    fn got(&mut self, number: u64) -> Vec<Value> {
        self.lines.got.remove(&number).unwrap_or_default()
    }

    /// Types, and what tells one of a type from the others.
    fn brief(&mut self, number: u64) -> Vec<String> {
        let brief = |text: Value| {
            let what = ["id", "code", "offset", "user", "change"].map(|field| &text[field]);
            let what = what.into_iter().filter(|value| !value.is_null()).map(Value::to_string);
            let what: Vec<String> = what.map(|value| value.replace('"', "")).collect();
            format!("{} {}", text["type"].as_str().unwrap(), what.join(" ")).trim().to_string()
        };
        self.got(number).into_iter().map(brief).collect()
    }

    /// Somebody in a room that is open.
    fn joined(&mut self, number: u64, user: &str, room: &str) {
        self.enter(number, user);
        self.ask(number, "0", join(room));
        self.notice(state(room, "e", 0, 0));
        self.got(number);
        self.orders();
    }

    fn ticket(&mut self) -> Ticket {
        let tickets: Vec<Ticket> = self.orders().iter().filter_map(ticket_of).collect();
        assert_eq!(tickets.len(), 1);
        tickets[0]
    }
}

fn ticket_of(order: &Order) -> Option<Ticket> {
    match order {
        Order::Publish { ticket, .. } => Some(*ticket),
        Order::Tell { ticket, .. } => *ticket,
        _ => None,
    }
}

fn join(room: &str) -> Ask {
    Ask::Join { room: room.into(), since: None, history: None }
}

fn publish(room: &str, data: &str) -> Ask {
    Ask::Publish { room: room.into(), data: data.into(), key: None }
}

fn stored(offset: u64) -> Stored {
    let publish = Publish {
        room: "r".into(),
        from: Some("eve".into()),
        data: "7".into(),
        key: None,
        time: 1_000_000,
        rules: RoomRules::default(),
    };
    publish.stored(offset)
}

/// A room whose newest messages are so many, up to an offset.
fn state(room: &str, epoch: &str, offset: u64, count: u64) -> Notice {
    let messages = (offset + 1 - count..=offset).map(stored).collect();
    Notice::State { room: room.into(), epoch: epoch.into(), offset, messages, members: Vec::new() }
}

fn message(epoch: &str, offset: u64) -> Notice {
    Notice::Message { room: "r".into(), epoch: epoch.into(), message: stored(offset) }
}

fn done(ticket: Ticket, offset: u64) -> Notice {
    Notice::Published { ticket, result: Ok(Receipt { epoch: "e".into(), offset }) }
}

fn opens(orders: &[Order]) -> usize {
    orders.iter().filter(|order| matches!(order, Order::Open { .. })).count()
}

#[test]
fn ack_comes_after_the_engine_s_answer_and_so_does_the_message() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.ask(1, "7", publish("r", "1"));
    assert!(world.got(1).is_empty());
    let ticket = world.ticket();
    world.notice(message("e", 1));
    world.notice(done(ticket, 1));
    assert_eq!(world.brief(1), ["message 1", "published 7 1"]);
}

#[test]
fn a_join_waits_for_the_room_s_state_and_whoever_asks_meanwhile_too() {
    let mut world = World::new(false);
    world.enter(1, "ann");
    world.enter(2, "bob");
    let history = Ask::Join { room: "r".into(), since: None, history: Some(2) };
    world.ask(1, "1", history.clone());
    world.ask(2, "2", history);
    assert_eq!(opens(&world.orders()), 1);
    assert!(world.got(1).is_empty() && world.got(2).is_empty());
    world.notice(state("r", "e", 9, 5));
    let joined = &world.got(1)[0];
    assert_eq!(
        (&joined["offset"], &joined["epoch"], &joined["recovered"]),
        (&json!(9), &json!("e"), &json!(false))
    );
    assert_eq!(
        joined["messages"],
        json!([
            {"offset": 8, "from": "eve", "data": 7, "time": 1_000_000},
            {"offset": 9, "from": "eve", "data": 7, "time": 1_000_000},
        ])
    );
    assert_eq!(world.brief(2), ["joined 2 9"]);
    // From then on the hub knows.
    world.enter(3, "cid");
    world.ask(
        3,
        "3",
        Ask::Join { room: "r".into(), since: Some(Since { epoch: "e".into(), offset: 6 }), history: None },
    );
    let joined = &world.got(3)[0];
    assert_eq!((&joined["recovered"], joined["messages"].as_array().unwrap().len()), (&json!(true), 3));
    assert_eq!(opens(&world.orders()), 0);
}

#[test]
fn a_room_does_not_end_while_others_are_let_in() {
    let mut world = World::new(false);
    world.enter(1, "ann");
    world.enter(2, "bob");
    world.ask(1, "1", join("r"));
    world.ask(1, "2", Ask::Leave { room: "r".into() });
    world.ask(2, "3", join("r"));
    world.notice(state("r", "e", 2, 2));
    assert_eq!(world.brief(1), ["joined 1 2", "presence bob join", "left 2"]);
    assert_eq!(world.brief(2), ["joined 3 2", "presence ann leave"]);
    world.notice(message("e", 3));
    assert_eq!(world.brief(2), ["message 3"]);
    assert!(!world.orders().contains(&Order::Close { room: "r".into() }));
}

#[test]
fn order_requests_of_one_connection_wait_for_those_before_them() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.ask(1, "1", publish("r", "1"));
    world.ask(1, "2", publish("r", "2"));
    world.ask(1, "3", Ask::History { room: "r".into(), before: None, after: None, limit: None });
    world.ask(1, "4", publish("r", "3"));
    world.ask(1, "5", Ask::Ping);
    // Publishing goes on behind publishing, and nothing else.
    let tickets: Vec<Ticket> = world.orders().iter().filter_map(ticket_of).collect();
    assert_eq!(tickets.len(), 2);
    assert!(world.got(1).is_empty());
    for (offset, ticket) in (1..).zip(tickets) {
        world.notice(message("e", offset));
        world.notice(done(ticket, offset));
    }
    assert_eq!(world.brief(1), ["message 1", "published 1 1", "message 2", "published 2 2", "history 3"]);
    let ticket = world.ticket();
    world.notice(done(ticket, 3));
    // What is kept is not yet in the room's copy here.
    assert_eq!(world.brief(1), ["published 4 3"]);
    world.notice(message("e", 3));
    assert_eq!(world.brief(1), ["message 3", "pong 5"]);
}

#[test]
fn order_what_is_asked_behind_a_publish_finds_its_message_however_late_that_comes() {
    let history = || Ask::History { room: "r".into(), before: None, after: None, limit: None };
    let acknowledged = || {
        let mut world = World::new(true);
        world.joined(1, "ann", "r");
        world.ask(1, "1", publish("r", "1"));
        world.ask(1, "2", history());
        world.ask(1, "3", Ask::Leave { room: "r".into() });
        let ticket = world.ticket();
        world.notice(done(ticket, 1));
        assert_eq!(world.brief(1), ["published 1 1"]);
        world
    };
    let mut world = acknowledged();
    world.notice(message("e", 1));
    let got = world.got(1);
    assert_eq!(got.iter().map(|text| &text["type"]).collect::<Vec<_>>(), ["message", "history", "left"]);
    assert_eq!(got[1]["messages"][0]["offset"], 1);
    assert!(world.orders().contains(&Order::Close { room: "r".into() }));
    // Nor for ever: the room's state tells it too, another epoch ends it, and what cannot be read is not waited for.
    let mut world = acknowledged();
    world.notice(state("r", "e", 1, 1));
    assert_eq!(world.brief(1), ["message 1", "history 2", "left 3"]);
    let mut world = acknowledged();
    world.notice(state("r", "f", 0, 0));
    assert_eq!(world.brief(1), ["gap 0", "history 2", "left 3"]);
    let mut world = acknowledged();
    world.notice(Notice::Deaf { why: "gone".into() });
    assert_eq!(world.brief(1), ["history 2", "left 3"]);
    let mut world = acknowledged();
    world.notice(Notice::Unavailable { room: "r".into() });
    assert_eq!(world.brief(1), ["history 2", "left 3"]);
    // Who is no member finds it when it joins; the room stays until then.
    let mut world = World::new(true);
    world.joined(1, "ann", "r");
    world.enter(2, "bob");
    world.ask(2, "1", publish("r", "1"));
    let ticket = world.ticket();
    world.notice(done(ticket, 1));
    world.ask(2, "2", join("r"));
    world.ask(1, "3", Ask::Leave { room: "r".into() });
    assert_eq!(world.brief(2), ["published 1 1"]);
    world.notice(message("e", 1));
    assert_eq!(world.brief(2), ["joined 2 1"]);
    assert!(!world.orders().contains(&Order::Close { room: "r".into() }));
}

#[test]
fn order_errors_too_wait_for_the_replies_before_them() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.ask(1, "1", publish("r", "1"));
    world.ask(1, "2", publish("r", &"x".repeat(1 << 20)));
    world.ask(1, "3", Ask::Refused(Fault::BadJson, "this is not JSON".into()));
    world.ask(1, "4", publish("r", "2"));
    let ticket = world.ticket();
    assert!(world.got(1).is_empty());
    world.notice(message("e", 1));
    world.notice(done(ticket, 1));
    assert_eq!(world.brief(1), ["message 1", "published 1 1", "error 2 too_large", "error 3 bad_json"]);
    let ticket = world.ticket();
    world.notice(done(ticket, 2));
    assert_eq!(world.brief(1), ["published 4 2"]);
}

#[cfg(feature = "protocol")]
#[test]
fn a_connection_is_settled_once_all_is_answered_that_it_asked() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    let settle = |world: &mut World| {
        let (tell, told) = std::sync::mpsc::channel();
        let answer = calls::Answer::new(move |_| tell.send(()).unwrap());
        world.apply(Command::Call(Box::new(calls::Call::Settle { id: ConnectionId(1), answer })));
        told
    };
    assert_eq!(settle(&mut world).try_recv(), Ok(()), "nothing is owed");
    world.ask(1, "1", publish("r", "1"));
    world.ask(1, "2", Ask::Ping);
    world.ask(1, "3", publish("r", "2"));
    let told = settle(&mut world);
    let ticket = world.ticket();
    world.notice(message("e", 1));
    world.notice(done(ticket, 1));
    assert_eq!(world.brief(1), ["message 1", "published 1 1", "pong 2"]);
    assert!(told.try_recv().is_err_and(|why| why == TryRecvError::Empty), "one more is owed");
    let ticket = world.ticket();
    world.notice(done(ticket, 2));
    assert_eq!(world.brief(1), ["published 3 2"]);
    assert!(told.try_recv().is_err_and(|why| why == TryRecvError::Empty), "its message is owed");
    world.notice(message("e", 2));
    assert_eq!((world.brief(1), told.try_recv()), (vec!["message 2".into()], Ok(())));
    // Who has gone is owed nothing.
    world.ask(1, "4", publish("r", "3"));
    let told = settle(&mut world);
    world.apply(Command::Disconnect { id: ConnectionId(1) });
    assert_eq!(told.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(settle(&mut world).try_recv(), Ok(()));
}

#[test]
fn what_an_engine_could_not_keep_is_too_large_whatever_the_name() {
    let mut world = World::new(false);
    let name = "\"".repeat(128);
    world.enter(1, &name);
    for size in (1 << 20) - 1200..1 << 20 {
        world.ask(1, "1", publish("r", &"x".repeat(size)));
        let too_large = world.brief(1) == ["error 1 too_large"];
        for order in world.orders() {
            let Order::Publish { ticket, publish } = order else { panic!("{order:?}") };
            assert!(!too_large && publish.stored(u64::MAX).element.len() <= publish.rules.bytes, "{size}");
            world.notice(done(ticket, 1));
            world.got(1);
        }
    }
    world.ask(1, "1", publish("r", &"x".repeat(1 << 20)));
    assert_eq!(world.brief(1), ["error 1 too_large"]);
}

#[test]
fn what_was_said_before_a_connection_ended_is_said() {
    let mut world = World::new(false);
    world.enter(1, "ann");
    world.ask(1, "1", join("r"));
    world.ask(1, "2", publish("r", "1"));
    world.orders();
    world.apply(Command::Disconnect { id: ConnectionId(1) });
    let orders = world.orders();
    assert!(
        orders.iter().any(|order| matches!(order, Order::Publish { publish, .. } if &*publish.data == "1"))
    );
    // The answer for nobody does no harm, nor does the state for nobody.
    world.notice(done(orders.iter().find_map(ticket_of).unwrap(), 1));
    world.notice(state("r", "e", 1, 1));
    assert!(matches!(&world.orders()[..], [Order::Close { .. }]));
}

#[test]
fn a_connection_cannot_pile_up_requests_without_end() {
    let mut world = World::new(false);
    world.enter(1, "ann");
    world.ask(1, "1", join("r"));
    for _ in 0..4096 {
        world.ask(1, "2", Ask::Ping);
    }
    assert!(world.got(1).is_empty());
    world.ask(1, "3", Ask::Ping);
    assert_eq!(world.brief(1), ["error 3 unavailable"]);
    let large = publish("r", &"x".repeat(4 << 20));
    let mut world = World::new(false);
    world.enter(1, "ann");
    world.ask(1, "1", join("r"));
    world.ask(1, "2", large.clone());
    world.ask(1, "3", large);
    assert_eq!(world.brief(1), ["error 3 unavailable"]);
}

#[test]
fn missed_messages_are_asked_for_once_and_told_without_a_hole() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.notice(message("e", 1));
    world.notice(message("e", 1));
    world.notice(message("e", 4));
    world.notice(message("e", 5));
    assert_eq!(world.brief(1), ["message 1"]);
    assert_eq!(opens(&world.orders()), 1);
    world.notice(state("r", "e", 5, 5));
    world.notice(message("e", 6));
    assert_eq!(world.brief(1), ["message 2", "message 3", "message 4", "message 5", "message 6"]);
    // A state that is behind what was told changes nothing.
    world.notice(state("r", "e", 5, 5));
    assert!(world.got(1).is_empty());
}

#[test]
fn recovery_a_hole_is_told_as_a_gap() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.notice(message("e", 1));
    world.notice(state("r", "e", 9, 2));
    assert_eq!(world.brief(1), ["message 1", "gap 7", "message 8", "message 9"]);
    let since = |offset| Ask::Join {
        room: "r".into(),
        since: Some(Since { epoch: "e".into(), offset }),
        history: None,
    };
    world.ask(1, "1", since(1));
    world.ask(1, "2", since(7));
    let got = world.got(1);
    assert_eq!((&got[0]["recovered"], &got[1]["recovered"]), (&json!(false), &json!(true)));
    assert_eq!(got[0]["messages"], got[1]["messages"]);
}

/// What it got, by type, epoch and offset.
fn places(got: &[Value]) -> Vec<(&str, &str, u64)> {
    got.iter()
        .map(|text| {
            let string = |field: &str| text[field].as_str().unwrap();
            (string("type"), string("epoch"), text["offset"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn a_new_epoch_is_told_by_a_gap() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.notice(message("e", 1));
    let other = Stored { time: 2_000_000, ..stored(1) };
    world.notice(Notice::Message { room: "r".into(), epoch: "f".into(), message: other.clone() });
    assert_eq!(opens(&world.orders()), 1);
    let (room, epoch) = ("r".into(), "f".into());
    world.notice(Notice::State { room, epoch, offset: 1, messages: vec![other], members: Vec::new() });
    assert_eq!(places(&world.got(1)), [("message", "e", 1), ("gap", "f", 0), ("message", "f", 1)]);
    // An empty one as well.
    world.notice(state("r", "g", 0, 0));
    assert_eq!(places(&world.got(1)), [("gap", "g", 0)]);
}

#[test]
fn what_a_new_epoch_still_has_is_not_told_twice() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    for offset in 1..=3 {
        world.notice(message("e", offset));
    }
    world.got(1);
    world.notice(state("r", "f", 5, 5));
    assert_eq!(places(&world.got(1)), [("gap", "f", 3), ("message", "f", 4), ("message", "f", 5)]);
    // It is all there for those who ask.
    world.ask(
        1,
        "1",
        Ask::Join { room: "r".into(), since: Some(Since { epoch: "f".into(), offset: 0 }), history: None },
    );
    let joined = &world.got(1)[0];
    assert_eq!((&joined["recovered"], joined["messages"].as_array().unwrap().len()), (&json!(true), 5));
    // One that has lost the newest of them.
    world.notice(state("r", "g", 4, 4));
    assert_eq!(places(&world.got(1)), [("gap", "g", 4)]);
}

#[test]
fn a_room_that_cannot_be_told_turns_away_who_waits_and_keeps_who_is_in_it() {
    let mut world = World::new(true);
    world.joined(1, "ann", "milk");
    world.enter(2, "bob");
    // The second waits behind the first, and must not wait for an answer to an order that was never given.
    world.ask(2, "1", join("tea"));
    world.ask(2, "2", join("tea"));
    for tag in [1, 2] {
        let is_open = |order: &Order| matches!(order, Order::Open { room, .. } if &**room == "tea");
        assert_eq!(world.orders().iter().filter(|order| is_open(order)).count(), 1, "{tag}");
        // What others say of the room meanwhile makes no difference.
        let member = Member { node: "west".into(), user: "eve".into(), connections: 1 };
        world.notice(Notice::Presence { room: "tea".into(), member, left: false });
        world.notice(Notice::Unavailable { room: "tea".into() });
        assert_eq!(world.brief(2), [format!("error {tag} unavailable")]);
    }
    assert!(world.orders().iter().any(|order| matches!(order, Order::Close { .. })));
    world.notice(Notice::Unavailable { room: "milk".into() });
    world.ask(1, "3", Ask::Members { room: "milk".into() });
    assert_eq!(world.brief(1), ["members 3"]);
    // A message that does not follow: asked again, each time that it could not be told.
    for offset in [5, 6] {
        world.notice(Notice::Message { room: "milk".into(), epoch: "other".into(), message: stored(offset) });
        assert!(matches!(&world.orders()[..], [Order::Open { .. }]));
        world.notice(Notice::Unavailable { room: "milk".into() });
    }
}

#[test]
fn while_the_engine_is_deaf_nothing_pretends() {
    let mut world = World::new(false);
    world.joined(1, "ann", "r");
    world.enter(2, "bob");
    world.ask(2, "1", join("other"));
    world.ask(2, "2", Ask::Ping);
    world.ask(1, "1", publish("r", "1"));
    let ticket = world.orders().iter().find_map(ticket_of).unwrap();
    world.notice(Notice::Published { ticket, result: Err("no answer".into()) });
    world.notice(Notice::Deaf { why: "gone".into() });
    assert_eq!(world.hub.deaf(), Some("gone"));
    assert_eq!(world.brief(1), ["error 1 unavailable"]);
    assert_eq!(world.brief(2), ["error 1 unavailable", "pong 2"]);
    world.ask(1, "3", publish("r", "1"));
    world.ask(1, "4", join("r"));
    world.ask(1, "5", Ask::Members { room: "r".into() });
    assert_eq!(world.brief(1), ["error 3 unavailable", "error 4 unavailable", "members 5"]);
    assert_eq!(world.orders(), [Order::Close { room: "other".into() }]);
    world.notice(state("r", "e", 1, 1));
    world.notice(Notice::Hearing);
    assert_eq!(world.brief(1), ["message 1"]);
    world.ask(1, "6", publish("r", "1"));
    assert_eq!(world.orders().len(), 1);
    // A hub whose engine has not been heard yet is deaf.
    assert!(Hub::<u64>::new("n", Rules::default(), Some(true)).deaf().is_some());
}

#[test]
fn presence_adds_up_what_servers_have() {
    let mut world = World::new(true);
    world.joined(1, "ann", "r");
    let member =
        |user: &str, node: &str, connections| Member { node: node.into(), user: user.into(), connections };
    let change = |member, left| Notice::Presence { room: "r".into(), member, left };
    // The same user elsewhere is no news; another is.
    world.notice(change(member("ann", "east", 2), false));
    world.notice(change(member("bob", "east", 1), false));
    world.notice(change(member("bob", "west", 1), false));
    assert_eq!(world.brief(1), ["presence bob join"]);
    world.ask(1, "1", Ask::Members { room: "r".into() });
    assert_eq!(
        world.got(1)[0]["members"],
        json!([{"user": "ann", "connections": 3}, {"user": "bob", "connections": 2}])
    );
    // Gone from one server, and then from the other: waited for.
    world.notice(Notice::Gone { node: "west".into() });
    world.notice(change(member("bob", "east", 0), false));
    assert!(world.got(1).is_empty());
    world.pass(4999);
    world.notice(change(member("bob", "west", 1), false));
    world.pass(5001);
    assert!(world.got(1).is_empty());
    world.notice(change(member("bob", "west", 0), true));
    assert_eq!(world.brief(1), ["presence bob leave"]);
    // What a whole state no longer has is waited for, too.
    world.notice(change(member("cid", "east", 1), false));
    world.notice(state("r", "e", 0, 0));
    assert_eq!(world.brief(1), ["presence cid join"]);
    world.pass(5000);
    assert_eq!(world.brief(1), ["presence cid leave"]);
    // The last one here goes, and tells the others.
    world.ask(1, "2", Ask::Leave { room: "r".into() });
    let orders = world.orders();
    assert!(orders.contains(&Order::Presence {
        room: "r".into(),
        user: "ann".into(),
        connections: 0,
        left: true
    }));
    assert!(orders.contains(&Order::Close { room: "r".into() }));
}

#[test]
fn direct_messages_count_connections_everywhere() {
    let mut world = World::new(true);
    world.enter(1, "ann");
    world.enter(2, "bob");
    assert!(world.orders().contains(&Order::Listen { to: Address::User("bob".into()), connections: 1 }));
    let direct = |to: &str| Ask::Direct { to: to.into(), data: "1".into() };
    world.ask(1, "1", direct("bob"));
    assert_eq!(world.got(2)[0]["from"], "ann");
    let ticket = world.ticket();
    world.notice(Notice::Told { ticket, result: Ok(2) });
    assert_eq!(world.got(1), [json!({"type": "sent", "id": 1, "to": "bob", "connections": 3})]);
    for (result, code) in [(Ok(0), "no_such_user"), (Err("lost".into()), "unavailable")] {
        world.ask(1, "2", direct("nobody"));
        let ticket = world.ticket();
        world.notice(Notice::Told { ticket, result });
        assert_eq!(world.brief(1), [format!("error 2 {code}")]);
    }
    // From elsewhere.
    let note = notes::text(r#"{"type":"direct","from":"eve"}"#);
    world.notice(Notice::Note { to: Address::User("bob".into()), note });
    assert_eq!(world.got(2)[0]["from"], "eve");
}

#[test]
fn plain_rooms_and_nicks_reach_over_servers() {
    let mut world = World::new(true);
    for number in [1, 2] {
        world.apply(Command::Connect {
            id: ConnectionId(number),
            line: number,
            compressed: false,
            owner: None,
            protocol: true,
        });
        world.apply(Command::Join { id: ConnectionId(number), room: "den".into(), view: None });
    }
    let (room, nick) = (Address::Room("den".into()), Address::Nick("ann".into()));
    assert_eq!(world.orders(), [Order::Listen { to: room.clone(), connections: 1 }]);
    let frame = Bytes::from_static(b"\x81\x01a");
    let send =
        Command::SendRoom { room: "den".into(), frames: frame.clone().into(), except: Some(ConnectionId(1)) };
    world.apply(send);
    assert_eq!(world.orders(), [Order::Tell { ticket: None, to: room.clone(), note: notes::frames(&frame) }]);
    world.notice(Notice::Note { to: room.clone(), note: notes::frames(&frame) });
    assert_eq!(world.lines.frames[&1], std::slice::from_ref(&frame));
    assert_eq!(world.lines.frames[&2], [frame.clone(), frame.clone()]);
    world.apply(Command::Identify { id: ConnectionId(1), user: "ann".into() });
    assert_eq!(world.orders(), [Order::Listen { to: nick.clone(), connections: 1 }]);
    // Nobody here has that name; perhaps somebody elsewhere.
    for (elsewhere, answers) in [(1, 0), (0, 1)] {
        let otherwise = Some((ConnectionId(2), Bytes::from_static(b"\x81\x01?")));
        world.lines.frames.clear();
        world.apply(Command::SendUser { user: "bob".into(), frames: frame.clone().into(), otherwise });
        let ticket = world.ticket();
        world.notice(Notice::Told { ticket, result: Ok(elsewhere) });
        assert_eq!(world.lines.frames.get(&2).map_or(0, Vec::len), answers);
    }
    for number in [1, 2] {
        world.apply(Command::Disconnect { id: ConnectionId(number) });
    }
    let orders = world.orders();
    assert!(orders.contains(&Order::Listen { to: room, connections: 0 }), "{orders:?}");
    assert!(orders.contains(&Order::Listen { to: nick, connections: 0 }), "{orders:?}");
}

/// An engine that is right, and whose words are late, doubled or lost on the way.
#[derive(Default)]
struct Late {
    said: Vec<Stored>,
    sent: std::collections::VecDeque<Notice>,
    answers: usize,
}

impl Late {
    fn take(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Publish { ticket, publish } => {
                    let offset = self.said.len() as u64 + 1;
                    let message = publish.stored(offset);
                    self.said.push(message.clone());
                    self.sent.push_back(Notice::Message { room: publish.room, epoch: "e".into(), message });
                    self.sent.push_back(done(ticket, offset));
                }
                Order::Open { room, .. } => self.sent.push_back(self.state(room)),
                _ => {}
            }
        }
    }

    fn state(&self, room: Name) -> Notice {
        let (offset, messages) = (self.said.len() as u64, self.said.clone());
        Notice::State { room, epoch: "e".into(), offset, messages, members: Vec::new() }
    }
}

proptest::proptest! {
    #[test]
    fn order_and_ack_hold_whatever_is_late_doubled_or_lost(
        steps in proptest::collection::vec((0..9_u8, 1..4_u64), 1..120),
    ) {
        let (mut world, mut engine, mut asked) = (World::new(false), Late::default(), 0);
        for number in 1..4 {
            world.enter(number, &number.to_string());
        }
        let mut replies: HashMap<u64, Vec<Value>> = HashMap::new();
        let mut collect = |world: &mut World| for number in 1..4 {
            replies.entry(number).or_default().extend(world.got(number));
        };
        for (step, (kind, number)) in steps.into_iter().enumerate() {
            match kind {
                0 => world.ask(number, "\"j\"", join("r")),
                1 | 2 => {
                    asked += 1;
                    world.ask(number, &step.to_string(), publish("r", &step.to_string()));
                }
                3 => world.ask(number, "\"l\"", Ask::Leave { room: "r".into() }),
                4 => {
                    // Doubled.
                    if let Some(notice) = engine.sent.front().filter(|notice| !matches!(notice, Notice::Published { .. })) {
                        world.notice(notice.clone());
                    }
                }
                // Lost: messages only, as the connection to the engine is made anew after that.
                5 if matches!(engine.sent.front(), Some(Notice::Message { .. })) => drop(engine.sent.pop_front()),
                _ => {
                    if let Some(notice) = engine.sent.pop_front() {
                        engine.answers += usize::from(matches!(notice, Notice::Published { .. }));
                        world.notice(notice);
                    }
                }
            }
            engine.take(world.orders());
            collect(&mut world);
        }
        // All that is under way comes; and the state once more, as after an interruption.
        loop {
            while let Some(notice) = engine.sent.pop_front() {
                engine.answers += usize::from(matches!(notice, Notice::Published { .. }));
                world.notice(notice);
                engine.take(world.orders());
            }
            world.notice(engine.state("r".into()));
            engine.take(world.orders());
            collect(&mut world);
            if engine.sent.is_empty() {
                break;
            }
        }
        proptest::prop_assert_eq!(engine.said.len(), asked);
        let mut published = 0;
        for (number, texts) in &replies {
            let mut last = None;
            for text in texts {
                let offset = text["offset"].as_u64();
                match text["type"].as_str().unwrap() {
                    "joined" => last = offset,
                    "left" => last = None,
                    "message" => {
                        proptest::prop_assert_eq!(Some(offset.unwrap()), last.map(|last| last + 1), "{} of {}", text, number);
                        last = offset;
                    }
                    "published" => published += 1,
                    "gap" => proptest::prop_assert!(false, "nothing is trimmed: {}", text),
                    _ => {}
                }
            }
            if let Some(last) = last {
                proptest::prop_assert_eq!(last, asked as u64, "a member has everything");
            }
        }
        proptest::prop_assert_eq!(published, asked, "each publish is answered once");
    }
}

#[test]
fn a_room_that_opens_again_and_again_leaves_nothing_behind() {
    let mut world = World::new(false);
    world.enter(1, "ann");
    for _ in 0..3000 {
        world.ask(1, "1", join("r"));
        world.notice(state("r", "e", 3, 3));
        world.ask(1, "2", Ask::Leave { room: "r".into() });
        let remembered = world.hub.topics.order.len();
        assert!(remembered <= 1024 + 2 * 3, "{remembered} for 3 messages");
    }
}

#[test]
fn a_room_with_many_elsewhere_is_looked_at_again_in_one_go() {
    let mut world = World::new(true);
    world.joined(1, "ann", "r");
    let members = |count: usize| -> Vec<Member> {
        let member = |n| Member { node: "there".into(), user: format!("user-{n}").into(), connections: 1 };
        (0..count).map(member).collect()
    };
    let state = |members| Notice::State {
        room: "r".into(),
        epoch: "e".into(),
        offset: 0,
        messages: Vec::new(),
        members,
    };
    world.notice(state(members(20_000)));
    world.notice(state(members(20_000)));
    assert_eq!(world.got(1).len(), 20_000, "nobody is told twice");
    world.notice(state(members(19_999)));
    world.pass(10_000);
    assert_eq!(world.brief(1), ["presence user-19999 leave"]);
}
