//! A running server as the program around it sees it: whom it reaches, what it counts, and its end. From any
//! thread.

use super::drain::{self, Drain, Report, Running};
use super::quotas::Quotas;
use super::recipients::{Room, User, Via, encode};
use super::shared::Shared;
use crate::client::Client;
use crate::error::Result;
use crate::hub::Command;
#[cfg(doc)]
use crate::limits::Limits;
use crate::limits::from_now;
use crate::wire::handshake::Origins;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;

/// A running server. It has threads of its own; dropping it shuts it down, as [`Handle::shutdown`] does
/// within [`Limits::close_deadline`], and blocks for that long at most (and a second more if somebody must be
/// cut).
///
/// ```
/// use switchboard::Server;
///
/// let server = Server::builder().route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
/// let client = server.connect("/")?;
/// assert_eq!(server.connections(), 1);
/// drop(client);
/// drop(server); // whatever the program does besides, it must not do this too early
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// Everything it can do is [`Handle`]'s, which can be cloned and given to other threads.
#[must_use = "dropping the server shuts it down: keep it in a variable"]
pub struct Server {
    handle: Handle,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, running: Running, address: SocketAddr) -> Self {
        Self { handle: Handle { shared, running: Arc::new(running), address } }
    }

    /// A handle for another thread. It does not keep the server running: the server ends when this `Server`
    /// is dropped.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown(Drain::within(self.handle.shared.limits.close_deadline));
    }
}

/// The way to a running server, from any thread. Costs nothing to clone. Once the server has stopped, what is
/// sent through it is lost, and it is told so by `false`.
///
/// ```
/// use std::thread;
/// use switchboard::Server;
///
/// let server = Server::builder().route("/", |mut ws| { ws.send("welcome")?; ws.recv().map(drop) });
/// let server = server.bind("127.0.0.1:0")?.start()?;
/// let mut client = server.connect("/")?;
/// assert_eq!(client.recv()?, Some("welcome".into()));
///
/// let handle = server.handle();
/// thread::spawn(move || handle.broadcast("it is noon"));
/// assert_eq!(client.recv()?, Some("it is noon".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    running: Arc<Running>,
    address: SocketAddr,
}

impl Handle {
    /// Where the server listens: with the real port when it was bound to port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A room to send to. It need not exist. Does not block.
    pub fn room(&self, room: &str) -> Room {
        Room::new(Via::Hub(self.shared.clone()), room)
    }

    /// A user to send to. Nobody needs to be there. Does not block.
    pub fn user(&self, user: &str) -> User {
        User::new(Via::Hub(self.shared.clone()), user)
    }

    /// Sends a text or binary message to every open WebSocket; to be sure of a new one, wait for a word of
    /// its handler. Never blocks: `false` when the hub's queue is full ([`Limits::hub_queue`],
    /// [`Limits::hub_commands`]) or the server has stopped, and the message is lost.
    pub fn broadcast(&self, message: impl Into<Message>) -> bool {
        encode(&self.shared, message)
            .is_ok_and(|frames| self.shared.hub.try_send(Command::Broadcast { frames }).is_ok())
    }

    /// A client of this server, connected to `path` (and query) over the loopback interface: for tests of
    /// handlers, through the whole server and no mock. Blocks until the connection is open, as
    /// [`Client::connect`] does; its handler may not have begun then. The certificate of a TLS server is not
    /// checked.
    ///
    /// ```
    /// # use switchboard::Server;
    /// let server = Server::builder()
    ///     .route("/echo", |mut ws| { while let Some(message) = ws.recv()? { ws.send(message)?; } Ok(()) })
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let mut client = server.connect("/echo")?;
    /// client.send("hello")?;
    /// assert_eq!(client.recv()?, Some("hello".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`](crate::ClientBuilder::connect).
    pub fn connect(&self, path: &str) -> Result<Client> {
        let client = Client::builder();
        #[cfg(feature = "tls")]
        if self.shared.tls.is_some() {
            return client.danger_accept_any_certificate().connect(&self.url("wss", path));
        }
        client.connect(&self.url("ws", path))
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        format!("{scheme}://{address}{path}")
    }

    /// Other quotas for the connections that come from now on.
    pub fn set_quotas(&self, quotas: Quotas) {
        *self.shared.quotas.lock() = Arc::new(quotas);
    }

    /// Whether the hub is at work: a question goes through its queue, behind everything that waits there. Blocks until it is
    /// answered, or for `within`. `false`: not in that time, or the server has stopped. For a watchdog that starts a server
    /// anew which lives but does nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::{Drain, Server};
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?.start()?;
    /// assert!(server.answers(Duration::from_secs(10)));
    /// server.shutdown(Drain::within(Duration::ZERO));
    /// assert!(!server.answers(Duration::from_secs(10))); // at once
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn answers(&self, within: Duration) -> bool {
        self.shared.hub.answers(from_now(within))
    }

    /// Connections that are open now, plain HTTP included.
    pub fn connections(&self) -> usize {
        self.shared.metrics.connections.get() as usize
    }

