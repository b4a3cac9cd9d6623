//! What is kept of the rooms of `/ws`: the options, for all rooms and by pattern.

use super::config::TABLE;
use super::{nearest, units};
use clap::{Arg, Args, Command};
use std::collections::BTreeSet;
use std::mem::discriminant;
use std::str::FromStr;
use std::time::Duration;
use switchboard::{Builder, Error, Limits, Result, RoomRules};

#[derive(Args)]
#[command(next_help_heading = "The rooms of /ws")]
pub(crate) struct RoomOptions {
    /// Messages that are kept of a room; 0 for none
    #[arg(long, value_name = "N", default_value = "100", env = "SWITCHBOARD_HISTORY")]
    history: usize,
    /// Bytes that are kept of a room, as 64K or 1M; data that alone is more is refused
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::size, env = "SWITCHBOARD_HISTORY_BYTES")]
    history_bytes: usize,
    /// How long a message is kept, as 90s, 5m or 24h
    #[arg(long, value_name = "T", default_value = "5m", value_parser = units::time, env = "SWITCHBOARD_HISTORY_AGE")]
    history_age: Duration,
    /// Bytes that are kept of all rooms together, each message counted 256 longer; beyond them the oldest are forgotten
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size, env = "SWITCHBOARD_HISTORY_TOTAL")]
    history_total: usize,
    /// How long a user whose last connection has ended is still present, so that nobody sees a reconnect; 0 for not at all
    #[arg(long, value_name = "T", default_value = "5s", value_parser = units::time, env = "SWITCHBOARD_GRACE")]
    grace: Duration,
    /// Only who has joined a room may publish in it
    #[arg(long, env = "SWITCHBOARD_MEMBERS_PUBLISH")]
    members_publish: bool,
    /// Other rules for the room of a name, or, with a `*` at the end, for all whose names begin so:
    /// 'game-*:history=0,grace=0s'. The rules are history, bytes, age, grace and members-publish; what is not said is as
    /// above; the longest pattern wins; repeatable, in the environment with ; between. In the file:
    /// room-rules."game-*" = { history = 0, grace = "0s" }
    #[arg(long, value_name = TABLE, env = "SWITCHBOARD_ROOM_RULES", value_delimiter = ';')]
    room_rules: Vec<Special>,
}

/// What is different for some rooms.
#[derive(Clone, Debug, PartialEq)]
struct Special {
    pattern: String,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Messages(usize),
    Bytes(usize),
    Age(Duration),
    Grace(Duration),
    MembersPublish(bool),
}

/// Names of what can be different.
const RULES: [&str; 5] = ["history", "bytes", "age", "grace", "members-publish"];

impl RoomOptions {
    /// For [`Limits::history`].
    pub(crate) fn total(&self) -> usize {
        self.history_total
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let special = |builder: Builder, special: &Special| {
            builder.rooms_like(&special.pattern, special.rules(self.rules()))
        };
        self.room_rules.iter().fold(builder.rooms(self.rules()), special)
    }

    /// Whether the rules can be, and no pattern has two sets of them.
    pub(crate) fn check(&self, limits: &Limits) -> Result<()> {
        self.rules().check(limits)?;
        let mut seen = BTreeSet::new();
        for special in &self.room_rules {
            let pattern = &special.pattern;
            let wrong = |what: &dyn std::fmt::Display| {
                Error::Config(format!("--room-rules: the rooms `{pattern}`: {what}"))
            };
            special.rules(self.rules()).check(limits).map_err(|error| wrong(&error))?;
            if !seen.insert(pattern) {
                return Err(wrong(&"they have rules twice; write them as one, with commas between"));
            }
        }
        Ok(())
    }

    fn rules(&self) -> RoomRules {
        RoomRules {
            messages: self.history,
            bytes: self.history_bytes,
            age: self.history_age,
            grace: self.grace,
            members_publish: self.members_publish,
        }
    }
}

impl Special {
    fn rules(&self, mut rules: RoomRules) -> RoomRules {
        for change in &self.changes {
            match *change {
                Change::Messages(messages) => rules.messages = messages,
                Change::Bytes(bytes) => rules.bytes = bytes,
                Change::Age(age) => rules.age = age,
                Change::Grace(grace) => rules.grace = grace,
                Change::MembersPublish(only) => rules.members_publish = only,
            }
        }
        rules
    }
}

