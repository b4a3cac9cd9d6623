//! A thread's clients: carries out what they want, tells them what happens, and says how many still wait.

use super::super::connection::End;
use super::super::pool::{Handler, Pool};
use super::client::{Act, Client, Line, Random};
use super::ledger::{Count, Ledger, Phase};
use super::member::Member;
use super::others::{Churn, Flood, Idle, Listener, Plain, Speaker, Stalled};
use super::plan::{Part, Plan};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::{Duration, Instant};
use switchboard::Message;

/// Connections that a thread opens per second at the beginning.
const OPENING: f64 = 500.0;
/// When somebody who was refused tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the phase is looked at, at least.
const LOOK: Duration = Duration::from_millis(100);
/// How long servers may take to answer our Close frames.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) struct Crew<'a> {
    ledger: &'a Ledger,
    thread: usize,
    random: Random,
    /// By place.
    clients: Vec<Box<dyn Client>>,
    parts: Vec<Part>,
    /// By place: when it is told that it is time. What the heap has beside that is out of date.
    wakes: Vec<Option<Instant>>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// Which connections a thread has: each has every n-th, so that rooms are at all servers.
pub(super) fn connections(plan: &Plan, thread: usize) -> impl Iterator<Item = usize> {
    (thread..plan.connections).step_by(plan.servers)
}

impl<'a> Crew<'a> {
    pub(super) fn new(ledger: &'a Ledger, thread: usize) -> Self {
        let (plan, now) = (&ledger.plan, Instant::now());
        let mut random = Random::new(u64::from(ledger.run) << 8 | thread as u64);
        let parts: Vec<Part> = connections(plan, thread).map(|connection| plan.part(connection)).collect();
        let opened = now + Duration::from_secs_f64(parts.len() as f64 / OPENING);
        let clients = parts.iter().map(|part| {
            let interval = plan.interval().as_nanos() as u64;
            let next = opened + Duration::from_nanos(random.next() % interval.max(1));
            client(ledger, *part, next)
        });
        let clients: Vec<Box<dyn Client>> = clients.collect();
        let wake = |place: usize| now + Duration::from_secs_f64(place as f64 / OPENING);
        let wakes: Vec<Option<Instant>> = (0..clients.len()).map(|place| Some(wake(place))).collect();
        let due = (0..clients.len()).map(|place| Reverse((wake(place), place))).collect();
        Self { ledger, thread, random, clients, parts, wakes, due }
    }

    /// Until the phase is [`Phase::Over`].
    pub(super) fn run(mut self, mut pool: Pool) -> io::Result<()> {
        let (mut closing, mut told) = (None, Instant::now());
        loop {
            let (phase, now) = (self.ledger.phase(), Instant::now());
            match phase {
                Phase::Over => return Ok(()),
                Phase::Closing => {
                    let since = *closing.get_or_insert_with(|| {
                        self.conclude();
                        (0..pool.len()).for_each(|place| self.close(&mut pool, place, now));
                        now
                    });
                    let late = since + CLOSING <= now;
                    if late {
                        (0..pool.len()).for_each(|place| pool.cut(place));
                    }
                    let open = (0..pool.len()).filter(|place| !pool.is_free(*place)).count();
                    self.ledger.wait_for(self.thread, phase, open as u64);
                }
                Phase::Running | Phase::Settling => {
                    self.wake(&mut pool, now);
                    if phase == Phase::Settling && told + LOOK <= now {
                        told = now;
                        self.ledger.wait_for(self.thread, phase, self.lacks());
                    }
                }
            }
            let next = self.due.peek().map_or(now + LOOK, |Reverse((at, _))| *at).min(now + LOOK);
            let next = if phase == Phase::Closing { now + LOOK } else { next };
            pool.turn(&mut self, next)?;
        }
    }

    /// What is waited for now will not come any more.
    fn conclude(&self) {
        let lacks = self.lacks();
        if 0 < lacks {
            self.ledger.broke(Count::Lost, lacks, "was not there, or not answered, at the end");
        }
    }

