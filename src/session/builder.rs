//! How a session is begun.

use super::Session;
use super::core::Core;
use super::line::{PROTOCOL, Shared, with_user};
use super::token::{Token, with_token};
use crate::client::{Client, ClientBuilder};
use crate::error::Result;
use crate::limits::{Limits, MIB};
use crate::net::random::random_name;
use crate::reconnect::random_u32;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The largest text that is taken: the answer to a `join` holds a room's history, 1 MiB of data by default.
const MESSAGE: usize = 16 * MIB;
/// How soon the dead are found: before a request's time is up, with the interval and the timeout of a ping.
const PING: Duration = Duration::from_secs(10);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to begin a session: what [`Session::builder`] gives. Can be used many times.
///
/// ```
/// use std::time::Duration;
/// use switchboard::Session;
///
/// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/ws", server.local_addr());
/// let session = Session::builder()
///     .user("ann")
///     .token("secret-token")
///     .patience(Duration::from_secs(5))
///     .client(|client| client.compression(false).header("x-from", "the example"))
///     .connect(&url)?;
/// session.ping()?;
/// assert_eq!(session.user().as_deref(), Some("ann"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    client: ClientBuilder,
    user: Option<String>,
    token: Option<Token>,
    patience: Duration,
}

impl Session {
    /// A session with the defaults.
    pub fn builder() -> Builder {
        let limits = Limits {
            message: MESSAGE,
            outbox: MESSAGE,
            hub_queue: 4 * MESSAGE,
            ping_interval: PING,
            ping_timeout: PING,
            ..Limits::default()
        };
        let client = Client::builder().subprotocol(PROTOCOL).limits(limits);
        Builder { client, user: None, token: None, patience: PATIENCE }
    }
}

impl Builder {
    /// Who we are, for a server that asks for no proof of it (`?user=`). Who says nothing is a guest, and stays the same
    /// one as long as the session lasts.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// A token that lets in, and says who we are: `Authorization: Bearer TOKEN`. In place of [`Builder::token_from`].
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(Token::Given(token.into()));
        self
    }

    /// A function for tokens that do not last: it is asked before each connection, the first one too, in place of
    /// [`Builder::token`]. It runs on a thread of the session's own and may block: requests wait meanwhile, with their time
    /// running; [`Session::close`] does not wait for it. When it fails or panics, or gives what no header field can hold, it
    /// is asked again after a wait that grows ([`Event::Disconnected`](super::Event::Disconnected)).
    ///
    /// A session that is not let in (1008, or HTTP's 401) then does not end at once: its token may have been too old. It tries
    /// five more times, with a new token each; being let in for 5 s makes these five again.
    ///
    /// ```
    /// use std::fs;
    /// use switchboard::Session;
    ///
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}/ws", server.local_addr());
    /// # let path = std::env::temp_dir().join(format!("switchboard-token-{}", std::process::id()));
    /// # fs::write(&path, "secret-token\n")?;
    /// # let file = path.clone();
    /// // Somebody else renews the file.
    /// let session = Session::builder()
    ///     .token_from(move || Ok(fs::read_to_string(&file)?.trim().into()))
    ///     .connect(&url)?;
    /// session.ping()?;
    /// # fs::remove_file(path)?;
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn token_from(mut self, ask: impl Fn() -> Result<String> + Send + Sync + 'static) -> Self {
        self.token = Some(Token::Asked(Arc::new(ask)));
        self
    }

    /// How long a request may take, tries and waits included. Default 30 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Changes how the connection is made: header fields, roots of trust, compression, limits. Where they differ from
    /// [`Limits::default`], a session's limits are: `message` and `outbox` 16 MiB, since the answer to joining a room holds
    /// its history; `ping_interval` and `ping_timeout` 10 s, so that a dead connection is found within 20 s.
    #[must_use]
    pub fn client(mut self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        self.client = change(self.client);
        self
    }

    /// Begins a session with the server at a `ws://` or `wss://` URL. Does not block: a thread of the session's own connects,
    /// now and whenever the connection is lost.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a URL, limit or header field that cannot be, [`Error::Io`](crate::Error::Io)
    /// when there is no thread to be had. What the server says, and whether it is there, the session tells:
    /// [`Event::Disconnected`](super::Event::Disconnected).
    pub fn connect(&self, url: &str) -> Result<Session> {
        let url = self.user.as_ref().map_or(url.into(), |user| with_user(url, user));
        match &self.token {
            Some(Token::Given(token)) => with_token(&self.client, token).check(&url)?,
            _ => self.client.check(&url)?,
        };
        let renews = self.token.as_ref().is_some_and(Token::is_asked);
        let shared = Arc::new(Shared::new(Core::new(random_name(16), random_u32, renews)));
        let thread = thread::Builder::new().name("session".into()).spawn({
            let (shared, client, token) = (shared.clone(), self.client.clone(), self.token.clone());
            move || shared.run(&client, token.as_ref(), &url)
        })?;
        Ok(Session { shared, patience: self.patience, thread: Some(thread) })
    }
}
