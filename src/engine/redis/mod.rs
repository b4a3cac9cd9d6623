//! Rooms that several servers share through a Redis.
//!
//! Redis hands out epochs and offsets: one script for each message looks at its key, gives it the next offset, keeps it and
//! tells all servers (`lua/`). Two threads serve a server: the *publisher* speaks, the *subscriber* listens; the *desk* is what
//! lies between them and the hub. Everything that is kept in Redis expires.
//!
//! Redis is believed to be there as long as this server's own beat, every 2 s, comes back to it.

mod access;
mod answers;
mod batch;
mod commands;
mod counts;
mod desk;
mod foreign;
mod heard;
mod listing;
mod names;
mod pause;
mod peers;
mod publisher;
mod replies;
mod rooms;
mod shards;
mod subscriber;

use super::shelf::first;
use super::{Engine, Inbox, Listed, Notice, Order};
use crate::error::{Error, Result};
use crate::net::masks::random;
use ::redis::RedisError;
use access::Access;
use counts::Counts;
use desk::Desk;
use foreign::Foreign;
use names::Names;
use parking_lot::Mutex;
use pause::Pause;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An engine for any number of servers, on any number of machines, that have the same rooms through one Redis (6.2 or later, or
/// what speaks its language, with scripts): `switchboard.v1` with its history and presence, and plain rooms and users.
///
/// Servers with the same URL and prefix belong together. What is kept lives in Redis as long as the rooms' rules say; who is
/// present, for 30 s after a server has failed to say so again. A server that loses Redis goes on for those who are there,
/// answers what needs Redis with `unavailable`, and is back within seconds of Redis' return. After Redis was restarted, or another has
/// taken over, rooms begin new epochs and keep the messages that are still there; a Redis that writes everything to its disk at
/// once (`appendonly yes`, `appendfsync always`) can have lost nothing by a restart, and its rooms just go on.
///
/// ```
/// use switchboard::engine::Redis;
/// use switchboard::Server;
///
/// // Nobody listens there, so it is not ready; it will be, once somebody does.
/// let redis = Redis::open("redis://:secret@127.0.0.1:1")?.prefix("chat:")?;
/// let server = Server::builder().health().engine(redis).bind("127.0.0.1:0")?.start()?;
///
/// let error = Redis::open("127.0.0.1:6379").err().unwrap(); // the scheme is missing
/// assert!(error.to_string().contains("write redis://"));
/// # drop(server);
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Redis {
    shards: Vec<Access>,
    prefix: String,
    running: Mutex<Vec<Running>>,
}

/// For going through the rooms of all; what has begun by then may take as long again.
const LIST: Duration = Duration::from_secs(5);

/// At one Redis.
struct Running {
    line: Arc<Line>,
    threads: [JoinHandle<()>; 2],
}

/// A server waits so long for Redis before it goes on without: who connects first should not find it away.
const START: Duration = Duration::from_secs(1);

/// What the threads of one server have in common.
struct Line {
    access: Access,
    names: Names,
    desk: Desk,
    inbox: Inbox,
    epochs: Epochs,
    counts: Counts,
    foreign: Foreign,
}

impl Line {
    /// Tells the hub what there is to tell of Redis itself.
    fn tell_news(&self, news: Vec<Notice>) {
        let is_news = news.iter().any(|notice| matches!(notice, Notice::Hearing | Notice::Deaf { .. }));
        if news.contains(&Notice::Hearing) {
            log::info!("Redis at {} can be reached", self.access.address);
        }
        self.inbox.tell(news);
        if is_news {
            self.desk.told();
        }
    }

    /// A connection is lost, or could not be made: why, and how long to wait before the next try.
    fn lost(&self, error: &RedisError, pause: &mut Pause) -> (String, Duration) {
        self.counts.lost.add(1);
        let why = match error.code() {
            // The only key that is not a room's.
            Some("WRONGTYPE") => foreign::servers(self),
            _ => self.access.why(error),
        };
        if pause.is_new(&why) {
            log::warn!("{why}");
        }
        (why, pause.next(error))
    }
}

/// Names for epochs that nobody has had before.
struct Epochs {
    base: String,
    last: AtomicU64,
}

impl Epochs {
    fn new() -> Self {
        let base = random().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { base, last: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{}-{:x}", self.base, self.last.fetch_add(1, Relaxed))
    }
}

impl Redis {
    /// By URL: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS (with the feature `tls`), or
    /// `unix:///PATH`. Does not connect yet, and does not block.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that is none.
    pub fn open(url: &str) -> Result<Self> {
        Ok(Self { shards: vec![Access::parse(url)?], prefix: "sb:".into(), running: Mutex::default() })
    }

    /// One more Redis, when one does not carry everything: rooms are spread over all of them by their names. All servers must
    /// name the same ones in the same order. They can be reached when all can.
    ///
    /// ```
    /// let redis = switchboard::engine::Redis::open("redis://10.0.0.1")?.and("redis://10.0.0.2")?;
    /// # let _ = redis;
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that is none.
    pub fn and(mut self, url: &str) -> Result<Self> {
        self.shards.push(Access::parse(url)?);
        Ok(self)
    }

    /// What all keys and channels in Redis begin with. Default `sb:`. Servers with different ones know nothing of each other.
    ///
    /// # Errors
    /// [`Error::Config`] for a brace or a control character.
    pub fn prefix(self, prefix: &str) -> Result<Self> {
        if prefix.contains(|c: char| c.is_control() || c == '{' || c == '}') {
            let text =
                "a prefix for Redis has no braces and no control characters; write something as `chat:`";
            return Err(Error::Config(text.into()));
        }
        Ok(Self { prefix: prefix.into(), ..self })
    }

    /// Asks each Redis once whether it could be used. Changes nothing. Blocks, for 10 s at most for each. [`RedisFound`] has an
    /// example.
    ///
    /// # Errors
    /// [`Error::Other`]: why one could not, and what would help.
    pub fn check(&self) -> Result<Vec<RedisFound>> {
        let check = |access: &Access| access::look(access).map_err(|error| Error::other(access.why(&error)));
        self.shards.iter().map(check).collect()
    }

    fn begin(&self, access: &Access, node: &str, inbox: Inbox) -> Result<Running> {
        let names = Names::new(&self.prefix, access.database, node);
        let (access, desk, epochs) = (access.clone(), Desk::default(), Epochs::new());
        let (counts, foreign) = (Counts::default(), Foreign::default());
        let line = Arc::new(Line { access, names, desk, inbox, epochs, counts, foreign });
        let spawn = |name: &str, run: fn(&Line)| {
            let line = line.clone();
            thread::Builder::new().name(name.into()).spawn(move || run(&line))
        };
        let publisher = spawn("sb-redis-pub", publisher::run)?;
        let subscriber = spawn("sb-redis-sub", subscriber::run).inspect_err(|_| line.desk.stop())?;
        Ok(Running { line, threads: [publisher, subscriber] })
    }
}

/// What [`Redis::check`] has found.
///
/// ```
/// let nobody = switchboard::engine::Redis::open("redis://127.0.0.1:1")?;
/// assert!(nobody.check().err().unwrap().to_string().contains("nobody listens at 127.0.0.1:1; start Redis there"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisFound {
    /// As `127.0.0.1:6379`.
    pub address: String,
    /// As `7.0.15`.
    pub version: String,
    /// For a question and its answer.
    pub round_trip: Duration,
    /// It throws away keys when its memory is used up: histories would end early, or whole rooms begin again.
    pub evicts: bool,
}

impl fmt::Display for RedisFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis {} at {} answers, after {:.1?}", self.version, self.address, self.round_trip)
    }
}

