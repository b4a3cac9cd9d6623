//! The reference engine: rooms in the memory of one process, which any number of its servers have in common.

use super::shelf::{Put, Shelf};
use super::{Address, Engine, Inbox, Listed, Member, Name, Notice, Order};
use crate::error::Result;
use crate::limits::Limits;
use crate::net::random::random_name;
use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tungstenite::Bytes;

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// An engine in memory: for several servers of one process, for tests, and as an example of how an engine is written. Each
/// server takes a clone; all clones have the same rooms. [`Engine`] has another example.
///
/// What a server is told waits in a queue for it. When its hub does not keep up, from 65536 notices on publishing is refused,
/// and what is said in plain rooms is lost to the other servers.
///
/// ```
/// use switchboard::Server;
/// use switchboard::engine::Memory;
///
/// let chat = |mut ws: switchboard::WebSocket| {
///     let room = ws.join("den")?;
///     ws.send("joined")?;
///     while let Some(message) = ws.recv()? { room.send_others(message); }
///     Ok(())
/// };
/// let engine = Memory::new(); // plain rooms reach over the servers, too
/// let east = Server::builder().route("/", chat).engine(engine.clone()).bind("127.0.0.1:0")?.start()?;
/// let west = Server::builder().route("/", chat).engine(engine).bind("127.0.0.1:0")?.start()?;
/// let (mut ann, mut bob) = (east.connect("/")?, west.connect("/")?);
/// ann.recv()?;
/// bob.recv()?;
/// # while west.metrics().contains("switchboard_rooms 0") || east.metrics().contains("switchboard_rooms 0") {}
/// bob.send("hello from the west")?;
/// assert_eq!(ann.recv()?, Some("hello from the west".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Memory {
    world: Arc<Mutex<World>>,
    server: Mutex<Option<(Name, JoinHandle<()>)>>,
}

/// What all clones have in common.
struct World {
    shelf: Shelf,
    /// Who is in which room: by server and user, with how many connections.
    present: HashMap<Name, BTreeMap<(Name, Name), usize>>,
    nodes: BTreeMap<Name, Node>,
    swept: Instant,
}

/// A server.
struct Node {
    /// To a thread of its own, as one server's hub must not wait for another's.
    inbox: Sender<Vec<Notice>>,
    open: HashSet<Name>,
    listens: HashMap<Address, usize>,
}

/// Notices that may wait for a server before nothing more is said.
const BACKLOG: usize = 65_536;

