//! What all threads of one server share, and the register of its open sockets.

use super::arrival::{Authenticator, Proxies};
use super::hub_thread::HubQueue;
use super::identity::Refuse;
use super::quotas::{Quotas, Visitors};
use super::refusals::Refusals;
use super::router::Router;
use crate::engine::Engine;
use crate::hub::Frames;
#[cfg(feature = "protocol")]
use crate::hub::rules::RoomRules;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::codecs::Codecs;
use crate::net::outbox::Outbox;
use crate::net::pool::Pool;
use crate::net::slow_lane::SlowLane;
use crate::net::stream::Stream;
use crate::wire::handshake::Policy;
use crate::wire::http::Refusal;
use http::StatusCode;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;
use tungstenite::protocol::frame::coding::OpCode;

/// Sites of refused pages that the log is told of.
const TOLD: usize = 8;

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// `None` once the server has ended: handles may live on, what handlers hold shall not.
    pub(crate) router: Mutex<Option<Arc<Router>>>,
    /// Each handshake takes the one of its moment.
    pub(crate) policy: RwLock<Arc<Policy>>,
    pub(crate) hub: HubQueue,
    pub(crate) slow_lane: Arc<SlowLane>,
    pub(crate) metrics: Arc<Metrics>,
    /// Only while the server runs: a handle must not keep what others hold on to.
    pub(crate) engine: Option<Weak<dyn Engine>>,
    /// Of the connections' threads; there once the server listens.
    pub(crate) pool: OnceLock<Weak<Pool<Arc<Stream>>>>,
    pub(crate) codecs: Arc<Codecs>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::net::acceptor::Acceptor>,
    /// What tells this server, and this life of it, from all others.
    #[cfg(feature = "protocol")]
    pub(crate) node: String,
    #[cfg(feature = "protocol")]
    pub(crate) room: RoomRules,
    #[cfg(all(feature = "protocol", feature = "schema"))]
    pub(crate) data_checks: super::rooms::DataChecks,
    pub(crate) quotas: Mutex<Arc<Quotas>>,
    pub(crate) visitors: Arc<Visitors>,
    pub(crate) proxies: Proxies,
    /// Who finds out who a client is; without one nobody is asked.
    pub(crate) authenticate: Option<Authenticator>,
    pub(crate) refuse: Refuse,
    pub(crate) refusals: Refusals,
    /// Why pages of other sites were refused, as the log has been told.
    pub(crate) told: Mutex<Vec<String>>,
    /// Connections that can be open at once.
    pub(crate) max_connections: usize,
    /// The socket lives on with others: whoever was accepted is served to the end, whoever was not is theirs.
    pub(crate) hands_over: bool,
    pub(crate) draining: AtomicBool,
    pub(crate) sockets: Sockets,
}

impl Shared {
    pub(crate) fn quotas(&self) -> Arc<Quotas> {
        self.quotas.lock().clone()
    }

    /// Tells whoever runs the server that pages from elsewhere want to connect: the browser does not show its user why they
    /// cannot. Each site once, and a few only: an Origin costs nothing.
    pub(crate) fn tell_refused_page(&self, refusal: &Refusal) {
        let mut told = self.told.lock();
        if refusal.status == StatusCode::FORBIDDEN && told.len() < TOLD && !told.contains(&refusal.reason) {
            log::warn!("{}", refusal.reason);
            told.push(refusal.reason.clone());
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// The first message of a connection that speaks `switchboard.v1`.
    #[cfg(feature = "protocol")]
    pub(crate) fn welcome(&self, line: &super::hub_line::HubLine, user: &str) -> String {
        let quotas = self.quotas();
        let (message, rooms, history) = (self.limits.message, quotas.rooms, self.room.messages);
        let grace = self.room.grace.as_millis();
        let rate = |name: &str, rate: Option<crate::rate::Rate>| {
            rate.map_or_else(String::new, |rate| format!(",\"{name}\":{}", rate.json()))
        };
        let rates = rate("rate", quotas.messages) + &rate("byte_rate", quotas.bytes);
        let limits = format!(
            "{{\"message\":{message},\"rooms\":{rooms},\"history\":{history},\"grace\":{grace}{rates}}}"
        );
        super::protocol::welcome(line, user, &self.node, &limits)
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// One message's frames for any number of lines.
    pub(crate) fn encode(&self, opcode: OpCode, payload: &[u8]) -> Frames {
        self.codecs.encode(opcode, payload)
    }

    /// Compressed once for everybody; `None` when it is not worth it, or nobody would take it.
    pub(crate) fn compress(&self, payload: &[u8]) -> Option<Vec<u8>> {
        self.codecs.deflate_for_all(payload)
    }

    /// Why a client that comes now would not be served, or not well.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("going away".into());
        }
        if self.max_connections <= self.metrics.connections.get() as usize {
            return Some("all connections are in use".into());
        }
        self.hub.deaf()
    }
}

/// All sockets that are open, so that they can be cut when the time is up.
#[derive(Default)]
pub(crate) struct Sockets {
    next: AtomicU64,
    open: Mutex<Open>,
    /// None is open any more, or all have asked.
    settled: Condvar,
}

#[derive(Default)]
struct Open {
    sockets: HashMap<u64, Socket>,
    /// Those at [`Stage::Asking`].
    asking: usize,
    /// Those at [`Stage::Excused`].
    excused: usize,
}

impl Open {
    fn awaited(&self) -> usize {
        self.sockets.len() - self.excused
    }
}

struct Socket {
    stream: Arc<Stream>,
    stage: Stage,
    /// Once it is a WebSocket.
    outbox: Option<Weak<Outbox>>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its request is not complete.
    Asking,
    /// It is answered, as plain HTTP or by a handler.
    Served,
    /// Its handler waits for the end of the server, and is not waited for.
    Excused,
}

/// A socket's entry; taken out when dropped.
pub(crate) struct Registered {
    shared: Arc<Shared>,
    pub(crate) id: u64,
    /// It counts among those that there may be so many of.
    counts: bool,
}

impl Sockets {
    pub(crate) fn register(shared: &Arc<Shared>, stream: Arc<Stream>) -> Registered {
        shared.metrics.connections.add(1);
        Self::add(shared, stream, true)
    }

