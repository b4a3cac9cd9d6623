//! The result of a run, and as JSON.

use super::options::Mode;
use super::plan::{Drive, Plan};
use super::shared::Shared;
use super::tally::{Counts, Tally, Times};
use super::target::Target;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Of the JSON: a file of another one is not compared.
pub(super) const FORMAT: u64 = 1;
/// Quantiles that are told, by their names.
pub(super) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) url: String,
    pub(super) is_compressed: bool,
    pub(super) is_interrupted: bool,
    pub(super) tally: Tally,
}

impl Report {
    pub(super) fn new(shared: &Shared, target: &Target, tally: Tally) -> Self {
        Self {
            plan: shared.plan.clone(),
            url: target.url.clone(),
            is_compressed: target.is_compressed,
            is_interrupted: shared.is_interrupted(),
            tally,
        }
    }

    /// Whether every promise was kept, and there was something to keep.
    pub(super) fn is_ok(&self) -> bool {
        self.tally.broken.is_none() && !self.is_empty()
    }

    /// Whether nothing came about that could be judged.
    pub(super) fn is_empty(&self) -> bool {
        let is_traffic = self.plan.mode.is_traffic();
        self.tally.opened == 0 || (is_traffic && self.tally.delivery.count() == 0)
    }

    /// Time that was measured.
    pub(super) fn measured(&self) -> Duration {
        let ran = self.tally.watched.saturating_sub(self.plan.warmup);
        if self.plan.mode.is_traffic() { ran.min(self.plan.duration) } else { self.tally.watched }
    }

    pub(super) fn per_second(&self, count: u64) -> f64 {
        let seconds = self.measured().as_secs_f64();
        if seconds == 0.0 { 0.0 } else { count as f64 / seconds }
    }

    /// How much of the time the threads of the load were at work, from 0 to 1.
    pub(super) fn busy(&self) -> f64 {
        let watched = self.tally.watched.as_secs_f64() * self.plan.threads as f64;
        if watched == 0.0 { 0.0 } else { (self.tally.busy.as_secs_f64() / watched).min(1.0) }
    }

    /// What is counted for itself and per second, by its name.
    pub(super) fn rates(&self) -> Vec<(&'static str, u64)> {
        let tally = &self.tally;
        let mut rates = Vec::new();
        if self.plan.mode.is_traffic() {
            rates.extend([("sent", tally.sent), ("delivered", tally.delivered), ("bytes", tally.bytes)]);
        } else if self.plan.mode != Mode::Idle {
            rates.push(("opened", tally.opened));
        }
        if self.plan.protocol.is_some() {
            rates.push(("acknowledged", tally.acknowledged));
        }
        rates
    }

    pub(super) fn json(&self) -> Value {
        let (plan, tally) = (&self.plan, &self.tally);
        let rates = self.rates().into_iter().map(|(name, count)| {
            (name.to_owned(), json!({"count": count, "per_second": rounded(self.per_second(count))}))
        });
        let times = tally.times().into_iter().filter(|(_, times)| 0 < times.count());
        let times = times.map(|(name, times)| (name.to_owned(), times_json(times)));
        let checks = tally.broken.named().map(|(name, count)| (name.to_owned(), count.into()));
        json!({
            "format": FORMAT,
            "ok": self.is_ok(),
            "interrupted": self.is_interrupted,
            "plan": self.plan_json(),
            "opened": tally.opened,
            "seconds": rounded(self.measured().as_secs_f64()),
            "rates": rates.collect::<Map<_, _>>(),
            "milliseconds": times.collect::<Map<_, _>>(),
            "checks": Map::from_iter(checks),
            "failures": counts_json(&tally.failures),
            "advice": tally.advice,
            "errors": counts_json(&tally.errors),
            "refusals": counts_json(&tally.refusals),
            "stalled": counts_json(&tally.stalled),
            "foreign": tally.foreign,
            "overdue": tally.overdue,
            "unsent": tally.unsent,
            "generator": {"threads": plan.threads, "busy": rounded(self.busy())},
        })
    }

    /// What was asked for: two runs of different plans are not alike.
    fn plan_json(&self) -> Value {
        let plan = &self.plan;
        let (rate, window) = match plan.drive {
            Drive::Rate(rate) => (Some(rate), None),
            Drive::Window(window) => (None, Some(window)),
        };
        json!({
            "mode": plan.mode.name(),
            "url": self.url,
            "connections": plan.connections,
            "senders": plan.senders,
            "rooms": plan.rooms,
            "stalled": plan.stalled,
            "rate": rate,
            "window": window,
            "size": plan.size,
            "binary": plan.binary,
            "protocol": plan.protocol.is_some(),
            "compressed": self.is_compressed,
            "rounds": plan.rounds,
            "duration": plan.duration.as_secs_f64(),
        })
    }
}

fn times_json(times: &Times) -> Value {
    let mut map = Map::new();
    map.insert("count".into(), times.count().into());
    map.insert("mean".into(), millis(times.mean()).into());
    map.insert("min".into(), millis(times.least()).into());
    for (name, part) in QUANTILES {
        map.insert(name.into(), millis(times.quantile(part)).into());
    }
    map.insert("max".into(), millis(times.most()).into());
    map.into()
}

fn counts_json(counts: &Counts) -> Value {
    let sorted = counts.sorted();
    sorted.into_iter().map(|(what, count)| json!({"what": what, "count": count})).collect()
}

/// With three digits behind the point.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
