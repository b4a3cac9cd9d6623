//! A member of a room of `/ws`: is cut now and then, resumes, and must have missed nothing. One of each room publishes.

use super::super::connection::End;
use super::client::{Act, Client, Line};
use super::ledger::{Count, Ledger};
use super::v1::{self, JOIN, Mark, Position, Said};
use std::time::{Duration, Instant};

/// How often a member is cut, on average.
const CUT: Duration = Duration::from_secs(120);
/// How long it stays away, at most.
const AWAY: Duration = Duration::from_secs(2);
/// When it asks again what was refused for now.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) struct Member {
    room: usize,
    name: String,
    position: Option<Position>,
    /// The number that must come next.
    expected: Option<u64>,
    /// What had been acknowledged in the room when it joined first.
    reached: u64,
    joined: bool,
    /// When to ask again to join.
    join_again: Option<Instant>,
    cut_at: Option<Instant>,
    publisher: Option<Publisher>,
}

/// One message is under way at a time, and repeated with its key until it is acknowledged: so the numbers in a room rise by one.
struct Publisher {
    interval: Duration,
    next: Instant,
    sequence: u64,
    /// What is not acknowledged yet; when to send it once more.
    under_way: Option<String>,
    again: Option<Instant>,
}

impl Member {
    pub(super) fn new(ledger: &Ledger, room: usize, publishes: bool, first: Instant) -> Self {
        let interval = ledger.plan.interval();
        let publisher = Publisher { interval, next: first, sequence: 0, under_way: None, again: None };
        Self {
            room,
            name: format!("soak-{:08x}-{room}", ledger.run),
            position: None,
            expected: None,
            reached: 0,
            joined: false,
            join_again: None,
            cut_at: None,
            publisher: publishes.then_some(publisher),
        }
    }

    fn join(&mut self, line: &mut Line<'_>) {
        (self.joined, self.join_again) = (false, None);
        line.act(Act::Send(v1::join(&self.name, self.position.as_ref())));
    }

    fn was_joined(&mut self, line: &mut Line<'_>, said: &Said<'_>) {
        let (Some(epoch), Some(offset)) = (&said.epoch, said.offset) else {
            return line.ledger.broke(Count::Refused, 1, "`joined` without epoch or offset");
        };
        self.joined = true;
        let before = self.position.as_ref().map(|position| position.epoch == **epoch);
        match before {
            None => self.reached = line.ledger.acknowledged(self.room),
            Some(true) if said.recovered == Some(true) => {
                line.ledger.add(Count::Resumed, 1);
                for kept in &said.messages {
                    self.follow(line, epoch, kept.offset, &kept.data);
                }
                let reached = self.position.as_ref().map_or(0, |position| position.offset);
                if reached != offset {
                    let what = "`joined` is recovered, and its messages do not end at its offset";
                    line.ledger.broke(Count::Lost, offset.abs_diff(reached), what);
                }
            }
            Some(false) if line.ledger.plan.has_redis && said.recovered == Some(false) => {
                line.ledger.add(Count::NewEpochs, 1);
                self.catch_up(line, said);
            }
            Some(false) if line.ledger.is_restarting(line.now) && said.recovered == Some(false) => {
                // The server keeps nothing: as at the first join. What was said was not promised to outlive it.
                line.ledger.add(Count::NewEpochs, 1);
                (self.expected, self.reached) = (None, line.ledger.acknowledged(self.room));
                self.catch_up(line, said);
            }
            Some(same) => {
                let what = if same { "a resume was not recovered" } else { "a resume found another epoch" };
                line.ledger.broke(Count::Unrecovered, 1, what);
                self.expected = None;
            }
        }
        self.position = Some(Position { epoch: epoch.to_string(), offset });
        if let Some(publisher) = &mut self.publisher {
            publisher.send_again(line);
        }
    }

    /// A Redis that was restarted has begun a new epoch. It keeps what was acknowledged all the same: what came before is
    /// passed over, by its number.
    fn catch_up(&mut self, line: &mut Line<'_>, said: &Said<'_>) {
        for kept in &said.messages {
            let number = Mark::read(&kept.data, line.ledger.run).map(|mark| mark.sequence);
            if number.is_none_or(|number| self.expected.is_none_or(|expected| expected <= number)) {
                self.count(line, &kept.data);
            }
        }
    }

    /// A message of the room: its offset and its number must be the next ones.
    fn follow(&mut self, line: &mut Line<'_>, epoch: &str, offset: u64, data: &str) {
        let Some(position) = &mut self.position else { return };
        let next = position.offset + 1;
        if position.epoch != epoch {
            if line.ledger.plan.has_redis {
                return self.join(line);
            }
            line.ledger.broke(Count::Disordered, 1, "a message has another epoch than the room");
            *position = Position { epoch: epoch.into(), offset };
        } else if offset < next {
            return line.ledger.broke(Count::Doubled, 1, "an offset came again");
        } else {
            if next < offset {
                line.ledger.broke(Count::Lost, offset - next, "offsets were left out");
            }
            position.offset = offset;
        }
        self.count(line, data);
    }

