//! Every bound and timer that a peer can feel: unit, default, reason, relation.
//!
//! What a program may set is in [`Limits`], what it may not are constants. (A number that only one algorithm knows, as
//! how much it reads at once, stands beside that.) [`Limits::check`] is called once, when a server or client starts;
//! nothing is clamped silently afterwards.

use crate::error::{Error, Result};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Bytes in a KiB.
pub(crate) const KIB: usize = 1024;
/// Bytes in a MiB.
pub(crate) const MIB: usize = 1024 * KIB;

/// What one server, and each of its connections, may use.
///
/// Every field has a safe default ([`Limits::default`]); set only what you want to change. For one server:
/// [`Builder::limits`](crate::Builder::limits); for a client:
/// [`ClientBuilder::limits`](crate::ClientBuilder::limits). The longest time is 100 years.
///
/// ```
/// use std::time::Duration;
/// use switchboard::Limits;
///
/// let limits = Limits { message: 64 * 1024, ping_interval: Duration::from_secs(5), ..Limits::default() };
/// assert_eq!(limits.outbox, 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message taken from a peer, in bytes, after all its fragments are joined. Default 1 MiB, as the
    /// other servers' of this kind: pictures fit, a client cannot fill the memory. Larger: close code 1009.
    pub message: usize,
    /// Most frames one message may be cut into. Default 131072: the protocol suites send 65536, while without
    /// a bound empty fragments would keep a connection busy for ever. More: close code 1009.
    pub fragments: usize,
    /// Largest HTTP request head (request line and headers), in bytes. Default 8 KiB, as other servers'.
    /// Larger: 414 when the request line alone is too long, otherwise 431.
    pub head: usize,
    /// Most header fields in a request. Default 64: browsers send about 20. More: 431.
    pub headers: usize,
    /// Largest body of a plain HTTP request, in bytes. Default 2 MiB: a message that fits must fit as JSON
    /// too, whose escapes can double it. Larger: 413.
    pub body: usize,
    /// Longest name of a room or a user in a path, in bytes of UTF-8; the shortest is 1. Default 128. What a handler itself
    /// calls a room may be twice as long, so that it can put a prefix before a name that came from outside.
    pub name: usize,
    /// Bytes that may wait in one connection's outbox. Each piece is charged its length plus a fixed
    /// overhead, so that empty messages count too. Default 1 MiB. At least `message`, or a single message
    /// could not be answered. Who sends to this client alone waits beyond it
    /// ([`WebSocket::send`](crate::WebSocket::send)); what a room, a user or everybody is sent may be more for a
    /// moment, see `burst` and `lag`.
    pub outbox: usize,
    /// Bytes that may wait there while the client is taking what was sent at once: the hub is quicker than any socket.
    /// Default 16 MiB; less than `outbox` counts as `outbox`. More: the client is a slow consumer, close code 1013. From
    /// half of it on nothing is read from the client, so that one who floods its own room is slowed down, not closed.
    pub burst: usize,
    /// How far behind a client may be with more than `outbox` waiting. Default 5 s. Longer: close code 1013.
    pub lag: Duration,
    /// The kernel's send buffer for one connection, in bytes (`SO_SNDBUF`; Linux doubles it for its own
    /// bookkeeping). Default 128 KiB: left alone it grows to 4 MiB for each client that does not read, unseen
    /// by any of our limits.
    pub send_buffer: usize,
    /// Bytes that may wait in the hub's queue. Default 64 MiB. At least `message`. When it is full, the
    /// threads that read from connections wait, and TCP makes the senders wait; what the program sends
    /// through a [`Handle`](crate::Handle) is lost, and it is told so.
    pub hub_queue: usize,
    /// Bytes in the histories of all rooms of `switchboard.v1`, each message with 256 bytes on top. Default 64 MiB. Above it the
    /// oldest messages are forgotten, whatever their room.
    pub history: usize,
    /// Commands that may wait in the hub's queue, whatever their size. Default 4096. At most 1048576.
    pub hub_commands: usize,
    /// Most commands the hub takes in one turn. Default 1024: what a turn sends to one room leaves as one
    /// piece, and much more would only add latency.
    pub turn: usize,
    /// Connections at once, plain HTTP included. Default `None`: as many as the machine's limits allow
    /// ([`Budget`](crate::Budget)); a larger number is cut to that. One more: 503.
    pub connections: Option<usize>,
    /// Stack of a connection's thread, in bytes. Default 1 MiB. It is address space: pages that are never touched cost
    /// nothing, and a handler that overflows its stack ends the whole process. At least 64 KiB.
    pub stack: usize,
    /// How long a connection's thread without work waits for the next connection. Default 10 s.
    pub thread_idle: Duration,
    /// Queue of the listening socket, in connections that nobody accepted yet. Default 4096; the kernel cuts
    /// it to its own `somaxconn`.
    pub backlog: i32,
    /// From accepting a connection to its complete request: TLS handshake, head and body. Default 10 s.
    /// Later: 408. For a client: from the first packet to the server's whole answer.
    pub head_deadline: Duration,
    /// How long a peer may be silent before it is sent a ping. Default 20 s, below the 60 s after which
    /// common proxies drop a silent connection. Every byte counts as life. RFC 6455 §5.5.2
    pub ping_interval: Duration,
    /// How long a peer may stay silent after that ping. Default 20 s. Longer: close code 1011. A dead peer is
    /// thus found after `ping_interval + ping_timeout`.
    pub ping_timeout: Duration,
    /// How long a socket may take nothing of what waits for it. Default 10 s. Longer: the client is a slow
    /// consumer, close code 1013, and is cut when it does not take even that within `close_deadline`.
    pub write_deadline: Duration,
    /// From our Close frame to the peer's, and from there to the end of the TCP connection. Default 5 s.
    /// Longer: cut. RFC 6455 §7.1.1. For so long is also read on, at most 64 MiB, what a client still sends
    /// after its plain request was answered, so that it can read the answer. RFC 9112 §9.6
    pub close_deadline: Duration,
    /// Messages of fewer bytes are sent uncompressed. Default 1 KiB: below it compression saves little and
    /// costs more than the bytes. Only for peers that agreed to permessage-deflate (RFC 7692).
    pub compress_from: usize,
    /// How long replies may be held back while more input waits, to leave in one write. Default 5 ms; only a
    /// handler that is busy that long between two messages of a pipelining client ever sees it.
    pub cork: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: MIB,
            fragments: 131_072,
            head: 8 * KIB,
            headers: 64,
            body: 2 * MIB,
            name: 128,
            outbox: MIB,
            burst: 16 * MIB,
            lag: Duration::from_secs(5),
            send_buffer: 128 * KIB,
            hub_queue: 64 * MIB,
            history: 64 * MIB,
            hub_commands: 4096,
            turn: 1024,
            connections: None,
            stack: MIB,
            thread_idle: Duration::from_secs(10),
            backlog: 4096,
            head_deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            write_deadline: Duration::from_secs(10),
            close_deadline: Duration::from_secs(5),
            compress_from: KIB,
            cork: Duration::from_millis(5),
        }
    }
}

