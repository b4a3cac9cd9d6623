//! What was counted and timed: each thread has its own, and they are added up at the end.

use super::advice::next_step;
use super::connection::End;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Different texts that are told apart; what comes beyond is counted as the last one.
const TEXTS: usize = 32;
const OTHERS: &str = "others";
const HOUR: u64 = 3_600_000_000_000;

/// Durations, with three digits, from a nanosecond to an hour. Longer ones count as an hour.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // These bounds are good ones.
        Self(Histogram::new_with_bounds(1, HOUR, 3).unwrap_or_else(|_| unreachable!("1 < {HOUR}")))
    }
}

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that so large a part of all did not exceed; 0 when there are none.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(part).min(self.0.max()))
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    pub(super) fn least(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    pub(super) fn most(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }
}

/// Texts, and how often each has been said. Bounded, for a server may say something else each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub(super) fn add(&mut self, text: &str, times: u64) {
        let is_known = self.0.contains_key(text) || self.0.len() < TEXTS;
        let text = if is_known { text } else { OTHERS };
        *self.0.entry(text.to_owned()).or_default() += times;
    }

    /// The most frequent first.
    pub(super) fn sorted(&self) -> Vec<(&str, u64)> {
        let mut sorted: Vec<_> = self.0.iter().map(|(text, times)| (text.as_str(), *times)).collect();
        sorted.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        sorted
    }
}

/// How often each promise was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// Messages that did not come, counted for each receiver.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    /// Came to somebody whom they were not for.
    pub(super) misdelivered: u64,
    /// Came with another payload than they were sent with.
    pub(super) damaged: u64,
    /// `switchboard.v1`: published, and never replied to.
    pub(super) unacknowledged: u64,
    /// `switchboard.v1`: offsets that did not rise by exactly one, or differ between message and reply.
    pub(super) offsets: u64,
    /// Connections that did not come about.
    pub(super) unopened: u64,
    /// Connections that ended without our doing.
    pub(super) ended: u64,
    /// Connections that were pinged and have not answered.
    pub(super) silent: u64,
}

impl Broken {
    /// Each with its name, in the order of the report.
    pub(super) fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("misdelivered", self.misdelivered),
            ("damaged", self.damaged),
            ("unacknowledged", self.unacknowledged),
            ("offsets", self.offsets),
            ("unopened", self.unopened),
            ("ended", self.ended),
            ("silent", self.silent),
        ]
    }

    pub(super) fn is_none(&self) -> bool {
        self.named().iter().all(|(_, times)| *times == 0)
    }

    fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.misdelivered += other.misdelivered;
        self.damaged += other.damaged;
        self.unacknowledged += other.unacknowledged;
        self.offsets += other.offsets;
        self.unopened += other.unopened;
        self.ended += other.ended;
        self.silent += other.silent;
    }
}

/// Everything that one thread has counted. Of messages, what fell into the time that is measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    /// Payload of what was delivered.
    pub(super) bytes: u64,
    pub(super) acknowledged: u64,
    /// Connections opened, the second and later ones of a place included.
    pub(super) opened: u64,
    /// From when a message was to be sent until a receiver had it.
    pub(super) delivery: Times,
    /// From when it was to be sent until `published`.
    pub(super) acknowledgement: Times,
    /// From when a connection was to be made until it was open: TCP, TLS and handshake.
    pub(super) opening: Times,
    /// From a Close frame to the server's.
    pub(super) closing: Times,
    /// From a ping to its pong.
    pub(super) pong: Times,
    /// From the cut of all connections until one was back.
    pub(super) recovery: Times,
    /// From the start until the server cut a client that reads nothing.
    pub(super) cut: Times,
    pub(super) broken: Broken,
    /// What went wrong, in words.
    pub(super) failures: Counts,
    /// What to do about it.
    pub(super) advice: BTreeSet<&'static str>,
    /// What made a connection wait and try again, in a storm.
    pub(super) refusals: Counts,
    /// Errors that were replied to requests, by their code.
    pub(super) errors: Counts,
    /// Of clients that read nothing: how they ended.
    pub(super) stalled: Counts,
    /// Messages that no run of ours sent.
    pub(super) foreign: u64,
    /// Times that a sender went on although its messages had not arrived.
    pub(super) overdue: u64,
    /// Messages that were due, and had not been sent at the end.
    pub(super) unsent: u64,
    /// Time in which the thread did not wait.
    pub(super) busy: Duration,
    /// Time that was measured.
    pub(super) watched: Duration,
}

