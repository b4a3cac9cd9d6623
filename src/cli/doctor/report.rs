//! What was found, as a table for people or as JSON for scripts.

use super::super::colour;
use serde_json::{Value, json};
use std::io;

/// Findings that are longer do not push the next steps of all others to the right.
const WIDEST: usize = 46;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) found: String,
    /// Connections that it has room for, if it limits them.
    pub(super) connections: Option<usize>,
    /// What to do next.
    pub(super) next: Option<String>,
}

pub(super) struct Report {
    checks: Vec<Check>,
}

impl Check {
    pub(super) fn new(state: State, name: &str, found: impl Into<String>) -> Self {
        Self { name: name.into(), state, found: found.into(), connections: None, next: None }
    }

    pub(super) fn ok(name: &str, found: impl Into<String>) -> Self {
        Self::new(State::Ok, name, found)
    }

    pub(super) fn warn(name: &str, found: impl Into<String>) -> Self {
        Self::new(State::Warn, name, found)
    }

    pub(super) fn fail(name: &str, found: impl Into<String>) -> Self {
        Self::new(State::Fail, name, found)
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        Self { checks }
    }

    fn state(&self) -> State {
        self.checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
    }

    pub(super) fn is_failed(&self) -> bool {
        self.state() == State::Fail
    }

    /// The check that has room for the fewest connections.
    fn binding(&self) -> Option<(&Check, usize)> {
        let limiting = self.checks.iter().filter_map(|check| Some((check, check.connections?)));
        limiting.min_by_key(|(_, connections)| *connections)
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let text = if json { format!("{:#}\n", self.json()) } else { self.table() };
        colour::print(&text)
    }

    fn json(&self) -> Value {
        let binding = self.binding();
        let check = |check: &Check| {
            json!({
                "name": check.name,
                "state": check.state.word().to_ascii_lowercase(),
                "found": check.found,
                "connections": check.connections,
                "next": check.next,
            })
        };
        json!({
            "state": self.state().word().to_ascii_lowercase(),
            "connections": binding.map(|(_, connections)| connections),
            "binds": binding.map(|(check, _)| &check.name),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
        })
    }

    fn table(&self) -> String {
        let head = ["", "check", "connections", "found", "next step"].map(String::from);
        let rows: Vec<[String; 5]> = [head].into_iter().chain(self.checks.iter().map(Check::cells)).collect();
        let width = |column: usize, most: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.filter(|width| *width <= most).max().unwrap_or(0)
        };
        let [state_width, name_width, number_width] = [0, 1, 2].map(|column| width(column, usize::MAX));
        let found_width = width(3, WIDEST);
        let mut text = String::new();
        for [state, name, number, found, next] in &rows {
            let line = format!(
                "{state:state_width$}  {name:name_width$}  {number:>number_width$}  {found:found_width$}  {next}"
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let room = match self.binding() {
            Some((check, connections)) => {
                format!("Room for {connections} connections: {} binds. ", check.name)
            }
            None => String::new(),
        };
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        let verdict = match (count(State::Fail), count(State::Warn)) {
            (0, 0) => "All is well.".into(),
            (0, warnings) => format!("Nothing fails; warnings: {warnings}."),
            (failures, warnings) => format!("Failures: {failures}; warnings: {warnings}."),
        };
        let is_sysctl = |check: &Check| check.next.as_ref().is_some_and(|next| next.contains("sysctl -w"));
        let hint = match self.checks.iter().any(is_sysctl) {
            true => {
                "`sysctl -w` lasts until the next boot; a line in /etc/sysctl.d/switchboard.conf keeps it.\n"
            }
            false => "",
        };
        format!("{room}{verdict}\n{hint}")
    }
}

impl Check {
    fn cells(&self) -> [String; 5] {
        let connections = self.connections.map(|connections| connections.to_string()).unwrap_or_default();
        let next = self.next.clone().unwrap_or_default();
        [self.state.word().into(), self.name.clone(), connections, self.found.clone(), next]
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let limit =
            |name: &str, connections| Check { connections: Some(connections), ..Check::ok(name, "1") };
        Report::new(vec![
            Check::warn("certificate", "a.pem: ends in 3 days").next("renew it"),
            limit("RLIMIT_NOFILE", 19_872),
            limit("vm.max_map_count", 358).next("sysctl -w vm.max_map_count=262144"),
        ])
    }

    #[test]
    fn the_table_is_aligned() {
        let expected = "      check             connections  found                  next step
warn  certificate                    a.pem: ends in 3 days  renew it
ok    RLIMIT_NOFILE           19872  1
ok    vm.max_map_count          358  1                      sysctl -w vm.max_map_count=262144

Room for 358 connections: vm.max_map_count binds. Nothing fails; warnings: 1.
`sysctl -w` lasts until the next boot; a line in /etc/sysctl.d/switchboard.conf keeps it.
";
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn the_worst_state_is_the_reports() {
        assert!(!report().is_failed());
        let mut report = report();
        report.checks.push(Check::fail("address", "taken"));
        assert!(report.is_failed());
        assert!(report.summary().contains(" Failures: 1; warnings: 1.\n"), "{}", report.summary());
        let well = Report::new(vec![Check::ok("configuration", "none")]);
        assert_eq!((well.state(), well.summary().as_str()), (State::Ok, "All is well.\n"));
    }

    #[test]
    fn json_says_the_same() {
        let json = report().json();
        assert_eq!((&json["state"], &json["binds"]), (&json!("warn"), &json!("vm.max_map_count")));
        assert_eq!(json["connections"], 358);
        assert_eq!(json["checks"][0]["next"], "renew it");
        assert_eq!(json["checks"][1]["next"], Value::Null);
        assert_eq!(json["checks"][1]["connections"], 19_872);
    }
}
