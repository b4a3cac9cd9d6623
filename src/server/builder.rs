//! How a server is put together: routes, limits, policy; then an address; then it runs.

use super::accept::Door;
use super::callbacks::{self, Callbacks};
use super::drain::{Parts, Running};
use super::handle::Server;
use super::hub_thread::HubQueue;
use super::request::{Request, Response};
use super::router::{Route, Router};
use super::shared::{Shared, Sockets};
use super::websocket::WebSocket;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metrics::Metrics;
#[cfg(feature = "tls")]
use crate::net::acceptor::Acceptor;
use crate::net::budget::Budget;
use crate::net::codecs::Codecs;
use crate::net::listener::Listener;
use crate::net::slow_lane::SlowLane;
use crate::net::writers::Writers;
use crate::wire::handshake::{Origins, Policy};
use http::Method;
use parking_lot::{Mutex, RwLock};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;

/// A server that is being put together: what [`Server::builder`] gives. Nothing runs and nothing is checked
/// before [`Builder::bind`], which tells the first mistake.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Error, Limits, Origins, Server};
///
/// let server = Server::builder()
///     .limits(Limits { ping_interval: Duration::from_secs(5), ..Limits::default() })
///     .origins(Origins::List(vec!["https://example.com".into()]))
///     .health()
///     .route("/echo", |mut ws| { while let Some(message) = ws.recv()? { ws.send(message)?; } Ok(()) })
///     .bind("127.0.0.1:0")?
///     .start()?;
/// # assert!(server.connect("/echo").is_ok());
///
/// let mistaken = Server::builder().route("/a{b}", |_| Ok(())).bind("127.0.0.1:0");
/// assert!(matches!(mistaken, Err(Error::Config(_))));
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct Builder {
    limits: Limits,
    policy: Policy,
    router: Router,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    /// The health pages' view of the server they belong to.
    state: StateView,
    /// The first mistake, told by [`Builder::bind`].
    mistake: Option<Error>,
}

/// Filled when the server starts; does not keep it.
type StateView = Arc<RwLock<Weak<Shared>>>;

