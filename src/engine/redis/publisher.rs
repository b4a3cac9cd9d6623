//! The thread that speaks to Redis: takes all orders that wait, sends them together, and answers each.
//!
//! It also keeps up in Redis what must not be forgotten there, and says every 2 s that this server is alive. That beat is a
//! write: a Redis that cannot be written to is found by it.

use super::Line;
use super::access::{ANSWER, life};
use super::answers::Answers;
use super::batch::{Batch, Scripts};
use super::commands::{Commands, Writer};
use super::desk::{Side, Work};
use super::pause::Pause;
use crate::engine::{Name, Order};
use ::redis::{Connection, RedisResult};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often this server says that it is alive.
const BEAT: Duration = Duration::from_secs(2);

/// In how many parts, one each second, everything is kept up.
const PARTS: usize = 10;
const PART: Duration = Duration::from_secs(1);

/// A server that has not said for so long that it is alive says everything again: others may have taken it for dead.
const PAUSED: Duration = Duration::from_secs(12);

/// Rooms that are told about together when everything is said again.
const BULK: usize = 1000;

/// Speaks to Redis until the server stops.
pub(super) fn run(line: &Line) {
    let mut pause = Pause::default();
    loop {
        let error = match Session::begin(line).and_then(|mut session| session.serve(&mut pause)) {
            Ok(()) => return,
            Err(error) => error,
        };
        line.desk.follow(false);
        let (why, wait) = line.lost(&error, &mut pause);
        let side = if wait.is_zero() { Side::Connecting } else { Side::Down(why) };
        line.tell_news(line.desk.publisher(side));
        if line.desk.pause(Instant::now() + wait) {
            line.tell_news(line.desk.publisher(Side::Down("the server is stopping".into())));
            return;
        }
    }
}

/// One connection's life.
struct Session<'a> {
    line: &'a Line,
    connection: Connection,
    writer: Writer<'a>,
    beat_at: Instant,
    beaten: Instant,
    part_at: Instant,
    /// Rooms that are still to be kept up in this round, and how many in each part.
    round: VecDeque<Name>,
    share: usize,
}

impl<'a> Session<'a> {
    fn begin(line: &'a Line) -> RedisResult<Self> {
        let mut connection = line.access.connect("switchboard-publisher")?;
        let scripts = Scripts::load(&mut connection)?;
        let writer = Writer { line, scripts, life: life(&mut connection)? };
        connection.set_read_timeout(Some(ANSWER))?;
        let now = Instant::now();
        let round = VecDeque::new();
        Ok(Self { line, connection, writer, beat_at: now, beaten: now, part_at: now + PART, round, share: 0 })
    }

    /// Until the server stops, or the connection is lost.
    fn serve(&mut self, pause: &mut Pause) -> RedisResult<()> {
        let line = self.line;
        line.desk.follow(true);
        self.beat()?;
        self.announce_all()?;
        line.tell_news(line.desk.publisher(Side::Up));
        pause.good();
        loop {
            let work = line.desk.work(self.beat_at.min(self.part_at));
            if work.check {
                self.beat()?;
                continue;
            }
            let is_last = work.stop && work.orders.is_empty();
            self.carry_out(work)?;
            if is_last {
                let mut bye = Batch::default();
                self.writer.bye(&mut bye);
                // That it is said counts, not whether it was understood: others find out by themselves.
                let _ = self.run(bye);
                return Ok(());
            }
            self.keep_up()?;
        }
    }

    fn carry_out(&mut self, work: Work) -> RedisResult<()> {
        self.line.tell_news(work.news);
        let (writer, mut batch) = (&self.writer, Batch::default());
        if work.wake {
            writer.wake(&mut batch);
        }
        work.moved.iter().for_each(|moved| writer.presence(moved, &mut batch));
        writer.listen(&work.turned, &mut batch);
        for order in work.orders {
            match order {
                Order::Publish { ticket, publish } => writer.publish(ticket, &publish, &mut batch),
                Order::Tell { ticket, to, note } => writer.tell(ticket, &to, &note, &mut batch),
                _ => {}
            }
        }
        self.run(batch)
    }

    /// Everything that others know from this server.
    fn announce_all(&mut self) -> RedisResult<()> {
        let mut batch = Batch::default();
        self.writer.announce_listeners(&mut batch);
        self.run(batch)?;
        for rooms in self.line.desk.rooms().chunks(BULK) {
            self.announce(rooms)?;
        }
        Ok(())
    }

    fn announce(&mut self, rooms: &[Name]) -> RedisResult<()> {
        let mut batch = Batch::default();
        rooms.iter().for_each(|room| self.writer.announce(room, &mut batch));
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
        self.beaten = Instant::now();
        self.beat_at = self.beaten + BEAT;
        let mut batch = Batch::default();
        self.writer.beat(&mut batch);
        self.run(batch)
    }

    /// Keeps up the next part of the rooms.
    fn refresh(&mut self) -> RedisResult<()> {
        if self.round.is_empty() {
            self.round = self.line.desk.known().into();
            self.share = self.round.len().div_ceil(PARTS);
        }
        let mut batch = Batch::default();
        for room in self.round.drain(..self.share.min(self.round.len())) {
            self.writer.refresh(&room, &mut batch);
        }
        self.run(batch)
    }

    /// Sends a batch, answers orders, and does what the answers ask for.
    fn run(&mut self, batch: Commands) -> RedisResult<()> {
        let mut answers = Answers::of(self.line);
        let began = Instant::now();
        self.line.counts.asked(began);
        let ran = batch.run(&mut self.connection, |then, result| answers.take(then, result));
        if ran.is_ok() {
            self.line.counts.answered(began.elapsed());
        }
        self.line.inbox.tell(std::mem::take(&mut answers.notices));
        ran?;
        if let Some(error) = answers.fatal {
            return Err(error);
        }
        for (room, error) in &answers.foreign {
            self.line.foreign.complain(self.line, &mut self.connection, room, error);
        }
        self.line.desk.ask(answers.lost_rooms);
        let mut lost = Batch::default();
        if answers.has_lost_listeners {
            self.writer.announce_listeners(&mut lost);
        }
        answers.lost_users.iter().for_each(|room| self.writer.announce(room, &mut lost));
        if lost.is_empty() { Ok(()) } else { self.run(lost) }
    }
}
