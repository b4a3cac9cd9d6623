//! The slow lane: one thread that waits for everything a connection's own thread does not wait for.
//!
//! Full sockets (until they take more, or for the write deadline), peers that were sent a Close by somebody else (until
//! the close deadline), and what is held back to leave with more (until the cork's time is up). A client that does not read thus costs a place
//! in one `poll`, not a thread, and never a moment of anybody else's.

use super::outbox::{Batch, Drained, Outbox};
use super::waker::Waker;
use crate::limits::{Limits, SHORTEST};
use crate::metrics::Metrics;
use parking_lot::Mutex;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

/// Something that holds back what is small while more is about to come, and must not do so for long.
pub(crate) trait Held: Send + Sync {
    /// Lets go what has been held back since the holding with the number `seen` began. Must not block. When a newer one is
    /// under way its number: it has its own time.
    fn release(self: Arc<Self>, seen: u32) -> Option<u32>;
}

pub(crate) struct SlowLane {
    inbox: Mutex<Inbox>,
    waker: Waker,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Inbox {
    full: Vec<Arc<Outbox>>,
    closing: Vec<Weak<Outbox>>,
    held: Vec<(Weak<dyn Held>, u32)>,
    /// The thread will look here by itself before the time of what is held is up: no need to wake it.
    ticking: bool,
    stopped: bool,
}

impl SlowLane {
    pub(crate) fn start(
        limits: &Limits,
        metrics: Arc<Metrics>,
        stack: usize,
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let slow_lane = Arc::new(Self { inbox: Mutex::default(), waker: Waker::new()?, metrics });
        let mut watch = Watch {
            write_deadline: limits.write_deadline,
            close_deadline: limits.close_deadline,
            cork: limits.cork,
            full: Vec::new(),
            closing: VecDeque::new(),
            held: VecDeque::new(),
        };
        let shared = slow_lane.clone();
        let run = move || watch.run(&shared);
        let thread = thread::Builder::new().name("sb-slow-lane".into()).stack_size(stack).spawn(run)?;
        Ok((slow_lane, thread))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Takes an outbox over whose socket is full, and with it the right to drain it.
    pub(crate) fn take_over(&self, outbox: Arc<Outbox>) {
        self.metrics.stalls.add(1);
        self.inbox.lock().full.push(outbox);
        self.nudge();
    }

    /// Cuts the connection unless it has ended by itself within the close deadline.
    pub(crate) fn watch_close(&self, outbox: &Arc<Outbox>) {
        self.inbox.lock().closing.push(Arc::downgrade(outbox));
        self.nudge();
    }

    /// Lets go what is held back since `epoch`, when its time is up.
    pub(crate) fn watch_held(&self, held: Weak<dyn Held>, epoch: u32) {
        let mut inbox = self.inbox.lock();
        inbox.held.push((held, epoch));
        let ticking = std::mem::replace(&mut inbox.ticking, true);
        drop(inbox);
        if !ticking {
            self.nudge();
        }
    }

    /// Makes the thread look at everything it has.
    pub(crate) fn nudge(&self) {
        self.waker.wake();
    }

    /// Ends the thread; what it still has is left as it is.
    pub(crate) fn stop(&self) {
        self.inbox.lock().stopped = true;
        self.nudge();
    }
}

/// What the thread waits for.
struct Watch {
    write_deadline: Duration,
    close_deadline: Duration,
    cork: Duration,
    full: Vec<Full>,
    /// In the order of their deadlines, as all have the same time.
    closing: VecDeque<(Instant, Weak<Outbox>)>,
    held: VecDeque<(Instant, Weak<dyn Held>, u32)>,
}

struct Full {
    outbox: Arc<Outbox>,
    deadline: Instant,
    writable: bool,
    /// The overflow has been dealt with.
    given_up: bool,
}

impl Watch {
    fn run(&mut self, shared: &SlowLane) {
        let mut batch = Batch::default();
        loop {
            let now = Instant::now();
            // Before `take_in`, which tells others whether this thread will look by itself.
            self.release_held(now);
            if self.take_in(shared, now) {
                return;
            }
            self.drain_full(now, &mut batch);
            batch.count(&shared.metrics);
            shared.metrics.slow_lane.set(self.full.len());
            self.close_ignored(now);
            self.wait(shared);
        }
    }