impl Limits {
    /// Longest name that a handler may give a room or a user, in bytes.
    pub(crate) fn own_name(&self) -> usize {
        self.name.saturating_mul(2)
    }

    /// Whether the values go together. [`Builder::bind`](crate::Builder::bind) and
    /// [`ClientBuilder::connect`](crate::ClientBuilder::connect) ask this too.
    ///
    /// ```
    /// # use switchboard::Limits;
    /// let error = Limits { headers: 2, ..Limits::default() }.check().unwrap_err();
    /// assert_eq!(error.to_string(), "the limit `headers` must be at least 4, the handshake's own");
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the field and what would do.
    pub fn check(&self) -> Result<()> {
        let rules = [
            (1 <= self.message, "message", "at least 1 byte"),
            (1 <= self.fragments, "fragments", "at least 1"),
            (256 <= self.head, "head", "at least 256 bytes, a browser's request has some 500"),
            (4 <= self.headers, "headers", "at least 4, the handshake's own"),
            ((1..=65_536).contains(&self.name), "name", "1 to 65536 bytes"),
            (self.message <= self.outbox, "outbox", "at least `message`, or a message could not be answered"),
            (self.lag <= LONGEST, "lag", "at most 100 years"),
            (4 * KIB <= self.send_buffer, "send_buffer", "at least 4 KiB"),
            (self.message <= self.hub_queue, "hub_queue", "at least `message`"),
            (
                (1..=MIB).contains(&self.hub_commands),
                "hub_commands",
                "1 to 1048576, whose places are made at once",
            ),
            (1 <= self.turn, "turn", "at least 1"),
            (self.connections != Some(0), "connections", "at least 1"),
            (64 * KIB <= self.stack, "stack", "at least 64 KiB"),
            (1 <= self.backlog, "backlog", "at least 1"),
            (self.thread_idle <= LONGEST, "thread_idle", "at most 100 years"),
            (TIMES.contains(&self.head_deadline), "head_deadline", "1 ms to 100 years"),
            (TIMES.contains(&self.ping_interval), "ping_interval", "1 ms to 100 years"),
            (TIMES.contains(&self.ping_timeout), "ping_timeout", "1 ms to 100 years"),
            (TIMES.contains(&self.write_deadline), "write_deadline", "1 ms to 100 years"),
            (TIMES.contains(&self.close_deadline), "close_deadline", "1 ms to 100 years"),
            (self.cork <= LONGEST, "cork", "at most 100 years"),
        ];
        match rules.iter().find(|(kept, ..)| !kept) {
            Some((_, field, rule)) => Err(Error::Config(format!("the limit `{field}` must be {rule}"))),
            None => Ok(()),
        }
    }
}