impl Server {
    /// Begins a server without routes, with default limits, open to pages of the same host.
    ///
    /// ```
    /// use switchboard::{Response, Server};
    ///
    /// let server = Server::builder()
    ///     .get("/", |_| Response::text("a chat is at ws://HOST/chat/ROOM"))
    ///     .route("/chat/{room}", |mut ws| {
    ///         let room = ws.join(ws.param("room"))?;
    ///         while let Some(message) = ws.recv()? {
    ///             room.send(message);
    ///         }
    ///         Ok(())
    ///     })
    ///     .bind("127.0.0.1:0")?
    ///     .start()?; // returns at once
    ///
    /// let mut ann = server.connect("/chat/lobby")?;
    /// ann.send("hello")?;
    /// assert_eq!(ann.recv()?, Some("hello".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// A WebSocket at this path. Whole segments in braces are parameters: `/chat/{room}`
    /// ([`WebSocket::param`]); their values are names ([`Limits::name`]), percent-decoded, and what is no
    /// name is answered 400. When several routes fit, the one with the fewest parameters is taken. A second
    /// handler for the same path takes the first one's place.
    ///
    /// The handler runs on a thread of the connection's own and may block. A plain GET is answered 426,
    /// unless [`Builder::get`] has set an answer for the same path; a path that leads nowhere is answered
    /// 404.
    #[must_use]
    pub fn route(
        self,
        path: &str,
        handler: impl Fn(WebSocket) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.websocket = Some(Arc::new(handler)))
    }

    /// The callback style: a WebSocket at this path whose connections each get a value of their own from
    /// `new`. [`Callbacks`] has an example.
    #[must_use]
    pub fn callbacks<C: Callbacks + 'static>(
        self,
        path: &str,
        new: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        self.route(path, move |ws| callbacks::run(new(), ws))
    }

    /// Asks `check` before a WebSocket at this path is opened: `Err` is what the client is answered instead.
    /// Runs on the connection's thread after the handshake itself was found right, and may block; a panic is
    /// answered 500. Plain requests are not asked.
    ///
    /// A browser's script is not shown such an answer, only that there is no connection (1006); a handler
    /// that closes with 1008 can say why.
    ///
    /// ```
    /// use switchboard::{Client, Error, Response, Server};
    ///
    /// let server = Server::builder()
    ///     .route("/staff", |mut ws| ws.send("welcome"))
    ///     .admit("/staff", |request| match request.header("authorization") {
    ///         Some("Bearer secret-token") => Ok(()),
    ///         _ => Err(Response::text("who are you?\n").with_status(401)),
    ///     });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// assert!(matches!(server.connect("/staff"), Err(Error::Refused { status: 401, .. })));
    /// # let url = format!("ws://{}/staff", server.local_addr());
    /// let mut ann = Client::builder().header("authorization", "Bearer secret-token").connect(&url)?;
    /// assert_eq!(ann.recv()?, Some("welcome".into()));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn admit(
        self,
        path: &str,
        check: impl Fn(&Request) -> Result<(), Response> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.admit = Some(Arc::new(check)))
    }

    /// A plain HTTP answer to GET (and HEAD) at this path, which may have a WebSocket too. The responder runs
    /// on the connection's thread and may block; a panic is answered 500. [`Response`] has an example.
    #[must_use]
    pub fn get(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_http(Method::GET, Arc::new(responder)))
    }

    /// A plain HTTP answer to POST at this path. The body is read first: a larger one than [`Limits::body`]
    /// is answered 413, a chunked one 411. The responder runs on the connection's thread and may block; a
    /// panic is answered 500.
    ///
    /// ```
    /// use switchboard::{Response, Server};
    ///
    /// let server = Server::builder().post("/hello", |request| match str::from_utf8(request.body()) {
    ///     Ok(name) => Response::text(format!("hello, {name}")),
    ///     Err(_) => Response::text("a name is UTF-8\n").with_status(400),
    /// });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # use std::io::Write;
    /// # let http = |request: &str| -> std::io::Result<String> {
    /// #     let mut socket = std::net::TcpStream::connect(server.local_addr())?;
    /// #     write!(socket, "{request}")?;
    /// #     std::io::read_to_string(socket)
    /// # };
    /// let answer = http("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nann")?;
    /// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello, ann"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn post(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_http(Method::POST, Arc::new(responder)))
    }

    /// `/healthz` (200 while the process serves), `/readyz` (503 while it drains or all connections are in
    /// use) and `/metrics` (Prometheus). Anybody may read them who can reach the server.
    ///
    /// ```
    /// let server = switchboard::Server::builder().health().bind("127.0.0.1:0")?.start()?;
    /// # use std::io::Write;
    /// # let http = |request: &str| -> std::io::Result<String> {
    /// #     let mut socket = std::net::TcpStream::connect(server.local_addr())?;
    /// #     write!(socket, "{request}")?;
    /// #     std::io::read_to_string(socket)
    /// # };
    /// assert!(http("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")?.starts_with("HTTP/1.1 200 OK\r\n"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn health(self) -> Self {
        let ready = self.state.clone();
        let metrics = self.state.clone();
        let uncached = |text: String| Response::text(text).with_header("cache-control", "no-store");
        self.get("/healthz", move |_| uncached("ok\n".into()))
            .get("/readyz", move |_| match ready.read().upgrade() {
                Some(shared) if shared.is_ready() => uncached("ready\n".into()),
                _ => {
                    uncached("not ready: going away, or all connections are in use\n".into()).with_status(503)
                }
            })
            .get("/metrics", move |_| {
                let text = metrics.read().upgrade().map(|shared| shared.metrics.text()).unwrap_or_default();
                Response::new("text/plain; version=0.0.4; charset=utf-8", text)
                    .with_header("cache-control", "no-store")
            })
    }

    /// Bounds and timers, in place of the defaults. [`Builder::bind`] checks them.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Which pages may connect. Default: those of the same host, and whoever is no browser. RFC 6455 §10.2
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.policy.origins = origins;
        self
    }

    /// Subprotocols to agree to, when a client offers them: the first of the client's that is here. A client
    /// that offers none of them is let in without one ([`WebSocket::subprotocol`]). Default: none. RFC 6455
    /// §1.9
    ///
    /// ```
    /// # use switchboard::{Client, Server};
    /// let server = Server::builder().subprotocols(["chat.v2", "chat.v1"]).route("/", |_| Ok(()));
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}/", server.local_addr());
    /// let old = Client::builder().subprotocol("chat.v1").connect(&url)?;
    /// assert_eq!(old.subprotocol(), Some("chat.v1"));
    /// assert_eq!(Client::connect(&url)?.subprotocol(), None);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.policy.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether to agree to permessage-deflate (RFC 7692) when a client offers it. Default: yes, if the crate
    /// was built with the feature `deflate`; without it this does nothing. Messages below
    /// [`Limits::compress_from`] are sent as they are.
    ///
    /// ```
    /// # use switchboard::Server;
    /// let server = Server::builder().compression(false).route("/", |_| Ok(()));
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// assert!(!server.connect("/")?.is_compressed()); // although the client offers it
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn compression(mut self, on: bool) -> Self {
        self.policy.compression = on && cfg!(feature = "deflate");
        self
    }

    /// Speaks TLS: `https://` and `wss://` in place of `http://` and `ws://`. Plain HTTP is answered 400.
    /// [`TlsFiles`](crate::TlsFiles) has an example.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, files: &crate::net::certificate::TlsFiles) -> Self {
        match files.config() {
            Ok(config) => self.tls = Some(config),
            Err(error) => self.mistake = self.mistake.or(Some(error)),
        }
        self
    }

    /// Listens at `HOST:PORT`. Clients can connect from now on and are served once the server is started.
    /// Port 0 takes any free one. Blocks only while a host's name is resolved, whose first address counts.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit or route that cannot be, [`Error::Address`] when the address cannot be
    /// resolved, [`Error::Bind`] when it cannot be listened on.
    pub fn bind(self, address: &str) -> Result<Bound> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.limits.check()?;
        let resolved = |address: &str| -> std::io::Result<SocketAddr> {
            address.to_socket_addrs()?.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        let address = resolved(address).map_err(|error| Error::Address(address.into(), error))?;
        let listener = Listener::bind(address, &self.limits)?;
        let address = listener.local_addr()?;
        Ok(Bound { builder: self, listener, address })
    }

    fn change(mut self, path: &str, change: impl FnOnce(&mut Route)) -> Self {
        match self.router.route(path) {
            Ok(route) => change(route),
            Err(error) => self.mistake = self.mistake.or(Some(error)),
        }
        self
    }
}