impl Memory {
    /// One without rooms.
    pub fn new() -> Self {
        let world = World {
            shelf: Shelf::new(&random_name(8), Limits::default().history),
            present: HashMap::new(),
            nodes: BTreeMap::new(),
            swept: Instant::now(),
        };
        Self { world: Arc::new(Mutex::new(world)), server: Mutex::new(None) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Memory {
    /// The same rooms, for another server.
    fn clone(&self) -> Self {
        Self { world: self.world.clone(), server: Mutex::new(None) }
    }
}

impl Engine for Memory {
    fn start(&self, node: &str, inbox: Inbox) -> Result<()> {
        // At once: whoever connects first must not find it away.
        inbox.tell(vec![Notice::Hearing]);
        let (sender, queue) = unbounded::<Vec<Notice>>();
        let tell = move || {
            for notices in queue {
                if !inbox.tell(notices) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("sb-memory".into()).spawn(tell)?;
        let node: Name = node.into();
        let new = Node { inbox: sender, open: HashSet::new(), listens: HashMap::new() };
        self.world.lock().nodes.insert(node.clone(), new);
        *self.server.lock() = Some((node, thread));
        Ok(())
    }

    fn take(&self, orders: Vec<Order>) -> Vec<Notice> {
        let Some(node) = self.server.lock().as_ref().map(|(node, _)| node.clone()) else { return Vec::new() };
        let mut world = self.world.lock();
        world.sweep();
        orders.into_iter().filter_map(|order| world.take(&node, order)).collect()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn rooms(&self, after: &str, most: usize) -> Result<Vec<Listed>> {
        let world = self.world.lock();
        let mut rooms: BTreeMap<Name, Listed> =
            world.shelf.list(after).into_iter().map(|listed| (listed.room.clone(), listed)).collect();
        let present = world.present.iter().filter(|(room, present)| after < &***room && !present.is_empty());
        for (room, present) in present {
            let new = || Listed { room: room.clone(), epoch: "".into(), offset: 0, users: 0, connections: 0 };
            let listed = rooms.entry(room.clone()).or_insert_with(new);
            listed.users = present.keys().map(|(_, user)| user).collect::<HashSet<_>>().len();
            listed.connections = present.values().sum();
        }
        Ok(rooms.into_values().take(most).collect())
    }

    fn stop(&self) {
        let Some((node, thread)) = self.server.lock().take() else { return };
        self.world.lock().remove(&node);
        let _ = thread.join();
    }
}

impl World {
    fn take(&mut self, node: &Name, order: Order) -> Option<Notice> {
        let is_said = matches!(order, Order::Publish { .. } | Order::Tell { .. });
        if is_said && self.nodes.values().any(|node| BACKLOG <= node.inbox.len()) {
            return order.refused("a server does not keep up with what is said".into());
        }
        match order {
            Order::Publish { ticket, publish } => {
                let result = match self.shelf.publish(super::now(), &publish) {
                    Put::New(receipt, message) => {
                        let (room, epoch) = (publish.room, receipt.epoch.clone());
                        let notice = Notice::Message { room: room.clone(), epoch, message };
                        self.tell_open(&room, None, &notice);
                        Ok(receipt)
                    }
                    Put::Before(receipt) => Ok(receipt),
                    Put::Refused(why) => Err(why),
                };
                Some(Notice::Published { ticket, result })
            }
            Order::Open { room, rules } => {
                let history = self.shelf.open(super::now(), &room, &rules);
                let state = Notice::State {
                    epoch: history.epoch_name(),
                    offset: history.offset(),
                    messages: history.messages().cloned().collect(),
                    members: members(self.present.get(&room), node),
                    room: room.clone(),
                };
                let to = self.nodes.get_mut(node)?;
                to.open.insert(room);
                to.tell(state);
                None
            }
            Order::Close { room } => {
                self.nodes.get_mut(node)?.open.remove(&room);
                None
            }
            Order::Listen { to, connections } => {
                let listens = &mut self.nodes.get_mut(node)?.listens;
                match connections {
                    0 => listens.remove(&to),
                    some => listens.insert(to, some),
                };
                None
            }
            Order::Tell { ticket, to, note } => {
                let connections = self.tell_listeners(node, &to, &note);
                ticket.map(|ticket| Notice::Told { ticket, result: Ok(connections) })
            }
            Order::Presence { room, user, connections, left } => {
                let present = self.present.entry(room.clone()).or_default();
                match connections {
                    0 => present.remove(&(node.clone(), user.clone())),
                    some => present.insert((node.clone(), user.clone()), some),
                };
                let member = Member { node: node.clone(), user, connections };
                self.tell_open(&room, Some(node), &Notice::Presence { room: room.clone(), member, left });
                None
            }
        }
    }

    /// To all servers that have the room open.
    fn tell_open(&self, room: &Name, except: Option<&Name>, notice: &Notice) {
        for (name, node) in &self.nodes {
            if except != Some(name) && node.open.contains(room) {
                node.tell(notice.clone());
            }
        }
    }

    /// To all other servers with such connections; how many connections.
    fn tell_listeners(&self, from: &Name, to: &Address, note: &Bytes) -> usize {
        let mut connections = 0;
        for (_, node) in self.nodes.iter().filter(|(name, _)| *name != from) {
            let some = node.listens.get(to).copied().unwrap_or_default();
            if 0 < some || *to == Address::Everyone {
                node.tell(Notice::Note { to: to.clone(), note: note.clone() });
                connections += some;
            }
        }
        connections
    }

    fn remove(&mut self, node: &Name) {
        self.nodes.remove(node);
        self.present.values_mut().for_each(|present| present.retain(|(at, _), _| at != node));
        self.nodes.values().for_each(|other| other.tell(Notice::Gone { node: node.clone() }));
    }

    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP {
            return;
        }
        self.swept = Instant::now();
        self.shelf.trim(super::now());
        self.present.retain(|_, present| !present.is_empty());
        let nodes = take(&mut self.nodes);
        self.shelf.forget_empty(|room| nodes.values().any(|node| node.open.contains(room)));
        self.nodes = nodes;
    }
}

impl Node {
    fn tell(&self, notice: Notice) {
        // Its thread ends only after its server.
        let _ = self.inbox.send(vec![notice]);
    }
}

/// Who is there at other servers.
fn members(present: Option<&BTreeMap<(Name, Name), usize>>, here: &Name) -> Vec<Member> {
    let others = present.into_iter().flatten().filter(|((node, _), _)| node != here);
    others
        .map(|((node, user), connections)| Member {
            node: node.clone(),
            user: user.clone(),
            connections: *connections,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn what_waits_for_a_server_that_does_not_keep_up_is_bounded() {
        let east = Memory::new();
        let west = east.clone();
        let (free, stuck) = bounded::<()>(0);
        let is_first = AtomicBool::new(true);
        // Takes the first word, and is stuck at the second.
        let deliver = move |_| is_first.swap(false, Relaxed) || stuck.recv().is_ok();
        west.start("west", Inbox::new(deliver)).unwrap();
        east.start("east", Inbox::new(|_| true)).unwrap();
        let note = |ticket| Order::Tell { ticket, to: Address::Everyone, note: Bytes::new() };
        for _ in 0..2 * BACKLOG {
            assert_eq!(east.take(vec![note(None)]), []);
        }
        assert!(east.world.lock().nodes["west"].inbox.len() <= BACKLOG);
        let refused = east.take(vec![note(Some(1))]);
        assert!(matches!(refused[..], [Notice::Told { ticket: 1, result: Err(_) }]), "{refused:?}");
        drop(free);
        east.stop();
        west.stop();
    }
}
