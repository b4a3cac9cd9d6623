//! The thread that speaks to Redis: takes all orders that wait, sends them together, and answers each.
//!
//! It also keeps up in Redis what must not be forgotten there, and says every 2 s that this server is alive. That beat is a
//! write: a Redis that cannot be written to is found by it.

use super::Line;
use super::access::info;
use super::batch::{Batch, Script, Scripts};
use super::desk::{Channel, Moved, Side, Work, told};
use super::names::{LISTENERS, listener};
use super::pause::Pause;
use super::{heard, replies};
use crate::engine::{Address, Name, Notice, Order, Publish, Ticket};
use ::redis::{Cmd, Connection, RedisError, RedisResult, Value, cmd};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often this server says that it is alive.
const BEAT: Duration = Duration::from_secs(2);

/// In how many parts, one each second, everything is kept up.
const PARTS: usize = 10;
const PART: Duration = Duration::from_secs(1);

/// What a server has in Redis lives so long unless it is kept up.
const LIFE: Duration = Duration::from_secs(30);

/// A room's messages are forgotten so long after the last one is too old.
pub(super) const AFTERLIFE: Duration = Duration::from_secs(60);

/// A server that has not said for so long that it is alive says everything again: others may have taken it for dead.
const PAUSED: Duration = Duration::from_secs(12);

/// Commands that are sent together when everything is said again.
const BULK: usize = 1000;

/// What an answer is for.
enum Then {
    Publish(Ticket),
    Tell(Option<Ticket>),
    /// To those of a channel that this server subscribes to itself.
    TellOthers {
        ticket: Ticket,
        hears_itself: bool,
    },
    Beat,
    Refresh(Name),
    Nothing,
}

/// Speaks to Redis until the server stops.
pub(super) fn run(line: &Line) {
    let mut pause = Pause::default();
    loop {
        let error = match Session::begin(line).and_then(|mut session| session.serve(&mut pause)) {
            Ok(()) => return,
            Err(error) => error,
        };
        line.desk.follow(false);
        let why = line.access.why(&error);
        let wait = pause.next(&error);
        let side = if wait.is_zero() { Side::Healing } else { Side::Down(why.clone()) };
        log::warn!("{why}");
        line.inbox.tell(line.desk.publisher(side));
        if line.desk.pause(Instant::now() + wait) {
            line.inbox.tell(line.desk.publisher(Side::Down("the server is stopping".into())));
            return;
        }
    }
}

/// One connection's life.
struct Session<'a> {
    line: &'a Line,
    connection: Connection,
    scripts: Scripts,
    life: String,
    beat_at: Instant,
    part_at: Instant,
    /// Rooms that are still to be kept up in this round, and how many in each part.
    round: VecDeque<Name>,
    share: usize,
    beaten: Instant,
}

impl<'a> Session<'a> {
    fn begin(line: &'a Line) -> RedisResult<Self> {
        let mut connection = line.access.connect("switchboard-publisher")?;
        let scripts = Scripts::load(&mut connection)?;
        let life = life(&mut connection)?;
        let now = Instant::now();
        Ok(Self {
            line,
            connection,
            scripts,
            life,
            beat_at: now + BEAT,
            part_at: now + PART,
            round: VecDeque::new(),
            share: 0,
            beaten: now,
        })
    }

    /// Until the server stops, or the connection is lost.
    fn serve(&mut self, pause: &mut Pause) -> RedisResult<()> {
        let line = self.line;
        self.beat()?;
        line.desk.follow(true);
        self.announce_all()?;
        line.inbox.tell(line.desk.publisher(Side::Up));
        pause.good();
        loop {
            let work = line.desk.work(self.beat_at.min(self.part_at));
            let is_last = work.stop && work.orders.is_empty();
            self.carry_out(work)?;
            if is_last {
                return self.bye();
            }
            self.keep_up()?;
        }
    }

    fn carry_out(&mut self, work: Work) -> RedisResult<()> {
        self.line.inbox.tell(work.news);
        let names = &self.line.names;
        let mut batch = Batch::default();
        if work.wake {
            batch.add(cmd("PUBLISH").arg(names.to_me()).arg(heard::WAKE), Then::Nothing);
        }
        for moved in &work.moved {
            batch.add(&self.presence(moved), Then::Nothing);
        }
        for (to, connections) in &work.turned {
            let Some(listener) = listener(to) else { continue };
            match connections {
                0 => batch.add(cmd("HDEL").arg(names.listeners()).arg(listener), Then::Nothing),
                some => batch.add(cmd("HSET").arg(names.listeners()).arg(listener).arg(*some), Then::Nothing),
            }
        }
        for order in work.orders {
            match order {
                Order::Publish { ticket, publish } => {
                    batch.add(&self.publish(&publish), Then::Publish(ticket))
                }
                Order::Tell { ticket, to, note } => {
                    let (command, then) = self.tell(ticket, &to, &note);
                    batch.add(&command, then);
                }
                _ => {}
            }
        }
        self.run(batch)
    }

