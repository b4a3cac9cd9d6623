//! What one Redis costs and how it is, for Prometheus.

use crate::metrics::{Counter, Metric, Seconds, Text};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Counts {
    /// Connections that were lost or could not be made.
    pub(super) lost: Counter,
    answers: Seconds,
    /// Since when it owes answers.
    asked: Mutex<Option<Instant>>,
}

impl Counts {
    /// Commands that go together are sent now. Those before them may have been without an answer.
    pub(super) fn asked(&self, now: Instant) {
        self.asked.lock().get_or_insert(now);
    }

    /// All of them are answered after that time.
    pub(super) fn answered(&self, after: Duration) {
        self.answers.observe_time(after);
        *self.asked.lock() = None;
    }

    fn lag(&self) -> Duration {
        self.asked.lock().map_or(Duration::ZERO, |asked| asked.elapsed())
    }
}

/// A Redis' address, whether it can be reached, how many orders wait for it, and its counts.
pub(super) type Shown<'a> = (&'a str, bool, usize, &'a Counts);

type Value = fn(&Shown<'_>) -> f64;

pub(super) fn text(all: &[Shown<'_>]) -> String {
    let mut text = Text::default();
    let mut gauge = |name: &str, help: &str, value: Value| {
        let mut samples = text.family(name, "gauge", help);
        all.iter().for_each(|one| samples.sample("", &[("at", one.0)], value(one)));
    };
    gauge("switchboard_redis_up", "Whether this Redis can be reached.", |one| f64::from(u8::from(one.1)));
    let help = "For how long it has not answered what was sent to it; 0 when all is answered.";
    gauge("switchboard_redis_lag_seconds", help, |one| one.3.lag().as_secs_f64());
    let help = "Orders that wait to be sent to it.";
    gauge("switchboard_redis_waiting_orders", help, |one| one.2 as f64);
    let help = "Connections that were lost or could not be made.";
    let mut samples = text.family("switchboard_redis_lost_total", Counter::KIND, help);
    all.iter().for_each(|one| one.3.lost.write(samples.labelled("at", one.0)));
    let help = "Time from sending what waited until all of it was answered, in seconds.";
    let mut samples = text.family("switchboard_redis_answer_seconds", Seconds::KIND, help);
    all.iter().for_each(|one| one.3.answers.write(samples.labelled("at", one.0)));
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_prometheus() {
        let (counts, idle) = (Counts::default(), Counts::default());
        counts.lost.add(3);
        let began = Instant::now();
        counts.asked(began);
        counts.answered(Duration::from_millis(1500));
        assert_eq!(counts.lag(), Duration::ZERO);
        counts.asked(began);
        // The first is what it owes.
        counts.asked(began + Duration::from_secs(3600));
        let text = text(&[("h:1", true, 7, &counts), ("h:2", false, 0, &idle)]);
        for line in [
            "# TYPE switchboard_redis_up gauge",
            "switchboard_redis_up{at=\"h:1\"} 1",
            "switchboard_redis_up{at=\"h:2\"} 0",
            "switchboard_redis_lag_seconds{at=\"h:2\"} 0",
            "switchboard_redis_waiting_orders{at=\"h:1\"} 7",
            "# TYPE switchboard_redis_lost_total counter",
            "switchboard_redis_lost_total{at=\"h:1\"} 3",
            "switchboard_redis_lost_total{at=\"h:2\"} 0",
            "# TYPE switchboard_redis_answer_seconds histogram",
            "switchboard_redis_answer_seconds_bucket{at=\"h:1\",le=\"+Inf\"} 1",
            "switchboard_redis_answer_seconds_sum{at=\"h:1\"} 1.5",
            "switchboard_redis_answer_seconds_count{at=\"h:1\"} 1",
            "switchboard_redis_answer_seconds_count{at=\"h:2\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "no {line} in {text}");
        }
        let lag =
            text.lines().find_map(|line| line.strip_prefix("switchboard_redis_lag_seconds{at=\"h:1\"} "));
        assert!(0.0 < lag.unwrap().parse::<f64>().unwrap(), "{text}");
    }
}