impl Tally {
    /// A connection failed or ended like that.
    pub(super) fn fail(&mut self, end: &End) {
        self.failures.add(&end.text(), 1);
        self.advice.extend(next_step(end));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.acknowledged += other.acknowledged;
        self.opened += other.opened;
        for (own, times) in self.times_mut().into_iter().zip(other.times()) {
            own.merge(times.1);
        }
        self.broken.merge(&other.broken);
        let counts = [
            (&mut self.failures, &other.failures),
            (&mut self.refusals, &other.refusals),
            (&mut self.errors, &other.errors),
            (&mut self.stalled, &other.stalled),
        ];
        for (own, counts) in counts {
            counts.0.iter().for_each(|(text, times)| own.add(text, *times));
        }
        self.advice.extend(&other.advice);
        self.foreign += other.foreign;
        self.overdue += other.overdue;
        self.unsent += other.unsent;
        self.busy += other.busy;
        self.watched = self.watched.max(other.watched);
    }

    /// Each with its name, in the order of the report.
    pub(super) fn times(&self) -> [(&'static str, &Times); 7] {
        [
            ("delivery", &self.delivery),
            ("acknowledgement", &self.acknowledgement),
            ("opening", &self.opening),
            ("closing", &self.closing),
            ("pong", &self.pong),
            ("recovery", &self.recovery),
            ("cut", &self.cut),
        ]
    }

    fn times_mut(&mut self) -> [&mut Times; 7] {
        [
            &mut self.delivery,
            &mut self.acknowledgement,
            &mut self.opening,
            &mut self.closing,
            &mut self.pong,
            &mut self.recovery,
            &mut self.cut,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_up() {
        let mut sum = Tally::default();
        for n in 1..=2u64 {
            let mut tally = Tally { sent: n, bytes: 10 * n, ..Tally::default() };
            tally.watched = Duration::from_secs(n);
            tally.busy = Duration::from_secs(n);
            tally.delivery.add(Duration::from_millis(n));
            tally.closing.add(Duration::from_secs(n));
            tally.broken.lost = n;
            tally.broken.ended = 1;
            tally.failures.add("x", n);
            sum.merge(&tally);
        }
        assert_eq!((sum.sent, sum.bytes, sum.delivery.count(), sum.closing.count()), (3, 30, 2, 2));
        assert_eq!((sum.broken.lost, sum.broken.ended, sum.broken.is_none()), (3, 2, false));
        assert_eq!(sum.failures.sorted(), [("x", 3)]);
        assert_eq!((sum.busy.as_secs(), sum.watched.as_secs()), (3, 2));
        assert!(Tally::default().broken.is_none());
    }

    #[test]
    fn quantiles_have_three_digits() {
        let mut times = Times::default();
        (1..=1000).for_each(|n| times.add(Duration::from_micros(n)));
        for (part, micros) in [(0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            let found = times.quantile(part).as_nanos() as i64;
            assert!((found - micros * 1000).abs() <= micros, "{part}: {found}");
        }
        assert_eq!(times.least().as_micros(), 1);
        times.add(Duration::from_secs(1_000_000));
        assert_eq!(times.most().as_secs() / 60, 60);
        let none = Times::default();
        assert_eq!((none.quantile(0.5), none.most(), none.count()), (Duration::ZERO, Duration::ZERO, 0));
    }

    #[test]
    fn texts_are_bounded() {
        let mut counts = Counts::default();
        (0..1000).for_each(|n| counts.add(&format!("port {n}"), 1));
        assert_eq!(counts.sorted()[0], (OTHERS, 1000 - TEXTS as u64));
        assert_eq!(counts.sorted().len(), TEXTS + 1);
    }
}
