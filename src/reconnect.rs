//! A client that comes back: when to try again, and a connection that survives its server.

use crate::client::{Client, ClientBuilder};
use crate::error::{Error, Result};
use crate::net::random::random;
use crate::sender::Sender;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::Message;

/// The shortest wait before another try, and the range of the first.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest wait that is our own choice. A server may ask for more.
const LONGEST: Duration = Duration::from_secs(20);
/// The longest wait that a server may ask for.
const HINT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The subprotocol whose servers say when to come back.
const PROTOCOL: &str = "switchboard.v1";

/// A connection that is made again whenever it is lost, until it is stopped or the server ends it with 1000.
///
/// ```
/// use switchboard::{Client, Incoming};
///
/// # let server = switchboard::Server::builder()
/// #     .route("/", |mut ws| { let hello = ws.recv()?.unwrap(); ws.send(hello) })
/// #     .bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/", server.local_addr());
/// # let mut got = Vec::new();
/// let mut line = Client::builder().reconnecting(&url);
/// while let Some(incoming) = line.recv()? {
///     match incoming {
///         Incoming::Connected => line.send("here I am")?, // each time
///         Incoming::Message(message) => got.push(message),
///         Incoming::Lost { why, retry_in } => eprintln!("{why}; next try in {retry_in:?}"),
///     }
/// }
/// assert_eq!(got, ["here I am".into()]); // an echo; then the server ended it with 1000
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// The wait before each further try is random between 0.5 s and a bound that doubles from 1 s up to 20 s
/// ("jitter"), so that the clients of a server that was restarted do not all come back at once. The bound is
/// 1 s again once a message has come. A server that says when to come back (`Retry-After`) is obeyed, up to a
/// day. RFC 6455 §7.2.3
///
/// What is sent while there is no connection fails with [`Error::Closed`]; nothing is sent twice.
pub struct Reconnecting {
    builder: ClientBuilder,
    url: String,
    client: Option<Client>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// When the server said to come back, as it began to go away; whatever it says after that.
    hint: Option<Duration>,
    stop: Stop,
}

/// What [`Reconnecting::recv`] tells.
///
/// ```
/// use switchboard::{Client, Incoming};
///
/// let mut line = Client::builder().reconnecting("ws://127.0.0.1:1/"); // nobody is there
/// let Some(Incoming::Lost { why, retry_in }) = line.recv()? else { panic!() };
/// assert!(why.ends_with("is the server running there?"));
/// assert!((0.5..=1.0).contains(&retry_in.as_secs_f64()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Debug)]
pub enum Incoming {
    /// There is a connection, for the first time or again: whatever the server must know of us is to be said
    /// (again).
    Connected,
    /// A text or binary message.
    Message(Message),
    /// The connection was lost, or could not be made. The next [`Reconnecting::recv`] waits, and tries again.
    Lost {
        /// For people to read: an error's text, or the server's close code and reason.
        why: String,
        /// How long until the next try.
        retry_in: Duration,
    },
}

/// Stops a [`Reconnecting`] from another thread. Costs nothing to clone.
///
/// ```
/// use std::thread;
/// use switchboard::Client;
///
/// # let server = switchboard::Server::builder()
/// #     .route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let mut line = Client::builder().reconnecting(&url);
/// let stop = line.stopper();
/// thread::spawn(move || stop.stop()); // when the user has seen enough
/// while let Some(incoming) = line.recv()? {
///     println!("{incoming:?}");
/// }
/// assert!(line.recv()?.is_none()); // it stays stopped
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Stop {
    state: Arc<(Mutex<Stopping>, Condvar)>,
}

#[derive(Default)]
struct Stopping {
    stopped: bool,
    sender: Option<Sender>,
}

impl ClientBuilder {
    /// A connection that is made again whenever it is lost. Does not block: connects at the first
    /// [`Reconnecting::recv`], which also tells mistakes in the URL.
    pub fn reconnecting(self, url: &str) -> Reconnecting {
        Reconnecting {
            builder: self,
            url: url.into(),
            client: None,
            backoff: Backoff::default(),
            retry_at: None,
            hint: None,
            stop: Stop::default(),
        }
    }
}

impl Reconnecting {
    /// What happens next; blocks until something does. Without a connection, waits until it is time for a
    /// try, and connects. `None`: stopped, or ended by the server with 1000.
    ///
    /// # Errors
    /// What no further try would mend: [`Error::Config`], and [`Error::Refused`] for the request itself (a
    /// status from 400 to 499 but for 408, 425 and 429).
    pub fn recv(&mut self) -> Result<Option<Incoming>> {
        if self.stop.is_stopped() {
            return Ok(None);
        }
        let Some(client) = &mut self.client else { return self.connect() };
        match client.recv() {
            Ok(Some(message)) => {
                self.backoff = Backoff::default();
                if client.subprotocol() == Some(PROTOCOL) {
                    self.hint = going_away(&message).or(self.hint);
                }
                Ok(Some(Incoming::Message(message)))
            }
            Ok(None) => match client.closed() {
                _ if self.stop.is_stopped() => Ok(None),
                Some((1000, _)) => Ok(None),
                Some((code, reason)) => {
                    let why = format!("the connection has ended ({code} {reason})");
                    Ok(Some(self.lost(why, None)))
                }
                None => Ok(Some(self.lost("the connection has ended".into(), None))),
            },
            Err(error) => Ok(Some(self.lost(error.to_string(), None))),
        }
    }

