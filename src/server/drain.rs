//! The end of a server: nobody new, everybody told, a deadline, and a report of who was cut.

use super::accept::Door;
use super::own;
use super::shared::Shared;
use crate::engine::Engine;
use crate::hub::Command;
use crate::limits::{BATCH_PAUSE, LAST_REQUESTS, UNWIND, from_now};
use crate::metrics::Unclean;
use crate::net::outbox::Outbox;
use crate::sender::close_code;
use crate::wire::frame;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a server is to end: for [`Handle::shutdown`](crate::Handle::shutdown).
///
/// ```
/// use std::{thread, time::Duration};
/// use switchboard::Drain;
///
/// # let server = switchboard::Server::builder()
/// #     .route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
/// # let mut client = server.connect("/")?;
/// let client = thread::spawn(move || {
///     let _ = client.recv();
///     client.closed().map(|(code, reason)| format!("{code} {reason}"))
/// });
/// let restart = Drain::within(Duration::from_secs(30)).with_code(1012).with_reason("back in a minute");
/// let report = server.shutdown(restart);
/// assert_eq!((report.open, report.cut), (1, 0));
/// assert_eq!(client.join().unwrap().as_deref(), Some("1012 back in a minute"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drain {
    within: Duration,
    code: u16,
    reason: String,
    batch: usize,
}

impl Drain {
    /// Whoever has not ended after this time is cut. Unless said otherwise, the close code is 1001 (going
    /// away), and 1000 clients are told each 50 ms.
    pub fn within(deadline: Duration) -> Self {
        Self { within: deadline, code: 1001, reason: "the server is going away".into(), batch: 1000 }
    }

    /// Another close code, as 1012 (service restart); one that may not be sent becomes 1011. RFC 6455 §7.4
    #[must_use]
    pub fn with_code(self, code: u16) -> Self {
        Self { code, ..self }
    }

    /// Another reason, of at most 123 bytes; a longer one is cut.
    #[must_use]
    pub fn with_reason(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// How many clients are told at once, each 50 ms; 0 counts as 1. All of them together would also come
    /// back together.
    #[must_use]
    pub fn with_batch(self, clients: usize) -> Self {
        Self { batch: clients.max(1), ..self }
    }
}

/// How a server ended: what [`Handle::shutdown`](crate::Handle::shutdown) gives.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Drain, Report};
///
/// # let server = switchboard::Server::builder()
/// #     .route("/", |mut ws| ws.recv().map(drop)).bind("127.0.0.1:0")?.start()?;
/// let client = server.connect("/")?; // is never inside `recv`, so it answers no Close frame
/// let report = server.shutdown(Drain::within(Duration::from_millis(50)));
/// assert_eq!((report.open, report.flushed, report.cut, report.unanswered), (1, 0, 1, 1));
/// assert!(report.to_string().ends_with("; 1 was cut as they did not answer the Close frame"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were open when it began, plain HTTP included.
    pub open: usize,
    /// Connections that took all that waited for them, and ended in time. Those whose own handlers wait for the report do
    /// not count.
    pub flushed: usize,
    /// Connections that were cut: the two that follow, and those whose plain HTTP was not done at the deadline.
    pub cut: usize,
    /// Cut, or given up with 1013, before they had taken all that waited for them.
    pub stalled: usize,
    /// Took all, and were cut as they did not answer the Close frame, or their handlers were busy with something else.
    pub unanswered: usize,
    /// Connections that went away by themselves before they had taken all.
    pub gone: usize,
    /// Handlers that had not returned a second after that; their threads go on.
    pub busy: usize,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, flushed, cut, stalled, unanswered, gone, busy, took } = self;
        let connections = if *open == 1 { "connection" } else { "connections" };
        write!(
            f,
            "of {open} {connections} {flushed} took all that waited for them and ended, in {took:.1?}"
        )?;
        let plain = cut.saturating_sub(stalled + unanswered);
        for (count, what) in [
            (*stalled, "cut before they had taken it"),
            (*unanswered, "cut as they did not answer the Close frame"),
            (plain, "cut in the middle of plain HTTP"),
            (*gone, "gone before they had taken it"),
            (*busy, "left to handlers that are still busy"),
        ] {
            if 0 < count {
                let were = if count == 1 { "was" } else { "were" };
                write!(f, "; {count} {were} {what}")?;
            }
        }
        Ok(())
    }
}

/// What a running server consists of besides its connections.
pub(crate) struct Running {
    parts: Mutex<Result<Parts, Report>>,
}

