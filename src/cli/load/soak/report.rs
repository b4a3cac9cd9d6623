//! What a soak tells: once a minute, and at the end for people or as JSON.

use super::super::table::{aligned, grouped};
use super::super::tally::Counts;
use super::ledger::{Count, Ledger};
use super::plan::Plan;
use super::process::{Log, Usage};
use super::verdict::{self, Check, Sample};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::process::ExitStatus;
use std::time::Duration;

/// Of the JSON.
const FORMAT: u64 = 1;
const WIDTH: usize = 9;
const MIB: u64 = 1 << 20;
/// Lines of logs that are told for each server.
const LINES: usize = 5;

/// The table that grows by a line each minute.
pub(super) struct Minutes {
    /// stdout is for the JSON.
    to_stderr: bool,
    has_head: bool,
    before: Vec<u64>,
    at: Duration,
}

/// What of the numbers is told once a minute, per second or as a sum.
const RATES: [(Count, &str); 4] = [
    (Count::Acknowledged, "acks/s"),
    (Count::Delivered, "to ws/s"),
    (Count::PlainDelivered, "plain/s"),
    (Count::DirectDelivered, "direct/s"),
];
const SUMS: [(Count, &str); 3] =
    [(Count::Resumed, "resumed"), (Count::Churned, "churned"), (Count::StalledCut, "stalled")];

impl Minutes {
    pub(super) fn new(to_stderr: bool) -> Self {
        Self { to_stderr, has_head: false, before: vec![0; RATES.len()], at: Duration::ZERO }
    }

    pub(super) fn tell(&mut self, ledger: &Ledger, sample: &Sample) {
        if !self.has_head {
            self.has_head = true;
            let servers = (0..sample.usages.len())
                .flat_map(|n| [format!("MiB {n}"), format!("threads {n}"), format!("files {n}")]);
            let words = RATES.iter().map(|(_, word)| *word).chain(["p99 ms"]);
            let words = words.chain(SUMS.iter().map(|(_, word)| *word)).chain(["broken"]);
            self.say(["minute".to_owned()].into_iter().chain(words.map(String::from)).chain(servers));
        }
        let seconds = (sample.at.saturating_sub(self.at)).as_secs_f64().max(0.001);
        self.at = sample.at;
        let rates: Vec<u64> = RATES.iter().map(|(count, _)| ledger.get(*count)).collect();
        let per_second = rates.iter().zip(&self.before);
        let per_second: Vec<String> =
            per_second.map(|(now, before)| format!("{:.0}", (now - before) as f64 / seconds)).collect();
        self.before = rates;
        let p99 = format!("{:.1}", ledger.take_delivery().quantile(0.99).as_secs_f64() * 1e3);
        let sums = SUMS.iter().map(|(count, _)| ledger.get(*count).to_string());
        let usages = sample.usages.iter().flat_map(|usage| {
            [(usage.memory / MIB).to_string(), usage.threads.to_string(), usage.descriptors.to_string()]
        });
        let row =
            [format!("{:.1}", sample.at.as_secs_f64() / 60.0)].into_iter().chain(per_second).chain([p99]);
        self.say(row.chain(sums).chain([ledger.broken().to_string()]).chain(usages));
    }

    fn say(&self, cells: impl Iterator<Item = String>) {
        let line: String = cells.map(|cell| format!("{cell:>WIDTH$} ")).collect();
        let line = format!("{}\n", line.trim_end());
        // Nobody to tell it to is no reason to end.
        let _ = if self.to_stderr {
            io::stderr().write_all(line.as_bytes())
        } else {
            io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush())
        };
    }
}

/// When all have gone.
pub(super) struct Ending {
    pub(super) left: Vec<Usage>,
    /// `None`: it had to be killed.
    pub(super) statuses: Vec<Option<ExitStatus>>,
}

pub(super) struct Report {
    plan: Plan,
    ran: Duration,
    is_interrupted: bool,
    counts: Vec<(Count, &'static str, u64)>,
    failures: Counts,
    under_load: Vec<Check>,
    afterwards: Vec<Check>,
    statuses: Vec<Option<ExitStatus>>,
    logs: Vec<Log>,
    redis_restarts: Option<u64>,
    samples: Vec<Sample>,
}

impl Report {
    pub(super) fn new(
        ledger: &Ledger,
        ran: Duration,
        empty: &[Usage],
        samples: Vec<Sample>,
        ending: Ending,
        logs: Vec<Log>,
        redis_restarts: Option<u64>,
    ) -> Self {
        let counts = Count::ALL.iter().map(|(count, name)| (*count, *name, ledger.get(*count)));
        Self {
            plan: ledger.plan.clone(),
            ran,
            is_interrupted: ledger.is_interrupted(),
            counts: counts.collect(),
            failures: ledger.failures(),
            under_load: verdict::under_load(&samples, ran),
            afterwards: verdict::afterwards(empty, &ending.left),
            statuses: ending.statuses,
            logs,
            redis_restarts,
            samples,
        }
    }

    fn get(&self, wanted: Count) -> u64 {
        self.counts.iter().find(|(count, ..)| *count == wanted).map_or(0, |(.., times)| *times)
    }

    fn broken(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let broken = self.counts.iter().filter(|(count, _, times)| count.is_broken() && 0 < *times);
        broken.map(|(_, name, times)| (*name, *times))
    }

