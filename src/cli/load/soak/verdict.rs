//! Whether a server uses what it used before: samples, and what is compared with what.

use super::process::Usage;
use std::time::Duration;

/// When it is warm: all have come, and histories are full.
const WARM: Duration = Duration::from_secs(120);
/// What is compared is the median over so long: one sample may see a peak.
const WINDOW: Duration = Duration::from_secs(30);
/// What may be more than at minute two: a tenth, and the memory of some outboxes.
pub(super) const PART: u64 = 10;
pub(super) const MEMORY: u64 = 16 << 20;
/// Threads and descriptors: a tenth, and who is coming and going.
pub(super) const FEW: u64 = 32;

/// What all servers used at a time, since the beginning.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) usages: Vec<Usage>,
}

/// One number of a server, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) server: usize,
    pub(super) what: &'static str,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) most: u64,
}

impl Check {
    pub(super) fn is_ok(&self) -> bool {
        self.after <= self.most
    }
}

/// Minute two, or half of a shorter run.
pub(super) fn warm(time: Duration) -> Duration {
    WARM.min(time / 2)
}

/// What was used at the end of a run, and what might have been.
pub(super) fn under_load(samples: &[Sample], time: Duration) -> Vec<Check> {
    let window = WINDOW.min(time / 4);
    let before = medians(samples, warm(time) - window.min(warm(time)), warm(time));
    let after = medians(samples, time.saturating_sub(window), time);
    checks(&before, &after)
}

/// When all have gone there is what there was before anybody came. Memory is not given back to the system, so it is no sign.
pub(super) fn afterwards(before: &[Usage], after: &[Usage]) -> Vec<Check> {
    let mut checks = checks(before, after);
    checks.retain(|check| check.what != "memory");
    checks
}

fn checks(before: &[Usage], after: &[Usage]) -> Vec<Check> {
    let servers = before.iter().zip(after).enumerate();
    let checks = servers.flat_map(|(server, (before, after))| {
        before.named().into_iter().zip(after.named()).map(move |((what, before), (_, after))| {
            let few = if what == "memory" { MEMORY } else { FEW };
            Check { server, what, before, after, most: before + before / PART + few }
        })
    });
    checks.collect()
}

fn medians(samples: &[Sample], from: Duration, to: Duration) -> Vec<Usage> {
    let mut within: Vec<&Sample> =
        samples.iter().filter(|sample| from <= sample.at && sample.at <= to).collect();
    if within.is_empty() {
        within.extend(samples.iter().rfind(|sample| sample.at <= to).or(samples.first()));
    }
    let servers = within.first().map_or(0, |sample| sample.usages.len());
    let median = |server: usize, of: fn(&Usage) -> u64| {
        let mut values: Vec<u64> = within.iter().map(|sample| of(&sample.usages[server])).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let servers = (0..servers).map(|server| Usage {
        memory: median(server, |usage| usage.memory),
        threads: median(server, |usage| usage.threads),
        descriptors: median(server, |usage| usage.descriptors),
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(usage: impl Fn(u64) -> Usage) -> Vec<Sample> {
        let sample = |n: u64| Sample { at: Duration::from_secs(5 * n), usages: vec![usage(n)] };
        (0..=60).map(sample).collect()
    }

    #[test]
    fn what_grows_is_found_and_one_peak_is_none() {
        let time = Duration::from_secs(300);
        let steady = Usage { memory: 100 << 20, threads: 1000, descriptors: 1000 };
        let peak = Usage { memory: 900 << 20, threads: 9000, descriptors: 9000 };
        let fine = under_load(&samples(|n| if n % 7 == 0 { peak } else { steady }), time);
        assert_eq!(fine.len(), 3);
        assert!(fine.iter().all(Check::is_ok), "{fine:?}");
        for (what, leak) in [
            ("memory", Usage { memory: 1 << 20, ..Usage::default() }),
            ("threads", Usage { threads: 10, ..Usage::default() }),
            ("descriptors", Usage { descriptors: 10, ..Usage::default() }),
        ] {
            let leaking = |n| Usage {
                memory: steady.memory + n * leak.memory,
                threads: steady.threads + n * leak.threads,
                descriptors: steady.descriptors + n * leak.descriptors,
            };
            let found = under_load(&samples(leaking), time);
            let bad: Vec<&str> =
                found.iter().filter(|check| !check.is_ok()).map(|check| check.what).collect();
            assert_eq!(bad, [what]);
        }
    }

    #[test]
    fn short_runs_compare_their_halves() {
        let one = Usage { memory: 1, threads: 1, descriptors: 1 };
        let samples = [Sample { at: Duration::from_secs(1), usages: vec![one] }];
        assert!(under_load(&samples, Duration::from_secs(1)).iter().all(|check| check.before == 1));
        assert!(under_load(&[], Duration::from_secs(1)).is_empty());
    }
}