/// From the timers' resolution to what is as good as never, and still a moment that the clock can name.
const TIMES: RangeInclusive<Duration> = SHORTEST..=LONGEST;
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long a client that is refused before it has said anything has to ask, and to take its refusal. 1 s: some see no answer
/// that was there before they asked, and what they still send must be read, or a reset would take the answer away.
pub(crate) const DISMISSAL: Duration = Duration::from_secs(1);
/// Bytes that are read meanwhile of one that speaks plain HTTP to TLS.
#[cfg(feature = "tls")]
pub(crate) const DISMISSAL_BYTES: usize = 64 * KIB;
/// Bytes that are read on from a client whose request is answered, until it has read that: a whole upload that is refused by its
/// head. How long is bounded by `close_deadline`; this, so that one connection does not keep a core busy for all that time.
pub(crate) const LINGER_BYTES: usize = 64 * MIB;
/// Clients that are seen off like that at once, and again as many that have just come; each holds a descriptor, no thread and no
/// place. When there are more, those that came first are answered and dropped.
pub(crate) const DISMISSALS: usize = 128;
/// Bytes of a request that are looked at to find a probe in it. The probes of browsers, proxies and Prometheus have below 1 KiB.
pub(crate) const REFUSED_HEAD: usize = 2 * KIB;
/// A probe's answer is given again for so many times the time that it took: by that much less is spent on each page.
pub(crate) const PROBE_SHARE: u32 = 20;

/// Clients that are heard at once over TLS while all connections are in use, so that probes are answered; each has a thread beyond
/// those. 4: enough for a balancer and a Prometheus, and TLS handshakes in vain cost no more than that. More are refused unheard.
pub(crate) const PROBES: usize = 4;
/// How long a request may take to arrive while the server is going away, or while all connections are in use, and how long its
/// client may stay once it is answered. 1 s, or what is left of `head_deadline`: a client that has connected just before is
/// answered, one that says nothing, or stays, holds the end up no longer.
pub(crate) const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Between two batches of clients that are told to go away. 50 ms: they come back as far apart.
pub(crate) const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// How long threads whose sockets were cut have to come to an end. 1 s: what takes longer is a handler that does not look at
/// its connection, and is counted as busy.
pub(crate) const UNWIND: Duration = Duration::from_secs(1);

/// How long whoever asks the hub waits for its answer. 12 s: it takes turns of microseconds, but may itself wait for an engine,
/// which gives up within 10 s.
#[cfg(feature = "protocol")]
pub(crate) const ANSWER: Duration = Duration::from_secs(12);
/// Rooms in one list. 10 000: some 2 MB of JSON. [`Handle::rooms_after`](crate::Handle::rooms_after) goes on behind them.
#[cfg(feature = "protocol")]
pub(crate) const LISTED: usize = 10_000;
/// Longest reason that a user is told who is disconnected, in bytes. 1 KiB: it fits into any outbox, beside a Close frame that
/// holds the first 123 of them.
#[cfg(feature = "protocol")]
pub(crate) const KICK_REASON: usize = KIB;

/// How long a client waits for the text of a refusal, once it knows that it is refused. 1 s: the text only explains.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// The moment when a wait that begins now is over, for waits of any length.
pub(crate) fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_go_together() {
        Limits::default().check().unwrap();
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        let wrong = |limits: Limits| limits.check().unwrap_err().to_string();
        assert!(wrong(Limits { outbox: 10, ..Limits::default() }).contains("`outbox`"));
        assert!(wrong(Limits { stack: 1, ..Limits::default() }).contains("`stack`"));
        assert!(wrong(Limits { hub_commands: usize::MAX, ..Limits::default() }).contains("`hub_commands`"));
        for ping_timeout in [Duration::ZERO, Duration::MAX] {
            assert!(wrong(Limits { ping_timeout, ..Limits::default() }).contains("`ping_timeout`"));
        }
    }
}
