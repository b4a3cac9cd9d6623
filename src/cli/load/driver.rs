//! A thread's life: from stage to stage, whatever the mode does in each.

use super::pool::{Handler, Pool};
use super::shared::{Shared, Stage};
use super::tally::Tally;
use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The longest that a thread waits without looking at the stage; it is woken when that changes.
const LONGEST: Duration = Duration::from_millis(500);
/// How long servers may take to answer our Close frames.
const CLOSING: Duration = Duration::from_secs(5);
/// How late the kernel may wake us; by default it is 50 µs, which would be seen in the latencies.
const SLACK: Option<NonZeroU64> = NonZeroU64::new(1000);

/// What a mode does with its connections.
pub(super) trait Scenario: Handler {
    /// A stage begins.
    fn enter(&mut self, pool: &mut Pool, stage: Stage, now: Instant);
    /// What is due now.
    fn work(&mut self, pool: &mut Pool, stage: Stage, now: Instant) -> Work;
    /// What was counted.
    fn tally(self) -> Tally;
}

/// What a scenario waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Something is due then, or when something has happened.
    Until(Instant),
    /// Only for something to happen.
    Wait,
    /// The stage is done, as far as this thread goes.
    Done,
}

pub(super) fn drive(shared: &Shared, mut pool: Pool, mut scenario: impl Scenario) -> io::Result<Tally> {
    let _ = rustix::thread::set_current_timer_slack(SLACK);
    let (mut entered, mut has_reported) = (None, false);
    let mut busy = Busy::default();
    loop {
        let (stage, now) = (shared.stage(), Instant::now());
        if stage == Stage::Over {
            break;
        }
        if entered.is_none_or(|(entered, _)| entered != stage) {
            busy.enter(stage, pool.waited, now);
            (entered, has_reported) = (Some((stage, now)), false);
            scenario.enter(&mut pool, stage, now);
            if stage == Stage::Close {
                (0..pool.len()).for_each(|place| pool.close(place, now));
            }
        }
        let since = entered.map_or(now, |(_, since)| since);
        let work = match stage {
            // Whoever has said that it is done starts nothing more.
            _ if has_reported => Work::Wait,
            _ if shared.is_stopped() && stage < Stage::Settle => Work::Done,
            Stage::Close if (0..pool.len()).all(|place| pool.is_free(place)) => Work::Done,
            Stage::Close if since + CLOSING <= now => Work::Done,
            Stage::Close => Work::Until(since + CLOSING),
            _ => scenario.work(&mut pool, stage, now),
        };
        if work == Work::Done {
            has_reported = true;
            shared.report(stage);
        }
        let until = if let Work::Until(until) = work { until.min(now + LONGEST) } else { now + LONGEST };
        pool.turn(&mut scenario, until)?;
    }
    Ok(Tally { busy: busy.spent, watched: busy.watched, ..scenario.tally() })
}

/// How much of [`Stage::Run`] the thread did not wait.
#[derive(Default)]
struct Busy {
    began: Option<(Duration, Instant)>,
    spent: Duration,
    watched: Duration,
}

impl Busy {
    fn enter(&mut self, stage: Stage, waited: Duration, now: Instant) {
        if stage == Stage::Run {
            self.began = Some((waited, now));
        } else if let Some((before, since)) = self.began.take() {
            self.watched = now - since;
            self.spent = self.watched.saturating_sub(waited - before);
        }
    }
}
