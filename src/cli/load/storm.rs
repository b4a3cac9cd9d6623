//! All connections are cut at once and come back at once, as after a restart of the network.
//!
//! Each counts from the cut until it is back, refusals and waits included: that is how long its user was away.

use super::connection::End;
use super::driver::{Scenario, Work};
use super::opener::Opener;
use super::pool::{Handler, Pool};
use super::shared::{Shared, Stage};
use super::tally::{Tally, Times};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};
use switchboard::Message;

/// The first wait of a client that was refused is up to this long; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Storm<'a> {
    shared: &'a Shared,
    opener: Opener<'a>,
    /// Connections that are back, or were given up, over all rounds and threads.
    back: &'a AtomicU64,
    round: u64,
    /// When all were cut.
    cut: Instant,
    /// By place: attempts of this round, and when the last one began.
    attempts: Vec<(u32, Instant)>,
    /// When which place tries again.
    waiting: BTreeSet<(Instant, usize)>,
    /// Connections of this thread that are not back.
    missing: usize,
    random: Random,
    stage: Stage,
    tally: Tally,
}

impl<'a> Storm<'a> {
    pub(super) fn new(shared: &'a Shared, back: &'a AtomicU64, thread: usize, places: usize) -> Self {
        Self {
            shared,
            opener: Opener::new(shared, thread),
            back,
            round: 0,
            cut: shared.base,
            attempts: vec![(0, shared.base); places],
            waiting: BTreeSet::new(),
            missing: 0,
            random: Random(u64::from(shared.run) << 8 | thread as u64 | 1),
            stage: Stage::Open,
            tally: Tally::default(),
        }
    }

    /// Whether all connections of all threads are through with the round.
    fn is_through(&self) -> bool {
        self.round * self.shared.plan.connections as u64 <= self.back.load(Acquire)
    }

    fn begin_round(&mut self, pool: &mut Pool, now: Instant) {
        if self.round == 0 {
            // Those who came one behind the other are not the storm.
            (self.tally.opened, self.tally.opening) = (0, Times::default());
        }
        self.round += 1;
        self.cut = now;
        self.waiting.clear();
        self.missing = pool.len();
        (0..pool.len()).for_each(|place| pool.cut(place));
        for place in 0..pool.len() {
            self.attempts[place].0 = 0;
            self.try_again(pool, place, now);
        }
    }

    fn try_again(&mut self, pool: &mut Pool, place: usize, now: Instant) {
        self.attempts[place].1 = now;
        if let Err(end) = self.opener.open(pool, place, self.cut) {
            self.refused(place, &end, now);
        }
    }

    fn refused(&mut self, place: usize, end: &End, now: Instant) {
        self.tally.refusals.add(&end.text(), 1);
        let attempts = &mut self.attempts[place].0;
        let longest = FIRST_WAIT.saturating_mul(1 << (*attempts).min(10)).min(LONGEST_WAIT);
        *attempts += 1;
        // The whole range, or all would come back at once again ("full jitter").
        self.waiting.insert((now + self.random.below(longest), place));
    }

    /// A connection is back, or given up.
    fn through(&mut self, connections: u64) {
        self.missing -= connections as usize;
        let plan = &self.shared.plan;
        let all = self.back.fetch_add(connections, AcqRel) + connections;
        if all.is_multiple_of(plan.connections as u64) {
            self.shared.live.rounds.fetch_add(1, Relaxed);
            self.shared.wake_all();
        }
    }

    fn work_on_round(&mut self, pool: &mut Pool, now: Instant) -> Work {
        let end = self.cut + self.shared.plan.duration;
        if 0 < self.missing && end <= now {
            for _ in 0..self.missing {
                self.tally.broken.unopened += 1;
                self.tally
                    .failures
                    .add("was not back at the end of the round; --duration says how long that is", 1);
            }
            self.waiting.clear();
            self.through(self.missing as u64);
        }
        while let Some((at, place)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            self.try_again(pool, place, now);
        }
        if 0 < self.missing {
            let next = self.waiting.first().map_or(end, |(at, _)| *at);
            return Work::Until(next.min(end));
        }
        if !self.is_through() {
            return Work::Wait;
        }
        if self.round == self.shared.plan.rounds as u64 {
            return Work::Done;
        }
        self.begin_round(pool, now);
        Work::Until(now)
    }
}

impl Handler for Storm<'_> {
    fn opened(&mut self, pool: &mut Pool, place: usize, took: Duration, now: Instant) {
        if self.round == 0 {
            return self.opener.opened(took, &mut self.tally);
        }
        if self.missing == 0 {
            // It was given up.
            return pool.cut(place);
        }
        self.tally.opened += 1;
        self.tally.recovery.add(took);
        self.tally.opening.add(now.saturating_duration_since(self.attempts[place].1));
        self.through(1);
    }

    fn message(&mut self, _: &mut Pool, _: usize, _: Message, _: Instant) {}

    fn ended(&mut self, _: &mut Pool, place: usize, end: End, was_open: bool, _: Instant) {
        match (was_open, self.round) {
            (false, 0) => self.opener.failed(&end, &mut self.tally),
            (false, _) if 0 < self.missing => self.refused(place, &end, Instant::now()),
            (true, _) if self.stage < Stage::Close => {
                self.tally.broken.ended += 1;
                self.tally.fail(&end);
            }
            _ => {}
        }
    }
}

impl Scenario for Storm<'_> {
    fn enter(&mut self, _: &mut Pool, stage: Stage, _: Instant) {
        self.stage = stage;
    }

    fn work(&mut self, pool: &mut Pool, stage: Stage, now: Instant) -> Work {
        match stage {
            Stage::Open => self.opener.work(pool, &mut self.tally),
            Stage::Run => self.work_on_round(pool, now),
            _ => Work::Done,
        }
    }

    fn tally(self) -> Tally {
        self.tally
    }
}

/// Waits need no good randomness (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_nanos(self.0 % (longest.as_nanos() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut random = Random(7);
        let waits: Vec<u128> = (0..1000).map(|_| random.below(FIRST_WAIT).as_millis()).collect();
        for tenth in 0..10 {
            let found = waits.iter().filter(|wait| **wait / 10 == tenth).count();
            assert!((50..150).contains(&found), "{tenth}: {found}");
        }
    }
}
