//! How a server is put together: routes, limits, policy; then an address; then it runs.

use super::accept::Door;
use super::arrival::{Authenticator, Proxies};
use super::callbacks::{self, Callbacks};
use super::drain::{Parts, Running};
use super::handle::Server;
use super::hub_thread::HubQueue;
use super::identity::{Denied, Identity, Refuse};
use super::quotas::Quotas;
use super::refusals::Refusals;
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
use crate::net::proxy::Network;
use crate::net::slow_lane::SlowLane;
use crate::net::writers::Writers;
use crate::wire::handshake::{Origins, Policy};
use http::Method;
use parking_lot::{Mutex, RwLock};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use tungstenite::Message;

/// A server that is being put together: see [`Server::builder`].
#[derive(Default)]
pub struct Builder {
    limits: Limits,
    quotas: Quotas,
    policy: Policy,
    proxies: Proxies,
    authenticate: Option<Authenticator>,
    refuse: Refuse,
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
    /// # fn main() -> switchboard::Result<()> {
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
    /// server.room("lobby").send("hello"); // from any thread
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// A WebSocket at this path. Whole segments in braces are parameters: `/chat/{room}`
    /// ([`WebSocket::param`]); their values are names ([`Limits::name`]), percent-decoded.
    ///
    /// The handler runs on a thread of the connection's own and may block. A plain GET is answered 426, unless
    /// [`Builder::get`] has set an answer for the same path.
    #[must_use]
    pub fn route(
        self,
        path: &str,
        handler: impl Fn(WebSocket) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.websocket = Some(Arc::new(handler)))
    }

    /// The callback style: a WebSocket at this path whose connections each get a value of their own from `new`.
    #[must_use]
    pub fn callbacks<C: Callbacks + 'static>(
        self,
        path: &str,
        new: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        self.route(path, move |ws| callbacks::run(new(), ws))
    }

    /// Asks `check` before a WebSocket at this path is opened: `Err` is what the client is answered instead. Runs on the
    /// connection's thread after the handshake itself was found right; a panic is answered 500.
    ///
    /// A browser's script is not shown such an answer, only that there is no connection (1006); a handler that closes with
    /// 1008 can say why.
    ///
    /// ```
    /// use switchboard::{Response, Server};
    ///
    /// let builder = Server::builder().route("/staff", |mut ws| ws.send("welcome")).admit("/staff", |request| {
    ///     match request.header("authorization") {
    ///         Some("Bearer secret-token") => Ok(()),
    ///         _ => Err(Response::text("who are you?\n").with_status(401).with_header("www-authenticate", "Bearer")),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn admit(
        self,
        path: &str,
        check: impl Fn(&Request) -> Result<(), Response> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.admit = Some(Arc::new(check)))
    }

    /// A plain HTTP answer to GET (and HEAD) at this path. The path may have a WebSocket too.
    #[must_use]
    pub fn get(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_http(Method::GET, Arc::new(responder)))
    }

    /// A plain HTTP answer to POST at this path; the body is read first, up to [`Limits::body`].
    #[must_use]
    pub fn post(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_http(Method::POST, Arc::new(responder)))
    }

    /// `/healthz` (200 while the process serves), `/readyz` (503 while it drains or all connections are in use) and
    /// `/metrics` (Prometheus).
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

    /// Bounds and timers.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How much one client may do.
    #[must_use]
    pub fn quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// Asks `authenticate` who opens a WebSocket, on whatever path, once the handshake is found right; plain HTTP is not
    /// asked. Runs on the connection's thread and may block; a panic lets nobody in.
    ///
    /// A user that has a name can be reached by it ([`Handle::user`](super::Handle::user)) without
    /// [`WebSocket::identify`]. A token comes by a header, in the query, or, as pages in a browser can set no header, in an
    /// offered subprotocol `bearer.TOKEN`: [`Request::token`] looks in all three.
    ///
    /// ```
    /// use switchboard::{Denied, Identity, Server};
    ///
    /// # fn main() -> switchboard::Result<()> {
    /// let server = Server::builder()
    ///     .authenticate(|request| match request.token().as_deref() {
    ///         Some("ann's token") => Ok(Identity::user("ann")),
    ///         Some(_) => Err(Denied::unauthorized("this token is not known")),
    ///         None => Err(Denied::unauthorized("a token is needed")),
    ///     })
    ///     .route("/", |mut ws| ws.send(format!("hello {}", ws.identity().name().unwrap_or("stranger"))))
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let mut client = server.connect("/?token=ann's%20token")?;
    /// assert_eq!(client.recv()?.unwrap().to_text().unwrap(), "hello ann");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn authenticate(
        mut self,
        authenticate: impl Fn(&Request) -> Result<Identity, Denied> + Send + Sync + 'static,
    ) -> Self {
        self.policy.bearer = true;
        self.authenticate = Some(Box::new(authenticate));
        self
    }

    /// How clients are told that they may not in. Default: [`Refuse::Close`].
    #[must_use]
    pub fn refuse(self, refuse: Refuse) -> Self {
        Self { refuse, ..self }
    }

    /// Takes these proxies' word for who a client is: the last address in `X-Forwarded-For` that is none of them. Default:
    /// nobody's, as anybody can write that header.
    #[must_use]
    pub fn trust_proxies(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.proxies.trusted = networks.into_iter().collect();
        self
    }

    /// The trusted proxies begin each connection with a header of the PROXY protocol, version 2; a connection of theirs
    /// without one is refused. `X-Forwarded-For` is not looked at then. Default: no.
    #[must_use]
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.proxies.protocol = on;
        self
    }

    /// Asks `check` about every message that comes on a WebSocket at this path, before the handler is given it: `Err` is sent
    /// back instead, and the handler sees nothing. Runs on the connection's thread.
    ///
    /// ```
    /// use switchboard::{Message, Server};
    ///
    /// let builder = Server::builder().route("/log", |mut ws| ws.recv().map(drop)).check("/log", |_, message| match message {
    ///     Message::Text(text) if text.len() <= 1000 => Ok(()),
    ///     _ => Err(Message::text("send a text of at most 1000 bytes")),
    /// });
    /// ```
    #[must_use]
    pub fn check(
        self,
        path: &str,
        check: impl Fn(&Request, &Message) -> Result<(), Message> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.check = Some(Arc::new(check)))
    }

    /// Which pages may connect. Default: those of the same host, and whoever is no browser.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.policy.origins = origins;
        self
    }

    /// Subprotocols to agree to, when a client offers them. Default: none. RFC 6455 §1.9
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.policy.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether to agree to permessage-deflate (RFC 7692) when a client offers it. Default: yes, if the crate was built with
    /// the feature `deflate`. Messages below [`Limits::compress_from`] are sent as they are.
    #[must_use]
    pub fn compression(mut self, on: bool) -> Self {
        self.policy.compression = on && cfg!(feature = "deflate");
        self
    }

    /// Speaks TLS: `https://` and `wss://` in place of `http://` and `ws://`. Plain HTTP is answered 400.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, files: &crate::net::certificate::TlsFiles) -> Self {
        match files.config() {
            Ok(config) => self.tls = Some(config),
            Err(error) => self.mistake = self.mistake.or(Some(error)),
        }
        self
    }

    /// Listens. Clients can connect from now on and are served once the server is started. Port 0 takes any free one.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit or route that cannot be, [`Error::Address`] when the address cannot be resolved,
    /// [`Error::Bind`] when it cannot be listened on.
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

