//! `--schema PATTERN=FILE`: which messages may be sent on which paths.

use super::routes;
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;
use switchboard::{Builder, Result};

#[derive(Args)]
#[command(next_help_heading = "What may be said")]
pub(crate) struct Schemas {
    /// JSON Schema that messages on these paths (all but /ws) must fit, as /room/team-*=team.json; `*` at the end stands for
    /// whatever follows, names are written as they are (not percent-encoded), the longest pattern wins; repeatable. Needs a
    /// program that was built with --features schema
    #[arg(long, value_name = "PATTERN=FILE", env = "SWITCHBOARD_SCHEMA", value_delimiter = ',')]
    schema: Vec<Rule>,
}

#[derive(Clone)]
struct Rule {
    pattern: Pattern,
    file: PathBuf,
}

#[derive(Clone, Debug, PartialEq)]
struct Pattern {
    start: String,
    /// Whether anything may follow.
    open: bool,
}

impl Schemas {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.schema.len()
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, file) = text.rsplit_once('=').ok_or("write PATTERN=FILE, as /room/team-*=team.json")?;
        Ok(Self { pattern: pattern.parse()?, file: file.into() })
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if start.contains('*') {
            return Err(format!("`{text}`: `*` can stand at the end only"));
        }
        // `/room/x/` is `/room/x`.
        let start = if open { start } else { start.strip_suffix('/').unwrap_or(start) };
        let pattern = Self { start: start.into(), open };
        let routes = routes::RELAYS.map(|(route, _)| route);
        match routes.iter().any(|route| pattern.may_match(route)) {
            true => Ok(pattern),
            false => {
                Err(format!("`{text}`: no WebSocket has such a path; they are at {}", routes.join(", ")))
            }
        }
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        if self.open { path.starts_with(&self.start) } else { path == self.start }
    }

    /// Whether it matches some path of this route.
    fn may_match(&self, route: &str) -> bool {
        let (before, param) = split(route);
        let within = self.start.strip_prefix(before);
        match (self.open, param) {
            (_, None) => self.matches(before),
            (false, Some(_)) => within.is_some_and(|name| !name.is_empty()),
            (true, Some(_)) => within.is_some() || before.starts_with(&self.start),
        }
    }
}

/// What is before a route's parameter, and the parameter's name.
fn split(route: &str) -> (&str, Option<&str>) {
    match route.split_once('{') {
        None => (route, None),
        Some((before, rest)) => (before, rest.split('}').next()),
    }
}

/// The schemas that were read, the pattern that counts before the others first.
pub(crate) struct Checks(#[cfg(feature = "schema")] Vec<(Pattern, switchboard::Schema)>);

#[cfg(feature = "schema")]
impl Schemas {
    /// Reads the schemas.
    ///
    /// # Errors
    /// [`Error::Config`](switchboard::Error::Config) for one that cannot be used.
    pub(crate) fn read(&self) -> Result<Checks> {
        let read = |rule: &Rule| Ok((rule.pattern.clone(), switchboard::Schema::read(&rule.file)?));
        let mut checks = self.schema.iter().map(read).collect::<Result<Vec<_>>>()?;
        // The longest; of two of the same length the one that says all of the path.
        checks.sort_by_key(|(Pattern { start, open }, _)| (usize::MAX - start.len(), *open));
        Ok(Checks(checks))
    }
}

#[cfg(feature = "schema")]
impl Checks {
    pub(crate) fn apply(self, builder: Builder) -> Builder {
        let checks = std::sync::Arc::new(self.0);
        routes::RELAYS.into_iter().fold(builder, |builder, (route, _)| {
            if !checks.iter().any(|(pattern, _)| pattern.may_match(route)) {
                return builder;
            }
            let checks = checks.clone();
            let (before, param) = split(route);
            builder.check(route, move |request, message| {
                // With the name decoded: a room has many paths, as /room/a and /room/%61/.
                let path = format!("{before}{}", param.map_or("", |name| request.param(name)));
                match checks.iter().find(|(pattern, _)| pattern.matches(&path)) {
                    Some((_, schema)) => schema.check(message),
                    None => Ok(()),
                }
            })
        })
    }
}

#[cfg(not(feature = "schema"))]
impl Schemas {
    /// # Errors
    /// [`Error::Config`](switchboard::Error::Config) if any schema is asked for.
    pub(crate) fn read(&self) -> Result<Checks> {
        match self.schema.first() {
            None => Ok(Checks()),
            Some(Rule { pattern: Pattern { start, open }, file }) => {
                let (star, file) = (if *open { "*" } else { "" }, file.display());
                Err(switchboard::Error::Config(format!(
                    "--schema {start}{star}={file}: this program was built without schemas; build it with `cargo build \
                     --release --features schema`"
                )))
            }
        }
    }
}

#[cfg(not(feature = "schema"))]
impl Checks {
    /// Nothing is checked.
    pub(crate) fn apply(self, builder: Builder) -> Builder {
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths_that_are_there() {
        for (pattern, matching, other) in [
            ("/echo", &["/echo"][..], &["/echo/", "/ech", "/echoes"][..]),
            ("/echo/", &["/echo"], &["/echo/"]),
            ("/conn_ws", &["/conn_ws"], &["/conn_ws/ann"]),
            ("/conn_ws*", &["/conn_ws", "/conn_ws/ann"], &["/conn", "/room/conn_ws"]),
            ("/room/*", &["/room/a", "/room/a/b", "/room/大厅"], &["/room", "/rooms/a", "/chat/a"]),
            ("/room/team-*", &["/room/team-", "/room/team-1"], &["/room/team", "/room/Team-1"]),
            ("/chat/大厅", &["/chat/大厅"], &["/chat/大", "/chat/大厅1"]),
            ("/c*", &["/conn_ws", "/chat/x"], &["/echo"]),
            ("*", &["/echo", "/room/x"], &[]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(matching.iter().all(|path| pattern.matches(path)), "{pattern:?}");
            assert!(!other.iter().any(|path| pattern.matches(path)), "{pattern:?}");
        }
        for wrong in ["", "/", "/rooms/*", "/room", "/room/", "room/*", "/echoes", "/echo/x*", "/metrics"] {
            let error = wrong.parse::<Pattern>().unwrap_err();
            assert!(error.contains("they are at /echo, /conn_ws, "), "{wrong}: {error}");
        }
        assert!("/room/*/x".parse::<Pattern>().unwrap_err().contains("at the end only"));
    }

    #[test]
    fn a_rule_is_a_pattern_and_a_file() {
        let rule: Rule = "/chat/a=b*=/tmp/c.json".parse().map_err(|error| assert_eq!(error, "")).unwrap();
        assert_eq!((rule.pattern.start.as_str(), rule.pattern.open), ("/chat/a=b", true));
        assert!("/chat/*".parse::<Rule>().is_err_and(|error| error.contains("PATTERN=FILE")));
    }

    #[cfg(not(feature = "schema"))]
    #[test]
    fn a_program_without_schemas_says_so() {
        let rule: Rule = "/echo=a.json".parse().map_err(|error| assert_eq!(error, "")).unwrap();
        let error = Schemas { schema: vec![rule] }.read().err().unwrap().to_string();
        assert!(error.contains("--schema /echo=a.json") && error.contains("--features schema"), "{error}");
        assert!(Schemas { schema: Vec::new() }.read().is_ok());
    }
}
