//! The thread that listens to Redis: subscribes to what somebody here needs, asks what there is of the open rooms, and tells
//! the hub what it hears, in Redis' order.
//!
//! It has two connections, one that listens and one that asks. What there is of a room is asked for after Redis has confirmed
//! the subscription. The asking script says a mark on this server's own channel, so that among all that is heard it is known
//! what the answer holds already: nothing is told twice, nothing is missed.
//!
//! A thread that waits for a channel cannot be woken but through that channel: the publisher says there that there is
//! something to do, which takes one way to Redis and back.

use super::Line;
use super::access::{ANSWER, ask, life, misplaced, silence};
use super::batch::{Batch, Script, Scripts};
use super::commands::history;
use super::desk::{Channel, Side};
use super::foreign::is_of_room;
use super::heard::{Heard, read};
use super::pause::Pause;
use super::peers::{Peers, SILENCE};
use super::replies;
use super::rooms::{Outcome, Rooms};
use crate::engine::{Address, Name, Notice};
use ::redis::{Connection, RedisError, RedisResult, Value, cmd};
use std::collections::HashMap;
use std::mem::take;
use std::time::{Duration, Instant};

/// Every 2 s this server's own beat is to be heard. A channel on which nothing is heard for so long is dead.
const SILENT: Duration = Duration::from_secs(6);

/// So long after its own last beat, whatever else it hears, it listens to the wrong Redis.
const ASTRAY: Duration = Duration::from_secs(15);

/// How often it is looked after servers that are silent.
const LOOK: Duration = Duration::from_secs(1);

/// Channels that are subscribed to together, and rooms that are asked for together.
const CHANNELS: usize = 1000;
const ROOMS: usize = 32;

/// Listens to Redis until the server stops.
pub(super) fn run(line: &Line) {
    let (mut pause, mut ears) = (Pause::default(), Ears::default());
    while !line.desk.is_stopping() {
        let Err(error) = Session::begin(line, &mut ears).and_then(|mut session| session.serve(&mut pause))
        else {
            return;
        };
        ears.rooms.forget_asked();
        let (why, wait) = line.lost(&error, &mut pause);
        line.desk.subscriber(if wait.is_zero() { Side::Connecting } else { Side::Down(why) });
        line.desk.pause(Instant::now() + wait);
    }
}

/// What outlives a connection.
#[derive(Default)]
struct Ears {
    rooms: Rooms,
    peers: Peers,
    /// When this server has heard itself last, or has begun to listen.
    own_beat: Option<Instant>,
}

/// What a channel that is subscribed to is for.
#[derive(Clone, Debug)]
enum Ear {
    Me,
    All,
    Of(Channel),
}

/// Two connections' life.
struct Session<'a> {
    line: &'a Line,
    ears: &'a mut Ears,
    listening: Connection,
    asking: Connection,
    scripts: Scripts,
    life: String,
    channels: HashMap<String, Ear>,
    /// Confirmations of subscriptions so far.
    confirmed: usize,
    /// Rooms whose states are needed.
    needed: Vec<Name>,
    woken: bool,
    ended: bool,
    look_at: Instant,
}

impl<'a> Session<'a> {
    fn begin(line: &'a Line, ears: &'a mut Ears) -> RedisResult<Self> {
        let mut asking = line.access.connect("switchboard-asking")?;
        let scripts = Scripts::load(&mut asking)?;
        let life = life(&mut asking)?;
        asking.set_read_timeout(Some(ANSWER))?;
        let listening = line.access.connect("switchboard-subscriber")?;
        listening.set_read_timeout(Some(SILENT))?;
        let now = Instant::now();
        // Since then nobody else could be heard either.
        let deaf_since = ears.own_beat.unwrap_or(now);
        ears.peers.skip(now.saturating_duration_since(deaf_since));
        ears.own_beat = Some(now);
        Ok(Self {
            line,
            ears,
            listening,
            asking,
            scripts,
            life,
            channels: HashMap::new(),
            confirmed: 0,
            needed: Vec::new(),
            woken: false,
            ended: false,
            look_at: now,
        })
    }

    /// Until the server stops, or a connection is lost.
    fn serve(&mut self, pause: &mut Pause) -> RedisResult<()> {
        let names = &self.line.names;
        self.subscribe(vec![(names.to_me(), Ear::Me), (names.to_all(), Ear::All)])?;
        self.learn_peers()?;
        let wanted = self.line.desk.all();
        let desk = &self.line.desk;
        self.ears.rooms.keep(|name| desk.rules(name).is_some());
        self.follow(wanted)?;
        self.line.desk.subscriber(Side::Up);
        pause.good();
        while !self.ended {
            self.hear_next()?;
            if take(&mut self.woken) {
                self.follow(self.line.desk.asked())?;
            }
            self.look()?;
            self.ask()?;
        }
        Ok(())
    }

