//! Tables for `switchboard.v1` with virtual time, and a comparison with a model over random requests.

use super::engine::Publish;
use super::history::History;
use super::pattern::{ByPattern, Pattern};
use super::protocol::{Ask, Json, Since};
use super::rules::RoomRules;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// What each connection got, as JSON.
#[derive(Default)]
struct Lines(HashMap<u64, Vec<Value>>);

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        let texts = serde_json::Deserializer::from_slice(frames).into_iter().map(Result::unwrap);
        self.0.entry(*to).or_default().extend(texts);
    }

    fn close(&mut self, _: &u64, _: &Bytes) {}

    fn order(&mut self, order: Order) {
        panic!("there is no engine to ask for {order:?}");
    }

    fn encode(&mut self, text: &str) -> Frames {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }
}

/// A hub, its clients, and a clock that stands still unless it is moved.
struct World {
    hub: Hub<u64>,
    lines: Lines,
    start: Instant,
    ms: u64,
}

const GRACE: u64 = 5000;

impl World {
    fn with(rules: Rules) -> Self {
        Self { hub: Hub::new("n", rules, None), lines: Lines::default(), start: Instant::now(), ms: 0 }
    }

    fn new() -> Self {
        Self::with(Rules { reply: 1 << 20, rooms: 3, bytes: 1 << 20, ..Rules::default() })
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

    fn enter(&mut self, number: u64, user: &str) {
        let id = ConnectionId(number);
        self.apply(Command::Connect { id, line: number, compressed: false, owner: None, protocol: false });
        self.apply(Command::Enter { id, user: user.into(), welcome: String::new() });
    }

    fn gone(&mut self, number: u64) {
        self.apply(Command::Disconnect { id: ConnectionId(number) });
    }

    /// Asks with an `id`; what all get.
    fn ask(&mut self, number: u64, ask: Ask) -> &mut Self {
        self.apply(Command::Ask { id: ConnectionId(number), tag: Some("1".into()), ask });
        self
    }

    fn pass(&mut self, ms: u64) -> &mut Self {
        self.ms += ms;
        let now = self.now();
        self.hub.tick(now, &mut self.lines);
        self.hub.end_turn(&mut self.lines);
        self
    }

    /// What the connection got since the last time.
    fn got(&mut self, number: u64) -> Vec<Value> {
        self.lines.0.remove(&number).unwrap_or_default()
    }

    /// The only thing that it got.
    #[track_caller]
    fn only(&mut self, number: u64) -> Value {
        let mut got = self.got(number);
        assert_eq!(got.len(), 1, "{got:?}");
        got.remove(0)
    }

    fn join(&mut self, number: u64, room: &str) -> &mut Self {
        self.ask(number, join(room))
    }

    /// The epoch of a room, of which `number` is a member.
    fn epoch(&mut self, number: u64, room: &str) -> String {
        let got = self.join(number, room).only(number);
        got["epoch"].as_str().unwrap().to_string()
    }
}

#[test]
fn what_there_is_and_what_was_acknowledged_is_counted() {
    let rules = Rules { reply: 1 << 20, rooms: 3, bytes: 1 << 20, ..Rules::default() };
    let room = RoomRules { bytes: 100, ..RoomRules::default() };
    let mut world = World::with(Rules { room, ..rules });
    (1..=2).for_each(|number| world.enter(number, "ann"));
    world.join(1, "r").ask(1, publish("r", "1", Some("k"))).ask(2, publish("r", "1", Some("k")));
    world.ask(1, publish("r", &"9".repeat(200), None)).ask(2, publish("s", "2", None));
    let counts = world.hub.counts().protocol;
    assert_eq!((counts.connections, counts.users, counts.rooms), (2, 1, 2));
    assert_eq!((counts.publishes, counts.acknowledged, counts.kept.0), (4, 3, 2));
    assert!(0 < counts.kept.1);
    (1..=2).for_each(|number| world.gone(number));
    world.pass(3_600_000).pass(3_600_000);
    assert_eq!(
        world.hub.counts().protocol,
        ProtocolCounts { publishes: 4, acknowledged: 3, ..Default::default() }
    );
}

fn join(room: &str) -> Ask {
    Ask::Join { room: room.into(), since: None, history: None }
}

fn since(room: &str, epoch: &str, offset: u64) -> Ask {
    Ask::Join { room: room.into(), since: Some(Since { epoch: epoch.into(), offset }), history: None }
}

fn publish(room: &str, data: &str, key: Option<&str>) -> Ask {
    Ask::Publish { room: room.into(), data: data.into(), key: key.map(String::from) }
}

fn offsets(reply: &Value) -> Vec<u64> {
    reply["messages"].as_array().unwrap().iter().map(|message| message["offset"].as_u64().unwrap()).collect()
}

#[test]
fn order_of_what_one_connection_says_is_what_others_see_and_a_pong_comes_behind_it() {
    let mut world = World::new();
    for (number, user) in [(1, "ann"), (2, "bob")] {
        world.enter(number, user);
        world.join(number, "r");
    }
    world.got(1);
    world.got(2);
    // All in one turn.
    let (now, id) = (world.now(), ConnectionId(1));
    let direct = |data: &str| Ask::Direct { to: "bob".into(), data: data.into() };
    for (tag, ask) in [
        (None, publish("r", "1", None)),
        (None, direct("2")),
        (None, publish("r", "3", None)),
        (Some("9".into()), Ask::Ping),
    ] {
        world.hub.apply(now, Command::Ask { id, tag, ask }, &mut world.lines);
    }
    let data: Vec<Value> = world.got(2).iter().map(|text| text["data"].clone()).collect();
    assert_eq!(data, [1, 2, 3]);
    let types: Vec<Value> = world.got(1).iter().map(|text| text["type"].clone()).collect();
    assert_eq!(types, ["message", "message", "pong"]);
}

#[test]
fn order_every_member_sees_offsets_rising_by_one() {
    let mut world = World::new();
    for (number, user) in [(1, "ann"), (2, "bob")] {
        world.enter(number, user);
        world.join(number, "r");
    }
    world.got(1);
    world.got(2);
    for data in 0..5 {
        world.ask(1 + data % 2, publish("r", &data.to_string(), None));
    }
    let messages = |got: Vec<Value>| -> Vec<(u64, u64)> {
        let messages = got.into_iter().filter(|text| text["type"] == "message");
        messages.map(|text| (text["offset"].as_u64().unwrap(), text["data"].as_u64().unwrap())).collect()
    };
    let expected = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)];
    assert_eq!(messages(world.got(1)), expected);
    assert_eq!(messages(world.got(2)), expected);
}

