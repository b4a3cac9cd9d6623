//! What all threads of a soak write down: what was done, what was promised, what was broken.

use super::super::connection::End;
use super::super::tally::{Counts, Times};
use super::plan::Plan;
use parking_lot::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::time::{Duration, Instant};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Opened,
    Published,
    Acknowledged,
    Delivered,
    PlainSent,
    PlainDelivered,
    DirectSent,
    DirectDelivered,
    Cut,
    Resumed,
    Churned,
    StalledCut,
    Unavailable,
    /// Messages outside of rooms with a history that did not come while there was no Redis to carry them, or while a server
    /// restarted: nobody has promised them.
    PlainMissed,
    /// Members that found their room in a new epoch, as after each restart of Redis, or of a server that keeps nothing.
    NewEpochs,
    // From here on: broken promises.
    Lost,
    Doubled,
    Disordered,
    Unrecovered,
    Unopened,
    Ended,
    Refused,
}

impl Count {
    pub(super) const ALL: [(Self, &'static str); 22] = [
        (Self::Opened, "opened"),
        (Self::Published, "published"),
        (Self::Acknowledged, "acknowledged"),
        (Self::Delivered, "delivered"),
        (Self::PlainSent, "plain sent"),
        (Self::PlainDelivered, "plain delivered"),
        (Self::DirectSent, "direct sent"),
        (Self::DirectDelivered, "direct delivered"),
        (Self::Cut, "cut"),
        (Self::Resumed, "resumed"),
        (Self::Churned, "churned"),
        (Self::StalledCut, "stalled cut"),
        (Self::Unavailable, "unavailable"),
        (Self::PlainMissed, "plain missed"),
        (Self::NewEpochs, "new epochs"),
        (Self::Lost, "lost"),
        (Self::Doubled, "doubled"),
        (Self::Disordered, "disordered"),
        (Self::Unrecovered, "unrecovered"),
        (Self::Unopened, "unopened"),
        (Self::Ended, "ended"),
        (Self::Refused, "refused"),
    ];

    pub(super) fn is_broken(self) -> bool {
        Self::Lost as usize <= self as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Nothing new is said; what is under way arrives.
    Settling,
    Closing,
    Over,
}

pub(super) struct Ledger {
    pub(super) plan: Plan,
    /// Tells the rooms, users and messages of this run from those of others.
    pub(super) run: u32,
    pub(super) base: Instant,
    counts: [AtomicU64; Count::ALL.len()],
    failures: Mutex<Counts>,
    delivery: Mutex<Times>,
    phase: AtomicU8,
    interrupted: AtomicBool,
    /// When a server ended connections in order last, since `base`; 0: never.
    away: AtomicU64,
    /// By room: messages that were acknowledged.
    acknowledged: Vec<AtomicU64>,
    /// By plain room: messages sent. By pair: messages that were told to be sent.
    plain: Vec<AtomicU64>,
    direct: Vec<AtomicU64>,
    /// By thread: clients that still wait for something; while closing: connections that are there.
    waiting: Vec<AtomicU64>,
}

impl Ledger {
    pub(super) fn new(plan: Plan, run: u32) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        Self {
            run,
            base: Instant::now(),
            counts: Default::default(),
            failures: Mutex::default(),
            delivery: Mutex::default(),
            phase: AtomicU8::new(Phase::Running as u8),
            interrupted: AtomicBool::new(false),
            away: AtomicU64::new(0),
            acknowledged: zeros(plan.rooms),
            plain: zeros(plan.plain_rooms),
            direct: zeros(plan.pairs),
            waiting: (0..plan.servers).map(|_| AtomicU64::new(u64::MAX)).collect(),
            plan,
        }
    }

    pub(super) fn add(&self, count: Count, times: u64) {
        self.counts[count as usize].fetch_add(times, Relaxed);
    }

    pub(super) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Relaxed)
    }

    /// A promise was broken, in words: who is left to guess finds nothing.
    pub(super) fn broke(&self, count: Count, times: u64, what: &str) {
        self.add(count, times);
        self.failures.lock().add(what, times);
    }

    pub(super) fn failures(&self) -> Counts {
        self.failures.lock().clone()
    }

    pub(super) fn broken(&self) -> u64 {
        Count::ALL.iter().filter(|(count, _)| count.is_broken()).map(|(count, _)| self.get(*count)).sum()
    }

    /// A message came whose sender meant it to be sent at `nanos`.
    pub(super) fn delivered(&self, count: Count, nanos: u64, now: Instant) {
        self.add(count, 1);
        self.delivery.lock().add(Duration::from_nanos(self.nanos(now).saturating_sub(nanos)));
    }

    /// How long deliveries took since this was asked last.
    pub(super) fn take_delivery(&self) -> Times {
        std::mem::take(&mut *self.delivery.lock())
    }

    pub(super) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Running,
            1 => Phase::Settling,
            2 => Phase::Closing,
            _ => Phase::Over,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.waiting.iter().for_each(|waiting| waiting.store(u64::MAX, Release));
        self.phase.store(phase as u8, Release);
    }

    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Release);
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Acquire)
    }

    /// Whether a connection has ended as by a restart that is not ours: then servers may be away for a while.
    pub(super) fn is_restart(&self, end: &End, now: Instant) -> bool {
        let is_restart = self.plan.is_foreign && end.is_going_away();
        if is_restart {
            self.away.fetch_max(self.nanos(now).max(1), Relaxed);
        }
        is_restart
    }

    /// Whether a server restarts, or did so lately.
    pub(super) fn is_restarting(&self, now: Instant) -> bool {
        let away = self.away.load(Relaxed);
        let patience = self.plan.patience.as_nanos() as u64;
        0 < away && self.nanos(now).saturating_sub(away) < patience
    }

    /// Messages outside of rooms with a history may be missing now: nobody has promised them.
    pub(super) fn may_miss(&self, now: Instant) -> bool {
        self.plan.has_redis || self.is_restarting(now)
    }

    pub(super) fn acknowledge(&self, room: usize) {
        self.acknowledged[room].fetch_add(1, AcqRel);
    }

    pub(super) fn acknowledged(&self, room: usize) -> u64 {
        self.acknowledged[room].load(Acquire)
    }

    pub(super) fn send_plain(&self, room: usize) {
        self.plain[room].fetch_add(1, AcqRel);
    }

    pub(super) fn plain(&self, room: usize) -> u64 {
        self.plain[room].load(Acquire)
    }

    pub(super) fn send_direct(&self, pair: usize) {
        self.direct[pair].fetch_add(1, AcqRel);
    }

    pub(super) fn direct(&self, pair: usize) -> u64 {
        self.direct[pair].load(Acquire)
    }

    /// A thread says how many of its clients wait in this phase.
    pub(super) fn wait_for(&self, thread: usize, phase: Phase, clients: u64) {
        if self.phase() == phase {
            self.waiting[thread].store(clients, Release);
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.load(Acquire) == 0)
    }
}
