//! Connections that are opened and held. Each is pinged, and must answer.

use super::connection::End;
use super::driver::{Scenario, Work};
use super::opener::Opener;
use super::pool::{Handler, Pool};
use super::shared::{Shared, Stage};
use super::tally::Tally;
use std::time::{Duration, Instant};
use switchboard::Message;

pub(super) struct Idle<'a> {
    shared: &'a Shared,
    opener: Opener<'a>,
    stage: Stage,
    /// By place.
    has_answered: Vec<bool>,
    tally: Tally,
}

impl<'a> Idle<'a> {
    pub(super) fn new(shared: &'a Shared, thread: usize, places: usize) -> Self {
        let opener = Opener::new(shared, thread);
        Self {
            shared,
            opener,
            stage: Stage::Open,
            has_answered: vec![false; places],
            tally: Tally::default(),
        }
    }
}

/// A client pings when it has heard nothing for so long: so each is pinged while it is held.
pub(super) fn ping_interval(duration: Duration) -> Duration {
    (duration / 2).clamp(Duration::from_millis(1), Duration::from_secs(10))
}

impl Handler for Idle<'_> {
    fn opened(&mut self, _: &mut Pool, _: usize, took: Duration, _: Instant) {
        self.opener.opened(took, &mut self.tally);
    }

    fn message(&mut self, _: &mut Pool, _: usize, _: Message, _: Instant) {}

    fn pong(&mut self, place: usize, after: Duration) {
        self.has_answered[place] = true;
        self.tally.pong.add(after);
    }

    fn ended(&mut self, _: &mut Pool, _: usize, end: End, was_open: bool, _: Instant) {
        if !was_open {
            self.opener.failed(&end, &mut self.tally);
        } else if self.stage < Stage::Close {
            self.tally.broken.ended += 1;
            self.tally.fail(&end);
        }
    }
}

impl Scenario for Idle<'_> {
    fn enter(&mut self, pool: &mut Pool, stage: Stage, _: Instant) {
        self.stage = stage;
        // Their ping timeout has come, and the server has not ended TCP yet.
        if stage == Stage::Close && !self.shared.is_interrupted() {
            let is_silent = |place: &usize| !pool.is_free(*place) && !self.has_answered[*place];
            self.tally.broken.silent = (0..pool.len()).filter(is_silent).count() as u64;
        }
    }

    fn work(&mut self, pool: &mut Pool, stage: Stage, now: Instant) -> Work {
        match stage {
            Stage::Open => self.opener.work(pool, &mut self.tally),
            Stage::Run => {
                let (_, end) = self.shared.measured();
                if end <= now { Work::Done } else { Work::Until(end) }
            }
            // Whoever is silent ends, by its ping timeout.
            Stage::Settle => {
                let waits = |place: usize| pool.is_open(place) && !self.has_answered[place];
                if (0..pool.len()).any(waits) { Work::Wait } else { Work::Done }
            }
            Stage::Join | Stage::Close | Stage::Over => Work::Done,
        }
    }

    fn tally(self) -> Tally {
        self.tally
    }
}
