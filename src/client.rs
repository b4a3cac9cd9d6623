//! The blocking client: connects, sends, receives, closes. The same protocol code as the server's, in the other role.

use crate::error::{Error, Result};
use crate::limits::{Limits, from_now};
use crate::metrics::Metrics;
use crate::net::codecs::{Codecs, SharedInflate};
use crate::net::link::Link;
use crate::net::masks::random;
use crate::net::outbox::Outbox;
use crate::net::slow_lane::SlowLane;
use crate::net::stream::Stream;
use crate::sender::{Sender, close_code, send_message};
use crate::wire::deflate::Inflate;
use crate::wire::frame::Role;
use crate::wire::handshake::{Agreed, is_token};
use crate::wire::opening::{Declined, Target, Wish, read_answer, request};
use crate::wire::session::Session;
use http::{HeaderName, HeaderValue};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// A WebSocket connection to a server, for programs that block.
///
/// ```
/// use switchboard::{Client, Server};
///
/// # fn main() -> switchboard::Result<()> {
/// # let server = Server::builder()
/// #     .route("/echo", |mut ws| { while let Some(m) = ws.recv()? { ws.send(m)?; } Ok(()) })
/// #     .bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/echo", server.local_addr());
/// let mut client = Client::connect(&url)?;
/// client.send("hello")?;
/// assert_eq!(client.recv()?.unwrap().to_text().unwrap(), "hello");
/// client.close(1000, "bye");
/// assert!(client.recv()?.is_none());
/// # Ok(())
/// # }
/// ```
///
/// Pings are answered, and sent, while the program is inside one of the receiving methods. Dropping it closes with 1000 and
/// waits for the server's answer, for the close deadline at most.
pub struct Client {
    link: Link,
    subprotocol: Option<String>,
    compressed: bool,
}

/// How to connect: see [`Client::builder`].
#[derive(Clone)]
pub struct ClientBuilder {
    wish: Wish,
    limits: Limits,
    #[cfg(feature = "tls")]
    trust: crate::net::trust::Trust,
    /// The first mistake, told by [`ClientBuilder::connect`].
    mistake: Option<String>,
}

impl Client {
    /// Connects to a `ws://` or `wss://` URL with the defaults of [`Client::builder`]. Blocks, for 10 s at most.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url)
    }

    /// A client with the default limits, compression offered, and for `wss://` the usual certificate authorities.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            wish: Wish {
                headers: Vec::new(),
                subprotocols: Vec::new(),
                compression: cfg!(feature = "deflate"),
            },
            limits: Limits::default(),
            #[cfg(feature = "tls")]
            trust: crate::net::trust::Trust::default(),
            mistake: None,
        }
    }

    /// The next text or binary message; blocks until there is one. `None`: the connection has ended
    /// ([`Client::closed`] tells how).
    ///
    /// # Errors
    /// [`Error::Violation`] when the server broke the protocol, [`Error::Silent`] when it answered no ping.
    pub fn recv(&mut self) -> Result<Option<Message>> {
        self.link.receive(None, || Ok(()))
    }

    /// [`Client::recv`] that blocks for `timeout` at most. `Ok(None)` also when the time is up: the connection has ended
    /// only if [`Client::is_closed`].
    ///
    /// # Errors
    /// As [`Client::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message>> {
        self.link.receive(Some(from_now(timeout)), || Ok(()))
    }

    /// [`Client::recv`] that never blocks: `Ok(None)` also when no complete message is there.
    ///
    /// # Errors
    /// As [`Client::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Message>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// How many complete messages can be received without blocking. Never blocks.
    pub fn pending(&mut self) -> usize {
        self.link.pending()
    }

    /// Sends a message. Blocks while so much waits to be sent that it has no room ([`Limits::outbox`]).
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        send_message(&self.link.outbox, &message.into(), self.link.has_more())
    }

    /// A sender that any thread may use, while this one receives.
    pub fn sender(&self) -> Sender {
        Sender::new(&self.link.outbox)
    }

    /// Starts the closing handshake; the same rules as for [`WebSocket::close`](crate::WebSocket::close). Does not block:
    /// receive until `None` to see it through.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.link.close(close_code(code), reason);
    }

    /// Whether nothing more will be received.
    pub fn is_closed(&self) -> bool {
        self.link.closed().is_some() && !self.link.has_more()
    }

    /// Code and reason of the server's Close frame once the connection has ended; 1005 when it had none, 1006 when there
    /// was no Close frame. RFC 6455 §7.1.5
    pub fn closed(&self) -> Option<(u16, &str)> {
        self.link.closed()
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether the server agreed to compression.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }
}

/// The messages until the connection ends, however it ends. Blocks for each.
impl Iterator for Client {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.recv().ok().flatten()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.finish(CloseCode::Normal, "");
    }
}

