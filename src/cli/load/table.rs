//! The result of a run for people.

use super::options::Mode;
use super::plan::Drive;
use super::report::{QUANTILES, Report, millis};
use super::tally::Counts;
use std::time::Duration;

/// Reasons that are told; a server may have more.
const REASONS: usize = 5;
/// A generator that works for more of the time than that was perhaps what limited the run.
const BUSY: f64 = 0.9;

impl Report {
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}\n", self.heading());
        if self.is_interrupted {
            text.push_str("interrupted: these are the results so far\n");
        }
        text.push('\n');
        for table in [self.rates_table(), self.times_table()] {
            if !table.is_empty() {
                text.push_str(&format!("{table}\n"));
            }
        }
        text.push_str(&self.checks_line());
        for line in self.notes() {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    fn heading(&self) -> String {
        let plan = &self.plan;
        let mut parts = vec![count(plan.connections as u64, "connection")];
        if plan.mode == Mode::Stall {
            parts.push(format!("{} of them stalled", plan.stalled));
        }
        if plan.mode.is_traffic() {
            if plan.mode != Mode::Echo {
                if 1 < plan.rooms {
                    parts.push(count(plan.rooms as u64, "room"));
                }
                parts.push(count(plan.senders as u64, "sender"));
            }
            parts.push(match plan.drive {
                Drive::Rate(rate) => format!("{} messages per second", grouped(rate)),
                Drive::Window(1) => "closed loop".into(),
                Drive::Window(window) => format!("closed loop with {window} under way"),
            });
            parts.push(format!("{} bytes", plan.size));
        }
        if plan.mode == Mode::Storm {
            parts.push(count(plan.rounds as u64, "round"));
        }
        if self.is_compressed {
            parts.push("compressed".into());
        }
        parts.push(format!("{:.1} s", self.measured().as_secs_f64()));
        format!("{} {}: {}", plan.mode.name(), self.url, parts.join(", "))
    }

    fn rates_table(&self) -> String {
        let rows = self.rates().into_iter().map(|(name, count)| {
            vec![name.to_owned(), grouped(count), grouped(self.per_second(count).round() as u64)]
        });
        aligned(&["", "count", "per second"], rows.collect())
    }

    fn times_table(&self) -> String {
        let times = self.tally.times().into_iter().filter(|(_, times)| 0 < times.count());
        let rows: Vec<Vec<String>> = times
            .map(|(name, times)| {
                let mut row = vec![name.to_owned()];
                row.extend(QUANTILES.iter().map(|(_, part)| shown(times.quantile(*part))));
                row.push(shown(times.most()));
                row
            })
            .collect();
        aligned(&["milliseconds", "p50", "p90", "p99", "p99.9", "max"], rows)
    }

    fn checks_line(&self) -> String {
        if self.is_empty() {
            return "FAIL: nothing could be measured\n".into();
        }
        let broken = self.tally.broken.named().into_iter().filter(|(_, times)| 0 < *times);
        let broken: Vec<String> = broken.map(|(name, times)| format!("{} {name}", grouped(times))).collect();
        let kept = match (broken.is_empty(), self.plan.mode) {
            (false, _) => return format!("FAIL: {}\n", broken.join(", ")),
            (true, Mode::Idle) => "every connection stayed, and answered",
            (true, Mode::Churn) => "every connection came about, and was closed in order",
            (true, Mode::Storm) => "every connection came back",
            (true, _) => "every message came once, in order, unchanged, and to nobody else",
        };
        format!("ok: {kept}\n")
    }

    /// What else is to be known.
    fn notes(&self) -> Vec<String> {
        let tally = &self.tally;
        let mut notes = Vec::new();
        add_counts(&mut notes, "", &tally.failures);
        notes.extend(tally.advice.iter().map(|advice| format!("-> {advice}")));
        add_counts(&mut notes, "error replies: ", &tally.errors);
        add_counts(&mut notes, "tried again: ", &tally.refusals);
        add_counts(&mut notes, "stalled: ", &tally.stalled);
        if 0 < tally.foreign {
            let foreign = grouped(tally.foreign);
            notes.push(format!(
                "{foreign} messages of somebody else came; a room of its own gives better numbers"
            ));
        }
        if 0 < tally.overdue {
            notes.push(format!(
                "{} times nothing arrived for a second, and a sender went on",
                grouped(tally.overdue)
            ));
        }
        if 0 < tally.unsent {
            notes.push(format!(
                "{} of what was due could not be sent in time: the server takes less than --rate, or the generator makes less",
                grouped(tally.unsent)
            ));
        }
        let misses_own =
            self.plan.mode != Mode::Echo && !self.plan.others_only && self.plan.protocol.is_none();
        // Each sender has missed each of its own then, and nobody anything else.
        if misses_own && 0 < tally.broken.lost && tally.sent <= tally.broken.lost {
            notes.push("if this path sends to the others only, as /chat/{room}, say --others-only".into());
        }
        if BUSY <= self.busy() {
            notes.push(format!(
                "the generator was at work, or waited for a core, for {:.0}% of the time: it may be what limits; raise --threads, or \
                 give it more cores",
                100.0 * self.busy()
            ));
        }
        notes
    }
}

