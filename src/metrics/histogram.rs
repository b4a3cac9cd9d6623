//! Histograms: how often a value was at most so much. An array of atomic numbers, two of which each value costs.

use super::number::Counter;
use super::text::{Metric, Samples};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Where one bucket ends and the next begins.
pub(crate) trait Buckets<const N: usize> {
    /// The largest value of each bucket, ascending, as it is observed.
    const BOUNDS: [u64; N];
    /// How many of what is observed are one of the unit that is shown.
    const UNIT: f64;
}

pub(crate) struct Histogram<B, const N: usize> {
    counts: [Counter; N],
    above: Counter,
    sum: Counter,
    buckets: PhantomData<B>,
}

/// Times from 10 µs to 10 s, observed in nanoseconds and shown in seconds.
pub(crate) struct Time;

pub(crate) type Seconds = Histogram<Time, 19>;

impl Buckets<19> for Time {
    const BOUNDS: [u64; 19] = [
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ];
    const UNIT: f64 = 1e9;
}

/// How many of something that there are one to a thousand of.
pub(crate) struct Number;

pub(crate) type Numbers = Histogram<Number, 11>;

impl Buckets<11> for Number {
    const BOUNDS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
    const UNIT: f64 = 1.0;
}

impl<B: Buckets<N>, const N: usize> Histogram<B, N> {
    pub(crate) fn observe(&self, value: u64) {
        let at = B::BOUNDS.partition_point(|bound| *bound < value);
        self.counts.get(at).unwrap_or(&self.above).add(1);
        self.sum.add(value as usize);
    }

    /// How many values were observed.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum::<u64>() + self.above.get()
    }

    /// All values together, as observed.
    pub(crate) fn sum(&self) -> u64 {
        self.sum.get()
    }
}

impl Seconds {
    pub(crate) fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl<B: Buckets<N>, const N: usize> Metric for Histogram<B, N> {
    const KIND: &'static str = "histogram";

    fn write(&self, samples: &mut Samples<'_>) {
        let mut count = 0;
        for (bound, own) in B::BOUNDS.iter().zip(&self.counts) {
            count += own.get();
            let bound = (*bound as f64 / B::UNIT).to_string();
            samples.sample("_bucket", &[("le", &bound)], count);
        }
        // Read once: the last bucket and the count are the same number, whatever is observed meanwhile.
        count += self.above.get();
        samples.sample("_bucket", &[("le", "+Inf")], count);
        samples.sample("_sum", &[], self.sum() as f64 / B::UNIT);
        samples.sample("_count", &[], count);
    }
}

impl<B, const N: usize> Default for Histogram<B, N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| Counter::default()),
            above: Counter::default(),
            sum: Counter::default(),
            buckets: PhantomData,
        }
    }
}

impl<B, const N: usize> fmt::Debug for Histogram<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.counts).entry(&self.above).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_their_bounds_are_inclusive() {
        let numbers = Numbers::default();
        [0, 1, 2, 3, 1024, 1025].into_iter().for_each(|value| numbers.observe(value));
        let mut text = Text::default();
        text.add("turn", "Turns.", &numbers);
        let text = text.finish();
        for line in [
            "turn_bucket{le=\"1\"} 2\n",
            "turn_bucket{le=\"2\"} 3\n",
            "turn_bucket{le=\"4\"} 4\n",
            "turn_bucket{le=\"512\"} 4\n",
            "turn_bucket{le=\"1024\"} 5\n",
            "turn_bucket{le=\"+Inf\"} 6\n",
            "turn_sum 2055\n",
            "turn_count 6\n",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
        assert_eq!((numbers.count(), numbers.sum()), (6, 2055));
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let times = Seconds::default();
        times.observe_time(Duration::from_micros(20));
        times.observe_time(Duration::from_millis(1500));
        times.observe_time(Duration::from_secs(60));
        let mut text = Text::default();
        text.add("turn_seconds", "Turns.", &times);
        let text = text.finish();
        for line in [
            "_bucket{le=\"0.00001\"} 0\n",
            "_bucket{le=\"0.000025\"} 1\n",
            "_bucket{le=\"1\"} 1\n",
            "_bucket{le=\"2.5\"} 2\n",
            "_bucket{le=\"10\"} 2\n",
            "_bucket{le=\"+Inf\"} 3\n",
            "_sum 61.50002\n",
            "_count 3\n",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
    }
}