/// A server that listens but does not serve yet: what [`Builder::bind`] gives. Dropping it lets go of the
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
    /// Where it listens: with the real port when it was bound to port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the server's threads and returns at once. The server runs until the [`Server`] is dropped or
    /// [`shutdown`](super::Handle::shutdown) is called.
    ///
    /// # Errors
    /// [`Error::Io`] when the machine refuses a thread or a descriptor.
    pub fn start(self) -> Result<Server> {
        let Self { builder, listener, address } = self;
        let Builder { limits, policy, router, state, .. } = builder;
        let granted = Budget::of_this_machine().connections;
        let max_connections = limits.connections.map_or(granted, |wanted| wanted.min(granted));
        let metrics = Arc::new(Metrics::default());
        let (slow_lane, slow_lane_thread) = SlowLane::start(&limits, metrics.clone(), limits.stack)?;
        let cores = available_parallelism().map_or(2, usize::from);
        let (writers, writer_threads) = Writers::start(cores, &slow_lane, limits.stack)?;
        let (hub, hub_thread) = HubQueue::start(&limits, writers, metrics.clone())?;
        let codecs = Arc::new(Codecs::new(limits.compress_from, cores));
        let (draining, sockets) = (AtomicBool::new(false), Sockets::default());
        let shared = Arc::new(Shared {
            #[cfg(feature = "tls")]
            tls: builder.tls.map(|config| Acceptor::new(config, &limits)),
            limits,
            router: Mutex::new(Some(Arc::new(router))),
            policy,
            hub,
            slow_lane,
            metrics,
            codecs,
            max_connections,
            draining,
            sockets,
        });
        *state.write() = Arc::downgrade(&shared);
        let door = Door::open(&shared, listener)?;
        let parts = Parts { door, hub: hub_thread, writers: writer_threads, slow_lane: slow_lane_thread };
        Ok(Server::new(shared, Running::new(parts), address))
    }
}
