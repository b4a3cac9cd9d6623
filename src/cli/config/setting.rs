//! A key and the value that holds: for the log, for SIGHUP, for whoever asks where it was said.

use super::file::{Entry, is_repeatable, quoted};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::fmt;

/// A key and the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    /// None: it is not set, and has no default.
    values: Vec<String>,
    is_repeatable: bool,
    /// Marked with `hide_env_values`: the value is shown nowhere.
    pub(crate) is_secret: bool,
    pub(crate) source: Source,
}

/// Where a value was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    /// In the file, in this line.
    File(usize),
    Environment,
    Flag,
}

/// What holds for each key, by the matches of the command that was given. `entries`: what of the file went into them.
pub(super) fn all(keys: &Command, matches: &ArgMatches, entries: &[Entry]) -> Vec<Setting> {
    let setting = |arg: &Arg| {
        let key = arg.get_long()?.to_string();
        let id = arg.get_id().as_str();
        let values = matches.get_raw(id).into_iter().flatten();
        let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
        let from_file = entries.iter().find(|entry| entry.key == key);
        let source = match (from_file, matches.value_source(id)) {
            (Some(entry), _) => Source::File(entry.place.line),
            (None, Some(ValueSource::CommandLine)) => Source::Flag,
            (None, Some(ValueSource::EnvVariable)) => Source::Environment,
            (None, _) => Source::Default,
        };
        let is_secret = arg.is_hide_env_values_set();
        Some(Setting { key, values, is_repeatable: is_repeatable(arg), is_secret, source })
    };
    keys.get_arguments().filter_map(setting).collect()
}

impl Setting {
    /// Whether it holds something else than `other`, wherever that was said.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.values != other.values
    }

    /// Whether it is set, if only by its default.
    pub(crate) fn is_set(&self) -> bool {
        !self.values.is_empty()
    }

    /// As they were said.
    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }

    /// The value as in a file; not that of a secret.
    pub(crate) fn value(&self) -> String {
        if self.values.is_empty() {
            return "not set".into();
        }
        if self.is_secret {
            return "(secret)".into();
        }
        let values: Vec<String> = self.values.iter().map(|value| bare_or_quoted(value)).collect();
        if self.is_repeatable { format!("[{}]", values.join(", ")) } else { values.join(", ") }
    }
}

/// A value of TOML: numbers, `true` and `false` as they are.
pub(super) fn bare_or_quoted(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    let is_float =
        value.parse::<f64>().is_ok_and(|number| number.is_finite() && format!("{number:?}") == value);
    if is_whole || is_float || ["true", "false"].contains(&value) { value.into() } else { quoted(value) }
}

/// Without the file's name: whoever shows it knows that.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ", self.key, self.value())?;
        match self.source {
            Source::Default => f.write_str("(default)"),
            Source::File(line) => write!(f, "(line {line} of the file)"),
            Source::Environment => f.write_str("(environment)"),
            Source::Flag => f.write_str("(flag)"),
        }
    }
}
