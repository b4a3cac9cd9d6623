//! What the driver of a connection is told.

use crate::wire::session::Ending;
use std::time::Duration;
use tungstenite::Message;

/// What came of bytes received or of time passed.
///
/// ```
/// # use switchboard::{Limits, sansio::{Event, Protocol}};
/// # let now = std::time::Instant::now();
/// # let mut client = Protocol::client("ws://example.com/", Limits::default(), now)?;
/// # let mut server = Protocol::server(Limits::default(), now)?;
/// # server.receive(&client.output(), now);
/// # client.receive(&server.output(), now);
/// client.send("hello")?;
/// # let bytes = client.output();
/// for event in server.receive(&bytes, now) {
///     match event {
///         Event::Message(message) => server.send(message)?, // an echo
///         Event::Closed { code, reason } => println!("gone: {code} {reason}"),
///         _ => {}
///     }
/// }
/// assert_eq!(client.receive(&server.output(), now), [Event::Message("hello".into())]);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The opening handshake is done. RFC 6455 §4
    Opened {
        /// Path and query of the request, percent-encoded.
        path: String,
    },
    /// A text or binary message. Pings are no event: the output has the pong.
    Message(Message),
    /// A pong came: the answer to a ping, after this time, or unasked for. RFC 6455 §5.5.3
    Pong(Option<Duration>),
    /// The connection has ended, by the closing handshake or without one. RFC 6455 §7.1.5
    Closed {
        /// The peer's code: 1005 when its Close frame had none, 1006 when there was no Close frame.
        code: u16,
        /// The peer's reason; may be empty.
        reason: String,
    },
    /// The connection has ended by the peer's fault; what has to be said to it is in the output. RFC 6455
    /// §7.1.7
    Failed {
        /// Our close code. Before the connection was open: the status of the HTTP answer, ours or the peer's;
        /// 0 when what answered is no WebSocket server.
        code: u16,
        /// What was wrong.
        reason: String,
    },
}

impl From<Ending> for Event {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Closed(Some(frame)) => {
                Self::Closed { code: frame.code.into(), reason: frame.reason.to_string() }
            }
            Ending::Closed(None) => Self::Closed { code: 1005, reason: String::new() },
            Ending::CloseIgnored => Self::Closed { code: 1006, reason: String::new() },
            Ending::Violated(violation) => {
                Self::Failed { code: violation.code.into(), reason: violation.reason.into() }
            }
            Ending::Silent => Self::Failed { code: 1011, reason: "keepalive ping timeout".into() },
        }
    }
}
