//! Rooms on disk: an embedded database, and the one thread that writes to it.
//!
//! *Group commit*: everything that waits is written as one transaction, so that one wait for the disk serves many messages.
//! What is told to the hub is told after the commit.

mod disk;
mod metrics;
mod survive;
mod waiting;

use super::shelf::{Put, Shelf, first};
use super::{Engine, Inbox, Listed, Name, Notice, Order, Publish, RoomRules, Ticket};
use crate::error::{Error, Result};
use crate::hub::Now;
use crate::limits::Limits;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use disk::{Batch, Disk, read};
use metrics::StoreMetrics;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::mem::{replace, take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use survive::survive;
use waiting::Waiting;

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How often a file that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long whoever asks for the rooms waits for the thread.
const LIST: Duration = Duration::from_secs(10);
/// Most orders in one transaction: more would only make each of them wait longer.
const TRANSACTION: usize = 4096;

/// An engine that keeps rooms in a file: their histories, epochs, offsets and keys outlive the process, whatever ends it. A
/// message is acknowledged, and told to the members, once it is on the disk. For one server; the file is locked.
///
/// When the disk is full or fails, or something has damaged the file, publishing and joining are answered `unavailable`, and the
/// file is tried again every two seconds; what was acknowledged stays. Above 65536 messages or 64 MiB that wait for the disk, more are refused. The file
/// holds what people say: it is made readable by its owner only.
///
/// ```
/// # #[cfg(feature = "protocol")] fn main() -> switchboard::Result<()> {
/// use switchboard::Server;
/// use switchboard::engine::Store;
///
/// # let folder = std::env::temp_dir().join(format!("store-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let file = folder.join("rooms.db");
/// for expected in ["\"offset\":1", "\"offset\":2"] { // the second server goes on where the first one ended
///     let server = Server::builder().protocol("/ws").engine(Store::open(&file)?);
///     let server = server.bind("127.0.0.1:0")?.start()?;
///     let mut ann = server.connect("/ws?user=ann")?;
///     ann.send(r#"{"type":"publish","room":"tea","data":"hello","id":1}"#)?;
///     assert!(ann.recv()?.unwrap().to_text().unwrap().contains("welcome"));
///     assert!(ann.recv()?.unwrap().to_text().unwrap().contains(expected));
/// }
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(()) }
/// # #[cfg(not(feature = "protocol"))] fn main() {}
/// ```
pub struct Store {
    path: PathBuf,
    bytes: usize,
    /// Read, and not yet given to the thread.
    opened: Mutex<Option<(Disk, Shelf)>>,
    running: Mutex<Option<Running>>,
    metrics: Arc<StoreMetrics>,
}

struct Running {
    queue: Sender<Task>,
    waiting: Arc<Waiting>,
    thread: JoinHandle<()>,
}

enum Task {
    Orders(Vec<Order>),
    /// What is on the disk, of the rooms behind that name.
    List(String, Sender<Result<Vec<Listed>, String>>),
    Stop,
}

impl Store {
    /// Opens the file, or makes it, and reads all of it. Keeps at most [`Limits::history`] bytes of messages, by default.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be opened, is another program's or another server's, or is damaged; it is left as it
    /// is then. Says what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_bounded(path, Limits::default().history)
    }

    /// The same with another bound of bytes of all histories together.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_bounded(path: impl AsRef<Path>, bytes: usize) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let opened = read(&path, bytes).map_err(Error::Config)?;
        Ok(Self {
            path,
            bytes,
            opened: Mutex::new(Some(opened)),
            running: Mutex::new(None),
            metrics: Arc::default(),
        })
    }
}

impl Engine for Store {
    fn start(&self, _: &str, inbox: Inbox) -> Result<()> {
        let opened = self.opened.lock().take();
        let (disk, shelf) = match opened {
            Some(opened) => opened,
            None => read(&self.path, self.bytes).map_err(Error::Config)?,
        };
        inbox.tell(vec![Notice::Hearing]);
        let (queue, tasks) = unbounded();
        let waiting = Arc::new(Waiting::default());
        let mut writer = Writer {
            path: self.path.clone(),
            bytes: self.bytes,
            shelf,
            disk: Ok(disk),
            inbox,
            open: HashMap::new(),
            waiting: waiting.clone(),
            metrics: self.metrics.clone(),
            swept: Instant::now(),
        };
        let thread = thread::Builder::new().name("sb-store".into()).spawn(move || writer.run(&tasks))?;
        *self.running.lock() = Some(Running { queue, waiting, thread });
        Ok(())
    }

