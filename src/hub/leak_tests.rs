//! Whatever clients, an engine and the clock do, and in whatever order: each request is answered once and in its turn, and
//! when all have gone nothing is left of them.

use super::engine::{Member, Order, Publish, Receipt, Stored};
use super::protocol::{Ask, Since};
use super::rules::RoomRules;
use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const ROOMS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: u64 = 4;
const GRACE: u64 = 5000;

#[derive(Clone, Debug)]
enum Step {
    Enter(u64),
    Ask(u64, Ask),
    Gone(u64),
    /// The engine does so many of the orders that wait.
    Work(usize),
    /// It is lost: what waits is refused.
    Deaf,
    Hearing,
    /// So many connections of somebody at another server.
    Stranger {
        room: usize,
        connections: usize,
        left: bool,
    },
    /// The other server is no more.
    NodeGone,
    Pass(u64),
}

fn ask() -> impl Strategy<Value = Ask> {
    let room = || (0..ROOMS.len()).prop_map(|room| Name::from(ROOMS[room]));
    prop_oneof![
        4 => (room(), proptest::option::of(0..4_u64)).prop_map(|(room, since)| Ask::Join {
            room,
            since: since.map(|offset| Since { epoch: "e".into(), offset }),
            history: Some(2),
        }),
        2 => room().prop_map(|room| Ask::Leave { room }),
        4 => room().prop_map(|room| Ask::Publish { room, data: "1".into(), key: None }),
        1 => room().prop_map(|room| Ask::Publish { room, data: "9".repeat(2000).into(), key: None }),
        1 => (0..CLIENTS).prop_map(|user| Ask::Direct { to: user_name(user), data: "2".into() }),
        1 => room().prop_map(|room| Ask::Members { room }),
        1 => room().prop_map(|room| Ask::History { room, before: None, after: None, limit: None }),
        1 => Just(Ask::Ping),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..CLIENTS).prop_map(Step::Enter),
        12 => (0..CLIENTS, ask()).prop_map(|(client, ask)| Step::Ask(client, ask)),
        2 => (0..CLIENTS).prop_map(Step::Gone),
        8 => (1..4_usize).prop_map(Step::Work),
        1 => Just(Step::Deaf),
        2 => Just(Step::Hearing),
        2 => (0..ROOMS.len(), 0..2_usize, any::<bool>())
            .prop_map(|(room, connections, left)| Step::Stranger { room, connections, left }),
        1 => Just(Step::NodeGone),
        2 => (1..2 * GRACE).prop_map(Step::Pass),
    ]
}

/// Two of them have the same name.
fn user_name(client: u64) -> Name {
    format!("user-{}", client % 3).into()
}

/// What each connection got, and what the hub wants.
#[derive(Default)]
struct Lines {
    got: BTreeMap<u64, Vec<Value>>,
    orders: VecDeque<Order>,
}

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        let texts = serde_json::Deserializer::from_slice(frames).into_iter().map(Result::unwrap);
        self.got.entry(*to).or_default().extend(texts);
    }

    fn close(&mut self, _: &u64, _: &Bytes) {}

    fn order(&mut self, order: Order) {
        self.orders.push_back(order);
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
    /// The connection that each client has.
    clients: [Option<u64>; CLIENTS as usize],
    connections: u64,
    /// Requests of each connection, and the last of all.
    asked: BTreeMap<u64, Vec<u64>>,
    last_tag: u64,
    /// The engine's: what was said in each room, and which are open.
    said: BTreeMap<Name, Vec<Stored>>,
    open: Vec<Name>,
    strangers: BTreeMap<Name, usize>,
    is_up: bool,
}

impl World {
    fn new() -> Self {
        let room = RoomRules { bytes: 1024, messages: 3, ..RoomRules::default() };
        let rules = Rules { reply: 1 << 20, rooms: 2, bytes: 4096, room, ..Rules::default() };
        let mut world = Self {
            hub: Hub::new("here", rules, Some(true)),
            lines: Lines::default(),
            start: Instant::now(),
            ms: 1_000_000,
            clients: [None; CLIENTS as usize],
            connections: 0,
            asked: BTreeMap::new(),
            last_tag: 0,
            said: BTreeMap::new(),
            open: Vec::new(),
            strangers: BTreeMap::new(),
            is_up: true,
        };
        world.notices(vec![Notice::Hearing]);
        world
    }

    fn apply(&mut self, command: Command<u64>) {
        let now = Now { instant: self.start + Duration::from_millis(self.ms), unix_ms: self.ms };
        self.hub.tick(now, &mut self.lines);
        self.hub.apply(now, command, &mut self.lines);
        self.hub.end_turn(&mut self.lines);
    }