#[test]
fn replies_carry_the_id_and_only_errors_come_without_one() {
    let mut world = World::new();
    world.enter(1, "ann");
    let mut ask = |tag: Option<&str>, ask| {
        world.apply(Command::Ask { id: ConnectionId(1), tag: tag.map(Json::from), ask });
        world.got(1)
    };
    assert_eq!(ask(None, join("r")), [] as [Value; 0]);
    assert_eq!(ask(Some("\"x\""), Ask::Ping), [json!({"type": "pong", "id": "x", "time": 0})]);
    assert_eq!(ask(None, Ask::Ping), [] as [Value; 0]);
    let error = ask(None, Ask::Leave { room: "other".into() });
    assert_eq!(
        (&error[0]["type"], &error[0]["code"], &error[0]["id"]),
        (&json!("error"), &json!("not_member"), &Value::Null)
    );
    let left = ask(Some("7"), Ask::Leave { room: "r".into() });
    assert_eq!(left, [json!({"type": "left", "id": 7, "room": "r"})]);
}

#[test]
fn idempotence_a_key_is_published_once_by_room_and_user() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.enter(2, "bob");
    let offset = |world: &mut World, number, room, key| {
        world.ask(number, publish(room, "1", Some(key))).only(number)["offset"].as_u64().unwrap()
    };
    assert_eq!(offset(&mut world, 1, "r", "k"), 1);
    assert_eq!(offset(&mut world, 1, "r", "k"), 1);
    assert_eq!(offset(&mut world, 2, "r", "k"), 2, "another user's key");
    assert_eq!(offset(&mut world, 1, "s", "k"), 1, "another room's");
    assert_eq!(offset(&mut world, 1, "r", "l"), 3);
    world.pass(300_000);
    assert_eq!(offset(&mut world, 1, "s", "k"), 1, "the window is over, and with it the room's epoch");
}

