//! The operator at the switchboard: the one thread that drives the hub, and the bounded queue before it.
//!
//! Connections wait when the queue is full, so TCP makes their clients wait; the hub waits for nobody.

use crate::error::{Error, Result};
use crate::hub::{Command, Counts, Deliver, Hub};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::outbox::{Outbox, Pushed};
use crate::net::writers::{READY, Writers};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::{io, thread};
use tungstenite::Bytes;

/// What connections ask the hub to do, over the outboxes of all connections.
pub(crate) type HubCommand = Command<Arc<Outbox>>;

/// The way to the hub, for any number of threads.
pub(crate) struct HubQueue {
    /// `None` ends the hub.
    commands: Sender<Option<HubCommand>>,
    room: Arc<ByteBound>,
}

/// How many bytes wait in the queue: its length in commands says little of that.
struct ByteBound {
    limit: usize,
    used: AtomicUsize,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    freed: Condvar,
}

impl HubQueue {
    /// Waits while the queue is full.
    pub(crate) fn send(&self, command: HubCommand) -> Result<()> {
        let size = command.size();
        self.room.take(size);
        self.commands.send(Some(command)).map_err(|_| {
            self.room.free(size);
            Error::Stopped
        })
    }

    /// Never waits. Gives the command back when the queue is full; `Err(None)`: the hub has stopped.
    #[expect(clippy::result_large_err, reason = "the command goes back to where it came from")]
    pub(crate) fn try_send(&self, command: HubCommand) -> Result<(), Option<HubCommand>> {
        let size = command.size();
        if !self.room.try_take(size) {
            return Err(Some(command));
        }
        self.commands.try_send(Some(command)).map_err(|refused| {
            self.room.free(size);
            match refused {
                TrySendError::Full(command) => command,
                TrySendError::Disconnected(_) => None,
            }
        })
    }

    /// Ends the hub after what is in the queue.
    pub(crate) fn stop(&self) {
        let _ = self.commands.send(None);
    }

    /// Starts the hub's thread, which takes the writers along: they end with it.
    pub(crate) fn start(
        limits: &Limits,
        writers: Writers,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (commands, queue) = bounded(limits.hub_commands);
        let room = Arc::new(ByteBound::new(limits.hub_queue));
        let (turn, bound) = (limits.turn, room.clone());
        let run = move || {
            let lines = Lines { ready: Vec::new(), writers, deliveries: 0, bytes: 0 };
            work(&queue, turn, lines, &bound, &metrics);
            bound.close();
        };
        let thread = thread::Builder::new().name("sb-hub".into()).stack_size(limits.stack).spawn(run)?;
        Ok((Self { commands, room }, thread))
    }
}

fn work(
    queue: &Receiver<Option<HubCommand>>,
    turn: usize,
    mut lines: Lines,
    bound: &ByteBound,
    metrics: &Metrics,
) {
    let mut hub = Hub::new();
    let mut counted = Counts::default();
    while let Ok(Some(first)) = queue.recv() {
        let (mut next, mut commands, mut bytes, mut stop) = (Some(first), 0, 0, false);
        while let Some(command) = next {
            commands += 1;
            bytes += command.size();
            hub.apply(command, &mut lines);
            if turn <= commands {
                break;
            }
            next = match queue.try_recv() {
                Ok(Some(command)) => Some(command),
                Ok(None) => {
                    stop = true;
                    None
                }
                Err(_) => None,
            };
        }
        hub.end_turn(&mut lines);
        lines.end_turn(metrics);
        bound.free(bytes);
        metrics.turns.add(1);
        metrics.commands.add(commands);
        let counts = hub.counts();
        if counts != counted {
            metrics.users.set(counts.users);
            metrics.rooms.set(counts.rooms);
            counted = counts;
        }
        if stop {
            return;
        }
    }
}

/// Puts what the hub sends into outboxes, and outboxes that need one before the writers.
struct Lines {
    ready: Vec<Arc<Outbox>>,
    writers: Writers,
    deliveries: usize,
    bytes: usize,
}

impl Lines {
    fn pushed(&mut self, to: &Arc<Outbox>, pushed: Pushed) {
        if pushed == Pushed::NeedsWriter {
            self.ready.push(to.clone());
            if READY <= self.ready.len() {
                self.writers.hand_over(std::mem::take(&mut self.ready));
            }
        }
    }

    fn end_turn(&mut self, metrics: &Metrics) {
        self.writers.hand_over(std::mem::take(&mut self.ready));
        metrics.deliveries.add(std::mem::take(&mut self.deliveries));
        metrics.delivered_bytes.add(std::mem::take(&mut self.bytes));
    }
}

impl Deliver<Arc<Outbox>> for Lines {
    fn deliver(&mut self, to: &Arc<Outbox>, frames: &Bytes) {
        self.deliveries += 1;
        self.bytes += frames.len();
        self.pushed(to, to.push(frames));
    }

    fn close(&mut self, to: &Arc<Outbox>, frame: &Bytes) {
        self.pushed(to, to.close(frame));
    }
}

impl ByteBound {
    fn new(limit: usize) -> Self {
        let (used, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, used, waiting, lock: Mutex::new(()), freed: Condvar::new() }
    }

    fn try_take(&self, size: usize) -> bool {
        // What is larger than the whole bound still passes when nothing else waits.
        let fits = |used: usize| (used == 0 || used + size <= self.limit).then_some(used + size);
        self.used.fetch_update(SeqCst, SeqCst, fits).is_ok()
    }

    fn take(&self, size: usize) {
        if size == 0 || self.try_take(size) {
            return;
        }
        self.waiting.fetch_add(1, SeqCst);
        let mut lock = self.lock.lock();
        while !self.try_take(size) {
            self.freed.wait(&mut lock);
        }
        drop(lock);
        self.waiting.fetch_sub(1, SeqCst);
    }

    fn free(&self, size: usize) {
        let _ = self.used.fetch_update(SeqCst, SeqCst, |used| Some(used.saturating_sub(size)));
        if 0 < self.waiting.load(SeqCst) {
            // Under the lock, or a thread that has just found the queue full would miss it.
            let _lock = self.lock.lock();
            self.freed.notify_all();
        }
    }

    /// Nobody takes anything out from now on, so nobody may wait.
    fn close(&self) {
        self.free(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_and_waiters_go_on_when_there_is_room() {
        let bound = Arc::new(ByteBound::new(100));
        bound.take(60);
        assert!(!bound.try_take(41));
        let (other, (took, taken)) = (bound.clone(), bounded(0));
        let thread = thread::spawn(move || {
            other.take(90);
            took.send(()).unwrap();
        });
        while bound.waiting.load(SeqCst) == 0 {}
        assert!(taken.try_recv().is_err());
        bound.free(60);
        taken.recv().unwrap();
        thread.join().unwrap();
        bound.free(90);
        assert!(bound.try_take(1000), "what is larger than the bound passes alone");
    }
}