    fn take(&self, orders: Vec<Order>) -> Vec<Notice> {
        let running = self.running.lock();
        let Some(running) = &*running else { return Vec::new() };
        let mut refused = Vec::new();
        let mut taken = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Publish { ticket, .. } if !running.waiting.add(order.size()) => {
                    let result = Err("the disk does not keep up with what is said".into());
                    refused.push(Notice::Published { ticket, result });
                }
                order => taken.push(order),
            }
        }
        let _ = running.queue.send(Task::Orders(taken));
        refused
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn rooms(&self, after: &str, most: usize) -> Result<Vec<Listed>> {
        // Not under the lock, which the hub takes too.
        let queue =
            self.running.lock().as_ref().map(|running| running.queue.clone()).ok_or(Error::Stopped)?;
        let (tell, told) = bounded(1);
        let _ = queue.send(Task::List(after.into(), tell));
        let told = told.recv_timeout(LIST).unwrap_or_else(|_| Err("the disk does not answer in time".into()));
        told.map(|rooms| first(rooms, most)).map_err(Error::Unavailable)
    }

    fn metrics(&self) -> String {
        let running = self.running.lock();
        let waiting = running.as_ref().map_or((0, 0), |running| running.waiting.now());
        self.metrics.text(waiting, &self.path)
    }

    fn stop(&self) {
        // Not under the lock: who asks for the metrics must not wait for the disk.
        let running = self.running.lock().take();
        if let Some(Running { queue, thread, .. }) = running {
            let _ = queue.send(Task::Stop);
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Writer {
    path: PathBuf,
    bytes: usize,
    shelf: Shelf,
    /// Or why it cannot be written, and when to try again.
    disk: Result<Disk, (String, Instant)>,
    inbox: Inbox,
    /// Rooms that the hub has.
    open: HashMap<Name, RoomRules>,
    waiting: Arc<Waiting>,
    metrics: Arc<StoreMetrics>,
    swept: Instant,
}

/// What a turn has to tell once it is on the disk.
#[derive(Default)]
struct Turn {
    batch: Batch,
    notices: Vec<Notice>,
    tickets: Vec<Ticket>,
}

impl Writer {
    fn run(&mut self, tasks: &Receiver<Task>) {
        loop {
            let pause = if self.disk.is_ok() { SWEEP } else { RETRY };
            let (mut orders, mut stop) = match tasks.recv_timeout(pause) {
                Ok(Task::Orders(orders)) => (orders, false),
                Ok(Task::List(after, tell)) => {
                    self.list(&after, &tell);
                    (Vec::new(), false)
                }
                Err(RecvTimeoutError::Timeout) => (Vec::new(), false),
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            while orders.len() < TRANSACTION && !stop {
                match tasks.try_recv() {
                    Ok(Task::Orders(more)) => orders.extend(more),
                    Ok(Task::List(after, tell)) => self.list(&after, &tell),
                    Ok(Task::Stop) => stop = true,
                    Err(_) => break,
                }
            }
            for order in &orders {
                if let Order::Publish { .. } = order {
                    self.waiting.remove(order.size());
                }
            }
            match &self.disk {
                Ok(_) => self.turn_or_fail(orders),
                Err((why, since)) => {
                    let (why, is_due) = (why.clone(), RETRY <= since.elapsed());
                    self.refuse(orders, &why);
                    if is_due {
                        self.try_again();
                    }
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Between turns all that the shelf has is on the disk, unless that has failed.
    fn list(&self, after: &str, tell: &Sender<Result<Vec<Listed>, String>>) {
        let rooms = self.disk.as_ref().map(|_| self.shelf.list(after)).map_err(|(why, _)| why.clone());
        let _ = tell.try_send(rooms);
    }

    /// A panic, as of a database that meets what it never wrote, ends no more than the turn: everybody is answered.
    fn turn_or_fail(&mut self, orders: Vec<Order>) {
        let ticket = |order: &Order| match order {
            Order::Publish { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let tickets: Vec<Ticket> = orders.iter().filter_map(ticket).collect();
        let path = self.path.clone();
        if let Err(why) = survive(&path, || {
            self.turn(orders);
            Ok(())
        }) {
            self.metrics.failures.add(1);
            self.fail(why, &tickets);
        }
    }

    /// Carries out what is asked, and tells of it when it is on the disk.
    fn turn(&mut self, orders: Vec<Order>) {
        let (now, mut turn) = (super::now(), Turn::default());
        self.sweep(now, &mut turn.batch);
        for order in orders {
            match order {
                Order::Publish { ticket, publish } => self.publish(now, ticket, &publish, &mut turn),
                Order::Open { room, rules } => {
                    turn.notices.push(self.state(now, &room, &rules));
                    self.open.insert(room, rules);
                }
                Order::Close { room } => drop(self.open.remove(&room)),
                Order::Listen { .. } | Order::Tell { .. } | Order::Presence { .. } => {}
            }
        }
        let Ok(disk) = &mut self.disk else { return };
        let written = if turn.batch.is_empty() {
            Ok(())
        } else {
            let began = Instant::now();
            let written = disk.write(&turn.batch, &self.shelf);
            self.metrics.committed(turn.batch.messages.len(), began.elapsed(), written.is_ok());
            written
        };
        match written {
            Ok(()) => drop(self.inbox.tell(turn.notices)),
            Err(why) => self.fail(why, &turn.tickets),
        }
    }

    fn publish(&mut self, now: Now, ticket: Ticket, publish: &Publish, turn: &mut Turn) {
        turn.tickets.push(ticket);
        let result = match self.shelf.publish(now, publish) {
            Put::New(receipt, message) => {
                let room = publish.room.clone();
                turn.batch.changed.insert(room.clone());
                turn.batch.messages.push((room.clone(), message.clone(), publish.scoped_key()));
                if self.open.contains_key(&room) {
                    turn.notices.push(Notice::Message { room, epoch: receipt.epoch.clone(), message });
                }
                Ok(receipt)
            }
            Put::Before(receipt) => Ok(receipt),
            Put::Refused(why) => Err(why),
        };
        turn.notices.push(Notice::Published { ticket, result });
    }

    fn state(&mut self, now: Now, room: &Name, rules: &RoomRules) -> Notice {
        let history = self.shelf.open(now, room, rules);
        Notice::State {
            room: room.clone(),
            epoch: history.epoch_name(),
            offset: history.offset(),
            messages: history.messages().cloned().collect(),
            members: Vec::new(),
        }
    }

    /// Forgets what is too old, here and on the disk.
    fn sweep(&mut self, now: Now, batch: &mut Batch) {
        if self.swept.elapsed() < SWEEP {
            return;
        }
        self.swept = Instant::now();
        batch.changed.extend(self.shelf.trim(now));
        batch.forgotten = self.shelf.forget_empty(|room| self.open.contains_key(room));
    }

    /// Nothing of the turn counts. What is on the disk is read again before anything goes on.
    fn fail(&mut self, why: String, tickets: &[Ticket]) {
        log::error!("{why}");
        let refused = |ticket: &Ticket| Notice::Published { ticket: *ticket, result: Err(why.clone()) };
        let mut notices: Vec<Notice> = tickets.iter().map(refused).collect();
        notices.push(Notice::Deaf { why: why.clone() });
        self.inbox.tell(notices);
        let disk = replace(&mut self.disk, Err((why, Instant::now())));
        // What it says while it lets go of the file does not matter any more.
        let _ = survive(&self.path, || {
            drop(disk);
            Ok(())
        });
    }

    fn refuse(&mut self, orders: Vec<Order>, why: &str) {
        let mut notices = Vec::new();
        for order in orders {
            match order {
                Order::Publish { ticket, .. } => {
                    notices.push(Notice::Published { ticket, result: Err(why.into()) });
                }
                Order::Open { room, rules } => drop(self.open.insert(room, rules)),
                Order::Close { room } => drop(self.open.remove(&room)),
                Order::Listen { .. } | Order::Tell { .. } | Order::Presence { .. } => {}
            }
        }
        self.inbox.tell(notices);
    }

    /// Reads the file again; the hub is told what there is, if it can also be written.
    fn try_again(&mut self) {
        let opened = read(&self.path, self.bytes).and_then(|(mut disk, shelf)| {
            survive(&self.path, || disk.write(&Batch::default(), &shelf))?;
            Ok((disk, shelf))
        });
        match opened {
            Ok((disk, shelf)) => {
                log::info!("the store {} can be written again", self.path.display());
                (self.disk, self.shelf) = (Ok(disk), shelf);
                let now = super::now();
                let open: Vec<(Name, RoomRules)> =
                    self.open.iter().map(|(room, rules)| (room.clone(), rules.clone())).collect();
                let mut notices: Vec<Notice> =
                    open.iter().map(|(room, rules)| self.state(now, room, rules)).collect();
                notices.push(Notice::Hearing);
                self.inbox.tell(take(&mut notices));
            }
            Err(why) => self.disk = Err((why, Instant::now())),
        }
    }
}
