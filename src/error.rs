//! What can go wrong, by who can do something about it.
//!
//! The peer's mistakes never reach this type unasked: they end its connection with a close code. A normal
//! close is a value ([`WebSocket::recv`](crate::WebSocket::recv) gives `None`), not an error.

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

/// The result of everything here that can fail. Does for `main` as well, which then prints the error's text.
///
/// ```
/// use switchboard::{Result, Server};
///
/// fn main() -> Result<()> {
///     let server = Server::builder().bind("127.0.0.1:0")?.start()?;
///     assert_ne!(server.local_addr().port(), 0);
///     Ok(())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Its text is written for people and names the next step; `Debug` shows the same
/// text.
///
/// ```
/// use switchboard::{Error, Server};
///
/// let taken = Server::builder().bind("127.0.0.1:0")?;
/// let error = Server::builder().bind(&taken.local_addr().to_string()).err().unwrap();
/// assert!(matches!(error, Error::Bind(..)));
/// assert!(error.to_string().contains("stop the other program or choose another port"));
/// # Ok::<(), Error>(())
/// ```
#[non_exhaustive]
pub enum Error {
    /// The address could not be listened on: taken, forbidden, or not this machine's.
    Bind(SocketAddr, io::Error),
    /// The address is no `host:port` that can be resolved.
    Address(String, io::Error),
    /// Something that the program gave cannot be used: a limit, route, URL, header field or certificate, or a
    /// message that is not a handler's to send (Close, Pong). The text says which and what would do.
    Config(String),
    /// The connection has ended, or a Close frame is on its way: nothing more can be sent. RFC 6455 §5.5.1
    Closed,
    /// [`Sender::try_send`](crate::Sender::try_send) only: the outbox has no room.
    Full,
    /// The peer broke the protocol and was sent a Close frame with this code and reason. RFC 6455 §7.1.7
    Violation(u16, &'static str),
    /// The peer was silent for longer than ping interval and timeout; it was sent a Close frame with 1011.
    Silent,
    /// Client only: nobody could be reached at this host and port.
    Connect(String, io::Error),
    /// Client only: the server answered the handshake with another status than 101.
    Refused {
        /// The HTTP status, as 403 or 503.
        status: u16,
        /// How long the server asks to wait before the next try, if it does (`Retry-After` in seconds).
        retry_after: Option<Duration>,
        /// What the server says about it, if that is short text: 300 characters at most, without control characters.
        reason: String,
    },
    /// Client only: what answered is no WebSocket server, not in time, or not to be trusted.
    Handshake(String),
    /// The server has stopped: there is nobody who could be joined or reached.
    Stopped,
    /// A name that no room or user can have; the text says why.
    Name(String),
    /// More than a connection's [`Quotas`](crate::Quotas) allow; the text says of what. A handler that returns it closes with
    /// 1008.
    Quota(String),
    /// A session of `switchboard.v1` only: the server did not do what it was asked.
    Rejected {
        /// Why, for the program: `forbidden`, `no_such_user`, `not_member`, `too_large`, … as the protocol has them.
        code: String,
        /// Why, for people.
        message: String,
    },
    /// A session of `switchboard.v1` only: the server has not answered in time, or there was no connection. What was asked
    /// may have been done all the same.
    Timeout,
    /// A session of `switchboard.v1` only: the server has ended it, or refuses it, and would again; the text says why.
    Ended(String),
    /// More than a room's history keeps; the text says how much that is.
    TooLarge(String),
    /// Data that does not fit the schema of its room.
    InvalidData {
        /// The JSON pointer (RFC 6901) to what in it does not fit.
        path: String,
        /// What it should be.
        what: String,
    },
    /// The server could not do it at present: try again, with the same key if it has one. The text says why.
    Unavailable(String),
    /// The system refused something: a read or write of the handshake, a thread. Or it is a handler's own, by
    /// `?`.
    Io(io::Error),
    /// A handler's own error: see [`Error::other`].
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps a handler's own error, or a text. A handler that returns it closes the connection with 1011; the
    /// text goes to the log, not to the client.
    ///
    /// ```
    /// use switchboard::{Error, Server};
    ///
    /// let server = Server::builder()
    ///     .route("/answer", |mut ws| {
    ///         let answer: u32 = "not a number".parse().map_err(Error::other)?;
    ///         ws.send(answer.to_string())
    ///     })
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let mut client = server.connect("/answer")?;
    /// assert_eq!(client.recv()?, None);
    /// assert_eq!(client.closed(), Some((1011, "handler failed")));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: the address is in use; stop the other program or choose another port \
                 (port 0 takes any free one)"
            ),
            Self::Bind(address, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "cannot listen on {address}: not permitted; ports below 1024 need privileges, try a higher one"
                )
            }
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(
                    f,
                    "cannot listen on {address}: this machine has no such address; try 127.0.0.1 or 0.0.0.0"
                )
            }
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Address(address, error) => {
                write!(
                    f,
                    "`{address}` is not an address to listen on ({error}); write HOST:PORT, as 127.0.0.1:9527"
                )
            }
            Self::Config(what)
            | Self::Quota(what)
            | Self::Name(what)
            | Self::Handshake(what)
            | Self::Ended(what)
            | Self::TooLarge(what)
            | Self::Unavailable(what) => f.write_str(what),
            Self::InvalidData { path, what } => {
                write!(f, "the data does not fit the room's schema, at `{path}`: {what}")
            }
            Self::Connect(address, error) => {
                write!(f, "cannot connect to {address}: {error}; is the server running there?")
            }
            Self::Refused { status, reason, .. } => {
                write!(f, "the server refused the WebSocket with HTTP status {status}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::Closed => f.write_str("the connection is closed"),
            Self::Full => f.write_str("the connection's outbox is full: its client reads too slowly"),
            Self::Violation(code, reason) => write!(f, "the peer broke the protocol ({code}): {reason}"),
            Self::Silent => f.write_str("the peer answered no ping"),
            Self::Rejected { code, message } => write!(f, "{message} ({code})"),
            Self::Timeout => {
                f.write_str("the server has not answered in time: try again, or allow more time")
            }
            Self::Stopped => f.write_str("the server has stopped"),
            Self::Io(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::Address(_, error) | Self::Connect(_, error) | Self::Io(error) => {
                Some(error)
            }
            Self::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
