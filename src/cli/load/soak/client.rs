//! What every client of a soak is: something that is told what happens to its connection, and says what to do. It has no socket.

use super::super::connection::End;
use super::ledger::{Count, Ledger, Phase};
use std::time::{Duration, Instant};

/// What a client wants done with its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Send(String),
    /// The closing handshake.
    Close,
    /// A reset.
    Cut,
    /// Half of a frame, and then the end: a reset, or not.
    Tear {
        reset: bool,
    },
    /// Reads nothing more.
    Pause,
    Resume,
}

/// When somebody who was lost comes back.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) trait Client {
    /// The connection is open.
    fn opened(&mut self, line: &mut Line<'_>);
    fn text(&mut self, _line: &mut Line<'_>, _text: &str) {}
    /// The time has come that [`Line::wake`] said. The connection is open.
    fn due(&mut self, _line: &mut Line<'_>) {}
    /// The connection is gone, and we have not cut it. What is not ours to end is a fault, unless the client knows better. Not
    /// told when all is closed.
    fn ended(&mut self, line: &mut Line<'_>, end: &End) {
        line.ended("who was idle", end);
        line.wake_in(AGAIN);
    }
    /// How many messages it still waits for.
    fn lacks(&self, _ledger: &Ledger) -> u64 {
        0
    }
}

/// What a client has at hand when it is told something.
pub(super) struct Line<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) now: Instant,
    pub(super) random: &'a mut Random,
    pub(super) acts: Vec<Act>,
    /// When it wants to be told that it is time; if the connection is closed: when to open it again.
    pub(super) wake: Option<Instant>,
}

impl<'a> Line<'a> {
    pub(super) fn new(ledger: &'a Ledger, random: &'a mut Random, now: Instant) -> Self {
        Self { ledger, now, random, acts: Vec::new(), wake: None }
    }

    /// The connection is gone, and we have not cut it: a fault, unless a server restarts in order.
    pub(super) fn ended(&self, who: &str, end: &End) {
        if self.ledger.is_restart(end, self.now) {
            self.ledger.add(Count::Cut, 1);
        } else {
            self.ledger.broke(Count::Ended, 1, &format!("{who}: {}", end.text()));
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        self.acts.push(act);
    }

    pub(super) fn wake_in(&mut self, time: Duration) {
        self.wake_at(self.now + time);
    }

    /// The earliest that was asked for is what holds.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    pub(super) fn is_running(&self) -> bool {
        self.ledger.phase() == Phase::Running
    }

    pub(super) fn below(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.random.next() % (longest.as_nanos() as u64).max(1))
    }
}

/// Waits need no good randomness (xorshift64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Small seeds begin with small numbers; 0 would stay 0.
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
