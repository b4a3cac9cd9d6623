//! The clients beside the members of rooms: plain rooms, direct messages, and those who come, go, or read nothing.

use super::super::connection::End;
use super::client::{Act, Client, Line};
use super::ledger::{Count, Ledger};
use super::plan::listener;
use super::v1::{self, Mark};
use std::time::{Duration, Instant};

/// How long somebody who comes and goes is away.
const CHURN: Duration = Duration::from_secs(4);
/// What makes an outbox overflow, and how often it is sent.
const FLOOD: usize = 64 << 10;
const FLOODING: Duration = Duration::from_millis(500);
/// How long somebody reads nothing, at least: the server waits for 10 s without progress, once buffers are full.
const STALLING: Duration = Duration::from_secs(25);
/// How long somebody who read nothing reads, or stays away.
const RESTING: Duration = Duration::from_secs(5);
/// When somebody tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// A member of a plain room. Nothing is kept there, so it is never cut.
pub(super) struct Plain {
    pub(super) room: usize,
    pub(super) sends: bool,
    pub(super) next: Instant,
    pub(super) sequence: u64,
    pub(super) expected: Option<u64>,
}

impl Client for Plain {
    fn opened(&mut self, line: &mut Line<'_>) {
        if self.sends {
            line.wake_at(self.next);
        }
    }

    fn text(&mut self, line: &mut Line<'_>, text: &str) {
        let Some(mark) = Mark::read(text, line.ledger.run) else {
            return line.ledger.broke(Count::Disordered, 1, "a plain message is not as it was sent");
        };
        match self.expected {
            Some(expected) if mark.sequence < expected => {
                line.ledger.broke(Count::Doubled, 1, "a plain message came again, or late");
                return;
            }
            Some(expected) if expected < mark.sequence && line.ledger.may_miss(line.now) => {
                line.ledger.add(Count::PlainMissed, mark.sequence - expected);
            }
            Some(expected) if expected < mark.sequence => {
                line.ledger.broke(Count::Lost, mark.sequence - expected, "plain messages were left out");
            }
            _ => {}
        }
        line.ledger.delivered(Count::PlainDelivered, mark.sent, line.now);
        self.expected = Some(mark.sequence + 1);
    }

    fn due(&mut self, line: &mut Line<'_>) {
        if self.sends && line.is_running() && self.next <= line.now {
            let mark = Mark { sequence: self.sequence, sent: line.ledger.nanos(line.now) };
            line.act(Act::Send(mark.text(line.ledger.run)));
            line.ledger.add(Count::PlainSent, 1);
            line.ledger.send_plain(self.room);
            self.sequence += 1;
            self.next = (self.next + line.ledger.plan.interval()).max(line.now);
        }
        if line.is_running() {
            line.wake_at(self.next);
        }
    }

    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        // What is said meanwhile does not come: that is counted as this end.
        self.expected = None;
        line.ended("a member of a plain room", end);
        line.wake_in(AGAIN);
    }

    fn lacks(&self, ledger: &Ledger) -> u64 {
        if ledger.may_miss(Instant::now()) {
            return 0;
        }
        ledger.plain(self.room).saturating_sub(self.expected.unwrap_or_default())
    }
}

/// Tells its listener something now and then.
pub(super) struct Speaker {
    pub(super) pair: usize,
    pub(super) next: Instant,
    pub(super) sequence: u64,
    pub(super) under_way: bool,
}

impl Client for Speaker {
    fn opened(&mut self, line: &mut Line<'_>) {
        self.under_way = false;
        line.wake_at(self.next);
    }

    fn text(&mut self, line: &mut Line<'_>, text: &str) {
        let Some(said) = v1::read(text) else { return };
        match &*said.kind {
            "sent" if said.id == Some(self.sequence + 1) && self.under_way => {
                self.under_way = false;
                self.next = self.next.max(line.now);
                if said.connections != Some(0) {
                    line.ledger.add(Count::DirectSent, 1);
                    line.ledger.send_direct(self.pair);
                    self.sequence += 1;
                }
            }
            "error" => {
                self.under_way = false;
                self.next = line.now + AGAIN;
                match said.code.as_deref().unwrap_or_default() {
                    "unavailable" | "no_such_user" => line.ledger.add(Count::Unavailable, 1),
                    code => line.ledger.broke(Count::Refused, 1, &format!("a direct message: {code:?}")),
                }
            }
            _ => {}
        }
        line.wake_at(self.next);
    }