impl FromStr for Special {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A name may have a colon in it, rules have none.
        let (pattern, rules) =
            text.rsplit_once(':').ok_or("write PATTERN:RULE=VALUE,…, as game-*:history=0,grace=0s")?;
        match pattern.strip_suffix('*').unwrap_or(pattern) {
            "" if pattern.is_empty() => {
                return Err("write the name of a room before the colon, or its beginning and a `*`".into());
            }
            "" => return Err("`*` would be every room: say it with --history, --grace and the others".into()),
            start if start.contains('*') => {
                return Err(format!("`{pattern}`: `*` can stand at the end only"));
            }
            _ => {}
        }
        let mut changes: Vec<Change> = Vec::new();
        for rule in rules.split(',') {
            let change: Change = rule.parse()?;
            if changes.iter().any(|other| discriminant(other) == discriminant(&change)) {
                return Err(format!("`{rule}`: the room has this rule already; take one of them away"));
            }
            changes.push(change);
        }
        Ok(Self { pattern: pattern.into(), changes })
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (name, value) = (name.trim().replace('_', "-"), value.trim());
        let in_rule = |error| format!("{name} = {value}: {error}");
        match name.strip_prefix("history-").unwrap_or(&name) {
            "history" => value
                .parse()
                .map(Self::Messages)
                .map_err(|_| in_rule("write a whole number, 0 or more".into())),
            "bytes" => units::size(value).map(Self::Bytes).map_err(in_rule),
            "age" => units::time(value).map(Self::Age).map_err(in_rule),
            "grace" => units::time(value).map(Self::Grace).map_err(in_rule),
            "members-publish" => match value {
                "" | "true" => Ok(Self::MembersPublish(true)),
                "false" => Ok(Self::MembersPublish(false)),
                _ => Err(in_rule("write true or false".into())),
            },
            _ => Err(unknown(&name)),
        }
    }
}

fn unknown(name: &str) -> String {
    let rules =
        RULES.iter().fold(Command::new("rules"), |command, rule| command.arg(Arg::new(*rule).long(*rule)));
    if name.is_empty() {
        return format!("there is no rule; the rules are {}", RULES.join(", "));
    }
    let advice = match nearest::flag(&rules, name) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the rules are {}", RULES.join(", ")),
    };
    format!("`{name}` is no rule of a room; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rooms: RoomOptions,
    }

    fn options(args: &[&str]) -> RoomOptions {
        Cli::parse_from(["switchboard"].iter().chain(args)).rooms
    }

    #[test]
    fn the_defaults_are_the_library_s() {
        let options = options(&[]);
        assert_eq!(options.rules(), RoomRules::default());
        assert_eq!(options.total(), Limits::default().history);
    }

    #[test]
    fn what_is_not_said_of_some_rooms_is_as_of_all() {
        let options = options(&[
            "--history=7",
            "--members-publish",
            "--room-rules=a:b*:bytes=64K, age=1h",
            "--room-rules=c:grace=0,members_publish=false;d:history-age=2s,history=0",
        ]);
        let all = RoomRules { messages: 7, members_publish: true, ..RoomRules::default() };
        let seconds = Duration::from_secs;
        let expected = [
            ("a:b*", RoomRules { bytes: 65_536, age: seconds(3600), ..all.clone() }),
            ("c", RoomRules { grace: Duration::ZERO, members_publish: false, ..all.clone() }),
            ("d", RoomRules { age: seconds(2), messages: 0, ..all.clone() }),
        ];
        let rules = options.room_rules.iter().map(|special| (&*special.pattern, special.rules(all.clone())));
        assert_eq!(rules.collect::<Vec<_>>(), expected);
        assert!(options.check(&Limits::default()).is_ok());
    }

    #[test]
    fn what_cannot_be_is_told_with_what_would_do() {
        for (text, expected) in [
            ("game-*", "write PATTERN:RULE=VALUE"),
            ("game-*:", "there is no rule; the rules are history, bytes, age, grace, members-publish"),
            (":history=1", "write the name of a room before the colon"),
            ("*:history=1", "say it with --history"),
            ("a*b:history=1", "`a*b`: `*` can stand at the end only"),
            ("a:hist=1", "`hist` is no rule of a room; did you mean `history`?"),
            ("a:zzz=1", "`zzz` is no rule of a room; the rules are history, "),
            ("a:history=-1", "history = -1: write a whole number, 0 or more"),
            ("a:history", "history = : write a whole number"),
            ("a:bytes=1T", "bytes = 1T: `T` is no unit of size"),
            ("a:age=1d", "age = 1d: `d` is no unit of time"),
            ("a:members-publish=yes", "members-publish = yes: write true or false"),
            ("a:history=1,age=1s,history=2", "`history=2`: the room has this rule already"),
        ] {
            let error = text.parse::<Special>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for (args, expected) in [
            (&["--history-bytes=0"][..], "the rule `bytes` of a room must be at least 1024"),
            (
                &["--history-total=1M"],
                "at most the limit `history`, which is for all rooms, less 256: raise that (the program's --history-total)",
            ),
            (
                &["--room-rules=a*:age=0"],
                "--room-rules: the rooms `a*`: the rule `age` of a room must be 1 ms",
            ),
            (&["--grace=876001h"], "the rule `grace` of a room must be at most 100 years"),
            (&["--room-rules=a*:age=1;a*:grace=1"], "--room-rules: the rooms `a*`: they have rules twice"),
        ] {
            let options = options(args);
            let limits = Limits { history: options.total(), ..Limits::default() };
            let error = options.check(&limits).unwrap_err().to_string();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }
}
