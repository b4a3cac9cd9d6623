//! The blocking client: connects, sends, receives, closes. The same protocol code as the server's, in the
//! other role.

mod builder;

pub use builder::ClientBuilder;
pub(crate) use builder::key;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
#[cfg(doc)]
use crate::limits::Limits;
use crate::limits::from_now;
use crate::net::link::Link;
use crate::sender::{Sender, close_code, send_message};
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// A WebSocket connection to a server, for programs that block.
///
/// ```
/// use switchboard::Client;
///
/// # let server = switchboard::Server::builder()
/// #     .route("/echo", |mut ws| { while let Some(m) = ws.recv()? { ws.send(m)?; } Ok(()) })
/// #     .bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/echo", server.local_addr());
/// let mut client = Client::connect(&url)?;
/// client.send("hello")?;
/// assert_eq!(client.recv()?, Some("hello".into()));
/// client.close(1000, "bye");
/// assert_eq!(client.recv()?, None); // the server has answered
/// assert_eq!(client.closed(), Some((1000, "")));
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// It is also an iterator over the messages, until the connection ends, however it ends:
///
/// ```
/// # let server = switchboard::Server::builder()
/// #     .route("/", |mut ws| { ws.send("one")?; ws.send("two") }).bind("127.0.0.1:0")?.start()?;
/// let client = server.connect("/")?;
/// let messages: Vec<String> = client.map(|message| message.to_string()).collect();
/// assert_eq!(messages, ["one", "two"]);
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// Pings are answered, and sent, while the program is inside one of the receiving methods; so it should come
/// back to them within the ping interval. Other threads send through a [`Client::sender`]. Dropping it closes
/// with 1000 and waits for the server's answer, for [`Limits::close_deadline`] at most.
pub struct Client {
    link: Link,
    subprotocol: Option<String>,
    compressed: bool,
}

impl Client {
    /// Connects to a `ws://` or `wss://` URL with the defaults of [`Client::builder`]. Blocks, for 10 s at
    /// most once the host's name is resolved.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url)
    }

    /// The next text or binary message; blocks until there is one. `None`: the connection has ended, by a
    /// Close frame of either side or because the server is gone ([`Client::closed`] tells which).
    ///
    /// # Errors
    /// [`Error::Violation`] when the server broke the protocol, [`Error::Silent`] when it answered no ping.
    /// It has been sent a Close frame that says so.
    pub fn recv(&mut self) -> Result<Option<Message>> {
        self.link.receive(None, || Ok(()))
    }

    /// [`Client::recv`] that blocks for `timeout` at most. `Ok(None)` also when the time is up: the
    /// connection has ended only if [`Client::is_closed`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let server = switchboard::Server::builder()
    /// #     .route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
    /// # let mut client = server.connect("/")?;
    /// match client.recv_timeout(Duration::from_millis(20))? {
    ///     Some(message) => println!("{message}"),
    ///     None if client.is_closed() => println!("the end"),
    ///     None => client.send("are you there?")?,
    /// }
    /// assert_eq!(client.recv()?, None); // it was, and left with 1000
    /// assert!(client.is_closed());
    /// # Ok::<(), switchboard::Error>(())
    /// ```
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

    /// How many complete messages can be received without blocking. Never blocks; takes in what has arrived,
    /// 16 buffers' worth at most.
    ///
    /// ```
    /// # let server = switchboard::Server::builder()
    /// #     .route("/", |mut ws| { ws.send("slow")?; ws.send("slower")?; ws.send("newest") })
    /// #     .bind("127.0.0.1:0")?.start()?;
    /// let mut client = server.connect("/")?;
    /// let mut shown = None;
    /// while let Some(message) = client.recv()? {
    ///     if client.pending() == 0 {
    ///         shown = Some(message); // otherwise it is outdated already
    ///     }
    /// }
    /// assert_eq!(shown, Some("newest".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn pending(&mut self) -> usize {
        self.link.pending()
    }

    /// Sends a message; returns when it is in the outbox. Blocks while so much waits to be sent that it has
    /// no room ([`Limits::outbox`]), until the server has taken enough or has taken nothing for 10 s. While
    /// received messages wait to be taken, what is sent is gathered and leaves together, after 5 ms at the
    /// latest.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended, or a Close frame is on its way; [`Error::Config`] for
    /// a message other than text, binary, or a ping of at most 125 bytes.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        send_message(&self.link.outbox, &message.into(), self.link.has_more())
    }

    /// A sender that any thread may use, while this one receives.
    ///
    /// ```
    /// use std::thread;
    /// # let server = switchboard::Server::builder()
    /// #     .route("/", |mut ws| { while let Some(m) = ws.recv()? { ws.send(m)?; } Ok(()) })
    /// #     .bind("127.0.0.1:0")?.start()?;
    /// let mut client = server.connect("/")?;
    /// let sender = client.sender();
    /// thread::spawn(move || sender.send("from elsewhere"));
    /// assert_eq!(client.recv()?, Some("from elsewhere".into()));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn sender(&self) -> Sender {
        Sender::new(&self.link.outbox)
    }

    /// Starts the closing handshake, with the codes and reasons of
    /// [`WebSocket::close`](crate::WebSocket::close). Does not block: receive until `None` to see it through,
    /// or drop the client. RFC 6455 §7.1.2
    pub fn close(&mut self, code: u16, reason: &str) {
        self.link.close(close_code(code), reason);
    }

    /// Whether nothing more will be received: the connection has ended, and all that came before was taken.
    pub fn is_closed(&self) -> bool {
        self.link.closed().is_some() && !self.link.has_more()
    }

    /// Code and reason of the server's Close frame once the connection has ended: 1005 when it had no code,
    /// 1006 when there was no Close frame, those of [`Error::Violation`] when the server broke the protocol.
    /// RFC 6455 §7.1.5
    pub fn closed(&self) -> Option<(u16, &str)> {
        self.link.closed()
    }

    /// The subprotocol that the server chose of those offered, if any. RFC 6455 §1.9
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether the server agreed to permessage-deflate. RFC 7692
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
