//! A run from outside: starts the threads, leads them from stage to stage, and adds up what they have counted.

use super::churn::Churn;
use super::driver::drive;
use super::idle::Idle;
use super::lines::Lines;
use super::opener::places;
use super::options::Mode;
use super::poller::Poller;
use super::pool::Pool;
use super::progress::Progress;
use super::shared::{Shared, Stage};
use super::storm::Storm;
use super::tally::Tally;
use super::target::Target;
use super::traffic::Traffic;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;
use switchboard::{Error, Result};

/// How often the progress bar is drawn.
const DRAW: Duration = Duration::from_millis(100);

type Driver<'a> = ScopedJoinHandle<'a, io::Result<Tally>>;

/// Blocks until the run is over; [`Shared::interrupt`] ends it early.
pub(super) fn run(shared: &Shared, target: &Target) -> Result<Tally> {
    let plan = &shared.plan;
    let pollers = (0..plan.threads).map(|_| Poller::new()).collect::<io::Result<Vec<Poller>>>()?;
    shared.set_wakers(pollers.iter().map(Poller::waker).collect());
    let (lines, back) = (Lines::new(plan), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut drivers = Vec::new();
        for (thread, poller) in pollers.into_iter().enumerate() {
            let (lines, back) = (&lines, &back);
            let life = move || one(shared, target, lines, back, thread, poller);
            let driver = thread::Builder::new().name(format!("load-{thread}")).spawn_scoped(scope, life);
            match driver {
                Ok(driver) => drivers.push(driver),
                Err(error) => {
                    shared.enter(Stage::Over);
                    return Err(error.into());
                }
            }
        }
        lead(shared, &drivers);
        let mut sum = Tally::default();
        for driver in drivers {
            let tally = driver.join().map_err(|_| Error::other("a thread of the load panicked"))?;
            sum.merge(&tally?);
        }
        Ok(sum)
    })
}

/// A thread's part.
fn one(
    shared: &Shared,
    target: &Target,
    lines: &Lines,
    back: &AtomicU64,
    thread: usize,
    poller: Poller,
) -> io::Result<Tally> {
    let places = places(shared.plan.connections, shared.plan.threads, thread);
    let pool = Pool::new(poller, places, target.endpoints.clone(), target.address);
    let tally = match shared.plan.mode {
        Mode::FanOut | Mode::Echo | Mode::Stall => {
            drive(shared, pool, Traffic::new(shared, lines, thread, places))
        }
        Mode::Idle => drive(shared, pool, Idle::new(shared, thread, places)),
        Mode::Churn => drive(shared, pool, Churn::new(shared, thread, places)),
        Mode::Storm => drive(shared, pool, Storm::new(shared, back, thread, places)),
    };
    // Whoever leads must not wait for a thread that has failed.
    if tally.is_err() {
        shared.ring();
    }
    tally
}

/// Leads all threads through the stages. Each has deadlines for each of them.
fn lead(shared: &Shared, drivers: &[Driver<'_>]) {
    let mut progress = Progress::start(&shared.plan);
    for stage in Stage::all() {
        shared.enter(*stage);
        if *stage == Stage::Join && shared.live.opened.load(Relaxed) == 0 && shared.plan.mode != Mode::Churn {
            shared.give_up();
        }
        while !shared.is_done(*stage) {
            if drivers.iter().any(ScopedJoinHandle::is_finished) {
                // One has failed, or panicked.
                return shared.enter(Stage::Over);
            }
            shared.wait(DRAW);
            progress.draw(shared, *stage);
        }
    }
    shared.enter(Stage::Over);
}