fn add_counts(notes: &mut Vec<String>, prefix: &str, counts: &Counts) {
    let sorted = counts.sorted();
    for (what, times) in sorted.iter().take(REASONS) {
        notes.push(format!("{prefix}{} x {what}", grouped(*times)));
    }
    if REASONS < sorted.len() {
        let rest = &sorted[REASONS..];
        let times: u64 = rest.iter().map(|(_, times)| times).sum();
        notes.push(format!("{prefix}{} x {} other reasons", grouped(times), rest.len()));
    }
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Digits in groups of three, with a narrow gap that every terminal has.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if 0 < n && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds with as many digits as are worth something.
fn shown(time: Duration) -> String {
    let millis = millis(time);
    match millis {
        _ if millis < 10.0 => format!("{millis:.3}"),
        _ if millis < 100.0 => format!("{millis:.2}"),
        _ if millis < 1000.0 => format!("{millis:.1}"),
        _ => grouped(millis.round() as u64),
    }
}

/// The first column to the left, numbers to the right. Nothing without rows.
pub(super) fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:width$}", row[0], width = widths[0].max(15));
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}", width = (*width).max(10)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;
    use crate::cli::load::tally::Tally;

    fn report(args: &str, change: impl FnOnce(&mut Tally)) -> Report {
        let mut tally =
            Tally { sent: 10_000, delivered: 1_234_567, bytes: 1 << 30, opened: 100, ..Tally::default() };
        tally.watched = Duration::from_secs(11);
        tally.busy = Duration::from_secs(5);
        tally.delivery.add(Duration::from_micros(1500));
        change(&mut tally);
        Report {
            plan: plan(args).unwrap(),
            url: "ws://h/x".into(),
            is_compressed: false,
            is_interrupted: false,
            tally,
        }
    }

    #[test]
    fn a_good_run() {
        let expected = "\
fan-out ws://h/x: 100 connections, 1 sender, closed loop, 64 bytes, 10.0 s

                      count   per second
sent                 10 000        1 000
delivered         1 234 567      123 457
bytes            1 073 741 824  107 374 182

milliseconds            p50         p90         p99       p99.9         max
delivery              1.500       1.500       1.500       1.500       1.500

ok: every message came once, in order, unchanged, and to nobody else
";
        let table = report("", |_| {}).table();
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&table), squeeze(expected), "{table}");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        let broken = report(" --rate 100", |tally| {
            tally.broken.lost = 1200;
            tally.sent = 1200;
            tally.broken.ended = 2;
            tally.failures.add("closed with 1013", 2);
            tally.advice.insert("read faster");
            tally.unsent = 7;
            tally.busy = Duration::from_secs(44);
        });
        let table = broken.table();
        for part in [
            "100 messages per second",
            "FAIL: 1 200 lost, 2 ended",
            "  2 x closed with 1013",
            "  -> read faster",
            "  7 of what was due",
            "--others-only",
            "for 100% of the time",
        ] {
            assert!(table.contains(part), "{part}: {table}");
        }
        let few = report("", |tally| (tally.sent, tally.broken.lost) = (1200, 80));
        assert!(!few.table().contains("--others-only"), "{}", few.table());
        assert!(!broken.is_ok() && broken.json()["ok"] == false && broken.json()["checks"]["lost"] == 1200);
        let empty = report("", |tally| *tally = Tally::default());
        assert!(!empty.is_ok() && empty.table().contains("FAIL: nothing could be measured"));
    }

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), text);
        }
        for (micros, text) in
            [(1, "0.001"), (9_999, "9.999"), (12_345, "12.35"), (123_456, "123.5"), (12_345_678, "12 346")]
        {
            assert_eq!(shown(Duration::from_micros(micros)), text);
        }
    }
}
