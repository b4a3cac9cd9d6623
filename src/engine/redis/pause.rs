//! How long to wait before Redis is tried again. "Full jitter": servers that were cut together do not come back together.

use crate::net::random::random;
use ::redis::RedisError;
use std::time::{Duration, Instant};

/// The longest wait that the first try may have; it doubles with each.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that was good for so long is made again at once, and nobody is told.
const GOOD: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Pause {
    tries: u32,
    good_since: Option<Instant>,
    /// What was said last about a loss.
    why: String,
}

impl Pause {
    /// The connection serves.
    pub(super) fn good(&mut self) {
        self.good_since = Some(Instant::now());
        self.why.clear();
    }

    /// Whether this was not said of the loss before; what is said again and again is logged once.
    pub(super) fn is_new(&mut self, why: &str) -> bool {
        let is_new = self.why != why;
        self.why = why.into();
        is_new
    }

    /// Zero: at once, as only the connection was lost. One that timed out is no such case.
    pub(super) fn next(&mut self, error: &RedisError) -> Duration {
        let was_good = self.good_since.take().is_some_and(|since| GOOD <= since.elapsed());
        if was_good {
            self.tries = 0;
            if !error.is_timeout() {
                return Duration::ZERO;
            }
        }
        let longest = FIRST.saturating_mul(1 << self.tries.min(8)).min(LONGEST);
        self.tries += 1;
        let part = random().iter().take(2).fold(0, |number, byte| number << 8 | u32::from(*byte));
        longest * part / (1 << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn waits_grow_and_are_bounded() {
        let (mut pause, lost) =
            (Pause::default(), RedisError::from(io::Error::from(io::ErrorKind::UnexpectedEof)));
        let mut longest = Duration::ZERO;
        for tries in 0..100 {
            let wait = pause.next(&lost);
            assert!(wait <= LONGEST.min(FIRST * (1 << tries.min(8))), "{tries}: {wait:?}");
            longest = longest.max(wait);
        }
        assert!(LONGEST / 2 < longest, "{longest:?}");
    }

    #[test]
    fn what_was_good_is_made_again_at_once() {
        let lost = RedisError::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        let mut pause = Pause { tries: 7, good_since: Instant::now().checked_sub(GOOD), ..Pause::default() };
        assert_eq!(pause.next(&lost), Duration::ZERO);
        assert!(pause.next(&lost) <= FIRST && pause.tries == 1);
    }
}