    fn publish(&self, publish: &Publish) -> Cmd {
        let (names, room, rules) = (&self.line.names, &publish.room, &publish.rules);
        let mut command = self.scripts.call(Script::Publish, &[&names.head(room), &names.messages(room)]);
        command.arg(&self.life).arg(self.line.epochs.next()).arg(rules.messages).arg(rules.bytes);
        command.arg(millis(rules.age)).arg(millis(rules.age + AFTERLIFE)).arg(names.live(room));
        command.arg(publish.scoped_key().as_deref().unwrap_or_default());
        command.arg(publish.time).arg(publish.after_offset());
        command
    }

    fn tell(&self, ticket: Option<Ticket>, to: &Address, note: &[u8]) -> (Cmd, Then) {
        let names = &self.line.names;
        if let Some(listener) = listener(to) {
            let mut command = self.scripts.call(Script::Tell, &[&names.servers()]);
            command.arg(&**names.node()).arg(names.server()).arg(LISTENERS).arg(&listener);
            command.arg(heard::note(&listener, note)).arg(millis(LIFE)).arg(names.to_server());
            return (command, Then::Tell(ticket));
        }
        let (channel, hears_itself) = match to {
            Address::Room(room) => (names.plain(room), self.line.desk.has_plain(room)),
            _ => (names.to_all(), true),
        };
        let mut command = cmd("PUBLISH");
        command.arg(channel).arg(heard::to_others(names.node(), note));
        let then = match ticket {
            Some(ticket) => Then::TellOthers { ticket, hears_itself },
            None => Then::Nothing,
        };
        (command, then)
    }

    fn presence(&self, moved: &Moved) -> Cmd {
        let (names, room) = (&self.line.names, &moved.room);
        let mut command =
            self.scripts.call(Script::Presence, &[&names.servers_in(room), &names.users_here(room)]);
        command.arg(&**names.node()).arg(millis(LIFE)).arg(names.live(room));
        command.arg(&*moved.user).arg(moved.connections).arg(u8::from(moved.left));
        command
    }

    /// All who are in a room here.
    fn announce(&self, room: &str) -> Cmd {
        let names = &self.line.names;
        let mut command =
            self.scripts.call(Script::Announce, &[&names.servers_in(room), &names.users_here(room)]);
        command.arg(&**names.node()).arg(millis(LIFE)).arg(names.live(room));
        for (user, connections) in self.line.desk.present(room) {
            command.arg(connections).arg(&*user);
        }
        command
    }

    /// Everything that others know from this server.
    fn announce_all(&mut self) -> RedisResult<()> {
        self.announce_listeners()?;
        let rooms = self.line.desk.rooms();
        for rooms in rooms.chunks(BULK) {
            let mut batch = Batch::default();
            rooms.iter().for_each(|room| batch.add(&self.announce(room), Then::Nothing));
            self.run(batch)?;
        }
        Ok(())
    }

    fn announce_listeners(&mut self) -> RedisResult<()> {
        let key = self.line.names.listeners();
        let listeners = self.line.desk.listeners();
        let mut batch = Batch::default();
        batch.add(cmd("DEL").arg(&key), Then::Nothing);
        for listeners in listeners.chunks(BULK) {
            let mut command = cmd("HSET");
            command.arg(&key);
            for (to, connections) in listeners {
                command.arg(listener(to)).arg(*connections);
            }
            batch.add(&command, Then::Nothing);
        }
        batch.add(cmd("PEXPIRE").arg(&key).arg(millis(LIFE)), Then::Nothing);
        self.run(batch)
    }

    /// What is due by now.
    fn keep_up(&mut self) -> RedisResult<()> {
        let now = Instant::now();
        if self.beat_at <= now {
            let was_paused = PAUSED < now.saturating_duration_since(self.beaten);
            self.beat()?;
            if was_paused {
                self.announce_all()?;
            }
        }
        if self.part_at <= now {
            self.part_at = now + PART;
            self.refresh()?;
        }
        Ok(())
    }

    fn beat(&mut self) -> RedisResult<()> {
        let names = &self.line.names;
        let mut command = self.scripts.call(Script::Beat, &[&names.servers(), &names.listeners()]);
        command.arg(&**names.node()).arg(millis(LIFE)).arg(names.to_all());
        let mut batch = Batch::default();
        batch.add(&command, Then::Beat);
        self.beaten = Instant::now();
        self.beat_at = self.beaten + BEAT;
        self.run(batch)
    }

