//! How a client connects: what it asks for, TCP, TLS, and the opening handshake. RFC 6455 §4.1.

use super::Client;
use crate::error::{Error, Result};
use crate::limits::{LAST_WORDS, Limits, from_now};
use crate::metrics::Metrics;
use crate::net::codecs::{Codecs, SharedInflate};
use crate::net::link::Link;
use crate::net::outbox::Outbox;
use crate::net::random::random;
use crate::net::sealed;
use crate::net::slow_lane::SlowLane;
use crate::net::stream::Stream;
use crate::sansio::Endpoint;
use crate::wire::deflate::Inflate;
use crate::wire::frame::Role;
use crate::wire::handshake::{Agreed, is_token};
use crate::wire::opening::{Declined, Target, Wish, read_answer, reason, request};
use crate::wire::session::Session;
use http::{HeaderName, HeaderValue};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How to connect: what [`Client::builder`] gives. Can be used many times.
///
/// ```
/// use switchboard::{Client, Limits};
///
/// # let server = switchboard::Server::builder().subprotocols(["chat.v1"]).route("/", |mut ws| {
/// #     let token = ws.request().header("authorization").unwrap_or_default().to_string();
/// #     ws.send(token)
/// # });
/// # let server = server.bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let builder = Client::builder()
///     .header("authorization", "Bearer secret-token")
///     .subprotocol("chat.v2")
///     .subprotocol("chat.v1")
///     .limits(Limits { message: 64 * 1024, ..Limits::default() })
///     .compression(false);
/// let mut client = builder.connect(&url)?;
/// assert_eq!((client.subprotocol(), client.is_compressed()), (Some("chat.v1"), false));
/// # assert_eq!(client.recv()?, Some("Bearer secret-token".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientBuilder {
    wish: Wish,
    limits: Limits,
    #[cfg(feature = "tls")]
    trust: crate::net::trust::Trust,
    /// The first mistake, told by [`ClientBuilder::connect`].
    mistake: Option<String>,
}

#[cfg(not(feature = "tls"))]
const NO_TLS: &str = "wss:// needs the feature `tls` of the crate";

impl Client {
    /// A client with the default limits, compression offered if the crate has it, and for `wss://` the usual
    /// certificate authorities (those that Mozilla trusts, as of this build).
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            wish: Wish { compression: cfg!(feature = "deflate"), ..Wish::default() },
            limits: Limits::default(),
            #[cfg(feature = "tls")]
            trust: crate::net::trust::Trust::default(),
            mistake: None,
        }
    }
}