    fn due(&mut self, line: &mut Line<'_>) {
        if self.under_way || !line.is_running() {
            return;
        }
        if self.next <= line.now {
            let to = listener(line.ledger.run, self.pair);
            let mark = Mark { sequence: self.sequence, sent: line.ledger.nanos(line.now) };
            line.act(Act::Send(v1::direct(&to, self.sequence, &mark.text(line.ledger.run))));
            self.under_way = true;
            self.next += line.ledger.plan.interval();
        } else {
            line.wake_at(self.next);
        }
    }

    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        line.ended("who sends direct messages", end);
        if self.under_way && line.ledger.is_restarting(line.now) {
            // Nobody knows whether it came: the next one has another number.
            line.ledger.send_direct(self.pair);
            self.sequence += 1;
        }
        line.wake_in(AGAIN);
    }

    fn lacks(&self, _: &Ledger) -> u64 {
        u64::from(self.under_way)
    }
}

/// Gets what its speaker tells it.
#[derive(Default)]
pub(super) struct Listener {
    pub(super) pair: usize,
    pub(super) expected: u64,
}

impl Client for Listener {
    fn opened(&mut self, _: &mut Line<'_>) {}

    fn text(&mut self, line: &mut Line<'_>, text: &str) {
        let Some(said) = v1::read(text).filter(|said| said.kind == "direct") else { return };
        let Some(mark) = said.data.and_then(|data| Mark::read(&data, line.ledger.run)) else {
            return line.ledger.broke(Count::Disordered, 1, "a direct message is not as it was sent");
        };
        if mark.sequence < self.expected {
            return line.ledger.broke(Count::Doubled, 1, "a direct message came again");
        }
        if self.expected < mark.sequence {
            let left_out = mark.sequence - self.expected;
            if line.ledger.is_restarting(line.now) {
                line.ledger.add(Count::PlainMissed, left_out);
            } else {
                line.ledger.broke(Count::Lost, left_out, "direct messages were left out");
            }
        }
        line.ledger.delivered(Count::DirectDelivered, mark.sent, line.now);
        self.expected = mark.sequence + 1;
    }

    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        line.ended("who listens to direct messages", end);
        line.wake_in(AGAIN);
    }

    fn lacks(&self, ledger: &Ledger) -> u64 {
        if ledger.is_restarting(Instant::now()) {
            return 0;
        }
        ledger.direct(self.pair).saturating_sub(self.expected)
    }
}

/// Comes and goes: half of the times as one should.
pub(super) struct Churn;

impl Client for Churn {
    fn opened(&mut self, line: &mut Line<'_>) {
        let act = match line.random.next() % 8 {
            0 => Act::Cut,
            1 | 2 => Act::Tear { reset: true },
            3 => Act::Tear { reset: false },
            _ => Act::Close,
        };
        if act != Act::Close {
            line.ledger.add(Count::Churned, 1);
        }
        line.act(act);
        let away = CHURN / 2 + line.below(CHURN);
        line.wake_in(away);
    }

    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        if *end == End::Closed(1000, String::new()) {
            line.ledger.add(Count::Churned, 1);
        } else {
            line.ended("who closes as one should", end);
        }
        let away = CHURN / 2 + line.below(CHURN);
        line.wake_in(away);
    }
}

/// Reads nothing for longer than the server bears it. That it was cut it can only see by reading: the end is behind all else.
#[derive(Default)]
pub(super) struct Stalled {
    reads: bool,
}

impl Client for Stalled {
    fn opened(&mut self, line: &mut Line<'_>) {
        self.reads = true;
        self.due(line);
    }

    fn due(&mut self, line: &mut Line<'_>) {
        self.reads = !self.reads;
        line.act(if self.reads { Act::Resume } else { Act::Pause });
        let time = if self.reads { RESTING } else { STALLING + line.below(STALLING) };
        line.wake_in(time);
    }

    fn ended(&mut self, line: &mut Line<'_>, _: &End) {
        line.ledger.add(Count::StalledCut, 1);
        let away = line.below(2 * RESTING);
        line.wake_in(away);
    }
}

/// Sends so much to those who read nothing that they are cut.
pub(super) struct Flood;

impl Client for Flood {
    fn opened(&mut self, line: &mut Line<'_>) {
        line.wake_in(FLOODING);
    }

    fn due(&mut self, line: &mut Line<'_>) {
        if line.is_running() {
            line.act(Act::Send("x".repeat(FLOOD)));
            line.wake_in(FLOODING);
        }
    }
}

pub(super) struct Idle;

impl Client for Idle {
    fn opened(&mut self, _: &mut Line<'_>) {}
}