    /// Keeps up the next part of the rooms.
    fn refresh(&mut self) -> RedisResult<()> {
        if self.round.is_empty() {
            self.round = self.line.desk.rooms().into();
            self.share = self.round.len().div_ceil(PARTS);
        }
        let names = &self.line.names;
        let mut batch = Batch::default();
        for room in self.round.drain(..self.share.min(self.round.len())) {
            let Some(rules) = self.line.desk.rules(&room) else { continue };
            let keys =
                [names.head(&room), names.messages(&room), names.servers_in(&room), names.users_here(&room)];
            let mut command = self.scripts.call(Script::Refresh, &keys.each_ref().map(String::as_str));
            command.arg(millis(rules.age + AFTERLIFE)).arg(millis(LIFE));
            batch.add(&command, Then::Refresh(room));
        }
        self.run(batch)
    }

    /// The last word.
    fn bye(&mut self) -> RedisResult<()> {
        let names = &self.line.names;
        let mut command = self.scripts.call(Script::Bye, &[&names.servers(), &names.listeners()]);
        command.arg(&**names.node()).arg(names.to_all());
        let mut batch = Batch::default();
        batch.add(&command, Then::Nothing);
        // That it is the last word counts, not whether it was understood: others find out by themselves.
        let _ = self.run(batch);
        Ok(())
    }

    /// Sends a batch, answers orders, and does what the answers ask for.
    fn run(&mut self, batch: Batch<Then>) -> RedisResult<()> {
        let line = self.line;
        let (mut notices, mut lost_rooms, mut lost_listeners, mut fatal) =
            (Vec::new(), Vec::new(), false, None);
        let ran = batch.run(&mut self.connection, |then, result| {
            let is_fatal = result.as_ref().is_err_and(ends_session);
            if is_fatal || matches!((&then, &result), (Then::Beat, Err(_))) {
                fatal = result.as_ref().err().cloned();
            }
            match (then, result) {
                (Then::Publish(ticket), result) => {
                    let result = result.and_then(replies::receipt).map_err(|error| line.access.why(&error));
                    notices.push(Notice::Published { ticket, result });
                }
                (Then::Tell(Some(ticket)), result) => {
                    let result = result.and_then(|value| replies::number(&value));
                    notices.push(told(
                        ticket,
                        result.map(|some| some as usize).map_err(|error| line.access.why(&error)),
                    ));
                }
                (Then::TellOthers { ticket, hears_itself }, result) => {
                    let result = result.and_then(|value| replies::number(&value)).map(|some| some as usize);
                    let others = result.map(|some| some.saturating_sub(usize::from(hears_itself)));
                    notices.push(told(ticket, others.map_err(|error| line.access.why(&error))));
                }
                (Then::Beat, Ok(Value::Int(0))) => lost_listeners = true,
                (Then::Refresh(room), Ok(value)) => lost_rooms.push((room, value)),
                (Then::Beat | Then::Tell(None) | Then::Nothing, Ok(_)) => {}
                (Then::Beat | Then::Tell(None) | Then::Refresh(_) | Then::Nothing, Err(error)) => {
                    log::debug!("{}", line.access.why(&error));
                }
            }
        });
        line.inbox.tell(notices);
        ran?;
        if let Some(error) = fatal {
            return Err(error);
        }
        self.restore(lost_rooms)?;
        if lost_listeners && !line.desk.listeners().is_empty() {
            self.announce_listeners()?;
        }
        Ok(())
    }

    /// Says again what Redis has lost of the rooms, by what it answered to their refreshing.
    fn restore(&mut self, refreshed: Vec<(Name, Value)>) -> RedisResult<()> {
        let mut batch = Batch::default();
        for (room, kept) in refreshed {
            let kept = replies::list(kept)?;
            let is_kept = |at: usize| kept.get(at) == Some(&Value::Int(1));
            if !is_kept(0) {
                self.line.desk.ask([Channel::Room(room.clone())]);
            }
            if !is_kept(1) && !self.line.desk.present(&room).is_empty() {
                batch.add(&self.announce(&room), Then::Nothing);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.run(batch) }
    }
}

/// Whether Redis says by this that nothing more will come of the connection.
fn ends_session(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH"))
}

/// What tells this life of Redis' data from another: a restart, or another Redis that has taken over. Where Redis does not
/// tell, what there is, is compared with what was told, and no more.
pub(super) fn life(connection: &mut Connection) -> RedisResult<String> {
    let info = info(connection, "server")?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    Ok(id.unwrap_or_default().trim().to_string())
}

pub(super) fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