#[test]
fn recovery_is_whole_or_says_that_it_is_not() {
    let room = RoomRules { messages: 3, ..RoomRules::default() };
    let mut world = World::with(Rules { reply: 1 << 20, rooms: 3, bytes: 1 << 20, room, ..Rules::default() });
    world.enter(1, "ann");
    let epoch = world.epoch(1, "r");
    for data in 1..=5 {
        world.ask(1, publish("r", &data.to_string(), None));
    }
    world.got(1);
    for (epoch, offset, recovered, messages) in [
        (epoch.as_str(), 5, true, &[][..]),
        (&epoch, 4, true, &[5]),
        (&epoch, 2, true, &[3, 4, 5]),
        (&epoch, 1, false, &[3, 4, 5]),
        (&epoch, 0, false, &[3, 4, 5]),
        (&epoch, 6, false, &[3, 4, 5]),
        ("other", 4, false, &[3, 4, 5]),
    ] {
        let reply = world.ask(1, since("r", epoch, offset)).only(1);
        assert_eq!(
            (&reply["recovered"], offsets(&reply)),
            (&recovered.into(), messages.to_vec()),
            "{epoch} {offset}"
        );
        assert_eq!(reply["offset"], 5);
    }
    let both = |offset, history| Ask::Join {
        room: "r".into(),
        since: Some(Since { epoch: epoch.clone(), offset }),
        history: Some(history),
    };
    assert_eq!(offsets(&world.ask(1, both(2, 1)).only(1)), [3, 4, 5], "a recovery is not capped");
    assert_eq!(offsets(&world.ask(1, both(1, 1)).only(1)), [5]);
    let history = |history| Ask::Join { room: "r".into(), since: None, history: Some(history) };
    assert_eq!(offsets(&world.ask(1, history(2)).only(1)), [4, 5]);
    assert_eq!(offsets(&world.ask(1, history(99)).only(1)), [3, 4, 5]);
    assert_eq!(offsets(&world.join(1, "r").only(1)), [0; 0]);
}

#[test]
fn presence_counts_users_and_connections_apart() {
    let mut world = World::new();
    for (number, user) in [(1, "ann"), (2, "bob"), (3, "bob")] {
        world.enter(number, user);
    }
    let joined = world.join(1, "r").only(1);
    assert_eq!(joined["members"], json!([{"user": "ann", "connections": 1}]), "the joiner is in it");
    world.join(2, "r");
    let presence = world.only(1);
    assert_eq!(
        presence,
        json!({"type": "presence", "room": "r", "user": "bob", "change": "join", "users": 2, "version": 2})
    );
    assert_eq!(world.only(2)["type"], "joined", "no presence of one's own");
    world.join(3, "r");
    assert_eq!(world.got(1), [] as [Value; 0], "a second connection of bob");
    assert_eq!(world.only(3)["members"][1], json!({"user": "bob", "connections": 2}));
    world.ask(2, Ask::Leave { room: "r".into() });
    assert_eq!(world.got(1), [] as [Value; 0]);
    world.ask(3, Ask::Leave { room: "r".into() });
    let presence = world.only(1);
    assert_eq!(
        (&presence["change"], &presence["users"], &presence["version"]),
        (&json!("leave"), &json!(1), &json!(3))
    );
}