    /// Which servers Redis knows, and for how long they have been silent.
    fn learn_peers(&mut self) -> RedisResult<()> {
        let [seconds, micros] = match replies::list(ask(&mut self.asking, &cmd("TIME"))?)?.as_slice() {
            [seconds, micros] => [replies::number(seconds)?, replies::number(micros)?],
            _ => return Err(misplaced()),
        };
        let time = 1000 * seconds + micros / 1000;
        let servers =
            cmd("ZRANGE").arg(self.line.names.servers()).arg(0).arg(-1).arg("WITHSCORES").to_owned();
        for [node, heard] in replies::groups(ask(&mut self.asking, &servers)?)? {
            let age = Duration::from_millis(time.saturating_sub(replies::number(&heard)?));
            let node = replies::name(node)?;
            if node != *self.line.names.node() {
                self.ears.peers.learn(&node, age, Instant::now());
            }
        }
        Ok(())
    }

    /// Subscribes or not, as the hub wants it now, and asks for the states of rooms.
    fn follow(&mut self, channels: Vec<Channel>) -> RedisResult<()> {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for channel in channels {
            let (name, is_wanted) = match &channel {
                Channel::Room(room) => (self.line.names.live(room), self.line.desk.rules(room).is_some()),
                Channel::Plain(room) => (self.line.names.plain(room), self.line.desk.has_plain(room)),
            };
            let is_known = self.channels.contains_key(&name);
            match (&channel, is_wanted) {
                (Channel::Room(room), true) => self.needed.push(room.clone()),
                (Channel::Room(room), false) => self.ears.rooms.close(room),
                (Channel::Plain(_), _) => {}
            }
            match (is_wanted, is_known) {
                (true, false) => new.push((name, Ear::Of(channel))),
                (false, true) => old.push(name),
                _ => {}
            }
        }
        self.unsubscribe(&old)?;
        self.subscribe(new)?;
        self.ask()
    }

