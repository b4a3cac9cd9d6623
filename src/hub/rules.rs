//! How much of a room of `switchboard.v1` is kept: what can be said of that, and what cannot be.

use super::history::OVERHEAD;
use crate::error::{Error, Result};
use crate::limits::{KIB, LONGEST, Limits, SHORTEST};
use std::time::Duration;

/// How much of a room of `switchboard.v1` is kept, and how long.
///
/// ```
/// use std::time::Duration;
/// use switchboard::RoomRules;
///
/// let rules = RoomRules { messages: 1000, age: Duration::from_secs(3600), ..RoomRules::default() };
/// assert_eq!(rules.bytes, 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// Messages in the history. Default 100. With 0 there is none: nobody can ask for what was said before, keys tell no
    /// repetition, and who comes back has missed what was said meanwhile.
    pub messages: usize,
    /// Bytes in the history. Default 1 MiB, at least 1 KiB. Data that alone is more is refused: `too_large`. With 256 more, at
    /// most [`Limits::history`].
    pub bytes: usize,
    /// How old a message in the history gets. Default 300 s; 1 ms to 100 years.
    pub age: Duration,
    /// How long a user whose last connection has ended is still present, so that a reconnect goes unnoticed. Default 5 s; 0 to
    /// 100 years.
    pub grace: Duration,
    /// Whether only members may publish. Default: everybody may.
    pub members_publish: bool,
}

impl Default for RoomRules {
    fn default() -> Self {
        Self {
            messages: 100,
            bytes: 1024 * 1024,
            age: Duration::from_secs(300),
            grace: Duration::from_secs(5),
            members_publish: false,
        }
    }
}

impl RoomRules {
    /// Whether the values can be, and go together with the limits. [`Builder::bind`](crate::Builder::bind) asks this too.
    ///
    /// ```
    /// use switchboard::{Limits, RoomRules};
    ///
    /// let error = RoomRules { bytes: 0, ..RoomRules::default() }.check(&Limits::default()).unwrap_err();
    /// assert!(error.to_string().starts_with("the rule `bytes` of a room must be at least 1024"));
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] that names the field and what would do.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        let most = limits.history.saturating_sub(OVERHEAD);
        let rules = [
            (KIB <= self.bytes, "bytes", "at least 1024, or hardly a message would fit"),
            // What is more would be forgotten the moment that it is acknowledged, and all other rooms' with it.
            (
                self.bytes <= most,
                "bytes",
                "at most the limit `history`, which is for all rooms, less 256: raise that (the program's --history-total)",
            ),
            (
                (SHORTEST..=LONGEST).contains(&self.age),
                "age",
                "1 ms to 100 years; for no history set `messages` to 0",
            ),
            (self.grace <= LONGEST, "grace", "at most 100 years"),
        ];
        match rules.iter().find(|(kept, ..)| !kept) {
            Some((_, field, rule)) => {
                Err(Error::Config(format!("the rule `{field}` of a room must be {rule}")))
            }
            None => Ok(()),
        }
    }
}
