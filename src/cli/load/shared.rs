//! What the threads of a run have in common: the plan, the stage that all are at, and counters for the progress bar.

use super::plan::Plan;
use super::poller::Waker;
use parking_lot::{Condvar, Mutex};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// The stages of a run. Nobody enters one before all have done the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connections are opened.
    Open,
    /// Members find out that they are in their rooms.
    Join,
    /// What is measured.
    Run,
    /// Nothing is sent any more; what is under way arrives.
    Settle,
    /// Connections are closed.
    Close,
    Over,
}

impl Stage {
    const ALL: [Self; 6] = [Self::Open, Self::Join, Self::Run, Self::Settle, Self::Close, Self::Over];

    /// Those in which there is something to do.
    pub(super) fn all() -> &'static [Self] {
        &Self::ALL[..5]
    }
}

pub(super) struct Shared {
    pub(super) plan: Plan,
    /// Tells this run's messages from those of others.
    pub(super) run: u32,
    /// What all stamps count from.
    pub(super) base: Instant,
    stage: AtomicU8,
    /// When [`Stage::Run`] began.
    begun: OnceLock<Instant>,
    /// Threads that have done each stage.
    done: [AtomicUsize; Stage::ALL.len()],
    rang: Mutex<bool>,
    bell: Condvar,
    wakers: OnceLock<Vec<Waker>>,
    /// Somebody wants it to end, or there is no use in going on.
    stopped: AtomicBool,
    interrupted: AtomicBool,
    pub(super) live: Live,
}

/// For the progress bar; each thread adds to them.
#[derive(Default)]
pub(super) struct Live {
    pub(super) opened: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) delivered: AtomicU64,
    /// Rounds, or connections that were opened and closed.
    pub(super) rounds: AtomicU64,
}

impl Shared {
    pub(super) fn new(plan: Plan, run: u32) -> Self {
        Self {
            plan,
            run,
            base: Instant::now(),
            stage: AtomicU8::new(Stage::Open as u8),
            begun: OnceLock::new(),
            done: Default::default(),
            rang: Mutex::new(false),
            bell: Condvar::new(),
            wakers: OnceLock::new(),
            stopped: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            live: Live::default(),
        }
    }

    /// Once all threads have one.
    pub(super) fn set_wakers(&self, wakers: Vec<Waker>) {
        let _ = self.wakers.set(wakers);
    }

    pub(super) fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Acquire))]
    }

    pub(super) fn enter(&self, stage: Stage) {
        if stage == Stage::Run {
            let _ = self.begun.set(Instant::now());
        }
        self.stage.store(stage as u8, Release);
        self.wake_all();
    }

    pub(super) fn wake_all(&self) {
        self.wakers.get().into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn wake(&self, thread: usize) {
        if let Some(waker) = self.wakers.get().and_then(|wakers| wakers.get(thread)) {
            waker.wake();
        }
    }

    /// When [`Stage::Run`] began; now, if it has not.
    pub(super) fn begun(&self) -> Instant {
        self.begun.get().copied().unwrap_or_else(Instant::now)
    }

    /// What is counted: after the warm-up, until the end.
    pub(super) fn measured(&self) -> (Instant, Instant) {
        let start = self.begun() + self.plan.warmup;
        (start, start + self.plan.duration)
    }

    /// Nanoseconds since the base.
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    pub(super) fn at(&self, nanos: u64) -> Instant {
        self.base + Duration::from_nanos(nanos)
    }

    /// A thread has done the stage.
    pub(super) fn report(&self, stage: Stage) {
        self.done[stage as usize].fetch_add(1, Release);
        self.ring();
    }

    pub(super) fn is_done(&self, stage: Stage) -> bool {
        self.plan.threads <= self.done[stage as usize].load(Acquire)
    }

    /// Whoever waits in [`Shared::wait`] looks up.
    pub(super) fn ring(&self) {
        *self.rang.lock() = true;
        self.bell.notify_one();
    }

    /// Waits until somebody rings, for that long at most.
    pub(super) fn wait(&self, time: Duration) {
        let mut rang = self.rang.lock();
        if !*rang {
            self.bell.wait_for(&mut rang, time);
        }
        *rang = false;
    }

    /// Somebody wants it to end.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
        self.give_up();
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// There is no use in going on: what is under way arrives, and then it ends.
    pub(super) fn give_up(&self) {
        self.stopped.store(true, Relaxed);
        self.wake_all();
        self.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}
