//! `--schema PATTERN=FILE`: which messages may be sent on which paths, and published in which rooms of `/ws`.

use super::routes;
use clap::Args;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use switchboard::{Builder, Result};

#[derive(Args)]
#[command(next_help_heading = "What may be said")]
pub(crate) struct Schemas {
    /// JSON Schema that messages on these paths must fit, as /room/team-*=team.json, or what is published in these rooms of
    /// /ws, as ws:orders-*=order.json; `*` at the end stands for whatever follows, names are written as they are (not
    /// percent-encoded), the longest pattern wins; repeatable. SIGHUP reads the files again. Needs a program that was built
    /// with --features schema
    #[arg(long, value_name = "PATTERN=FILE", env = "SWITCHBOARD_SCHEMA", value_delimiter = ',')]
    schema: Vec<Rule>,
}

#[derive(Clone)]
struct Rule {
    target: Target,
    file: PathBuf,
}

/// What a schema is for.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Path(Pattern),
    /// Rooms of `/ws`.
    Rooms(Pattern),
}

/// What is before a pattern of rooms.
const ROOMS: &str = "ws:";

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
        let target = match pattern.strip_prefix(ROOMS) {
            Some("") => return Err(format!("`{pattern}`: write a room's name, or {ROOMS}* for all rooms")),
            Some(rooms) => Target::Rooms(Pattern::split(rooms)?),
            None => Target::Path(pattern.parse()?),
        };
        Ok(Self { target, file: file.into() })
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pattern = Self::split(text)?;
        if !pattern.open && pattern.start.ends_with('/') {
            // `/room/x/` is `/room/x`.
            pattern.start.pop();
        }
        let routes = routes::RELAYS.map(|(route, ..)| route);
        match routes.iter().any(|route| pattern.may_match(route)) {
            true => Ok(pattern),
            false => Err(format!(
                "`{text}`: no WebSocket has such a path; they are at {}; rooms of /ws are written {ROOMS}ROOM",
                routes.join(", ")
            )),
        }
    }
}

impl Pattern {
    fn split(text: &str) -> Result<Self, String> {
        let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        match start.contains('*') {
            true => Err(format!("`{text}`: `*` can stand at the end only")),
            false => Ok(Self { start: start.into(), open }),
        }
    }

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

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(pattern) => pattern.fmt(f),
            Self::Rooms(pattern) => write!(f, "{ROOMS}{pattern}"),
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

/// The schemas that were read, and what each is for.
pub(crate) struct Checks(#[cfg(feature = "schema")] Vec<(Target, switchboard::Schema)>);

#[cfg(feature = "schema")]
impl Schemas {
    /// Reads the schemas.
    ///
    /// # Errors
    /// [`Error::Config`](switchboard::Error::Config) for one that cannot be used.
    pub(crate) fn read(&self) -> Result<Checks> {
        let read = |rule: &Rule| Ok((rule.target.clone(), switchboard::Schema::read(&rule.file)?));
        self.schema.iter().map(read).collect::<Result<_>>().map(Checks)
    }
}

#[cfg(feature = "schema")]
impl Checks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads all files again, for messages that come from now on; after an error everything stays as it was. `schemas` are
    /// those that were read before.
    pub(crate) fn reload(&self, schemas: &Schemas) -> Result<()> {
        let Self(new) = schemas.read()?;
        self.0.iter().zip(&new).for_each(|((_, old), (_, new))| old.replace(new));
        Ok(())
    }

    pub(crate) fn apply(&self, mut builder: Builder) -> Builder {
        let mut paths = Vec::new();
        for (target, schema) in &self.0 {
            match target {
                Target::Path(pattern) => paths.push((pattern.clone(), schema.clone())),
                Target::Rooms(pattern) => builder = builder.check_room(&pattern.to_string(), schema),
            }
        }
        // The longest first; of two of the same length the one that says all of the path.
        paths.sort_by_key(|(Pattern { start, open }, _)| (usize::MAX - start.len(), *open));
        let paths = std::sync::Arc::new(paths);
        routes::RELAYS.into_iter().fold(builder, |builder, (route, ..)| {
            if !paths.iter().any(|(pattern, _)| pattern.may_match(route)) {
                return builder;
            }
            let paths = paths.clone();
            let (before, param) = split(route);
            builder.check(route, move |request, message| {
                // With the name decoded: a room has many paths, as /room/a and /room/%61/.
                let path = format!("{before}{}", param.map_or("", |name| request.param(name)));
                match paths.iter().find(|(pattern, _)| pattern.matches(&path)) {
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
            Some(Rule { target, file }) => {
                let file = file.display();
                Err(switchboard::Error::Config(format!(
                    "--schema {target}={file}: this program was built without schemas; build it with `cargo build \
                     --release --features schema`"
                )))
            }
        }
    }
}

#[cfg(not(feature = "schema"))]
impl Checks {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    /// There is nothing to read.
    pub(crate) fn reload(&self, _: &Schemas) -> Result<()> {
        Ok(())
    }

    /// Nothing is checked.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
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
        assert_eq!(rule.target, Target::Path(Pattern { start: "/chat/a=b".into(), open: true }));
        let rule: Rule = "ws:a:b=*=c.json".parse().map_err(|error| assert_eq!(error, "")).unwrap();
        assert_eq!(rule.target, Target::Rooms(Pattern { start: "a:b=".into(), open: true }));
        assert_eq!((rule.target.to_string().as_str(), rule.file), ("ws:a:b=*", "c.json".into()));
        for (wrong, why) in [
            ("ws:=a.json", "ws:* for all rooms"),
            ("ws:a*b=a.json", "at the end only"),
            ("/ws=a.json", "written ws:ROOM"),
        ] {
            assert!(wrong.parse::<Rule>().is_err_and(|error| error.contains(why)), "{wrong}");
        }
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