    /// The message's number must be the next one.
    fn count(&mut self, line: &mut Line<'_>, data: &str) {
        let Some(mark) = Mark::read(data, line.ledger.run) else {
            return line.ledger.broke(Count::Disordered, 1, "a message is not as it was sent");
        };
        match self.expected {
            Some(expected) if mark.sequence < expected => {
                line.ledger.broke(Count::Doubled, 1, "a message was published twice, under two offsets");
            }
            Some(expected) if expected < mark.sequence => {
                let lost = mark.sequence - expected;
                line.ledger.broke(Count::Lost, lost, "a message was acknowledged, and is not in the room");
            }
            // One message may be in the room whose acknowledgement is on its way.
            None if self.reached + 1 < mark.sequence => {
                let lost = mark.sequence - self.reached - 1;
                line.ledger.broke(Count::Lost, lost, "messages behind the first join were left out");
            }
            _ => line.ledger.delivered(Count::Delivered, mark.sent, line.now),
        }
        self.expected = Some(mark.sequence + 1);
    }

    fn refused(&mut self, line: &mut Line<'_>, said: &Said<'_>) {
        let code = said.code.as_deref().unwrap_or_default();
        if !["unavailable", "rate_limited"].contains(&code) {
            return line.ledger.broke(
                Count::Refused,
                1,
                &format!("a request of a member was refused: {code:?}"),
            );
        }
        line.ledger.add(Count::Unavailable, 1);
        let again = line.now + AGAIN;
        if said.id == Some(JOIN) {
            self.join_again = Some(again);
        } else if let Some(publisher) = &mut self.publisher {
            publisher.again = Some(again);
        }
        self.set_wake(line);
    }

    fn set_wake(&self, line: &mut Line<'_>) {
        let publishing = self.publisher.as_ref().filter(|_| self.joined);
        let publishing = publishing.and_then(|publisher| match publisher.under_way {
            Some(_) => publisher.again,
            None => Some(publisher.next),
        });
        for at in [self.join_again, self.cut_at, publishing].into_iter().flatten() {
            line.wake_at(at);
        }
    }
}

impl Publisher {
    fn publish(&mut self, line: &mut Line<'_>, room: &str) {
        let mark = Mark { sequence: self.sequence, sent: line.ledger.nanos(line.now) };
        let text = v1::publish(room, self.sequence, &mark.text(line.ledger.run));
        self.under_way = Some(text.clone());
        line.ledger.add(Count::Published, 1);
        line.act(Act::Send(text));
        // Who was away does not catch up: that would be a burst.
        self.next = (self.next + self.interval).max(line.now + self.interval / 2);
    }

    fn send_again(&mut self, line: &mut Line<'_>) {
        self.again = None;
        if let Some(text) = &self.under_way {
            line.act(Act::Send(text.clone()));
        }
    }
}

impl Client for Member {
    fn opened(&mut self, line: &mut Line<'_>) {
        self.cut_at = Some(line.now + line.below(2 * CUT));
        self.join(line);
        self.set_wake(line);
    }

    fn text(&mut self, line: &mut Line<'_>, text: &str) {
        let Some(said) = v1::read(text) else {
            return line.ledger.broke(
                Count::Refused,
                1,
                "the server said something that is no switchboard.v1",
            );
        };
        match &*said.kind {
            "joined" => self.was_joined(line, &said),
            // What comes before a join is answered is in its answer.
            "message" if self.joined => {
                let data = said.data.as_deref().unwrap_or_default();
                self.follow(line, &said.epoch.unwrap_or_default(), said.offset.unwrap_or_default(), data);
            }
            "published" => {
                let Some(publisher) = &mut self.publisher else { return };
                if publisher.under_way.is_some() && said.id == Some(publisher.sequence + 1) {
                    (publisher.under_way, publisher.again) = (None, None);
                    publisher.sequence += 1;
                    line.ledger.add(Count::Acknowledged, 1);
                    line.ledger.acknowledge(self.room);
                } else if said.id.is_none_or(|id| publisher.sequence < id) {
                    line.ledger.broke(Count::Refused, 1, "something was acknowledged that was not published");
                }
            }
            "gap" => self.join(line),
            "error" => self.refused(line, &said),
            _ => {}
        }
        self.set_wake(line);
    }

    fn due(&mut self, line: &mut Line<'_>) {
        if line.is_running() && self.cut_at.is_some_and(|at| at <= line.now) {
            self.joined = false;
            line.ledger.add(Count::Cut, 1);
            line.act(Act::Cut);
            let away = line.below(AWAY);
            return line.wake_in(away);
        }
        if !line.is_running() {
            self.cut_at = None;
        }
        if self.join_again.is_some_and(|at| at <= line.now) {
            self.join(line);
        }
        if self.joined
            && let Some(publisher) = &mut self.publisher
        {
            if publisher.again.is_some_and(|at| at <= line.now) {
                publisher.send_again(line);
            } else if publisher.under_way.is_none() && publisher.next <= line.now {
                if line.is_running() {
                    publisher.publish(line, &self.name);
                } else {
                    return;
                }
            }
        }
        self.set_wake(line);
    }

    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        self.joined = false;
        line.ended("a member of a room", end);
        let away = line.below(AWAY);
        line.wake_in(away);
    }

    fn lacks(&self, ledger: &Ledger) -> u64 {
        let unanswered = self.publisher.as_ref().is_some_and(|publisher| publisher.under_way.is_some());
        let reached = self.expected.unwrap_or(self.reached);
        ledger.acknowledged(self.room).saturating_sub(reached) + u64::from(unanswered || !self.joined)
    }
}