pub(crate) struct Parts {
    pub(crate) door: Door,
    pub(crate) hub: JoinHandle<()>,
    pub(crate) engine: Option<Arc<dyn Engine>>,
    pub(crate) writers: Vec<JoinHandle<()>>,
    pub(crate) slow_lane: JoinHandle<()>,
    pub(crate) refusals: JoinHandle<()>,
}

impl Running {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Mutex::new(Ok(parts)) }
    }
}

pub(crate) fn shutdown(shared: &Arc<Shared>, running: &Running, drain: &Drain) -> Report {
    shared.draining.store(true, Relaxed);
    own::step_aside(shared);
    // Whoever comes second waits here for the first.
    let mut parts = running.parts.lock();
    let report = match std::mem::replace(&mut *parts, Err(Report::default())) {
        Ok(running) => stop(shared, running, drain),
        Err(report) => report,
    };
    *parts = Err(report);
    report
}

fn stop(shared: &Arc<Shared>, parts: Parts, drain: &Drain) -> Report {
    let began = Instant::now();
    let deadline = from_now(drain.within);
    let open = shared.metrics.connections.get() as usize;
    let ends = Ends::begin(shared);
    log::info!("shutting down, connections open: {open}");
    if shared.hands_over {
        parts.door.close();
        shared.sockets.wait_asked(deadline.min(began + LAST_REQUESTS));
    }
    shared.sockets.cut_asking();
    let mut busy = tell_all(shared, &parts.door, drain, deadline);
    let mut plain = 0;
    if 0 < busy {
        plain = shared.sockets.cut_all(ends.next);
        busy = wait_all(shared, &parts.door, Instant::now() + UNWIND);
    }
    parts.door.close();
    // Only those are left that are not waited for.
    let _ = shared.hub.send(close_some(drain, usize::MAX));
    shared.refusals.stop();
    let _ = parts.refusals.join();
    parts.engine.iter().for_each(|engine| engine.stop());
    shared.hub.stop();
    let _ = parts.hub.join();
    parts.writers.into_iter().for_each(|thread| drop(thread.join()));
    shared.slow_lane.stop();
    let _ = parts.slow_lane.join();
    *shared.router.lock() = None;
    let [stalled, unanswered, gone] = ends.unclean(shared);
    let cut = plain + stalled + unanswered;
    let flushed = open.saturating_sub(cut + gone + shared.sockets.excused());
    let report = Report { open, flushed, cut, stalled, unanswered, gone, busy, took: began.elapsed() };
    log::info!("stopped: {report}");
    report
}

/// How connections end from one moment on.
struct Ends {
    /// Whoever has a number from here on came later, and is not counted.
    next: u64,
    before: [u64; 3],
}

impl Ends {
    const UNCLEAN: [Unclean; 3] = [Unclean::Stalled, Unclean::Unanswered, Unclean::Gone];

    fn begin(shared: &Shared) -> Self {
        let before = Self::UNCLEAN.map(|reason| shared.metrics.unclean.get(reason));
        Self { next: shared.sockets.next(), before }
    }

    /// How many WebSockets have not ended as they should, for each reason; those included whose handlers hold on to them.
    fn unclean(&self, shared: &Shared) -> [usize; 3] {
        let held = shared.sockets.outboxes(self.next);
        let held: Vec<_> = held.iter().filter_map(Weak::upgrade).map(|outbox| outbox.unclean()).collect();
        std::array::from_fn(|n| {
            let reason = Self::UNCLEAN[n];
            let ended = shared.metrics.unclean.get(reason) - self.before[n];
            ended as usize + held.iter().filter(|unclean| **unclean == Some(reason)).count()
        })
    }
}

/// Sends Close frames in batches until nobody is left or the time is up; how many are.
fn tell_all(shared: &Shared, door: &Door, drain: &Drain, deadline: Instant) -> usize {
    loop {
        let _ = shared.hub.send(close_some(drain, drain.batch));
        let now = Instant::now();
        let busy = wait_all(shared, door, deadline.min(now + BATCH_PAUSE));
        if busy == 0 || deadline <= now {
            return busy;
        }
    }
}

fn close_some(drain: &Drain, at_most: usize) -> Command<Arc<Outbox>> {
    let frame = frame::encode_close(close_code(drain.code), &drain.reason);
    Command::CloseSome { at_most, frame }
}

/// Waits until all sockets are closed and all handlers have returned, or `deadline`; how many are not.
fn wait_all(shared: &Shared, door: &Door, deadline: Instant) -> usize {
    let open = shared.sockets.wait_empty(deadline);
    door.wait_idle(deadline).max(open)
}