    /// `true`: to end.
    fn take_in(&mut self, shared: &SlowLane, now: Instant) -> bool {
        let mut inbox = shared.inbox.lock();
        let deadline = now + self.write_deadline;
        let full = inbox.full.drain(..);
        self.full.extend(full.map(|outbox| Full { outbox, deadline, writable: false, given_up: false }));
        let deadline = now + self.close_deadline;
        self.closing.extend(inbox.closing.drain(..).map(|outbox| (deadline, outbox)));
        let deadline = now + self.cork;
        self.held.extend(inbox.held.drain(..).map(|(held, epoch)| (deadline, held, epoch)));
        inbox.ticking = !self.held.is_empty();
        inbox.stopped
    }

    fn drain_full(&mut self, now: Instant, batch: &mut Batch) {
        self.full.retain_mut(|full| {
            let overflowed = !full.given_up && full.outbox.is_abandoned();
            if !full.writable && !overflowed && now < full.deadline {
                return true;
            }
            if !full.writable && !overflowed {
                full.outbox.give_up();
            }
            if !full.given_up && full.outbox.is_abandoned() {
                full.given_up = true;
                full.outbox.stream().make_room();
                full.deadline = now + self.close_deadline;
            }
            match full.outbox.drain(batch) {
                Drained::Full { progress } => {
                    if progress && !full.given_up {
                        full.deadline = now + self.write_deadline;
                    }
                    true
                }
                Drained::Empty | Drained::Gone => false,
            }
        });
    }

    fn close_ignored(&mut self, now: Instant) {
        while let Some((_, outbox)) = self.closing.pop_front_if(|(deadline, _)| *deadline <= now) {
            if let Some(outbox) = outbox.upgrade() {
                outbox.cut_off();
            }
        }
    }

    fn release_held(&mut self, now: Instant) {
        while let Some((_, held, epoch)) = self.held.pop_front_if(|(deadline, ..)| *deadline <= now) {
            if let Some(newer) = held.upgrade().and_then(|held| held.release(epoch)) {
                // Later in any case, or this would never end.
                self.held.push_back((now + self.cork.max(SHORTEST), held, newer));
            }
        }
    }

    /// Until a socket is writable, a deadline has come, or somebody nudges.
    fn wait(&mut self, shared: &SlowLane) {
        let deadlines = [
            self.full.iter().map(|full| full.deadline).min(),
            self.closing.front().map(|(deadline, _)| *deadline),
            self.held.front().map(|(deadline, ..)| *deadline),
        ];
        let sockets = self.full.iter().map(|full| (full.outbox.stream(), PollFlags::OUT));
        let writable = shared.waker.wait(sockets, deadlines.into_iter().flatten().min());
        self.full.iter_mut().zip(writable).for_each(|(full, writable)| full.writable = writable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KIB;
    use crate::net::stream::Stream;
    use crate::wire::frame::Role;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Something that cannot be let go: the hub's queue is full, say.
    #[derive(Default)]
    struct Stuck {
        tries: AtomicUsize,
    }

    impl Held for Stuck {
        fn release(self: Arc<Self>, seen: u32) -> Option<u32> {
            self.tries.fetch_add(1, Relaxed);
            Some(seen)
        }
    }

    #[test]
    fn what_cannot_be_let_go_keeps_nobody_else_waiting() {
        let times = Limits { cork: Duration::ZERO, close_deadline: Duration::ZERO, ..Limits::default() };
        let (slow_lane, lane_thread) = SlowLane::start(&times, Arc::default(), 64 * KIB).unwrap();
        let stuck = Arc::new(Stuck::default());
        let held: Weak<Stuck> = Arc::downgrade(&stuck);
        slow_lane.watch_held(held, 0);
        while stuck.tries.load(Relaxed) < 2 {
            thread::yield_now();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let stream = Arc::new(Stream::new(server, peer));
        let (lane, metrics) = (slow_lane.clone(), Arc::default());
        let outbox = Outbox::new(stream, &times, lane, metrics, Arc::default(), None, Role::Server);
        let outbox = Arc::new(outbox);
        slow_lane.watch_close(&outbox);
        // Cut at once, as it has not ended by itself.
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        slow_lane.stop();
        lane_thread.join().unwrap();
    }
}