#[test]
fn presence_is_kept_for_the_grace_period_but_not_after_leave() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.enter(2, "bob");
    world.join(1, "r").join(2, "r");
    world.gone(2);
    world.got(1);
    world.pass(GRACE - 1);
    world.ask(1, Ask::Members { room: "r".into() });
    assert_eq!(world.only(1)["members"][1], json!({"user": "bob", "connections": 0}));
    world.enter(3, "bob");
    world.join(3, "r").pass(2 * GRACE);
    assert_eq!(world.got(1), [] as [Value; 0], "a reconnect within the grace period goes unnoticed");
    world.gone(3);
    assert_eq!(
        world.hub.next_deadline().map(|at| at <= world.now().instant + Duration::from_millis(GRACE)),
        Some(true)
    );
    world.pass(GRACE);
    assert_eq!(world.only(1)["change"], "leave");
}

#[test]
fn direct_messages_reach_every_connection_and_the_sender_too() {
    let mut world = World::new();
    for (number, user) in [(1, "ann"), (2, "bob"), (3, "bob")] {
        world.enter(number, user);
    }
    let direct = |to: &str| Ask::Direct { to: to.into(), data: r#"{"a":1}"#.into() };
    let sent = world.ask(1, direct("bob")).only(1);
    assert_eq!(sent, json!({"type": "sent", "id": 1, "to": "bob", "connections": 2}));
    let expected = json!({"type": "direct", "from": "ann", "data": {"a": 1}, "time": 0});
    assert_eq!((world.only(2), world.only(3)), (expected.clone(), expected));
    let kinds: Vec<Value> =
        world.ask(1, direct("ann")).got(1).into_iter().map(|text| text["type"].clone()).collect();
    assert_eq!(kinds, ["direct", "sent"]);
    assert_eq!(world.ask(1, direct("eve")).only(1)["code"], "no_such_user");
    world.gone(2);
    world.gone(3);
    assert_eq!(world.ask(1, direct("bob")).only(1)["code"], "no_such_user");
}

#[test]
fn replies_are_bounded_in_bytes_and_say_so() {
    let mut world = World::with(Rules { reply: 1000, rooms: 3, bytes: 1 << 20, ..Rules::default() });
    world.enter(1, "ann");
    world.join(1, "r");
    let epoch = world.got(1)[0]["epoch"].as_str().unwrap().to_string();
    for number in 1..=5 {
        // Each message has about 350 bytes.
        world.ask(1, publish("r", &format!("\"{}\"", "x".repeat(300 + number)), None));
    }
    world.got(1);
    // What fits is whole; what does not is not said to be.
    let recovered = world.ask(1, since("r", &epoch, 3)).only(1);
    assert_eq!((&recovered["recovered"], offsets(&recovered)), (&json!(true), vec![4, 5]));
    let cut = world.ask(1, since("r", &epoch, 2)).only(1);
    assert_eq!((&cut["recovered"], offsets(&cut)), (&json!(false), vec![4, 5]));
    let page = |before, after| Ask::History { room: "r".into(), before, after, limit: None };
    for (before, after, expected) in
        [(None, None, vec![4, 5]), (Some(4), None, vec![2, 3]), (None, Some(0), vec![1, 2])]
    {
        let reply = world.ask(1, page(before, after)).only(1);
        assert_eq!((offsets(&reply), &reply["more"]), (expected, &json!(true)));
    }
}

/// What is larger would end clients that take 1 MiB, as many do; they would come back and be told it again.
#[test]
fn what_others_could_not_be_told_in_one_message_is_too_large() {
    let most = 1 << 20;
    let mut world = World::with(Rules { reply: most, rooms: 3, bytes: 8 << 20, ..Rules::default() });
    let name = "\"".repeat(128);
    world.enter(1, &name);
    world.join(1, &name);
    let mut place = world.got(1)[0].clone();
    let mut kept = 0;
    for size in (most - 1500..most).step_by(7) {
        let data = || format!("\"{}\"", "x".repeat(size - 2));
        let direct = Ask::Direct { to: name.as_str().into(), data: data().into() };
        for text in world.ask(1, direct).got(1) {
            assert!(text.to_string().len() <= most, "{size}");
        }
        let told = world.ask(1, publish(&name, &data(), None)).got(1);
        let [message, published] = &told[..] else {
            assert_eq!(told[0]["code"], "too_large", "{size}");
            continue;
        };
        let (epoch, offset) = (place["epoch"].as_str().unwrap(), place["offset"].as_u64().unwrap());
        let joined = world.ask(1, since(&name, epoch, offset)).only(1);
        assert_eq!(joined["recovered"], true, "{size}");
        assert!(joined.to_string().len().max(message.to_string().len()) <= most, "{size}");
        place = published.clone();
        kept += 1;
    }
    assert!(kept != 0);
}

#[test]
fn a_message_larger_than_a_reply_comes_alone() {
    let mut history = History::new("e");
    let publish = Publish {
        room: "r".into(),
        from: None,
        data: "2".repeat(2000).into(),
        key: None,
        time: 0,
        rules: RoomRules::default(),
    };
    let now = World::new().now();
    history.publish(now, &publish);
    history.publish(now, &publish);
    assert_eq!(history.newest(9, 1000).len(), 1);
}

#[test]
fn no_reply_is_larger_than_it_may_be_however_many_are_there() {
    let most = 20_000;
    let mut world = World::with(Rules { reply: most, rooms: 3, bytes: 1 << 20, ..Rules::default() });
    for number in 1..=300 {
        // Quotes have two bytes in JSON. The last by name comes first.
        world.enter(number, &format!("{}{:03}", "\"".repeat(60), 999 - number));
        world.ask(number, join("r"));
        world.lines.0.clear();
    }
    let epoch = world.ask(1, since("r", "", 0)).only(1)["epoch"].as_str().unwrap().to_string();
    for number in 1..=15 {
        world.ask(1, publish("r", &format!("\"{}\"", "x".repeat(1000 + number)), None));
    }
    world.got(1);
    let members = |reply: &Value| reply["members"].as_array().unwrap().len();
    let has =
        |reply: &Value, user: &str| reply["members"].as_array().unwrap().iter().any(|m| m["user"] == user);
    let me = format!("{}998", "\"".repeat(60));
    let all = Ask::Members { room: "r".into() };
    let page = Ask::History { room: "r".into(), before: None, after: None, limit: None };
    for (ask, messages, users) in [
        // A quarter is left to the users, all that the messages do not need.
        (since("r", &epoch, 1), 12, 20..60),
        (since("r", &epoch, 13), 2, 90..130),
        (join("r"), 0, 100..140),
        (all, 0, 100..140),
    ] {
        let reply = world.ask(1, ask.clone()).only(1);
        assert!(most * 9 / 10 < reply.to_string().len() && reply.to_string().len() <= most, "{ask:?}");
        assert!(has(&reply, &me) && users.contains(&members(&reply)), "{ask:?}: {}", members(&reply));
        let said = reply["messages"].as_array().map_or(0, Vec::len);
        assert_eq!((&reply["users"], said), (&json!(300), messages), "{ask:?}");
    }
    let reply = world.ask(1, page).only(1);
    assert!(reply.to_string().len() <= most && offsets(&reply).len() == 15 && reply["more"] == false);
    // When they have gone, those who are left fit.
    for number in 101..=300 {
        world.ask(number, Ask::Leave { room: "r".into() });
    }
    world.lines.0.clear();
    let reply = world.ask(1, Ask::Members { room: "r".into() }).only(1);
    assert_eq!((members(&reply), &reply["users"]), (100, &json!(100)));
}

#[test]
fn history_pages_are_exclusive_ascending_and_say_if_there_is_more() {
    let mut world = World::new();
    world.enter(1, "ann");
    world.join(1, "r");
    for data in 1..=6 {
        world.ask(1, publish("r", &data.to_string(), None));
    }
    world.got(1);
    for (before, after, limit, expected, more) in [
        (None, None, None, &[1, 2, 3, 4, 5, 6][..], false),
        (None, None, Some(2), &[5, 6], true),
        (Some(5), None, Some(2), &[3, 4], true),
        (Some(3), None, Some(2), &[1, 2], false),
        (None, Some(2), Some(2), &[3, 4], true),
        (None, Some(4), Some(2), &[5, 6], false),
        (Some(5), Some(2), None, &[3, 4], false),
        (Some(6), Some(1), Some(2), &[2, 3], true),
        (None, Some(6), None, &[], false),
        (Some(1), None, None, &[], false),
        (None, None, Some(0), &[], true),
        (None, None, Some(usize::MAX), &[1, 2, 3, 4, 5, 6], false),
    ] {
        let reply = world.ask(1, Ask::History { room: "r".into(), before, after, limit }).only(1);
        assert_eq!(
            (offsets(&reply), &reply["more"]),
            (expected.to_vec(), &more.into()),
            "{before:?} {after:?} {limit:?}"
        );
    }
    world.ask(1, Ask::History { room: "s".into(), before: None, after: None, limit: None });
    assert_eq!(world.only(1)["code"], "not_member");
}

#[test]
fn histories_are_bounded_by_count_bytes_age_and_all_together() {
    let small = RoomRules { bytes: 200, ..RoomRules::default() };
    let mut patterns = ByPattern::default();
    patterns.set(Pattern::parse("small*").unwrap(), small);
    let rules = Rules { reply: 1 << 20, rooms: 9, bytes: 2000, patterns, ..Rules::default() };
    let mut world = World::with(rules);
    world.enter(1, "ann");
    let all = |world: &mut World, room: &str| {
        offsets(&world.ask(1, Ask::Join { room: room.into(), since: None, history: Some(99) }).only(1))
    };
    let long = format!("\"{}\"", "x".repeat(90));
    for room in ["small", "small", "large", "large", "large", "large"] {
        world.ask(1, publish(room, &long, None));
    }
    world.got(1);
    assert_eq!(all(&mut world, "small"), [2], "200 bytes hold one of them");
    let too_large = format!("\"{}\"", "x".repeat(200));
    assert_eq!(world.ask(1, publish("small", &too_large, None)).only(1)["code"], "too_large");
    for _ in 0..6 {
        world.ask(1, publish("large", "1", None));
    }
    world.got(1);
    assert_eq!(all(&mut world, "small"), [0; 0], "the oldest of all is forgotten first");
    let kept = all(&mut world, "large");
    assert!(kept.len() < 10 && kept.last() == Some(&10), "{kept:?}");
    world.pass(300_000);
    assert_eq!(all(&mut world, "large"), [0; 0], "too old");
}

#[test]
fn rooms_without_anybody_or_anything_are_forgotten() {
    let mut world = World::new();
    world.enter(1, "ann");
    let before = world.epoch(1, "r");
    world.ask(1, publish("r", "1", None));
    world.ask(1, Ask::Leave { room: "r".into() });
    world.got(1);
    world.pass(GRACE);
    assert_eq!(world.epoch(1, "r"), before, "its history is there");
    world.ask(1, Ask::Leave { room: "r".into() });
    world.got(1);
    world.pass(400_000);
    assert_eq!(world.hub.next_deadline(), None, "nothing is left to look after");
    let reply = world.ask(1, since("r", &before, 1)).only(1);
    assert!(reply["epoch"] != json!(before) && reply["recovered"] == json!(false), "{reply}");
}

#[test]
fn a_connection_is_in_so_many_rooms_at_most() {
    let mut world = World::new();
    world.enter(1, "ann");
    for room in ["a", "b", "c", "a"] {
        assert_eq!(world.join(1, room).only(1)["type"], "joined");
    }
    assert_eq!(world.join(1, "d").only(1)["code"], "too_many_rooms");
    world.ask(1, Ask::Leave { room: "a".into() });
    world.got(1);
    assert_eq!(world.join(1, "d").only(1)["type"], "joined");
}

/// The same in the plainest way: every message of every room in a list.
#[derive(Default)]
struct Model {
    rooms: HashMap<usize, Vec<(String, u64, Option<String>)>>,
    members: HashMap<usize, Vec<u64>>,
}

proptest! {
    #[test]
    fn random_requests_give_what_a_model_gives(
        steps in prop::collection::vec((0..4_u8, 1..4_u64, 0..2_usize, 0..3_u8), 1..60),
    ) {
        let mut world = World::new();
        let mut model = Model::default();
        let users = ["", "ann", "bob", "eve"];
        for number in 1..4 {
            world.enter(number, users[number as usize]);
        }
        let rooms = ["r", "s"];
        for (step, (kind, number, at, key)) in steps.into_iter().enumerate() {
            let (room, user) = (rooms[at], users[number as usize]);
            let messages = model.rooms.entry(at).or_default();
            let members = model.members.entry(at).or_default();
            match kind {
                0 => {
                    if !members.contains(&number) {
                        members.push(number);
                    }
                    world.join(number, room);
                    let reply = world.got(number).pop().unwrap();
                    prop_assert_eq!(reply["offset"].as_u64().unwrap() as usize, messages.len());
                    prop_assert_eq!(reply["members"].as_array().unwrap().len(), members.len());
                }
                1 => {
                    let was_member = members.contains(&number);
                    members.retain(|other| *other != number);
                    world.ask(number, Ask::Leave { room: room.into() });
                    let reply = world.got(number).pop().unwrap();
                    prop_assert_eq!(reply["type"] == "left", was_member);
                }
                _ => {
                    let key = (0 < key).then(|| key.to_string());
                    let known = messages.iter().find(|(from, _, known)| key.is_some() && from == user && *known == key);
                    let known = known.map(|(_, offset, _)| *offset);
                    let expected = known.unwrap_or(messages.len() as u64 + 1);
                    if known.is_none() {
                        messages.push((user.into(), expected, key.clone()));
                    }
                    for other in 1..4 {
                        world.got(other);
                    }
                    world.ask(number, publish(room, &step.to_string(), key.as_deref()));
                    for other in 1..4 {
                        let got = world.got(other);
                        let told = got.iter().filter(|text| text["type"] == "message").count();
                        prop_assert_eq!(told, usize::from(known.is_none() && members.contains(&other)));
                        if other == number {
                            let reply = got.iter().find(|text| text["type"] == "published").unwrap();
                            prop_assert_eq!(reply["offset"].as_u64(), Some(expected));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn who_comes_and_goes_waits_in_one_place_only() {
    let mut world = World::new();
    world.enter(1, "bob");
    world.join(1, "r");
    for round in 2..1000 {
        world.enter(round, "ann");
        world.join(round, "r");
        world.gone(round);
        assert!(world.hub.topics.leaving.len() <= 1);
        world.pass(1);
    }
    // Nor does it wait who has left.
    world.enter(1000, "ann");
    world.join(1000, "r");
    world.ask(1000, Ask::Leave { room: "r".into() });
    assert_eq!(world.hub.topics.leaving.len(), 0);
    world.got(1);
    world.pass(2 * GRACE);
    assert!(world.got(1).is_empty(), "no second leave");
}

#[test]
fn many_who_come_or_go_in_one_turn_are_told_to_each_in_few_pieces() {
    const MANY: u64 = 500;
    /// How many pieces each line got.
    #[derive(Default)]
    struct Pieces(HashMap<u64, usize>);
    impl Deliver<u64> for Pieces {
        fn deliver(&mut self, to: &u64, _: &Bytes) {
            *self.0.entry(*to).or_default() += 1;
        }
        fn close(&mut self, _: &u64, _: &Bytes) {}
        fn order(&mut self, _: Order) {}
        fn encode(&mut self, text: &str) -> Frames {
            Bytes::copy_from_slice(text.as_bytes()).into()
        }
    }
    let mut world = World::new();
    let (now, mut pieces) = (world.now(), Pieces::default());
    (0..MANY).for_each(|number| world.enter(number, &format!("user-{number}")));
    for ask in [join("r"), Ask::Leave { room: "r".into() }] {
        for number in 0..MANY {
            world.hub.apply(
                now,
                Command::Ask { id: ConnectionId(number), tag: None, ask: ask.clone() },
                &mut pieces,
            );
        }
        world.hub.end_turn(&mut pieces);
        let most = pieces.0.drain().map(|(_, pieces)| pieces).max();
        // All who came are one piece; of those who left, a copy of each piece was made, and the pieces are smaller for that.
        assert!(most.is_some_and(|most| most <= 4), "{most:?} {ask:?}");
    }
}