impl ClientBuilder {
    /// Sends a header field with the request, as `Authorization` or `Cookie`. One that HTTP does not allow is
    /// told by [`ClientBuilder::connect`].
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        // The value is not told: it may be a secret, read from a file with the end of its line.
        let wrong = match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.wish.headers.push((name, value));
                return self;
            }
            (Err(_), _) => {
                format!("`{name}` is no name of a header field: letters, digits, and !#$%&'*+-.^_`|~")
            }
            (Ok(_), Err(_)) => {
                format!(
                    "the value for `{name}` holds a control character, such as the end of a line: take it away"
                )
            }
        };
        self.mistake = self.mistake.or(Some(wrong));
        self
    }

    /// Offers a subprotocol; the first one offered is wanted most. [`Client::subprotocol`] tells what the
    /// server chose. RFC 6455 §1.9
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

    /// Whether to offer permessage-deflate (RFC 7692). Default: yes, if the crate was built with the feature
    /// `deflate`; without it this does nothing.
    #[must_use]
    pub fn compression(mut self, on: bool) -> Self {
        self.wish.compression = on && cfg!(feature = "deflate");
        self
    }

    /// Bounds and timers. `message`, `fragments`, `outbox`, `head`, `headers`, `head_deadline` (for
    /// connecting altogether), `ping_interval`, `ping_timeout`, `close_deadline` and `compress_from` count
    /// for a client; the others must be valid all the same. After [`Sender::close`](crate::Sender::close) the
    /// server has 5 s to answer, whatever `close_deadline` is.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Trusts the certificates in this PEM text, in place of the usual authorities: for a server with a
    /// certificate of its own making, or of a company's authority.
    ///
    /// ```
    /// # #[cfg(not(feature = "cli"))]
    /// # fn main() {}
    /// # #[cfg(feature = "cli")] // for rcgen
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use switchboard::{Client, Error};
    ///
    /// # use switchboard::{Server, TlsFiles};
    /// # let folder = std::env::temp_dir().join(format!("switchboard-roots-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    /// # let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()])?;
    /// # let certificate_pem = made.cert.pem();
    /// # std::fs::write(&certificate, &certificate_pem)?;
    /// # std::fs::write(&key, made.signing_key.serialize_pem())?;
    /// # let server = Server::builder().tls(&TlsFiles::read(certificate, key)?).route("/", |_| Ok(()));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("wss://{}/", server.local_addr());
    /// assert!(matches!(Client::connect(&url), Err(Error::Handshake(_)))); // nobody vouches for it
    /// assert!(Client::builder().roots(certificate_pem).connect(&url).is_ok());
    /// assert!(Client::builder().danger_accept_any_certificate().connect(&url).is_ok());
    /// # Ok(())
    /// # }
    /// ```
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

    /// Connects to a `ws://` or `wss://` URL. Blocks for [`Limits::head_deadline`] at most, from the first
    /// packet to the server's 101; before that, for as long as the system takes to resolve the host's name.
    /// RFC 6455 §4.1
    ///
    /// ```
    /// use switchboard::{Client, Error};
    ///
    /// # let server = switchboard::Server::builder().bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}/nothing-here", server.local_addr());
    /// match Client::builder().connect(&url) {
    ///     Ok(mut client) => client.send("hello")?,
    ///     Err(Error::Refused { status, .. }) => assert_eq!(status, 404), // an answer, but not 101
    ///     Err(Error::Connect(host, error)) => println!("{host} cannot be reached: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a URL, limit, root or header that cannot be; [`Error::Connect`] when the server
    /// cannot be reached; [`Error::Refused`] when it answers with another status than 101;
    /// [`Error::Handshake`] when it is no WebSocket server, does not answer in time, or has a certificate
    /// that is not trusted; [`Error::Io`] when it breaks the connection off.
    pub fn connect(&self, url: &str) -> Result<Client> {
        let target = self.check(url)?;
        let deadline = Instant::now() + self.limits.head_deadline;
        let stream = Arc::new(dial(&target, deadline)?);
        if target.tls {
            self.secure(&stream, &target, deadline)?;
        }
        let (agreed, leftover) = self.open(&stream, &target, deadline)?;
        self.client(stream, agreed, leftover)
    }

    /// The same for many connections that the program drives itself, with [`sansio`](crate::sansio). Connects
    /// to nothing. Of the timers, `head_deadline` counts from the making of each [`Protocol`].
    ///
    /// [`Protocol`]: crate::sansio::Protocol
    ///
    /// # Errors
    /// [`Error::Config`] for a URL, limit, root or header that cannot be.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint> {
        let target = self.check(url)?;
        let tls = if target.tls { Some(self.tls()?) } else { None };
        Ok(Endpoint::new(target, self.wish.clone(), self.limits.clone(), tls))
    }

    /// How long connecting may take.
    #[cfg(feature = "protocol")]
    pub(crate) fn head_deadline(&self) -> Duration {
        self.limits.head_deadline
    }

    /// Whether this can be tried at all.
    pub(crate) fn check(&self, url: &str) -> Result<Target> {
        if let Some(mistake) = &self.mistake {
            return Err(Error::Config(mistake.clone()));
        }
        self.limits.check()?;
        Target::parse(url).map_err(Error::Config)
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<sealed::Config> {
        self.trust.config()
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self) -> Result<sealed::Config> {
        Err(Error::Config(NO_TLS.into()))
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
        Err(Error::Config(NO_TLS.into()))
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
                Err(Declined::Status { status, retry_after, text }) => {
                    let retry_after = retry_after.map(Duration::from_secs);
                    let reason = last_words(stream, input, &text, deadline.min(from_now(LAST_WORDS)));
                    return Err(Error::Refused { status, retry_after, reason });
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
        let outbox =
            Outbox::new(stream, limits, slow_lane, metrics.clone(), codecs, agreed.deflate, Role::Client);
        let session = Session::new(Role::Client, limits, inflate, Instant::now());
        let link = Link::new(Arc::new(outbox), session, None, metrics, limits.close_deadline, leftover);
        Ok(Client { link, subprotocol: agreed.subprotocol, compressed: agreed.deflate.is_some() })
    }
}

/// What a refusal says. `text` is where it lies; `input` may have but the beginning of it.
fn last_words(stream: &Stream, mut input: Vec<u8>, text: &Range<usize>, deadline: Instant) -> String {
    while input.len() < text.end {
        let have = input.len();
        input.resize(text.end, 0);
        let left = deadline.saturating_duration_since(Instant::now());
        let read = stream.read(&mut input[have..], left).unwrap_or(0);
        input.truncate(have + read);
        if read == 0 {
            break;
        }
    }
    reason(&input[text.start..text.end.min(input.len())])
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

/// One slow lane for all clients of the process, with the usual times: they are few, and it sleeps.
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