/// A server that listens but does not serve yet.
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

    /// Starts the server's threads and returns at once. The server runs until [`Server`] is dropped or
    /// [`shutdown`](super::Handle::shutdown).
    ///
    /// # Errors
    /// [`Error::Io`] when the machine refuses a thread.
    pub fn start(self) -> Result<Server> {
        let Self { builder, listener, address } = self;
        let Builder { limits, quotas, policy, proxies, authenticate, refuse, router, state, .. } = builder;
        let granted = Budget::of_this_machine().connections;
        let max_connections = limits.connections.map_or(granted, |wanted| wanted.min(granted));
        let metrics = Arc::new(Metrics::default());
        let (slow_lane, slow_lane_thread) = SlowLane::start(&limits, metrics.clone(), limits.stack)?;
        let cores = available_parallelism().map_or(2, usize::from);
        let (writers, writer_threads) = Writers::start(cores, &slow_lane, limits.stack)?;
        let (refusals, refusals_thread) = Refusals::start(limits.stack)?;
        let (hub, hub_thread) = HubQueue::start(&limits, writers, metrics.clone())?;
        let codecs = Arc::new(Codecs::new(limits.compress_from, cores));
        let (draining, sockets) = (AtomicBool::new(false), Sockets::default());
        let shared = Arc::new(Shared {
            #[cfg(feature = "tls")]
            tls: builder.tls.map(|config| Acceptor::new(config, &limits)),
            limits,
            router: Mutex::new(Some(Arc::new(router))),
            policy,
            quotas: Mutex::new(Arc::new(quotas)),
            visitors: Arc::default(),
            proxies,
            authenticate,
            refuse,
            refusals,
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
        let parts = Parts {
            door,
            hub: hub_thread,
            writers: writer_threads,
            slow_lane: slow_lane_thread,
            refusals: refusals_thread,
        };
        Ok(Server::new(shared, Running::new(parts), address))
    }
}
