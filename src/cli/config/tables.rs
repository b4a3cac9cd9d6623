//! Tables in a configuration file, for arguments whose values are some rules behind a name: `a*:history=1,age=2s` is
//! `room-rules."a*" = { history = 1, age = "2s" }` there, or a table of its own. Which rules there are the argument's
//! parser knows, and it is asked about each by itself, so that a mistake has its place.

use super::file::{Flags, Reader, argument, check, quoted, text};
use clap::Arg;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// By this name of its value an argument is known to be of the kind.
pub(crate) const TABLE: &str = "PATTERN:RULE=VALUE,…";

pub(super) fn are_taken(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == TABLE))
}

/// What of it stands in `broken` lines is passed over.
pub(super) fn flags(
    reader: &Reader<'_>,
    arg: &Arg,
    key: &str,
    tables: &DeTable<'_>,
    broken: &[usize],
) -> Flags {
    let (mut flags, mut mistakes) = (Vec::new(), Vec::new());
    for (name, rules) in sorted(tables) {
        let (at, name) = (name.span().start, name.get_ref().as_ref());
        let DeValue::Table(rules) = rules.get_ref() else {
            mistakes.push((at, format!("`{key}` holds tables; write {key}.{} = {{ … }}", quoted(name))));
            continue;
        };
        let before = mistakes.len();
        let (mut written, mut is_whole) = (Vec::new(), true);
        for (rule, value) in sorted(rules) {
            let at = rule.span().start;
            if broken.contains(&reader.place(at).line) {
                is_whole = false;
                continue;
            }
            match one(reader, arg, name, rule.get_ref().as_ref(), value.get_ref()) {
                Ok(rule) => written.push(rule),
                // What is wrong with the name is said once.
                Err(what) if mistakes[before..].iter().any(|(_, other)| other.ends_with(&what)) => {}
                Err(what) => mistakes.push((at, format!("{key}: {what}"))),
            }
        }
        let flag = format!("{name}:{}", written.join(","));
        match check(arg, &flag) {
            Err(what) if is_whole && mistakes.len() == before => {
                mistakes.push((at, format!("{key}: {what}")));
            }
            _ => flags.push(format!("--{key}={flag}")),
        }
    }
    if mistakes.is_empty() { Ok(flags) } else { Err(mistakes) }
}

/// A rule as a flag has it.
fn one(
    reader: &Reader<'_>,
    arg: &Arg,
    name: &str,
    rule: &str,
    value: &DeValue<'_>,
) -> Result<String, String> {
    let value = text(rule, value)?;
    // What has a mark of the flag's in it can be no value.
    let is_one = !value.contains([',', ';', ':']);
    let written = format!("{rule}={}", if is_one { &value } else { "" });
    match check(arg, &format!("{name}:{written}")) {
        Err(what) if what.contains("is no rule") && argument(reader.keys, rule).is_some() => {
            Err(format!("{what}; the key `{rule}` stands above all tables"))
        }
        Err(what) if is_one || what.contains("is no rule") => Err(what),
        Ok(()) if is_one => Ok(written),
        _ => Err(format!("{rule} = {}: write one value", quoted(&value))),
    }
}

/// In the file's order.
fn sorted<'a, 'f>(
    table: &'a DeTable<'f>,
) -> Vec<(&'a Spanned<toml::de::DeString<'f>>, &'a Spanned<DeValue<'f>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}
