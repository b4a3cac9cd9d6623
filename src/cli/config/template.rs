//! A configuration file with every key, its help and its default, made from the definitions of the flags.

use super::file::is_repeatable;
use super::setting::bare_or_quoted;
use super::tables;
use clap::{Arg, Command};

const HEAD: &str = "\
# Configuration of Switchboard: every key with its default. Take the # before a key away to set it.
# Serve with it:    switchboard --config FILE
# Look it over:     switchboard config check FILE
# A flag has priority over the environment, the environment over this file: --bind, SWITCHBOARD_BIND, bind.
";

/// Columns of a comment.
const WIDTH: usize = 100;

/// A line with a default begins with `#` and the key; any other comment has a space there.
pub(super) fn of(keys: &Command) -> String {
    let mut text = HEAD.to_string();
    for arg in keys.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(key) = arg.get_long() else { continue };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        text.push('\n');
        help.lines().for_each(|paragraph| comment(&mut text, paragraph));
        text.push_str(&match default(arg) {
            Some(value) => format!("#{key} = {value}\n"),
            None if tables::are_taken(arg) => {
                format!("# {key} = {{ \"PATTERN\" = {{ RULE = VALUE, … }} }}\n")
            }
            None => format!("# {key} = {}\n", placeholder(arg)),
        });
    }
    text
}

/// As TOML. What has none, a secret, and what is written as tables have no value here.
fn default(arg: &Arg) -> Option<String> {
    if arg.is_hide_env_values_set() || tables::are_taken(arg) {
        return None;
    }
    if !arg.get_action().takes_values() {
        return Some("false".into());
    }
    let values = arg.get_default_values().iter();
    let values: Vec<String> = values.map(|value| bare_or_quoted(&value.to_string_lossy())).collect();
    match &values[..] {
        _ if is_repeatable(arg) => Some(format!("[{}]", values.join(", "))),
        [value] => Some(value.clone()),
        _ => None,
    }
}

fn placeholder(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
    if is_repeatable(arg) { format!("[{name}]") } else { name.into() }
}

fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if WIDTH < line.chars().count() + 1 + word.chars().count() && line != "#" {
            text.push_str(&line);
            text.push('\n');
            line = "#".into();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
