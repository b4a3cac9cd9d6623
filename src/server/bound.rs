//! A server that listens, and how its threads are started.

use super::accept::Door;
use super::builder::Builder;
use super::drain::{Parts, Running};
use super::handle::Server;
use super::hub_thread::HubQueue;
use super::probes::Probes;
use super::refusals::Refusals;
use super::shared::{Shared, Sockets};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::hub::Rules;
use crate::metrics::Metrics;
#[cfg(feature = "tls")]
use crate::net::acceptor::Acceptor;
use crate::net::budget::Budget;
use crate::net::codecs::Codecs;
use crate::net::listener::Listener;
use crate::net::masks::random;
use crate::net::slow_lane::SlowLane;
use crate::net::writers::Writers;
use parking_lot::{Mutex, RwLock};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

/// A server that listens but does not serve yet: what [`Builder::bind`] and [`Builder::listen_on`] give. Dropping it lets go of the
/// address.
///
/// ```
/// use switchboard::Server;
///
/// let bound = Server::builder().route("/", |mut ws| ws.send("served")).bind("127.0.0.1:0")?;
/// let address = bound.local_addr(); // for a log, a file, a child process
/// let server = bound.start()?;
/// assert_eq!(server.local_addr(), address);
/// assert_eq!(server.connect("/")?.recv()?, Some("served".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Bound {
    builder: Builder,
    listener: Listener,
    address: SocketAddr,
}

impl Bound {
    pub(super) fn new(builder: Builder, listener: Listener) -> Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { builder, listener, address })
    }

    /// Where it listens: with the real port when it was bound to port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the server's threads and returns at once. The server runs until the [`Server`] is dropped or
    /// [`shutdown`](super::Handle::shutdown) is called.
    ///
    /// # Errors
    /// [`Error::Io`] when the machine refuses a thread or a descriptor; what the engine says when it cannot start.
    pub fn start(self) -> Result<Server> {
        let Self { builder, listener, address } = self;
        let Builder { rules, limits, quotas, policy, proxies, authenticate, refuse, router, state, .. } =
            builder;
        let node: String = random().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // Clients take messages as large as they may send.
        let reply = limits.message;
        let rules = Rules { rooms: quotas.rooms, bytes: limits.history, reply, ..rules };
        #[cfg(feature = "protocol")]
        let room = rules.room.clone();
        #[cfg(feature = "tls")]
        let granted = Budget::new(builder.tls.is_some()).connections;
        #[cfg(not(feature = "tls"))]
        let granted = Budget::of_this_machine().connections;
        let max_connections = limits.connections.map_or(granted, |wanted| wanted.min(granted));
        let metrics = Arc::new(Metrics::new(router.metrics()));
        let mut undo = Undo::default();
        let (slow_lane, slow_lane_thread) = SlowLane::start(&limits, metrics.clone(), limits.stack)?;
        let lane = slow_lane.clone();
        undo.add(move || lane.stop());
        let cores = available_parallelism().map_or(2, usize::from);
        let (writers, writer_threads) = Writers::start(cores, &slow_lane, limits.stack)?;
        let codecs = Arc::new(Codecs::new(limits.compress_from, cores).counting_in(metrics.clone()));
        let router = Arc::new(router);
        #[cfg(feature = "tls")]
        let is_plain = builder.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let is_plain = true;
        // A client that is refused before the TLS handshake can ask for nothing.
        let probes = is_plain.then(|| Probes::new(router.clone(), limits.clone(), metrics.clone()));
        let (refusals, refusals_thread) = Refusals::start(limits.stack, metrics.clone(), probes)?;
        let engine = builder.engine;
        let hub = (&*node, rules);
        let (hub, hub_thread) =
            HubQueue::start(&limits, writers, metrics.clone(), codecs.clone(), hub, engine.clone())?;
        if let Some(engine) = &engine {
            engine.start(&node, hub.inbox())?;
            let engine = engine.clone();
            undo.add(move || engine.stop());
        }
        let (draining, sockets) = (AtomicBool::new(false), Sockets::default());
        let shared = Arc::new(Shared {
            #[cfg(feature = "tls")]
            tls: builder.tls.map(|config| Acceptor::new(config, &limits)),
            limits,
            router: Mutex::new(Some(router)),
            policy: RwLock::new(Arc::new(policy)),
            #[cfg(feature = "protocol")]
            node,
            #[cfg(feature = "protocol")]
            room,
            #[cfg(all(feature = "protocol", feature = "schema"))]
            data_checks: builder.data_checks,
            quotas: Mutex::new(Arc::new(quotas)),
            visitors: Arc::default(),
            proxies,
            authenticate,
            refuse,
            refusals,
            told: Mutex::default(),
            hub,
            slow_lane,
            metrics,
            engine: engine.as_ref().map(Arc::downgrade),
            pool: OnceLock::new(),
            codecs,
            max_connections,
            hands_over: listener.is_shared(),
            draining,
            sockets,
        });
        *state.write() = Arc::downgrade(&shared);
        let door = Door::open(&shared, listener)?;
        undo.forget();
        let parts = Parts {
            door,
            hub: hub_thread,
            engine,
            writers: writer_threads,
            slow_lane: slow_lane_thread,
            refusals: refusals_thread,
        };
        Ok(Server::new(shared, Running::new(parts), address))
    }
}

/// What is to be ended when a later step of the start fails: threads that end only when they are told to. Those of the hub, the
/// writers and the refusals end with what is dropped.
#[derive(Default)]
struct Undo(Vec<Box<dyn FnOnce()>>);

impl Undo {
    fn add(&mut self, end: impl FnOnce() + 'static) {
        self.0.push(Box::new(end));
    }

    /// Everything has started.
    fn forget(&mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|end| end());
    }
}
