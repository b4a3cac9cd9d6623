//! What the program says on stderr, and how: for people, for the journal, or as JSON lines.

use super::colour;
use clap::ValueEnum;
use log::Level;
use serde_json::json;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;

/// `--log-format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; the journal of systemd gets the level of each line, and no time of ours
    #[default]
    Text,
    /// One JSON object in each line: time, level, target, message
    Json,
}

impl Format {
    /// What flag or environment say, though the rest cannot be used: an error shall be told in that way too.
    pub(crate) fn said(args: &[OsString]) -> Option<Self> {
        let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
        let flag = args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("--log-format")? {
            "" => args.get(at + 1).copied(),
            value => value.strip_prefix('='),
        });
        let said = flag.map_or_else(|| env::var("SWITCHBOARD_LOG_FORMAT").ok(), |value| Some(value.into()));
        said.and_then(|value| Self::from_str(&value, false).ok())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// With time, level and colour as env_logger has them.
    Plain,
    /// With the level as `<6>` before each line, `sd-daemon(3)`; time and name are the journal's.
    Journal,
    Json,
}

static STYLE: OnceLock<Style> = OnceLock::new();

/// Begins to log, by `RUST_LOG`. Only the first call counts.
pub(crate) fn start(format: Format) {
    let style = match format {
        Format::Json => Style::Json,
        Format::Text if is_journal() => Style::Journal,
        Format::Text => Style::Plain,
    };
    if STYLE.set(style).is_err() {
        return;
    }
    let (filter, mistakes) = filter(&env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()));
    let mut logger = env_logger::Builder::new();
    logger.parse_filters(&filter);
    logger.parse_write_style(&env::var("RUST_LOG_STYLE").unwrap_or_default());
    if style != Style::Plain {
        logger.format(move |out, record| {
            let message = record.args().to_string();
            writeln!(out, "{}", style.line(record.level(), record.target(), &message))
        });
        panic::set_hook(Box::new(|info| tell(Level::Error, &panic_text(info))));
    }
    logger.init();
    for mistake in mistakes {
        say!(
            Warn,
            "warning: RUST_LOG: `{mistake}` is no filter; write a level, as debug, or switchboard::net=trace"
        );
    }
}

/// What of `RUST_LOG` can be used, and what cannot.
fn filter(said: &str) -> (String, Vec<String>) {
    let is_good = |part: &str| env_filter::Builder::new().try_parse(part).is_ok();
    if is_good(said) {
        return (said.into(), Vec::new());
    }
    let (good, bad): (Vec<&str>, Vec<&str>) = said.split(',').partition(|part| is_good(part));
    let good = if good.is_empty() { "warn".into() } else { good.join(",") };
    (good, bad.into_iter().map(String::from).collect())
}

/// Whether somebody reads it as it comes, perhaps in a terminal.
pub(crate) fn is_for_people() -> bool {
    STYLE.get().is_none_or(|style| *style == Style::Plain)
}

/// A line for whoever has started the program: said whatever `RUST_LOG` is. Use the macro.
pub(crate) fn tell(level: Level, text: &str) {
    let mut stderr = io::stderr();
    let style = STYLE.get().unwrap_or(&Style::Plain);
    let mut line = style.said(level, text);
    if *style == Style::Plain && colour::are_shown(&stderr) {
        line = colour::painted(&line);
    }
    // Nobody may be listening, which is no reason to end.
    let _ = writeln!(stderr, "{line}");
}

/// `say!(Warn, "the {thing}")`
macro_rules! say {
    ($level:ident, $($text:tt)+) => {
        $crate::cli::logging::tell(log::Level::$level, &format!($($text)+))
    };
}
pub(crate) use say;

impl Style {
    fn said(self, level: Level, text: &str) -> String {
        match self {
            Self::Plain => text.into(),
            Self::Journal => prefixed(level, text),
            Self::Json => self.line(level, "switchboard", text),
        }
    }

    fn line(self, level: Level, target: &str, message: &str) -> String {
        match self {
            Self::Plain => format!("{level} {target}: {message}"),
            Self::Journal => prefixed(level, &format!("{target}: {message}")),
            Self::Json => {
                let time = format!("{:.3}", jiff::Timestamp::now());
                let level = level.as_str().to_lowercase();
                json!({ "time": time, "level": level, "target": target, "message": message }).to_string()
            }
        }
    }
}

/// With the syslog priority before every line, so that nobody can write one of another priority.
fn prefixed(level: Level, text: &str) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    text.lines().map(|line| format!("<{priority}>{line}")).collect::<Vec<_>>().join("\n")
}

/// Whether stderr leads to the journal: systemd says which file that is.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{info}\n{backtrace}"),
        _ => info.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_is_right_in_a_filter_holds() {
        for (said, good, bad) in [
            ("debug", "debug", &[][..]),
            ("warn,switchboard::net=trace/peer", "warn,switchboard::net=trace/peer", &[]),
            ("info,a=b=c,switchboard=debug", "info,switchboard=debug", &["a=b=c"]),
            ("=loud=", "warn", &["=loud="]),
        ] {
            let bad: Vec<String> = bad.iter().map(|part: &&str| (*part).into()).collect();
            assert_eq!(filter(said), (good.into(), bad), "{said}");
        }
    }

    #[test]
    fn every_line_for_the_journal_has_its_priority() {
        assert_eq!(Style::Journal.said(Level::Info, "ready"), "<6>ready");
        let two = Style::Journal.line(Level::Warn, "switchboard::net", "one\n<0>two");
        assert_eq!(two, "<4>switchboard::net: one\n<4><0>two");
        assert_eq!(Style::Plain.said(Level::Error, "as it is"), "as it is");
    }

    #[test]
    fn json_is_one_line_whatever_was_said() {
        for text in ["plain", "two\nlines", "\"quoted\" \u{7} \u{2028}"] {
            let line = Style::Json.line(Level::Error, "a::b", text);
            assert!(!line.contains('\n'), "{line}");
            let said: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&said["level"], &said["target"], &said["message"]),
                (&json!("error"), &json!("a::b"), &json!(text))
            );
            let time: jiff::Timestamp = said["time"].as_str().unwrap().parse().unwrap();
            assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60);
        }
        assert!(Style::Json.line(Level::Info, "", "").starts_with("{\"time\":"), "in this order");
    }
}