    /// What clients still wait for.
    fn lacks(&self) -> u64 {
        self.clients.iter().map(|client| client.lacks(self.ledger)).sum()
    }

    fn wake(&mut self, pool: &mut Pool, now: Instant) {
        while let Some(Reverse((at, place))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            if self.wakes[place] != Some(at) {
                continue;
            }
            self.wakes[place] = None;
            if pool.is_open(place) {
                self.tell(pool, place, now, |client, line| client.due(line));
            } else if pool.is_free(place) {
                let is_stalled = self.parts[place] == Part::Stalled;
                if let Err(end) = pool.open(place, place, is_stalled, now) {
                    self.unopened(place, &end, now);
                }
            }
        }
    }

    fn close(&mut self, pool: &mut Pool, place: usize, now: Instant) {
        if self.parts[place] == Part::Stalled {
            // It would have to read for that.
            return pool.cut(place);
        }
        pool.close(place, now);
    }

    fn unopened(&mut self, place: usize, end: &End, now: Instant) {
        if self.ledger.phase() < Phase::Closing {
            if self.ledger.is_restart(end, now) || self.ledger.is_restarting(now) {
                self.ledger.add(Count::Unavailable, 1);
            } else {
                self.ledger.broke(Count::Unopened, 1, &end.text());
            }
            self.wake_at(place, now + AGAIN);
        }
    }

    fn wake_at(&mut self, place: usize, at: Instant) {
        if self.wakes[place].is_none_or(|wake| at < wake) {
            self.wakes[place] = Some(at);
            self.due.push(Reverse((at, place)));
        }
    }

    fn tell(
        &mut self,
        pool: &mut Pool,
        place: usize,
        now: Instant,
        what: impl FnOnce(&mut dyn Client, &mut Line<'_>),
    ) {
        let mut line = Line::new(self.ledger, &mut self.random, now);
        what(&mut *self.clients[place], &mut line);
        let Line { acts, wake, .. } = line;
        for act in acts {
            match act {
                Act::Send(text) => drop(pool.send(place, Message::text(text))),
                Act::Close => pool.close(place, now),
                Act::Cut => {
                    self.wakes[place] = None;
                    pool.cut(place);
                }
                Act::Tear { reset } => pool.tear(place, Message::text("torn ".repeat(200)), reset),
                Act::Pause => pool.pause(place),
                Act::Resume => pool.resume(place),
            }
        }
        pool.flush(place);
        if let Some(at) = wake {
            self.wake_at(place, at);
        }
    }
}

fn client(ledger: &Ledger, part: Part, next: Instant) -> Box<dyn Client> {
    match part {
        Part::Member { room, publishes } => Box::new(Member::new(ledger, room, publishes, next)),
        Part::Plain { room, sends } => Box::new(Plain { room, sends, next, sequence: 0, expected: None }),
        Part::Speaker(pair) => Box::new(Speaker { pair, next, sequence: 0, under_way: false }),
        Part::Listener(pair) => Box::new(Listener { pair, expected: 0 }),
        Part::Churn(_) => Box::new(Churn),
        Part::Stalled => Box::new(Stalled::default()),
        Part::Flood => Box::new(Flood),
        Part::Idle => Box::new(Idle),
    }
}

impl Handler for Crew<'_> {
    fn opened(&mut self, pool: &mut Pool, place: usize, _: Duration, now: Instant) {
        self.ledger.add(Count::Opened, 1);
        self.tell(pool, place, now, |client, line| client.opened(line));
    }

    fn message(&mut self, pool: &mut Pool, place: usize, message: Message, now: Instant) {
        if let Message::Text(text) = &message {
            self.tell(pool, place, now, |client, line| client.text(line, text));
        }
    }

    fn ended(&mut self, pool: &mut Pool, place: usize, end: End, was_open: bool, now: Instant) {
        if !was_open {
            return self.unopened(place, &end, now);
        }
        if self.ledger.phase() < Phase::Closing {
            self.wakes[place] = None;
            self.tell(pool, place, Instant::now(), |client, line| client.ended(line, &end));
        }
    }
}
