//! Connections that are opened and closed, over and over.

use super::connection::End;
use super::driver::{Scenario, Work};
use super::opener::Opener;
use super::pace::Pace;
use super::plan::Drive;
use super::pool::{Handler, Pool};
use super::shared::{Shared, Stage};
use super::tally::Tally;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use switchboard::Message;

/// A place whose connection failed rests so long: a server that refuses everything is not asked without a break.
const REST: Duration = Duration::from_millis(100);

const NANOSECOND: Duration = Duration::from_nanos(1);

pub(super) struct Churn<'a> {
    shared: &'a Shared,
    opener: Opener<'a>,
    thread: usize,
    /// Places where nothing is, and from when on they may be used.
    free: Vec<(usize, Instant)>,
    /// When connections are due, if the clock says so; and how many have been opened.
    pace: Option<Pace>,
    begun: u64,
    /// By place: when the Close frame was sent.
    closing: Vec<Option<Instant>>,
    stage: Stage,
    tally: Tally,
}

impl<'a> Churn<'a> {
    pub(super) fn new(shared: &'a Shared, thread: usize, places: usize) -> Self {
        let pace = match shared.plan.drive {
            // All threads take turns.
            Drive::Rate(rate) => Some(Pace::new(rate, shared.plan.threads)),
            Drive::Window(_) => None,
        };
        Self {
            shared,
            opener: Opener::new(shared, thread),
            thread,
            free: (0..places).rev().map(|place| (place, shared.base)).collect(),
            pace,
            begun: 0,
            closing: vec![None; places],
            stage: Stage::Open,
            tally: Tally::default(),
        }
    }

    /// When the next connection is due: `None`, now.
    fn due(&self) -> Option<Instant> {
        self.pace.map(|pace| self.shared.begun() + pace.due(self.thread, self.begun))
    }

    /// Opens what is due, as far as there are places.
    fn open(&mut self, pool: &mut Pool, now: Instant, end: Instant) -> Work {
        // A thread that comes late still opens all that was due before the end.
        let by = if self.pace.is_some() { now.min(end - NANOSECOND) } else { now };
        if end <= by {
            return Work::Done;
        }
        while let Some(at) = self.free.iter().rposition(|(_, from)| *from <= now) {
            let due = self.due().unwrap_or(now);
            if by < due {
                return Work::Until(due.min(end));
            }
            let (place, _) = self.free.swap_remove(at);
            self.begun += 1;
            if let Err(why) = self.opener.open(pool, place, due) {
                self.failed(place, &why, now);
            }
        }
        let rested = self.free.iter().map(|(_, from)| *from).min();
        Work::Until(rested.unwrap_or(end).min(end))
    }

    fn failed(&mut self, place: usize, end: &End, now: Instant) {
        self.opener.failed(end, &mut self.tally);
        self.free.push((place, now + REST));
    }
}

impl Handler for Churn<'_> {
    fn opened(&mut self, pool: &mut Pool, place: usize, took: Duration, now: Instant) {
        self.opener.opened(took, &mut self.tally);
        self.closing[place] = Some(now);
        pool.close(place, now);
    }

    fn message(&mut self, _: &mut Pool, _: usize, _: Message, _: Instant) {}

    fn ended(&mut self, _: &mut Pool, place: usize, end: End, was_open: bool, at: Instant) {
        let now = Instant::now();
        if !was_open {
            return self.failed(place, &end, now);
        }
        self.free.push((place, now));
        let closing = self.closing[place].take();
        if end == End::Closed(1000, String::new()) {
            self.shared.live.rounds.fetch_add(1, Relaxed);
            self.tally
                .closing
                .add(closing.map_or(Duration::ZERO, |since| at.saturating_duration_since(since)));
        } else if self.stage < Stage::Close {
            self.tally.broken.ended += 1;
            self.tally.fail(&end);
        }
    }
}

impl Scenario for Churn<'_> {
    fn enter(&mut self, _: &mut Pool, stage: Stage, _: Instant) {
        if stage == Stage::Settle
            && let Some(pace) = self.pace
        {
            let (start, end) = self.shared.measured();
            let ran = Instant::now().min(end).saturating_duration_since(start);
            self.tally.unsent = pace.count(self.thread, ran).saturating_sub(self.begun);
        }
        self.stage = stage;
    }

    fn work(&mut self, pool: &mut Pool, stage: Stage, now: Instant) -> Work {
        match stage {
            Stage::Run => {
                let (_, end) = self.shared.measured();
                let next = self.open(pool, now, end);
                if end <= now { Work::Done } else { next }
            }
            // Each ends by itself, by its deadlines at the latest.
            Stage::Settle if (0..pool.len()).any(|place| !pool.is_free(place)) => Work::Wait,
            _ => Work::Done,
        }
    }

    fn tally(self) -> Tally {
        self.tally
    }
}