    /// One beyond those that there may be so many of.
    pub(crate) fn register_beyond(shared: &Arc<Shared>, stream: Arc<Stream>) -> Registered {
        Self::add(shared, stream, false)
    }

    fn add(shared: &Arc<Shared>, stream: Arc<Stream>, counts: bool) -> Registered {
        let id = shared.sockets.next.fetch_add(1, Relaxed);
        let socket = Socket { stream, stage: Stage::Asking, outbox: None };
        let mut open = shared.sockets.open.lock();
        open.sockets.insert(id, socket);
        open.asking += 1;
        drop(open);
        Registered { shared: shared.clone(), id, counts }
    }

    /// Waits until none is open but the excused, or `deadline`; how many are. Also those that handlers gave away to other threads.
    pub(crate) fn wait_empty(&self, deadline: Instant) -> usize {
        let mut open = self.open.lock();
        while 0 < open.awaited() && !self.settled.wait_until(&mut open, deadline).timed_out() {}
        open.awaited()
    }

    /// It is neither waited for nor cut any more.
    pub(crate) fn excuse(&self, id: u64) {
        self.enter(id, Stage::Excused);
    }

    pub(crate) fn excused(&self) -> usize {
        self.open.lock().excused
    }

    /// Waits until every request is complete, or `deadline`.
    pub(crate) fn wait_asked(&self, deadline: Instant) {
        let mut open = self.open.lock();
        while 0 < open.asking && !self.settled.wait_until(&mut open, deadline).timed_out() {}
    }

    fn enter(&self, id: u64, stage: Stage) {
        let mut open = self.open.lock();
        let Some(socket) = open.sockets.get_mut(&id) else { return };
        let before = std::mem::replace(&mut socket.stage, stage);
        open.excused += usize::from(stage == Stage::Excused);
        self.settle(&mut open, before);
    }

    /// One has left the stage `before`.
    fn settle(&self, open: &mut Open, before: Stage) {
        match before {
            Stage::Asking => open.asking -= 1,
            Stage::Excused => open.excused -= 1,
            Stage::Served => {}
        }
        if open.asking == 0 || open.awaited() == 0 {
            self.settled.notify_all();
        }
    }

    /// Ends the connections whose requests are not complete, at once.
    pub(crate) fn cut_asking(&self) {
        let open = self.open.lock();
        let asking = open.sockets.values().filter(|socket| socket.stage == Stage::Asking);
        asking.for_each(|socket| socket.stream.shutdown(Shutdown::Both));
    }

    /// Ends all connections but the excused, at once. How many were no WebSockets, of those that came before that one.
    pub(crate) fn cut_all(&self, before: u64) -> usize {
        let (mut outboxes, mut plain) = (Vec::new(), 0);
        let open = self.open.lock();
        for (id, socket) in open.sockets.iter().filter(|(_, socket)| socket.stage != Stage::Excused) {
            if let Some(outbox) = &socket.outbox {
                outboxes.push(outbox.clone());
            } else {
                socket.stream.shutdown(Shutdown::Both);
                plain += usize::from(*id < before);
            }
        }
        drop(open);
        // One after another, and not under the register's lock.
        outboxes.iter().filter_map(Weak::upgrade).for_each(|outbox| outbox.cut_off());
        plain
    }

    /// The number of whoever comes next.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Those of WebSockets that came before that one.
    pub(crate) fn outboxes(&self, before: u64) -> Vec<Weak<Outbox>> {
        let open = self.open.lock();
        let older = open.sockets.iter().filter(|(id, _)| **id < before);
        older.filter_map(|(_, socket)| socket.outbox.clone()).collect()
    }

    /// Those whose requests are not complete, those that are answered as plain HTTP, and the outboxes of WebSockets.
    pub(crate) fn census(&self) -> (usize, usize, Vec<Weak<Outbox>>) {
        let (mut asking, mut served, mut outboxes) = (0, 0, Vec::new());
        for socket in self.open.lock().sockets.values() {
            match &socket.outbox {
                Some(outbox) => outboxes.push(outbox.clone()),
                None if socket.stage == Stage::Asking => asking += 1,
                None => served += 1,
            }
        }
        (asking, served, outboxes)
    }
}

impl Registered {
    pub(crate) fn served(&self) {
        self.shared.sockets.enter(self.id, Stage::Served);
    }

    /// It is a WebSocket now.
    pub(crate) fn open(&self, outbox: &Arc<Outbox>) {
        if let Some(socket) = self.shared.sockets.open.lock().sockets.get_mut(&self.id) {
            socket.outbox = Some(Arc::downgrade(outbox));
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.counts {
            self.shared.metrics.connections.sub(1);
        }
        let mut open = self.shared.sockets.open.lock();
        if let Some(socket) = open.sockets.remove(&self.id) {
            self.shared.sockets.settle(&mut open, socket.stage);
        }
    }
}
