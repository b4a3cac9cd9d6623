//! The operator at the switchboard: the one thread that drives the hub, and the bounded queue before it.
//!
//! Connections wait when the queue is full, so TCP makes their clients wait; the hub waits for nobody.

use super::byte_bound::ByteBound;
use crate::engine::{Engine, Inbox, Notice, Order};
use crate::error::{Error, Result};
use crate::hub::{Command, Counts, Deliver, Frames, Hub, Rules};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::codecs::Codecs;
use crate::net::outbox::{Outbox, Pushed};
use crate::net::writers::{READY, Writers};
use crate::wire::frame;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use std::{io, thread};
use tungstenite::Bytes;

/// What connections ask the hub to do, over the outboxes of all connections.
pub(crate) type HubCommand = Command<Arc<Outbox>>;

/// What comes through the queue.
enum Queued {
    Command(HubCommand),
    /// Is answered when its turn comes.
    Question(Sender<()>),
    Stop,
}

/// The way to the hub, for any number of threads.
#[derive(Clone)]
pub(crate) struct HubQueue {
    queue: Sender<Queued>,
    room: Arc<ByteBound>,
    /// Why the engine cannot be reached.
    deaf: Arc<Mutex<Option<String>>>,
}

impl HubQueue {
    /// Waits while the queue is full.
    pub(crate) fn send(&self, command: HubCommand) -> Result<()> {
        let size = command.size();
        self.room.take(size);
        self.queue.send(Queued::Command(command)).map_err(|_| {
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
        self.queue.try_send(Queued::Command(command)).map_err(|refused| {
            self.room.free(size);
            match refused {
                TrySendError::Full(Queued::Command(command)) => Some(command),
                _ => None,
            }
        })
    }

    /// Whether the hub comes to a question behind all that is in the queue, until `deadline`.
    pub(crate) fn answers(&self, deadline: Instant) -> bool {
        let (answer, answered) = bounded(1);
        let asked = self.queue.send_deadline(Queued::Question(answer), deadline);
        asked.is_ok() && answered.recv_deadline(deadline).is_ok()
    }

    /// Ends the hub after what is in the queue.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(Queued::Stop);
    }

    /// Starts the hub's thread, which takes the writers along: they end with it.
    pub(crate) fn start(
        limits: &Limits,
        writers: Writers,
        metrics: Arc<Metrics>,
        codecs: Arc<Codecs>,
        (node, rules): (&str, Rules),
        engine: Option<Arc<dyn Engine>>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, queue) = bounded(limits.hub_commands);
        let room = Arc::new(ByteBound::new(limits.hub_queue));
        let (turn, bound) = (limits.turn, room.clone());
        let hub = Hub::new(node, rules, engine.as_ref().map(|engine| engine.is_shared()));
        // Known before anybody can ask: a server is not ready until its engine has been heard of.
        let deaf = Arc::new(Mutex::new(hub.deaf().map(String::from)));
        let told = deaf.clone();
        let run = move || {
            let orders = Vec::new();
            let (messages, last) = Default::default();
            let ready = Vec::new();
            let lines =
                Lines { ready, writers, codecs, deliveries: 0, bytes: 0, messages, last, engine, orders };
            work(hub, &queue, turn, lines, (&bound, &told), &metrics);
            bound.close();
        };
        let thread = thread::Builder::new().name("sb-hub".into()).stack_size(limits.stack).spawn(run)?;
        Ok((Self { queue: sender, room, deaf }, thread))
    }

    /// For an engine's notices: waits while the queue is full.
    pub(crate) fn inbox(&self) -> Inbox {
        let queue = self.clone();
        Inbox::new(move |notices| queue.send(Command::Notices(notices)).is_ok())
    }

    /// Commands that wait, and their bytes.
    pub(crate) fn depth(&self) -> (usize, usize) {
        (self.queue.len(), self.room.used())
    }

    /// Why the engine cannot be reached, if it cannot.
    pub(crate) fn deaf(&self) -> Option<String> {
        self.deaf.lock().clone()
    }
}