impl ClientBuilder {
    /// Sends a header field with the request, as `Authorization` or `Cookie`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => self.wish.headers.push((name, value)),
            _ => {
                self.mistake = self.mistake.or(Some(format!("`{name}: {value}` is no header field of HTTP")));
            }
        }
        self
    }

    /// Offers a subprotocol; the first one offered is wanted most.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if !is_token(&name) || self.wish.subprotocols.contains(&name) {
            let wrong =
                format!("`{name}` is no subprotocol to offer: once, letters, digits, and !#$%&'*+-.^_`|~");
            self.mistake = self.mistake.or(Some(wrong));
        } else {
            self.wish.subprotocols.push(name);
        }
        self
    }

    /// Whether to offer permessage-deflate. Default: yes, if the crate was built with the feature `deflate`.
    #[must_use]
    pub fn compression(mut self, on: bool) -> Self {
        self.wish.compression = on && cfg!(feature = "deflate");
        self
    }

    /// Bounds and timers: `message`, `fragments`, `outbox`, `head`, `headers`, `head_deadline` (for connecting altogether),
    /// `ping_interval`, `ping_timeout`, `close_deadline` and `compress_from` are those that count for a client.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Trusts the certificates in this PEM text, in place of the usual authorities.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust = crate::net::trust::Trust::Roots(pem.into());
        self
    }

    /// Trusts any certificate: whoever sits between can read and change everything. For development only.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.trust = crate::net::trust::Trust::Anybody;
        self
    }

    /// Connects. Blocks for [`Limits::head_deadline`] at most, from the first packet to the server's 101.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL, limit or header that cannot be; [`Error::Refused`] when the server answers with another
    /// status than 101; [`Error::Handshake`] when it is no WebSocket server or its certificate is not trusted;
    /// [`Error::Connect`] when it cannot be reached.
    pub fn connect(&self, url: &str) -> Result<Client> {
        if let Some(mistake) = &self.mistake {
            return Err(Error::Config(mistake.clone()));
        }
        self.limits.check()?;
        let target = Target::parse(url).map_err(Error::Config)?;
        let deadline = Instant::now() + self.limits.head_deadline;
        let stream = Arc::new(dial(&target, deadline)?);
        if target.tls {
            self.secure(&stream, &target, deadline)?;
        }
        let (agreed, leftover) = self.open(&stream, &target, deadline)?;
        self.client(stream, agreed, leftover)
    }

    #[cfg(feature = "tls")]
    fn secure(&self, stream: &Stream, target: &Target, deadline: Instant) -> Result<()> {
        use crate::net::tls::Tls;
        let config = self.trust.config()?;
        stream
            .secure(|socket| Tls::connect(socket, config, &target.host, deadline))
            .map_err(|error| Error::Handshake(format!("TLS with {}: {error}", target.host)))
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: &Stream, _: &Target, _: Instant) -> Result<()> {
        Err(Error::Config("wss:// needs the feature `tls` of the crate".into()))
    }

    /// The opening handshake: what was agreed on, and what came behind the answer.
    fn open(&self, stream: &Stream, target: &Target, deadline: Instant) -> Result<(Agreed, Vec<u8>)> {
        let key = key();
        stream.write_all(&request(target, &self.wish, &key), deadline)?;
        let mut input = Vec::new();
        loop {
            let have = input.len();
            input.resize(have + 1024, 0);
            let left = deadline.saturating_duration_since(Instant::now());
            let read = match stream.read(&mut input[have..], left) {
                Ok(0) => {
                    return Err(Error::Handshake("the server ended the connection without an answer".into()));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::Handshake("the server did not answer in time".into()));
                }
                Err(error) => return Err(error.into()),
            };
            input.truncate(have + read);
            match read_answer(&input, &self.wish, &key, self.limits.head, self.limits.headers) {
                Ok(None) => {}
                Ok(Some((agreed, size))) => return Ok((agreed, input.split_off(size))),
                Err(Declined::Wrong(what)) => return Err(Error::Handshake(what)),
                Err(Declined::Status { status, retry_after }) => {
                    return Err(Error::Refused { status, retry_after: retry_after.map(Duration::from_secs) });
                }
            }
        }
    }

    fn client(&self, stream: Arc<Stream>, agreed: Agreed, leftover: Vec<u8>) -> Result<Client> {
        let limits = &self.limits;
        let metrics = Arc::new(Metrics::default());
        let codecs = Arc::new(Codecs::new(limits.compress_from, 1));
        let slow_lane = slow_lane()?;
        let inflate = agreed.deflate.map(|_| Box::new(SharedInflate(codecs.clone())) as Box<dyn Inflate>);
        let outbox = Outbox::new(
            stream,
            limits.outbox,
            slow_lane,
            metrics.clone(),
            codecs,
            agreed.deflate,
            Role::Client,
        );
        let session = Session::new(Role::Client, limits, inflate, Instant::now());
        let link = Link::new(Arc::new(outbox), session, None, metrics, limits.close_deadline, leftover);
        Ok(Client { link, subprotocol: agreed.subprotocol, compressed: agreed.deflate.is_some() })
    }
}

/// A TCP connection to the first of the host's addresses that answers.
fn dial(target: &Target, deadline: Instant) -> Result<Stream> {
    let unreachable = |error| Error::Connect(format!("{}:{}", target.host, target.port), error);
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in (target.host.as_str(), target.port).to_socket_addrs().map_err(unreachable)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(Stream::new(socket, address));
            }
            Err(error) => failure = error,
        }
    }
    Err(unreachable(failure))
}

/// 16 random bytes as base64. RFC 6455 §4.1.
pub(crate) fn key() -> String {
    // The digest of random bytes as base64 is at hand, and as unpredictable; 22 digits hold 16 bytes, `w` is a last digit
    // that leaves no bits over.
    let digest = tungstenite::handshake::derive_accept_key(&random());
    format!("{}w==", &digest[..21])
}

/// One slow lane for all clients of the process: they are few, and it sleeps.
fn slow_lane() -> Result<Arc<SlowLane>> {
    static SLOW_LANE: OnceLock<Arc<SlowLane>> = OnceLock::new();
    if let Some(slow_lane) = SLOW_LANE.get() {
        return Ok(slow_lane.clone());
    }
    let limits = Limits::default();
    let (slow_lane, _) = SlowLane::start(&limits, Arc::default(), limits.stack)?;
    let first = SLOW_LANE.get_or_init(|| slow_lane.clone());
    if !Arc::ptr_eq(first, &slow_lane) {
        slow_lane.stop();
    }
    Ok(first.clone())
}