    /// Returns when Redis has confirmed it. What is heard meanwhile is not lost.
    fn subscribe(&mut self, channels: Vec<(String, Ear)>) -> RedisResult<()> {
        let names: Vec<String> = channels.iter().map(|(name, _)| name.clone()).collect();
        self.channels.extend(channels);
        for names in names.chunks(CHANNELS) {
            let until = self.confirmed + names.len();
            self.listening.send_packed_command(&cmd("SUBSCRIBE").arg(names).get_packed_command())?;
            while self.confirmed < until {
                self.hear_next()?;
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, names: &[String]) -> RedisResult<()> {
        names.iter().for_each(|name| drop(self.channels.remove(name)));
        for names in names.chunks(CHANNELS) {
            self.listening.send_packed_command(&cmd("UNSUBSCRIBE").arg(names).get_packed_command())?;
        }
        Ok(())
    }

    /// Asks what there is of the rooms whose states are needed, and tells it.
    fn ask(&mut self) -> RedisResult<()> {
        while !self.needed.is_empty() {
            let names = &self.line.names;
            let mut batch = Batch::default();
            let rest = self.needed.len().saturating_sub(ROOMS);
            for room in &self.needed.split_off(rest) {
                let Some(rules) = self.line.desk.rules(room) else { continue };
                let (mark, told) = self.ears.rooms.ask(room);
                let (epoch, offset) = told.unwrap_or(("".into(), 0));
                let keys = [names.head(room), names.messages(room), names.servers_in(room)];
                let mut command = self.scripts.call(Script::Open, &keys.each_ref().map(String::as_str));
                history(&mut command, self.line, &self.life, &rules);
                command.arg(&*epoch).arg(offset);
                command.arg(&**names.node()).arg(names.users_at(room)).arg(names.to_me()).arg(mark);
                batch.add(&command, mark);
            }
            let mut failed = None;
            let mut refused = Vec::new();
            batch.run(&mut self.asking, |mark, result| match result.and_then(replies::state) {
                Ok(state) => self.ears.rooms.answer(mark, state),
                Err(error) if is_of_room(&error) => refused.push((mark, error)),
                Err(error) => failed = Some(error),
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            for (mark, error) in refused {
                self.refuse(mark, &error);
            }
            // An answer is told when its mark is heard. No more of them are held than that.
            let began = Instant::now();
            while !self.ears.rooms.is_settled() {
                self.hear_next()?;
                if ASTRAY < began.elapsed() {
                    return Err(silence());
                }
            }
        }
        Ok(())
    }

    /// This room cannot be told of.
    fn refuse(&mut self, mark: u64, error: &RedisError) {
        if let Some(room) = self.ears.rooms.no_answer(mark, Instant::now()) {
            self.line.foreign.complain(self.line, &mut self.asking, &room, error);
            self.line.inbox.tell(vec![Notice::Unavailable { room }]);
        }
    }

    fn hear_next(&mut self) -> RedisResult<()> {
        let value = match self.listening.recv_response()? {
            Value::ServerError(error) => return Err(error.into()),
            value => value,
        };
        let parts: Result<[Value; 3], _> = replies::list(value)?.try_into();
        let Ok([Value::BulkString(kind), Value::BulkString(channel), payload]) = parts else { return Ok(()) };
        let payload = match (&kind[..], payload) {
            (b"message", Value::BulkString(payload)) => payload,
            (b"subscribe", _) => {
                self.confirmed += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let ear = str::from_utf8(&channel).ok().and_then(|name| self.channels.get(name)).cloned();
        match (ear, read(payload)) {
            (Some(Ear::Of(Channel::Room(room))), Some(heard)) => self.hear_room(&room, heard),
            (Some(Ear::Of(Channel::Plain(room))), Some(Heard::Others { node, note })) => {
                self.note(&node, Notice::Note { to: Address::Room(room), note });
            }
            (Some(Ear::All), Some(Heard::Others { node, note })) => {
                self.note(&node, Notice::Note { to: Address::Everyone, note });
            }
            (Some(Ear::All), Some(Heard::Beat { node })) => self.beat(&node)?,
            (Some(Ear::All), Some(Heard::Bye { node })) => self.bye(node),
            (Some(Ear::Me), Some(Heard::Mark(mark))) => {
                let Ears { rooms, peers, .. } = &mut *self.ears;
                let notice = rooms.mark(mark, |node| peers.is_alive(node), Instant::now());
                if let Some(Notice::State { room, .. }) = &notice {
                    self.line.desk.know(room);
                    self.line.foreign.is_good(room);
                }
                self.line.inbox.tell(notice.into_iter().collect());
            }
            (Some(Ear::Me), Some(Heard::Wake)) => self.woken = true,
            (Some(Ear::Me), Some(Heard::Note { to, note })) => {
                self.line.inbox.tell(vec![Notice::Note { to, note }]);
            }
            _ => {}
        }
        Ok(())
    }

    fn hear_room(&mut self, room: &Name, heard: Heard) {
        let me = self.line.names.node();
        let notices = match heard {
            Heard::Message { epoch, message } => match self.ears.rooms.message(room, epoch, message) {
                Outcome::Tell(notice) => vec![notice],
                Outcome::Nothing => Vec::new(),
                Outcome::Ask => {
                    self.needed.push(room.clone());
                    Vec::new()
                }
            },
            Heard::Presence { member, left } if member.node != *me => {
                self.ears.peers.heard(&member.node, Instant::now());
                self.ears.rooms.presence(room, member, left).into_iter().collect()
            }
            Heard::Users { node, users } if node != *me => {
                self.ears.peers.heard(&node, Instant::now());
                self.ears.rooms.users(room, &node, users)
            }
            _ => Vec::new(),
        };
        self.line.inbox.tell(notices);
    }

    /// Redis tells what this server says to all others back to it.
    fn note(&self, from: &Name, notice: Notice) {
        if from != self.line.names.node() {
            self.line.inbox.tell(vec![notice]);
        }
    }

    fn beat(&mut self, node: &Name) -> RedisResult<()> {
        let now = Instant::now();
        if node != self.line.names.node() {
            self.ears.peers.heard(node, now);
            return Ok(());
        }
        self.ears.own_beat = Some(now);
        // Its answer is not needed: that the connection is lost should be known before somebody waits for what it is for.
        ask(&mut self.asking, &cmd("PING")).map(drop)
    }

    fn bye(&mut self, node: Name) {
        if node == *self.line.names.node() {
            self.ended = true;
        } else if self.ears.peers.forget(&node) {
            self.gone(node);
        }
    }

    fn gone(&mut self, node: Name) {
        self.ears.rooms.gone(&node);
        self.line.inbox.tell(vec![Notice::Gone { node }]);
    }

    /// Looks, now and then, after what is late.
    fn look(&mut self) -> RedisResult<()> {
        let now = Instant::now();
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + LOOK;
        if self.ears.own_beat.is_some_and(|heard| ASTRAY < now.saturating_duration_since(heard)) {
            return Err(silence());
        }
        for node in self.ears.peers.silent(now) {
            log::info!("server {node} has not been heard for {SILENCE:?}");
            self.gone(node);
        }
        self.needed.extend(self.ears.rooms.doubtful(now));
        Ok(())
    }
}