fn work(
    mut hub: Hub<Arc<Outbox>>,
    queue: &Receiver<Queued>,
    turn: usize,
    mut lines: Lines,
    (bound, told): (&ByteBound, &Mutex<Option<String>>),
    metrics: &Metrics,
) {
    let mut counted = Counts::default();
    loop {
        let mut next = wait(queue, hub.next_deadline());
        let now = crate::engine::now();
        hub.tick(now, &mut lines);
        let (mut commands, mut bytes) = (0, 0);
        while let Some(Queued::Command(command)) = next {
            commands += 1;
            bytes += command.size();
            hub.apply(now, command, &mut lines);
            next = if commands < turn { queue.try_recv().ok() } else { None };
        }
        while let Some(notices) = lines.ask_engine() {
            hub.apply(now, Command::Notices(notices), &mut lines);
        }
        hub.end_turn(&mut lines);
        // Before the answers leave: who was told that something is unavailable and then looks finds it so.
        if hub.deaf() != told.lock().as_deref() {
            *told.lock() = hub.deaf().map(String::from);
        }
        lines.end_turn(metrics);
        bound.free(bytes);
        let counts = hub.counts();
        if counts != counted {
            show(&counts, metrics);
            counted = counts;
        }
        metrics.hub.turn_commands.observe(commands as u64);
        metrics.hub.turn_seconds.observe_time(now.instant.elapsed());
        // What stood in the queue before is done.
        match next {
            Some(Queued::Question(who)) => drop(who.send(())),
            Some(Queued::Stop) => return,
            Some(Queued::Command(_)) | None => {}
        }
    }
}

fn show(counts: &Counts, metrics: &Metrics) {
    metrics.hub.users.set(counts.users);
    metrics.hub.rooms.set(counts.rooms);
    let (counts, metrics) = (&counts.protocol, &metrics.protocol);
    metrics.connections.set(counts.connections);
    metrics.users.set(counts.users);
    metrics.rooms.set(counts.rooms);
    metrics.history_messages.set(counts.kept.0);
    metrics.history_bytes.set(counts.kept.1);
    metrics.publishes.set(counts.publishes);
    metrics.acknowledged.set(counts.acknowledged);
}

/// What comes next; nothing when that takes until `deadline`. When nobody is left who could send anything, it is to stop.
fn wait(queue: &Receiver<Queued>, deadline: Option<Instant>) -> Option<Queued> {
    let next = match deadline {
        Some(deadline) => queue.recv_deadline(deadline),
        None => queue.recv().map_err(RecvTimeoutError::from),
    };
    match next {
        Ok(queued) => Some(queued),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Queued::Stop),
    }
}

/// Puts what the hub sends into outboxes, and outboxes that need one before the writers.
struct Lines {
    ready: Vec<Arc<Outbox>>,
    writers: Writers,
    codecs: Arc<Codecs>,
    deliveries: usize,
    bytes: usize,
    /// Texts and binary messages.
    messages: [usize; 2],
    /// The piece that was delivered last, and how many messages are in it: most pieces go to many.
    last: (Bytes, [usize; 2]),
    engine: Option<Arc<dyn Engine>>,
    /// What this turn wants of the engine.
    orders: Vec<Order>,
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

    /// What the engine says at once to what it is asked; nothing when there is nothing to ask.
    fn ask_engine(&mut self) -> Option<Vec<Notice>> {
        let engine = self.engine.as_ref().filter(|_| !self.orders.is_empty())?;
        Some(engine.take(std::mem::take(&mut self.orders)))
    }

    fn count(&mut self, frames: &Bytes) {
        // It is held, so nothing else can be where it is.
        let is_last = self.last.0.as_ptr() == frames.as_ptr() && self.last.0.len() == frames.len();
        if !is_last {
            self.last = (frames.clone(), frame::count(frames));
        }
        let [texts, binaries] = self.last.1;
        self.messages = [self.messages[0] + texts, self.messages[1] + binaries];
    }

    fn end_turn(&mut self, metrics: &Metrics) {
        self.writers.hand_over(std::mem::take(&mut self.ready));
        self.last = Default::default();
        metrics.messages_out.add_each(std::mem::take(&mut self.messages));
        metrics.hub.deliveries.add(std::mem::take(&mut self.deliveries));
        metrics.hub.delivered_bytes.add(std::mem::take(&mut self.bytes));
    }
}

impl Deliver<Arc<Outbox>> for Lines {
    fn deliver(&mut self, to: &Arc<Outbox>, frames: &Bytes) {
        self.deliveries += 1;
        self.bytes += frames.len();
        self.count(frames);
        self.pushed(to, to.push(frames));
    }

    fn close(&mut self, to: &Arc<Outbox>, frame: &Bytes) {
        self.pushed(to, to.close(frame));
    }

    fn encode(&mut self, text: &str) -> Frames {
        self.codecs.encode(frame::TEXT, text.as_bytes())
    }

    fn order(&mut self, order: Order) {
        self.orders.push(order);
    }
}