    fn notices(&mut self, notices: Vec<Notice>) {
        self.apply(Command::Notices(notices));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enter(client) if self.clients[client as usize].is_none() => {
                self.connections += 1;
                let (number, user) = (self.connections, user_name(client));
                self.clients[client as usize] = Some(number);
                let (id, owner) = (ConnectionId(number), None);
                self.apply(Command::Connect { id, line: number, compressed: false, owner, protocol: true });
                self.apply(Command::Enter { id, user, welcome: "{}".into() });
            }
            Step::Enter(_) => {}
            Step::Ask(client, ask) => {
                let Some(number) = self.clients[client as usize] else { return };
                self.last_tag += 1;
                let tag = self.last_tag;
                self.asked.entry(number).or_default().push(tag);
                self.apply(Command::Ask { id: ConnectionId(number), tag: Some(tag.to_string().into()), ask });
            }
            Step::Gone(client) => {
                let Some(number) = self.clients[client as usize].take() else { return };
                self.asked.remove(&number);
                self.apply(Command::Disconnect { id: ConnectionId(number) });
            }
            Step::Work(orders) => (0..orders).for_each(|_| self.work()),
            Step::Deaf => {
                self.is_up = false;
                while !self.lines.orders.is_empty() {
                    self.work();
                }
                self.notices(vec![Notice::Deaf { why: "away".into() }]);
            }
            Step::Hearing => {
                self.is_up = true;
                let states: Vec<Notice> =
                    self.open.clone().into_iter().map(|room| self.state(room)).collect();
                self.notices(states);
                self.notices(vec![Notice::Hearing]);
            }
            Step::Stranger { room, connections, left } => {
                let room = Name::from(ROOMS[room]);
                self.strangers.insert(room.clone(), connections);
                let member = Member { node: "there".into(), user: "user-0".into(), connections };
                if self.is_up && self.open.contains(&room) {
                    self.notices(vec![Notice::Presence { room, member, left }]);
                }
            }
            Step::NodeGone => {
                self.strangers.clear();
                self.notices(vec![Notice::Gone { node: "there".into() }]);
            }
            Step::Pass(ms) => {
                self.ms += ms;
                self.notices(Vec::new());
            }
        }
    }

    /// The engine does what has waited longest.
    fn work(&mut self) {
        let Some(order) = self.lines.orders.pop_front() else { return };
        let refused = || "away".to_string();
        match order {
            Order::Publish { ticket, .. } if !self.is_up => {
                self.notices(vec![Notice::Published { ticket, result: Err(refused()) }]);
            }
            Order::Publish { ticket, publish } => {
                let message = self.say(&publish);
                let (room, epoch, offset) = (publish.room, Name::from("e"), message.offset);
                if self.open.contains(&room) {
                    self.notices(vec![Notice::Message { room, epoch: epoch.clone(), message }]);
                }
                self.notices(vec![Notice::Published { ticket, result: Ok(Receipt { epoch, offset }) }]);
            }
            Order::Tell { ticket: Some(ticket), .. } => {
                let result = if self.is_up { Ok(0) } else { Err(refused()) };
                self.notices(vec![Notice::Told { ticket, result }]);
            }
            Order::Open { room, .. } => {
                self.open.retain(|open| *open != room);
                self.open.push(room.clone());
                if self.is_up {
                    let state = self.state(room);
                    self.notices(vec![state]);
                }
            }
            Order::Close { room } => self.open.retain(|open| *open != room),
            Order::Tell { ticket: None, .. } | Order::Listen { .. } | Order::Presence { .. } => {}
        }
    }

    fn say(&mut self, publish: &Publish) -> Stored {
        let said = self.said.entry(publish.room.clone()).or_default();
        let message = publish.stored(said.len() as u64 + 1);
        said.push(message.clone());
        message
    }

    fn state(&self, room: Name) -> Notice {
        let said = self.said.get(&room).map_or(&[][..], Vec::as_slice);
        let member = |connections: &usize| Member {
            node: "there".into(),
            user: "user-0".into(),
            connections: *connections,
        };
        let members = self.strangers.get(&room).filter(|some| 0 < **some).map(member);
        Notice::State {
            epoch: "e".into(),
            offset: said.len() as u64,
            messages: said[said.len().saturating_sub(3)..].to_vec(),
            members: members.into_iter().collect(),
            room,
        }
    }

    /// The engine is there, and does all that is wanted.
    fn finish(&mut self) {
        self.take(Step::Hearing);
        while !self.lines.orders.is_empty() {
            self.work();
        }
    }

    /// The ids of the replies that a connection got, in their order.
    fn replied(&self, number: u64) -> Vec<u64> {
        let got = self.lines.got.get(&number).into_iter().flatten();
        got.filter_map(|text| text["id"].as_u64()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn all_is_answered_in_its_turn_and_nothing_is_left(steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.finish();
        for (number, asked) in &world.asked {
            prop_assert_eq!(&world.replied(*number), asked);
        }
        (0..CLIENTS).for_each(|client| world.take(Step::Gone(client)));
        world.take(Step::NodeGone);
        world.finish();
        // The grace periods, what is too old, and what comes of that.
        for _ in 0..3 {
            world.take(Step::Pass(600_000));
            world.finish();
        }
        let topics = &world.hub.topics;
        prop_assert_eq!(world.hub.counts().protocol.kept, (0, 0));
        prop_assert!(topics.topics.is_empty() && topics.clients.is_empty() && topics.people.is_empty());
        prop_assert!(topics.leaving.is_empty() && topics.order.len() <= 1024);
        prop_assert!(topics.outside.as_ref().is_some_and(|outside| outside.awaited.is_empty()));
        prop_assert!(world.hub.connections.is_empty() && world.hub.users.is_empty() && world.hub.rooms.is_empty());
        prop_assert!(world.open.is_empty());
    }
}
