//! How a server is put together: what is at which path, limits, TLS; then an address. Who may come is in `access`.

use super::arrival::{Authenticator, Proxies};
use super::bound::Bound;
use super::callbacks::{self, Callbacks};
use super::handle::Server;
use super::identity::Refuse;
use super::quotas::Quotas;
use super::request::{Request, Response};
use super::router::{Route, Router};
use super::shared::Shared;
use super::websocket::WebSocket;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hub::Rules;
use crate::limits::Limits;
use crate::net::listener::Listener;
use crate::wire::handshake::Policy;
use http::Method;
use parking_lot::RwLock;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Weak};

/// A server that is being put together: what [`Server::builder`] gives. Nothing runs and nothing is checked
/// before [`Builder::bind`] or [`Builder::listen_on`], which tell the first mistake.
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
    pub(super) limits: Limits,
    pub(super) quotas: Quotas,
    pub(super) rules: Rules,
    pub(super) engine: Option<Arc<dyn Engine>>,
    #[cfg(all(feature = "protocol", feature = "schema"))]
    pub(super) data_checks: super::rooms::DataChecks,
    pub(super) policy: Policy,
    pub(super) proxies: Proxies,
    pub(super) authenticate: Option<Authenticator>,
    pub(super) refuse: Refuse,
    pub(super) router: Router,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// The health pages' view of the server they belong to.
    pub(super) state: StateView,
    /// The first mistake, told by [`Builder::bind`].
    pub(super) mistake: Option<Error>,
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
    /// name is answered 400. The other segments fit however they are encoded: `/%65cho` is `/echo`. When
    /// several routes fit, the one with the fewest parameters is taken. A second handler for the same path
    /// takes the first one's place.
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
        self.change(path, |route| {
            route.websocket = Some(Arc::new(handler));
            route.subprotocol = None;
        })
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

    /// A plain HTTP answer to GET (and HEAD) at this path, which may have a WebSocket too. The responder runs
    /// on the connection's thread and may block; a panic is answered 500. [`Response`] has an example.
    #[must_use]
    pub fn get(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_http(Method::GET, Arc::new(responder)))
    }

    /// A plain HTTP answer to POST at this path. The body is read first, chunked or not: a larger one than
    /// [`Limits::body`] is answered 413. The responder runs on the connection's thread and may block; a panic
    /// is answered 500.
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
    /// use) and `/metrics` (Prometheus: [`Handle::metrics`](crate::Handle::metrics)). Anybody may read them who can reach the server.
    ///
    /// They are answered also when all connections are in use and when [`Quotas`] refuse the client, as long as the head of the
    /// request has at most 2 KiB; no other page is, nor one that takes the place of these ([`Builder::get`]). With TLS a few
    /// clients at once are heard while all connections are in use; whom the quotas refuse gets no handshake, and no answer.
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
        self.probe("/healthz", move |_| uncached("ok\n".into()))
            .probe("/readyz", move |_| {
                let why =
                    ready.read().upgrade().map_or(Some("it is stopping".into()), |shared| shared.unready());
                match why {
                    None => uncached("ready\n".into()),
                    Some(why) => uncached(format!("not ready: {why}\n")).with_status(503),
                }
            })
            .probe("/metrics", move |_| {
                let text = metrics.read().upgrade().map(|shared| shared.metrics_text()).unwrap_or_default();
                Response::new("text/plain; version=0.0.4; charset=utf-8", text)
                    .with_header("cache-control", "no-store")
            })
    }

    fn probe(self, path: &str, responder: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        self.change(path, |route| route.set_probe(Arc::new(responder)))
    }

    /// Bounds and timers, in place of the defaults. [`Builder::bind`] checks them.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Keeps the rooms of `switchboard.v1` outside of the hub: on disk, or where several servers have the same ones; then
    /// plain rooms and users reach over all servers too.
    /// [`Engine`] has an example. Default: none, the hub's own memory.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine + 'static) -> Self {
        self.engine = Some(Arc::new(engine));
        self
    }

    /// Subprotocols to agree to, when a client offers them: the first of the client's that is here. A client
    /// that offers none of them is let in without one ([`WebSocket::subprotocol`]); an offer `bearer.TOKEN`
    /// ([`Request::token`]) is answered then, as browsers want. Default: none. RFC 6455 §1.9
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
    /// [`Error::Config`] for a limit, rule, route or origin that cannot be, [`Error::Address`] when the address cannot be resolved,
    /// [`Error::Bind`] when it cannot be listened on.
    pub fn bind(mut self, address: &str) -> Result<Bound> {
        self.validate()?;
        let resolved = |address: &str| -> std::io::Result<SocketAddr> {
            address.to_socket_addrs()?.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        let address = resolved(address).map_err(|error| Error::Address(address.into(), error))?;
        let listener = Listener::bind(address, &self.limits)?;
        Bound::new(self, listener)
    }

    /// Serves on a socket that listens already, in place of [`Builder::bind`]: one that systemd has opened, that a process
    /// before this one has left, or whose options are set elsewhere. Does not block.
    ///
    /// The socket outlives the server. A shutdown stops accepting at once and leaves it open, so that clients who come then
    /// wait for whoever else holds it ([`TcpListener::try_clone`] counts); who was accepted before is served, and then sent
    /// away like all others. When nobody else holds it they are refused. It is made non-blocking, for all who hold it, and
    /// gets the send buffer of [`Limits::send_buffer`]; [`Limits::backlog`] does not count.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use switchboard::{Client, Drain, Server};
    ///
    /// let socket = TcpListener::bind("127.0.0.1:0")?;
    /// let url = format!("ws://{}/", socket.local_addr()?);
    /// let serve = |text: &'static str| {
    ///     let builder = Server::builder().route("/", move |mut ws| ws.send(text));
    ///     builder.listen_on(socket.try_clone()?)?.start()
    /// };
    /// let old = serve("old")?;
    /// assert_eq!(Client::connect(&url)?.recv()?, Some("old".into()));
    /// old.shutdown(Drain::within(Duration::from_secs(1)));
    /// let new = serve("new")?; // whoever came in between has waited
    /// assert_eq!(Client::connect(&url)?.recv()?, Some("new".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a limit, route or origin that cannot be, or a socket that does not listen; [`Error::Io`] when the
    /// system refuses an option.
    pub fn listen_on(mut self, socket: TcpListener) -> Result<Bound> {
        self.validate()?;
        let listener = Listener::adopt(socket, &self.limits)?;
        Bound::new(self, listener)
    }

    fn validate(&mut self) -> Result<()> {
        match self.mistake.take() {
            Some(mistake) => Err(mistake),
            None => {
                self.limits.check()?;
                #[cfg(feature = "protocol")]
                self.check_rooms()?;
                self.policy.origins.check()
            }
        }
    }

    pub(super) fn change(mut self, path: &str, change: impl FnOnce(&mut Route)) -> Self {
        match self.router.route(path) {
            Ok(route) => change(route),
            Err(error) => self.mistake = self.mistake.or(Some(error)),
        }
        self
    }
}