impl Engine for Redis {
    fn start(&self, node: &str, inbox: Inbox) -> Result<()> {
        if node.contains(char::is_control) {
            return Err(Error::Config("a server's name has no control characters".into()));
        }
        let inboxes = shards::inboxes(inbox, self.shards.len());
        for (access, inbox) in self.shards.iter().zip(inboxes) {
            let begun = self.begin(access, node, inbox).inspect_err(|_| self.stop())?;
            self.running.lock().push(begun);
        }
        let deadline = Instant::now() + START;
        let lines: Vec<Arc<Line>> = self.running.lock().iter().map(|running| running.line.clone()).collect();
        lines.iter().for_each(|line| line.desk.wait_told(deadline));
        Ok(())
    }

    fn take(&self, orders: Vec<Order>) -> Vec<Notice> {
        let running = self.running.lock();
        if let [running] = &running[..] {
            return running.line.desk.put(orders);
        }
        let mut parts: Vec<Vec<Order>> = running.iter().map(|_| Vec::new()).collect();
        for order in orders {
            // None is running any more after the end.
            parts
                .get_mut(shards::shard(&order, self.shards.len()))
                .into_iter()
                .for_each(|part| part.push(order.clone()));
        }
        running.iter().zip(parts).flat_map(|(running, part)| running.line.desk.put(part)).collect()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn rooms(&self, after: &str, most: usize) -> Result<Vec<Listed>> {
        // Not under the lock, which the hub takes too.
        let lines: Vec<Arc<Line>> = self.running.lock().iter().map(|running| running.line.clone()).collect();
        let (mut rooms, deadline) = (Vec::new(), Instant::now() + LIST);
        for line in lines {
            let listed = listing::rooms(&line, after, most, deadline);
            rooms.extend(listed.map_err(|error| Error::Unavailable(line.access.why(&error)))?);
        }
        Ok(first(rooms, most))
    }

    fn metrics(&self) -> String {
        let running = self.running.lock();
        let shown = running.iter().map(|Running { line, .. }| {
            let (is_up, waiting) = line.desk.shown();
            (&*line.access.address, is_up, waiting, &line.counts)
        });
        counts::text(&shown.collect::<Vec<_>>())
    }

    fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        running.iter().for_each(|running| running.line.desk.stop());
        let threads = running.into_iter().flat_map(|running| running.threads);
        threads.for_each(|thread| drop(thread.join()));
    }
}
