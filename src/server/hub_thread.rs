//! The operator at the switchboard: the one thread that drives the hub, and the bounded queue before it.
//!
//! Connections wait when the queue is full, so TCP makes their clients wait; the hub waits for nobody.

use super::byte_bound::ByteBound;
use crate::error::{Error, Result};
use crate::hub::{Command, Counts, Deliver, Frames, Hub, Now, Rules};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::codecs::Codecs;
use crate::net::outbox::{Outbox, Pushed};
use crate::net::writers::{READY, Writers};
use crate::wire::frame;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{io, thread};
use tungstenite::Bytes;

/// What connections ask the hub to do, over the outboxes of all connections.
pub(crate) type HubCommand = Command<Arc<Outbox>>;

/// What comes through the queue.
enum Order {
    Command(HubCommand),
    /// Is answered when its turn comes.
    Answer(Sender<()>),
    Stop,
}

/// The way to the hub, for any number of threads.
pub(crate) struct HubQueue {
    orders: Sender<Order>,
    room: Arc<ByteBound>,
}

impl HubQueue {
    /// Waits while the queue is full.
    pub(crate) fn send(&self, command: HubCommand) -> Result<()> {
        let size = command.size();
        self.room.take(size);
        self.orders.send(Order::Command(command)).map_err(|_| {
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
        self.orders.try_send(Order::Command(command)).map_err(|refused| {
            self.room.free(size);
            match refused {
                TrySendError::Full(Order::Command(command)) => Some(command),
                _ => None,
            }
        })
    }

    /// Whether the hub comes to a question behind all that is in the queue, until `deadline`.
    pub(crate) fn answers(&self, deadline: Instant) -> bool {
        let (answer, answered) = bounded(1);
        let asked = self.orders.send_deadline(Order::Answer(answer), deadline);
        asked.is_ok() && answered.recv_deadline(deadline).is_ok()
    }

    /// Ends the hub after what is in the queue.
    pub(crate) fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
    }

    /// Starts the hub's thread, which takes the writers along: they end with it.
    pub(crate) fn start(
        limits: &Limits,
        writers: Writers,
        metrics: Arc<Metrics>,
        codecs: Arc<Codecs>,
        (node, rules): (&str, Rules),
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (orders, queue) = bounded(limits.hub_commands);
        let room = Arc::new(ByteBound::new(limits.hub_queue));
        let (turn, bound) = (limits.turn, room.clone());
        let hub = Hub::new(node, rules);
        let run = move || {
            let lines = Lines { ready: Vec::new(), writers, codecs, deliveries: 0, bytes: 0 };
            work(hub, &queue, turn, lines, &bound, &metrics);
            bound.close();
        };
        let thread = thread::Builder::new().name("sb-hub".into()).stack_size(limits.stack).spawn(run)?;
        Ok((Self { orders, room }, thread))
    }
}

fn work(
    mut hub: Hub<Arc<Outbox>>,
    queue: &Receiver<Order>,
    turn: usize,
    mut lines: Lines,
    bound: &ByteBound,
    metrics: &Metrics,
) {
    let mut counted = Counts::default();
    loop {
        let first = match next_command(queue, hub.next_deadline()) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = now();
        hub.tick(now, &mut lines);
        let (mut next, mut commands, mut bytes, mut stop, mut asked) = (first, 0, 0, false, None);
        while let Some(command) = next {
            commands += 1;
            bytes += command.size();
            hub.apply(now, command, &mut lines);
            if turn <= commands {
                break;
            }
            next = match queue.try_recv() {
                Ok(Order::Command(command)) => Some(command),
                Ok(Order::Answer(who)) => {
                    asked = Some(who);
                    None
                }
                Ok(Order::Stop) => {
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
        // Not before what stood in the queue before is done.
        if let Some(who) = asked {
            let _ = Sender::send(&who, ());
        }
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

/// The next command, or a turn without one; `Disconnected` also when the hub is to stop.
fn next_command(
    queue: &Receiver<Order>,
    deadline: Option<Instant>,
) -> Result<Option<HubCommand>, RecvTimeoutError> {
    let order = match deadline {
        Some(deadline) => queue.recv_deadline(deadline)?,
        None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected)?,
    };
    match order {
        Order::Command(command) => Ok(Some(command)),
        Order::Answer(who) => {
            let _ = who.send(());
            Ok(None)
        }
        Order::Stop => Err(RecvTimeoutError::Disconnected),
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: unix.as_millis() as u64 }
}

/// Puts what the hub sends into outboxes, and outboxes that need one before the writers.
struct Lines {
    ready: Vec<Arc<Outbox>>,
    writers: Writers,
    codecs: Arc<Codecs>,
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

    fn encode(&mut self, text: &str) -> Frames {
        self.codecs.encode(frame::TEXT, text.as_bytes())
    }
}