    /// What went wrong, in words. Nothing: all is well.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.broken().map(|(name, times)| format!("{} {name}", grouped(times))).collect();
        let delivered = [Count::Delivered, Count::PlainDelivered, Count::DirectDelivered];
        if delivered.iter().any(|count| self.get(*count) == 0) {
            faults.push("not all kinds of messages came: a longer run is needed".into());
        }
        let checks = [("under load", &self.under_load), ("afterwards", &self.afterwards)];
        for (when, checks) in checks {
            let bad = checks.iter().filter(|check| !check.is_ok());
            faults.extend(bad.map(|check| format!("server {}: {} {when}", check.server, check.what)));
        }
        for (server, status) in self.statuses.iter().enumerate() {
            match status {
                Some(status) if status.success() => {}
                Some(status) => faults.push(format!("server {server}: ended with {status}")),
                None => faults.push(format!("server {server}: did not end at SIGTERM")),
            }
        }
        for (server, log) in self.logs.iter().enumerate().filter(|(_, log)| !log.errors.is_empty()) {
            faults.push(format!("server {server}: {} errors in its log", log.errors.len()));
        }
        faults
    }

    pub(super) fn is_ok(&self) -> bool {
        self.faults().is_empty()
    }

    pub(super) fn table(&self) -> String {
        let plan = &self.plan;
        let redis = self.redis_restarts.map(|times| format!(", Redis killed {times} times"));
        let mut text = format!(
            "\nsoak: {} connections, {} messages per second, {}{}, {:.1} minutes\n",
            grouped(plan.connections as u64),
            grouped(plan.rate as u64),
            if plan.servers == 1 { "1 server".into() } else { format!("{} servers", plan.servers) },
            redis.unwrap_or_default(),
            self.ran.as_secs_f64() / 60.0
        );
        if self.is_interrupted {
            text.push_str("interrupted: this is what there is so far\n");
        }
        let counts = self.counts.iter().filter(|(count, ..)| !count.is_broken());
        let rows = counts.map(|(_, name, times)| vec![(*name).to_owned(), grouped(*times)]).collect();
        text.push_str(&format!("\n{}\n", aligned(&["", "count"], rows)));
        let checks = [("under load", &self.under_load), ("afterwards", &self.afterwards)];
        let rows =
            checks.into_iter().flat_map(|(when, checks)| checks.iter().map(move |check| row(when, check)));
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            let warm = verdict::warm(self.ran).as_secs_f64() / 60.0;
            text.push_str(&format!(
                "under load: medians at minute {warm:.1} and at the end; afterwards: before anybody came, and when all had gone\n"
            ));
            text.push_str(&format!("{}\n", aligned(&["server", "before", "after", "at most"], rows)));
        }
        match self.faults() {
            faults if faults.is_empty() => {
                text.push_str("ok: nothing was lost, doubled or reordered, and nothing has grown\n");
            }
            faults => text.push_str(&format!("FAIL: {}\n", faults.join(", "))),
        }
        for (what, times) in self.failures.sorted() {
            text.push_str(&format!("  {} x {what}\n", grouped(times)));
        }
        for (server, log) in self.logs.iter().enumerate() {
            for line in log.errors.iter().take(LINES) {
                text.push_str(&format!("  server {server}: {line}\n"));
            }
            if 0 < log.warnings {
                text.push_str(&format!("  server {server}: {} warnings in its log\n", grouped(log.warnings)));
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let counts = self.counts.iter().map(|(_, name, times)| (name.replace(' ', "_"), (*times).into()));
        let checks = |checks: &[Check]| -> Value {
            let check = |check: &Check| {
                json!({
                    "server": check.server,
                    "what": check.what,
                    "before": check.before,
                    "after": check.after,
                    "most": check.most,
                    "ok": check.is_ok(),
                })
            };
            checks.iter().map(check).collect()
        };
        let samples = self.samples.iter().map(|sample| {
            let usages = sample.usages.iter().map(|usage| {
                let named = usage.named().map(|(name, number)| (name.to_owned(), number.into()));
                Value::Object(Map::from_iter(named))
            });
            json!({"seconds": sample.at.as_secs_f64(), "servers": usages.collect::<Value>()})
        });
        let failures = self.failures.sorted().into_iter();
        json!({
            "format": FORMAT,
            "ok": self.is_ok(),
            "interrupted": self.is_interrupted,
            "faults": self.faults(),
            "connections": self.plan.connections,
            "rate": self.plan.rate,
            "servers": self.plan.servers,
            "seconds": self.ran.as_secs_f64(),
            "redis_restarts": self.redis_restarts,
            "counts": counts.collect::<Map<_, _>>(),
            "failures": failures.map(|(what, count)| json!({"what": what, "count": count})).collect::<Value>(),
            "under_load": checks(&self.under_load),
            "afterwards": checks(&self.afterwards),
            "exit": self.statuses.iter().map(|status| status.and_then(|status| status.code())).collect::<Vec<_>>(),
            "logs": self.logs.iter().map(|log| json!({"errors": log.errors, "warnings": log.warnings})).collect::<Value>(),
            "samples": samples.collect::<Value>(),
        })
    }
}

fn row(when: &str, check: &Check) -> Vec<String> {
    let shown = |number: u64| match check.what {
        "memory" => format!("{:.1} MiB", number as f64 / MIB as f64),
        _ => grouped(number),
    };
    let name = format!("{} {} {when}{}", check.server, check.what, if check.is_ok() { "" } else { " !" });
    vec![name, shown(check.before), shown(check.after), shown(check.most)]
}