    /// Connections that can be open at once: [`Limits::connections`], or what the machine grants
    /// ([`Budget`](crate::Budget)) if that is less.
    pub fn max_connections(&self) -> usize {
        self.shared.max_connections
    }

    /// Changes which pages may connect, as [`Builder::origins`](crate::Builder::origins) sets it: for handshakes
    /// from now on, connections that are open stay. Never blocks.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for an entry that no browser sends; everything stays as it was.
    ///
    /// ```
    /// use switchboard::{Client, Origins, Server};
    ///
    /// let server = Server::builder().route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
    /// let page = Client::builder().header("Origin", "https://example.com");
    /// let url = format!("ws://{}/", server.local_addr());
    /// assert!(page.connect(&url).is_err());
    /// server.set_origins(Origins::List(vec!["https://example.com".into()]))?;
    /// assert!(page.connect(&url).is_ok());
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn set_origins(&self, origins: Origins) -> Result<()> {
        origins.check()?;
        Arc::make_mut(&mut self.shared.policy.write()).origins = origins;
        Ok(())
    }

    /// All counters, gauges and histograms in the Prometheus text format, version 0.0.4: what
    /// [`Builder::health`](crate::Builder::health) serves at `/metrics`. Times are in seconds, sizes in bytes. Does not block, but
    /// looks at every open connection; for a scrape each few seconds, not for each message. Still works when the server has
    /// stopped.
    ///
    /// | names | show |
    /// |---|---|
    /// | `switchboard_connections`, `_max_connections`, `_connection_threads` | how many there are, by state, and can be |
    /// | `switchboard_websocket_connections`, `_websocket_handshakes_total` | WebSockets, by route |
    /// | `switchboard_refused_total`, `_denied_total`, `_over_budget_total` | who was not served, by status or reason |
    /// | `switchboard_disconnects_total` | how WebSockets ended, by close code: of the first Close frame of either side |
    /// | `switchboard_unclean_ends_total` | those that were cut, or went away before they had taken all, by reason |
    /// | `switchboard_messages_…`, `_received_bytes_total`, `_sent_bytes_total` | traffic |
    /// | `switchboard_deflate_…`, `_inflate_…` | bytes before and after compression |
    /// | `switchboard_hub_…` | the hub's turns (how many commands, how long) and what waits in its queue |
    /// | `switchboard_outbox_…`, `_slow_lane_…`, `_slow_consumers_total` | clients that do not keep up |
    /// | `switchboard_ping_seconds` | round trips of pings |
    /// | `switchboard_protocol_…` | the rooms of `switchboard.v1` |
    /// | `switchboard_engine_ready`, `_store_…` | where these are kept; an [engine](crate::engine::Engine::metrics) adds its own, as `_redis_…` |
    /// | `process_…` | memory, processor time, descriptors |
    ///
    /// Labels have few values, none of which a client can bring in: a route is its pattern, `/room/{room}`. Each line of the
    /// text has its own explanation.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().bind("127.0.0.1:0")?.start()?;
    /// let metrics = server.metrics();
    /// let rooms = metrics.lines().find_map(|line| line.strip_prefix("switchboard_rooms "));
    /// assert_eq!(rooms, Some("0"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn metrics(&self) -> String {
        self.shared.metrics_text()
    }

    /// Ends the server: new WebSockets are refused with 503 (plain requests are answered to the end), every
    /// client gets what waits for it and then a Close frame, and whoever has not ended by the deadline is
    /// cut. Blocks until all have ended, or the deadline and a second for the handlers to notice. A handler
    /// that is busy with something else than its socket is not waited for any longer; its thread goes on.
    /// [`Drain`] has an example.
    ///
    /// Further calls wait for the first one's end and report the same.
    ///
    /// A handler, or what answers plain HTTP, may call it on its own thread: then neither this nor any other call
    /// waits for it. Its client gets the Close frame too, or the answer; the connection lives until the handler
    /// returns, but nobody waits for that: a program that ends before cuts it. That the call comes from a handler is
    /// known by the thread. From another one that holds a `WebSocket` (one that was given away, or an inner thread of
    /// the handler's) it waits until the deadline for that connection, and cuts it.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use std::time::Duration;
    /// use switchboard::{Drain, Handle, Server};
    ///
    /// static SERVER: OnceLock<Handle> = OnceLock::new();
    ///
    /// let server = Server::builder()
    ///     .route("/stop", |mut ws| {
    ///         let stopped = SERVER.get().map(|server| server.shutdown(Drain::within(Duration::from_secs(60))));
    ///         println!("{stopped:?}"); // as soon as the others have gone
    ///         ws.recv().map(drop)
    ///     })
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let _ = SERVER.set(server.handle());
    /// let mut client = server.connect("/stop")?;
    /// assert_eq!(client.recv()?, None);
    /// assert_eq!(client.closed().map(|(code, _)| code), Some(1001));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "a drain is made for one call")]
    pub fn shutdown(&self, drain: Drain) -> Report {
        drain::shutdown(&self.shared, &self.running, &drain)
    }
}
