//! The rooms of `switchboard.v1`: the builder's options about what is kept of which, and what may be published in it.

use super::builder::Builder;
use super::request::check_name;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::hub::pattern::Pattern;
use crate::hub::protocol::Fault;
use crate::hub::rules::RoomRules;

/// Judges data, which is JSON: the JSON pointer to what is wrong in it, and what that is.
#[cfg(feature = "schema")]
pub(crate) type DataCheck = Box<dyn Fn(&str) -> Result<(), (String, String)> + Send + Sync>;
#[cfg(feature = "schema")]
pub(crate) type DataChecks = crate::hub::pattern::ByPattern<DataCheck>;

impl Builder {
    /// What is kept of a room of `switchboard.v1`.
    #[must_use]
    pub fn rooms(mut self, rules: RoomRules) -> Self {
        self.rules.room = rules;
        self
    }

    /// The same for the room of a name, or, with a `*` at the end, for all rooms whose names begin so. Of the patterns that
    /// fit a room the longest counts; the same pattern again takes the first one's place. `welcome.limits` is about rooms that
    /// no pattern fits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::{RoomRules, Server};
    ///
    /// // Of a game only the moment matters, and who leaves it has left.
    /// let game = RoomRules { messages: 0, grace: Duration::ZERO, ..RoomRules::default() };
    /// let server = Server::builder().protocol("/ws").rooms_like("game-*", game).bind("127.0.0.1:0")?.start()?;
    /// # let mut ann = server.connect("/ws?user=ann")?;
    /// # ann.send(r#"{"type":"publish","room":"game-1","data":1}"#)?;
    /// # ann.send(r#"{"type":"join","room":"game-1","history":9,"id":1}"#)?;
    /// # ann.recv()?;
    /// # assert!(ann.recv()?.unwrap().to_text().unwrap().contains(r#""messages":[],"#));
    ///
    /// let mistaken = Server::builder().rooms_like("game-*-1", RoomRules::default()).bind("127.0.0.1:0");
    /// assert!(mistaken.err().unwrap().to_string().contains("at the end only"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn rooms_like(mut self, pattern: &str, rules: RoomRules) -> Self {
        match Pattern::parse(pattern) {
            // There would be two places for the same.
            Ok(Pattern { start, .. }) if start.is_empty() => self.mistake(pattern, "use `Builder::rooms`"),
            Ok(pattern) => self.rules.patterns.set(pattern, rules),
            Err(why) => self.mistake(pattern, why),
        }
        self
    }

    /// Asks `check` about the data of what is published in rooms of that pattern.
    #[cfg(feature = "schema")]
    pub(crate) fn check_data(mut self, pattern: &str, check: DataCheck) -> Self {
        match Pattern::parse(pattern) {
            Ok(pattern) => self.data_checks.set(pattern, check),
            Err(why) => self.mistake(pattern, why),
        }
        self
    }

    fn mistake(&mut self, pattern: &str, why: &str) {
        let mistake = || Error::Config(format!("the pattern `{pattern}` of rooms: {why}"));
        self.mistake.get_or_insert_with(mistake);
    }

    /// Whether the rules of all rooms can be, and the patterns be met.
    pub(super) fn check_rooms(&self) -> Result<()> {
        self.rules.room.check(&self.limits)?;
        let wrong = |pattern: &Pattern, error| Error::Config(format!("the rooms `{pattern}`: {error}"));
        let name = |pattern: &Pattern| match pattern.start.as_str() {
            // Of all rooms.
            "" => Ok(()),
            start => check_name(start, self.limits.name).map_err(|error| wrong(pattern, error)),
        };
        for (pattern, rules) in self.rules.patterns.iter() {
            name(pattern)?;
            rules.check(&self.limits).map_err(|error| wrong(pattern, error))?;
        }
        #[cfg(feature = "schema")]
        self.data_checks.iter().try_for_each(|(pattern, _)| name(pattern))?;
        Ok(())
    }
}

impl Shared {
    /// Whether this may be published in the room, whoever does. Asked on the publisher's thread: it may take long.
    #[cfg(feature = "schema")]
    pub(super) fn check_data(&self, room: &str, data: &str) -> Result<(), (Fault, String)> {
        let Some(check) = self.data_checks.of(room) else { return Ok(()) };
        check(data).map_err(|(path, what)| {
            self.metrics.invalid.add(1);
            (Fault::InvalidData { path }, what)
        })
    }

    #[cfg(not(feature = "schema"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    pub(super) fn check_data(&self, _room: &str, _data: &str) -> Result<(), (Fault, String)> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::server::Server;
    use std::time::Duration;

    #[test]
    fn what_cannot_be_is_told_at_bind() {
        let default = RoomRules::default;
        let years = Duration::from_secs(101 * 365 * 24 * 60 * 60);
        for (builder, expected) in [
            (Server::builder().rooms(RoomRules { bytes: 1023, ..default() }), "the rule `bytes`"),
            (Server::builder().rooms(RoomRules { age: years, ..default() }), "the rule `age`"),
            (Server::builder().rooms(RoomRules { age: Duration::ZERO, ..default() }), "set `messages` to 0"),
            (
                Server::builder().rooms_like("a*", RoomRules { grace: years, ..default() }),
                "the rooms `a*`: the rule `grace`",
            ),
            (Server::builder().rooms_like("a*", RoomRules { grace: Duration::MAX, ..default() }), "`grace`"),
            (
                Server::builder().limits(Limits { history: default().bytes + 255, ..Limits::default() }),
                "at most the limit `history`",
            ),
            (Server::builder().rooms_like("", default()), "it is empty"),
            (Server::builder().rooms_like("*", default()), "use `Builder::rooms`"),
            (Server::builder().rooms_like(&"x".repeat(129), default()), "128"),
            (Server::builder().rooms_like("a\n", default()), "control"),
        ] {
            let error = builder.bind("127.0.0.1:0").err().expect(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        #[cfg(feature = "schema")]
        for (pattern, expected) in [("a*b", "at the end only"), ("", "it is empty"), ("a\n*", "control")] {
            let builder = Server::builder().check_data(pattern, Box::new(|_| Ok(())));
            let error = builder.bind("127.0.0.1:0").err().expect(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let longest = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let edge = RoomRules {
            messages: 0,
            bytes: 1024,
            age: longest,
            grace: Duration::ZERO,
            members_publish: true,
        };
        let limits = Limits { history: default().bytes + 256, ..Limits::default() };
        let builder = Server::builder().limits(limits).rooms_like(&"x".repeat(128), edge);
        assert!(builder.bind("127.0.0.1:0").is_ok());
    }
}
