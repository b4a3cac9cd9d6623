//! What happened at thousands of sockets: `epoll`, and a bell that other threads can ring.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that are taken at once.
const EVENTS: usize = 1024;
/// Waits that are shorter are timed more finely than `epoll` can, which counts in milliseconds.
const FINE: Duration = Duration::from_millis(3);
/// What the bell is registered as; no socket is.
const BELL: u64 = u64::MAX;

pub(super) struct Poller {
    epoll: OwnedFd,
    bell: Waker,
}

/// Room for what is told at once. Stays in its thread.
pub(super) struct Events(Vec<Event>);

/// Ends the wait of a thread in [`Poller::wait`].
#[derive(Clone)]
pub(super) struct Waker(Arc<OwnedFd>);

/// What happened at a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// As it was registered.
    pub(super) key: u64,
    pub(super) writable: bool,
    /// The peer will send nothing more, or the connection is broken.
    pub(super) hung_up: bool,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = Waker(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?));
        epoll::add(&epoll, &*bell.0, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, bell })
    }

    pub(super) fn waker(&self) -> Waker {
        self.bell.clone()
    }

    /// Tells of everything that happens at the socket, until it is closed: once for each change, so that it costs one system
    /// call for a connection's whole life. Whoever is told must read, or write, until nothing is left.
    pub(super) fn add(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let everything = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key), everything)?)
    }

    /// Waits until something happens, the bell rings, or it is `until`.
    pub(super) fn wait(&self, until: Instant, events: &mut Events, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() && left < FINE {
            // The epoll is readable when it has events.
            poll_once(&self.epoll, left)?;
            left = Duration::ZERO;
        }
        let whole = Duration::from_millis(left.as_millis() as u64);
        let Events(events) = events;
        events.clear();
        let free = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, free, Some(&timespec(whole))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let sockets = events.iter().filter(|event| event.data.u64() != BELL);
        ready.extend(sockets.map(|event| {
            // It may be packed, and then nothing may refer to its fields.
            let (flags, data) = (event.flags, event.data);
            let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
            Ready {
                key: data.u64(),
                writable: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
                hung_up: flags.intersects(ended),
            }
        }));
        if ready.len() < events.len() {
            let _ = rustix::io::read(&*self.bell.0, &mut [0; 8]);
        }
        Ok(())
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }
}

impl Waker {
    pub(super) fn wake(&self) {
        // It fails when it has been rung 2^64 times already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

fn poll_once(fd: &OwnedFd, time: Duration) -> io::Result<()> {
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timespec(time))) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}
