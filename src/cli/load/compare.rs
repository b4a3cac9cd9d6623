//! Two results side by side: what became better, and what worse.

use super::super::colour;
use super::report::{FORMAT, QUANTILES};
use super::table::aligned;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use switchboard::{Error, Result};

/// Changes up to this part of the older number are what two runs of the same differ by.
const NOISE: f64 = 0.05;

/// # Errors
/// A file that cannot be read, or is no result.
pub(super) fn run(files: &[PathBuf]) -> Result<ExitCode> {
    let results = files.iter().map(|file| read(file)).collect::<Result<Vec<Value>>>()?;
    let [before, after] = &results[..] else {
        return Err(Error::Config("--compare takes two files".into()));
    };
    colour::print(&text(before, after))?;
    let are_ok = [before, after].iter().all(|result| result["ok"] == true);
    Ok(if are_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> Result<Value> {
    let wrong = |what: String| {
        Error::Config(format!(
            "{}: {what}; give it what `switchboard load --json` has printed",
            file.display()
        ))
    };
    let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let result: Value = serde_json::from_str(&text).map_err(|error| wrong(format!("is no JSON: {error}")))?;
    match result["format"].as_u64() {
        Some(FORMAT) => Ok(result),
        Some(format) => Err(wrong(format!("has format {format}, and {FORMAT} is what can be read"))),
        None => Err(wrong("is no result of a load".into())),
    }
}

/// One line: a number of both runs.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    before: f64,
    after: f64,
    /// Whether more of it is better.
    more_is_better: bool,
}

fn text(before: &Value, after: &Value) -> String {
    let mut text = String::new();
    for (name, before, after) in differences(before, after) {
        text.push_str(&format!("not alike: {name} was {before}, and is {after}\n"));
    }
    let rows = rows(before, after).into_iter().map(|row| {
        let cells =
            [row.name.clone(), shown(row.before), shown(row.after), row.change(), row.verdict().into()];
        Vec::from(cells)
    });
    text.push_str(&aligned(&["", "before", "after", "change", ""], rows.collect()));
    for (name, result) in [("before", before), ("after", after)] {
        if result["ok"] != true {
            text.push_str(&format!("FAIL: {name} broke promises: {}\n", broken(result)));
        }
    }
    text
}

/// What was asked for differently.
fn differences(before: &Value, after: &Value) -> Vec<(String, String, String)> {
    let (Some(old), Some(new)) = (before["plan"].as_object(), after["plan"].as_object()) else {
        return Vec::new();
    };
    let differ = old.iter().filter(|(name, value)| new.get(*name) != Some(value));
    differ
        .map(|(name, value)| {
            (name.clone(), value.to_string(), new.get(name).unwrap_or(&Value::Null).to_string())
        })
        .collect()
}

fn rows(before: &Value, after: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: String, path: &[&str], more_is_better| {
        let number = |result: &Value| path.iter().fold(result, |value, key| &value[*key]).as_f64();
        if let (Some(before), Some(after)) = (number(before), number(after)) {
            rows.push(Row { name, before, after, more_is_better });
        }
    };
    for name in ["sent", "delivered", "bytes", "opened", "acknowledged"] {
        add(format!("{name}/s"), &["rates", name, "per_second"], true);
    }
    let times = before["milliseconds"].as_object().into_iter().flatten();
    for (name, _) in times {
        for quantile in QUANTILES.iter().map(|(quantile, _)| *quantile).chain(["max"]) {
            let title = format!("{name} {} ms", quantile.replace('_', "."));
            add(title, &["milliseconds", name, quantile], false);
        }
    }
    rows
}

impl Row {
    /// How much more it is, as a part of what it was; `None` when it was nothing.
    fn part(&self) -> Option<f64> {
        (self.before != 0.0).then(|| (self.after - self.before) / self.before)
    }

    fn change(&self) -> String {
        self.part().map_or("-".into(), |part| format!("{:+.1}%", 100.0 * part))
    }

    fn verdict(&self) -> &'static str {
        match self.part() {
            Some(part) if part.abs() <= NOISE => "",
            Some(part) if (0.0 < part) == self.more_is_better => "better",
            Some(_) => "worse",
            None => "",
        }
    }
}

fn shown(number: f64) -> String {
    if number < 100.0 { format!("{number:.3}") } else { format!("{number:.0}") }
}

fn broken(result: &Value) -> String {
    let checks = result["checks"].as_object().into_iter().flatten();
    let broken: Vec<String> = checks
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if broken.is_empty() { "nothing could be measured".into() } else { broken.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(delivered: f64, p99: f64, connections: u64) -> Value {
        json!({
            "format": FORMAT, "ok": true, "plan": {"mode": "fan-out", "connections": connections},
            "rates": {"delivered": {"count": 1, "per_second": delivered}},
            "milliseconds": {"delivery": {"p50": 1.0, "p99": p99, "max": 0.0}},
            "checks": {"lost": 0},
        })
    }

    #[test]
    fn more_messages_and_less_time_are_better() {
        for (after, changes) in [
            (result(200.0, 5.0, 7), ["+100.0% better", "+0.0%", "-50.0% better"]),
            (result(50.0, 20.0, 7), ["-50.0% worse", "+0.0%", "+100.0% worse"]),
            (result(104.0, 9.6, 7), ["+4.0%", "+0.0%", "-4.0%"]),
        ] {
            let text = text(&result(100.0, 10.0, 7), &after);
            let rows: Vec<String> = text
                .lines()
                .skip(1)
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            for (row, change) in rows.iter().zip(changes) {
                assert!(row.ends_with(change), "{row} | {change}");
            }
            assert!(rows[3].starts_with("delivery max ms") && rows[3].ends_with(" -"), "{}", rows[3]);
        }
    }

    #[test]
    fn other_plans_and_broken_promises_are_told() {
        let mut broken = result(100.0, 10.0, 8);
        broken["ok"] = json!(false);
        broken["checks"]["lost"] = json!(3);
        let text = text(&result(100.0, 10.0, 7), &broken);
        assert!(text.starts_with("not alike: connections was 7, and is 8\n"), "{text}");
        assert!(text.ends_with("FAIL: after broke promises: 3 lost\n"), "{text}");
    }
}
