//! What one Redis costs and how it is, for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Counts {
    /// Connections that were lost or could not be made.
    pub(super) lost: AtomicU64,
    batches: AtomicU64,
    micros: AtomicU64,
}

impl Counts {
    /// Commands that went together were all answered after that time.
    pub(super) fn answered(&self, after: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.micros.fetch_add(after.as_micros().try_into().unwrap_or(u64::MAX), Relaxed);
    }
}

/// A Redis' address, whether it can be reached, how many orders wait for it, and its counts.
pub(super) type Shown<'a> = (&'a str, bool, usize, &'a Counts);

type Value = fn(&Shown<'_>) -> String;

/// In the Prometheus text format, version 0.0.4.
pub(super) fn text(all: &[Shown<'_>]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, values: &[(&str, Value)]| {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "# HELP switchboard_redis_{name} {help}\n# TYPE switchboard_redis_{name} {kind}");
        for one in all {
            for (end, value) in values {
                let _ = writeln!(text, "switchboard_redis_{name}{end}{{at=\"{}\"}} {}", one.0, value(one));
            }
        }
    };
    family("up", "gauge", "Whether this Redis can be reached.", &[("", |one| u8::from(one.1).to_string())]);
    family("waiting", "gauge", "Orders that wait to be sent to it.", &[("", |one| one.2.to_string())]);
    let lost: Value = |one| one.3.lost.load(Relaxed).to_string();
    family("lost_total", "counter", "Connections that were lost or could not be made.", &[("", lost)]);
    let sum: Value = |one| (one.3.micros.load(Relaxed) as f64 / 1e6).to_string();
    let count: Value = |one| one.3.batches.load(Relaxed).to_string();
    let help = "Time from sending what waited until all of it was answered.";
    family("answer_seconds", "summary", help, &[("_sum", sum), ("_count", count)]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_prometheus() {
        let counts = Counts::default();
        counts.lost.fetch_add(3, Relaxed);
        counts.answered(Duration::from_millis(1500));
        counts.answered(Duration::from_millis(250));
        let text = text(&[("h:1", true, 7, &counts), ("h:2", false, 0, &Counts::default())]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE switchboard_redis_up gauge",
                "switchboard_redis_up{at=\"h:1\"} 1",
                "switchboard_redis_up{at=\"h:2\"} 0",
                "# TYPE switchboard_redis_waiting gauge",
                "switchboard_redis_waiting{at=\"h:1\"} 7",
                "switchboard_redis_waiting{at=\"h:2\"} 0",
                "# TYPE switchboard_redis_lost_total counter",
                "switchboard_redis_lost_total{at=\"h:1\"} 3",
                "switchboard_redis_lost_total{at=\"h:2\"} 0",
                "# TYPE switchboard_redis_answer_seconds summary",
                "switchboard_redis_answer_seconds_sum{at=\"h:1\"} 1.75",
                "switchboard_redis_answer_seconds_count{at=\"h:1\"} 2",
                "switchboard_redis_answer_seconds_sum{at=\"h:2\"} 0",
                "switchboard_redis_answer_seconds_count{at=\"h:2\"} 0",
            ]
        );
    }
}