    /// Sends a message over the present connection; blocks as [`Client::send`] does.
    ///
    /// # Errors
    /// [`Error::Closed`] when there is none, and as for [`Client::send`]. A message that was taken may still
    /// be lost with the connection.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        self.client.as_mut().ok_or(Error::Closed)?.send(message)
    }

    /// To stop it from another thread, while this one is in [`Reconnecting::recv`].
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    fn connect(&mut self) -> Result<Option<Incoming>> {
        if let Some(at) = self.retry_at.take()
            && self.stop.wait_until(at)
        {
            return Ok(None);
        }
        match self.builder.connect(&self.url) {
            Ok(client) => {
                if !self.stop.attach(client.sender()) {
                    return Ok(None);
                }
                self.client = Some(client);
                Ok(Some(Incoming::Connected))
            }
            Err(error @ Error::Config(_)) => Err(error),
            Err(Error::Refused { status, reason, .. }) if is_final(status) => {
                Err(Error::Refused { status, retry_after: None, reason })
            }
            Err(error) => {
                let hint = if let Error::Refused { retry_after, .. } = &error { *retry_after } else { None };
                Ok(Some(self.lost(error.to_string(), hint)))
            }
        }
    }

    fn lost(&mut self, why: String, hint: Option<Duration>) -> Incoming {
        self.client = None;
        let hint = hint.or(self.hint.take());
        let retry_in = self.backoff.next(random_u32(), hint);
        self.retry_at = Some(Instant::now() + retry_in);
        Incoming::Lost { why, retry_in }
    }
}

/// How long the server asks to wait before one comes back: `{"type":"going_away",…}`.
fn going_away(message: &Message) -> Option<Duration> {
    let Message::Text(text) = message else { return None };
    let rest = text.strip_prefix(r#"{"type":"going_away","#)?.split_once(r#""reconnect_after":"#)?.1;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok().map(Duration::from_millis)
}

impl Stop {
    /// Ends the connection with 1000, if there is one, and the waiting for the next. [`Reconnecting::recv`]
    /// then gives `None`: at once, or when the server has answered, or when a try that is under way has come
    /// to an end. Does not block. For good: a [`Reconnecting`] that was stopped does not connect again.
    pub fn stop(&self) {
        let (state, changed) = &*self.state;
        let mut state = state.lock();
        state.stopped = true;
        let sender = state.sender.take();
        drop(state);
        changed.notify_all();
        if let Some(sender) = sender {
            sender.close(1000, "");
        }
    }

    fn is_stopped(&self) -> bool {
        self.state.0.lock().stopped
    }

    /// `true`: stopped meanwhile.
    fn wait_until(&self, deadline: Instant) -> bool {
        let (state, changed) = &*self.state;
        let mut state = state.lock();
        while !state.stopped && !changed.wait_until(&mut state, deadline).timed_out() {}
        state.stopped
    }

    /// The connection that is to be closed when it is stopped. `false`: it was stopped before.
    fn attach(&self, sender: Sender) -> bool {
        let mut state = self.state.0.lock();
        state.sender = Some(sender);
        !state.stopped
    }
}

/// Whether the same request would be refused again.
pub(crate) fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && ![408, 425, 429].contains(&status)
}

pub(crate) fn random_u32() -> u32 {
    random().first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

/// How long to wait before the next try.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Random between the shortest wait and a bound that doubles with each try; never less than what the
    /// server asked for.
    pub(crate) fn next(&mut self, random: u32, hint: Option<Duration>) -> Duration {
        self.tries = self.tries.saturating_add(1);
        let bound = SHORTEST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        let jitter = (bound - SHORTEST).mul_f64(f64::from(random) / f64::from(u32::MAX));
        // Those who were given the same hint are spread too.
        hint.unwrap_or_default().min(HINT_MAX) + SHORTEST + jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_goes_away_says_when_to_come_back() {
        let after = |text: &str| going_away(&Message::text(text));
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(after(r#"{"type":"going_away","reconnect_after":1500}"#), millis(1500));
        assert_eq!(after(r#"{"type":"going_away","x":1,"reconnect_after":7}"#), millis(7));
        for text in [
            r#"{"type":"message","reconnect_after":7}"#,
            r#"{"type":"going_away"}"#,
            r#"{"type":"going_away","reconnect_after":-7}"#,
            r#"{"type":"going_away","reconnect_after":99999999999999999999999}"#,
        ] {
            assert_eq!(after(text), None, "{text}");
        }
    }

    #[test]
    fn waits_are_spread_over_a_range_that_doubles() {
        let mut backoff = Backoff::default();
        for bound in [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0] {
            let tries = backoff.tries;
            for (random, expected) in [(0, 0.5), (u32::MAX, bound), (u32::MAX / 2, 0.5 + (bound - 0.5) / 2.0)]
            {
                backoff.tries = tries;
                let wait = backoff.next(random, None).as_secs_f64();
                assert!((wait - expected).abs() < 1e-6, "{wait} is not {expected}");
            }
        }
        let hinted = Backoff::default().next(u32::MAX, Some(Duration::from_secs(30)));
        assert_eq!(hinted, Duration::from_secs(31));
        let hinted = Backoff::default().next(0, Some(Duration::from_secs(u64::MAX)));
        assert_eq!(hinted, HINT_MAX + SHORTEST);
        backoff.tries = u32::MAX;
        assert_eq!(backoff.next(u32::MAX, None), LONGEST);
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        assert!([400, 401, 403, 404, 426].into_iter().all(is_final));
        assert!(![408, 429, 500, 502, 503, 200, 301].into_iter().any(is_final));
    }
}
