//! Counters and gauges: one atomic number each, and counters apart by a label.

use super::text::{Metric, Samples};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A number that goes both ways.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Relaxed);
    }

    /// For a number that somebody else counts, and that never gets lower.
    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Relaxed);
    }

    pub(crate) fn sub(&self, by: usize) {
        self.0.fetch_sub(by as u64, Relaxed);
    }

    pub(crate) fn set(&self, to: usize) {
        self.0.store(to as u64, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Metric for Counter {
    const KIND: &'static str = "counter";

    fn write(&self, samples: &mut Samples<'_>) {
        samples.sample("", &[], self.get());
    }
}

impl Metric for Gauge {
    const KIND: &'static str = "gauge";

    fn write(&self, samples: &mut Samples<'_>) {
        samples.sample("", &[], self.get());
    }
}

/// A label that has one of `N` values.
pub(crate) trait Label<const N: usize> {
    const NAME: &'static str;
    const VALUES: [&'static str; N];
    type Key;

    /// Which of the values stands for it.
    fn index(key: Self::Key) -> usize;
}

/// Counters apart by a label. All of them are shown, those that are still 0 too.
pub(crate) struct By<L, const N: usize> {
    counters: [Counter; N],
    label: PhantomData<L>,
}

impl<L: Label<N>, const N: usize> By<L, N> {
    pub(crate) fn add(&self, key: L::Key, by: usize) {
        self.counters[L::index(key)].add(by);
    }

    pub(crate) fn get(&self, key: L::Key) -> u64 {
        self.counters[L::index(key)].get()
    }

    /// So many to each, in the order of [`Label::VALUES`]. Adds no nothing: memory that all threads share would be fetched for it.
    pub(crate) fn add_each(&self, counts: [usize; N]) {
        for (counter, count) in self.counters.iter().zip(counts).filter(|(_, count)| 0 < *count) {
            counter.add(count);
        }
    }
}

impl<L, const N: usize> Default for By<L, N> {
    fn default() -> Self {
        Self { counters: std::array::from_fn(|_| Counter::default()), label: PhantomData }
    }
}

impl<L, const N: usize> fmt::Debug for By<L, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.counters).finish()
    }
}

impl<L: Label<N>, const N: usize> Metric for By<L, N> {
    const KIND: &'static str = "counter";

    fn write(&self, samples: &mut Samples<'_>) {
        for (value, counter) in L::VALUES.iter().zip(&self.counters) {
            samples.sample("", &[(L::NAME, value)], counter.get());
        }
    }
}
