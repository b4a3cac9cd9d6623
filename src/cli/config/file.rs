//! A configuration file: TOML whose keys are the names of flags. What it says as a command line would, and every mistake
//! with its place. It knows no key by name: names, types and what a value may be are clap's definitions.

use super::tables;
use crate::cli::nearest;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use std::error::Error;
use std::fmt;
use std::num::{ParseFloatError, ParseIntError};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Those without a mistake, in the file's order.
    pub(super) entries: Vec<Entry>,
    /// Sorted by place.
    pub(super) problems: Vec<Problem>,
    /// Keys that are there, but not as they should be.
    pub(super) spoiled: Vec<String>,
}

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The flag's name, without its dashes.
    pub(super) key: String,
    /// The same as flags; none for `false` and for an empty array.
    pub(super) flags: Vec<String>,
    pub(super) place: Place,
}

/// Line and column, from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A mistake, and what would do. Without a place it is about the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(super) place: Option<Place>,
    pub(super) text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The argument of that name.
pub(super) fn argument<'a>(keys: &'a Command, key: &str) -> Option<&'a Arg> {
    keys.get_arguments().find(|arg| arg.get_long() == Some(key))
}

/// Reads all of it, also behind a mistake.
pub(super) fn parse(keys: &Command, text: &str) -> Content {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { keys, text, seen: Vec::new(), content: Content::default() };
    let mut broken = Vec::new();
    for error in errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        let line = reader.place(at).line;
        // Behind the first mistake of a line there are often more that are none.
        if !broken.contains(&line) {
            let is_value = error.message().starts_with("invalid") && !error.message().contains("boolean");
            let advice = if is_value && lacks_quotes(text, at) { "; a text stands in quotes" } else { "" };
            reader.problem(at, format!("this is no TOML: {}{advice}", error.message()));
            broken.push(line);
        }
    }
    let mut written: Vec<_> = table.get_ref().iter().collect();
    written.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in written {
        reader.entry(key, value, &broken);
    }
    let mut content = reader.content;
    content.problems.sort();
    content
}

/// Whether the mistake is in a value that begins as neither a text nor an array, and is none of the bare words.
fn lacks_quotes(text: &str, at: usize) -> bool {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let value = line.split_once('=').map(|(_, value)| value.trim_start()).unwrap_or_default();
    !value.is_empty() && !value.starts_with(['"', '\'', '[', '{', '=', '#', '+', '-'])
}

pub(super) struct Reader<'a> {
    pub(super) keys: &'a Command,
    text: &'a str,
    /// Keys that were read, and in which line.
    seen: Vec<(String, usize)>,
    content: Content,
}

impl Reader<'_> {
    pub(super) fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[line_start..].chars().count() + 1;
        Place { line: before.matches('\n').count() + 1, column }
    }

    fn problem(&mut self, at: usize, text: String) {
        let place = Some(self.place(at));
        self.content.problems.push(Problem { place, text });
    }

    fn entry(&mut self, written: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>, broken: &[usize]) {
        let at = written.span().start;
        let key = written.get_ref().as_ref().replace('_', "-");
        let place = self.place(at);
        if broken.contains(&place.line) {
            return self.content.spoiled.push(key);
        }
        let keys = self.keys;
        let Some(arg) = argument(keys, &key) else {
            let advice = match (value.get_ref(), nearest::flag(keys, &key)) {
                (DeValue::Table(_), _) => "the keys stand at the top, in no table".into(),
                (_, Some(nearest)) => format!("did you mean `{nearest}`?"),
                (_, None) => "`switchboard config` lists all keys".into(),
            };
            return self.problem(at, format!("`{}` is no key; {advice}", written.get_ref().as_ref()));
        };
        if let Some((_, line)) = self.seen.iter().find(|(seen, _)| *seen == key) {
            // With a hyphen and with an underscore: the same name twice is no TOML.
            let text = format!("`{key}` stands in line {line} already; take one of them away");
            return self.problem(at, text);
        }
        self.seen.push((key.clone(), place.line));
        let flags = match value.get_ref() {
            DeValue::Table(table) if tables::are_taken(arg) => tables::flags(self, arg, &key, table, broken),
            _ => flags(arg, &key, value),
        };
        match flags {
            Ok(flags) => self.content.entries.push(Entry { key, flags, place }),
            Err(mistakes) => {
                mistakes.into_iter().for_each(|(at, text)| self.problem(at, text));
                self.content.spoiled.push(key);
            }
        }
    }
}

/// A value as flags, or what is wrong with it, by its place in bytes.
pub(super) type Flags = Result<Vec<String>, Vec<(usize, String)>>;

fn flags(arg: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Flags {
    let at = value.span().start;
    if !arg.get_action().takes_values() {
        return match value.get_ref() {
            DeValue::Boolean(true) => Ok(vec![format!("--{key}")]),
            DeValue::Boolean(false) => Ok(Vec::new()),
            other => Err(vec![(at, format!("`{key}` is {}; write true or false", kind(other)))]),
        };
    }
    let (mut flags, mut mistakes) = (Vec::new(), Vec::new());
    let values = match value.get_ref() {
        DeValue::Array(values) if is_repeatable(arg) => values.iter().collect(),
        DeValue::Array(_) => {
            return Err(vec![(at, format!("`{key}` takes one value, and not an array"))]);
        }
        _ => vec![value],
    };
    for value in values {
        match flag(arg, key, value.get_ref()) {
            Ok(flag) => flags.push(flag),
            Err(text) => mistakes.push((value.span().start, text)),
        }
    }
    if mistakes.is_empty() { Ok(flags) } else { Err(mistakes) }
}

fn flag(arg: &Arg, key: &str, value: &DeValue<'_>) -> Result<String, String> {
    if matches!(value, DeValue::Table(_)) && tables::are_taken(arg) {
        return Err(format!("write [{key}.\"PATTERN\"], in single brackets"));
    }
    let text = text(key, value)?;
    match check(arg, &text) {
        Ok(()) => Ok(format!("--{key}={text}")),
        Err(reason) if arg.is_hide_env_values_set() => Err(format!("{key}: {reason}")),
        Err(reason) if matches!(value, DeValue::String(_)) => {
            Err(format!("{key} = {}: {reason}", quoted(&text)))
        }
        Err(reason) => Err(format!("{key} = {text}: {reason}")),
    }
}

/// The value as a flag has it.
pub(super) fn text(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        other => Err(format!("`{key}` is {}; write a string or a number", kind(other))),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string here",
        DeValue::Integer(number) if number.radix() != 10 => "a number that is not decimal here",
        DeValue::Integer(_) | DeValue::Float(_) => "a number here",
        DeValue::Boolean(_) => "true or false here",
        DeValue::Datetime(_) => "a date here",
        DeValue::Array(_) => "an array here",
        DeValue::Table(_) => "a table here",
    }
}

/// As a string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

pub(super) fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// What the argument's own parser says about a value.
pub(super) fn check(arg: &Arg, value: &str) -> Result<(), String> {
    let alone = Arg::new("value")
        .long("value")
        .action(ArgAction::Append)
        .value_parser(arg.get_value_parser().clone())
        .value_delimiter(arg.get_value_delimiter());
    let command = Command::new("value").no_binary_name(true).disable_help_flag(true).arg(alone);
    match command.try_get_matches_from([format!("--value={value}")]) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return if source.is::<ParseIntError>() {
            "write a whole number that is not too large".into()
        } else if source.is::<ParseFloatError>() {
            "write a number".into()
        } else {
            source.to_string()
        };
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
            format!("write one of {}", valid.join(", "))
        }
        _ => "write a value".into(),
    }
}
