//! Which rooms are meant: one by its name, or, with a `*` at the end, all whose names begin so.

use std::cmp::Reverse;
use std::fmt;

/// What stands for names of rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// The name, or its beginning.
    pub(crate) start: String,
    /// Whether anything may follow.
    open: bool,
}

/// What holds for which rooms. Of the patterns that fit a room the longest counts, whatever the order they were given in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByPattern<T>(Vec<(Pattern, T)>);

impl Pattern {
    /// The reason if it is none: a `*` elsewhere would be part of a name, which is hardly meant.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        match start {
            start if start.contains('*') => Err("`*` can stand at the end only"),
            "" if !open => Err("it is empty; write the name of a room, or its beginning and a `*`"),
            start => Ok(Self { start: start.into(), open }),
        }
    }

    fn fits(&self, room: &str) -> bool {
        if self.open { room.starts_with(&self.start) } else { room == self.start }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

impl<T> Default for ByPattern<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByPattern<T> {
    /// In the place of what the same pattern had before.
    pub(crate) fn set(&mut self, pattern: Pattern, value: T) {
        self.0.retain(|(other, _)| *other != pattern);
        self.0.push((pattern, value));
        // Of two of the same length the one that is all of a name.
        self.0.sort_by_key(|(pattern, _)| (Reverse(pattern.start.len()), pattern.open));
    }

    pub(crate) fn of(&self, room: &str) -> Option<&T> {
        self.0.iter().find(|(pattern, _)| pattern.fits(room)).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Pattern, T)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_that_fits_counts_whatever_their_order() {
        let patterns = ["team-*", "*", "team-a", "team-a*", "大*"];
        for turn in 0..patterns.len() {
            let mut by_pattern = ByPattern::default();
            for pattern in patterns.iter().cycle().skip(turn).take(2 * patterns.len()) {
                by_pattern.set(Pattern::parse(pattern).unwrap(), *pattern);
            }
            assert_eq!(by_pattern.iter().count(), patterns.len());
            for (room, pattern) in [
                ("team-a", "team-a"),
                ("team-ab", "team-a*"),
                ("team-", "team-*"),
                ("team", "*"),
                ("大厅", "大*"),
            ] {
                assert_eq!(by_pattern.of(room), Some(&pattern), "{room}");
            }
        }
        assert_eq!(ByPattern::<()>::default().of("team"), None);
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for text in ["", "a*b", "**", "a**"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for text in ["a", "a*", "*", "a,b=c:d"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }
}
