//! How often something may happen: so many in a time, with a reserve for bursts. Told the time, asks no clock.

use crate::error::{Error, Result};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// So many in a time, steadily, after a burst of as many at once: the token bucket that everybody means by "100 per minute".
///
/// ```
/// use std::time::Duration;
/// use switchboard::Rate;
///
/// let rate: Rate = "100/60s".parse()?;
/// assert_eq!(rate, Rate::new(100, Duration::from_secs(60)));
/// let bursty = Rate::new(10, Duration::from_secs(1)).with_burst(50);
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
    burst: u32,
}

impl Rate {
    /// `count` in `per`, and as many at once after a pause. At least 1 in at least 1 ms; less counts as that.
    pub fn new(count: u32, per: Duration) -> Self {
        let count = count.max(1);
        Self { count, per: per.max(Duration::from_millis(1)), burst: count }
    }

    /// The same with twice the burst: for a limit that is warned of first.
    #[cfg(feature = "protocol")]
    pub(crate) fn lenient(self) -> Self {
        Self { burst: self.burst.saturating_mul(2), ..self }
    }

    /// For clients that keep to it: the time in milliseconds, 1 at least.
    #[cfg(feature = "protocol")]
    pub(crate) fn json(self) -> String {
        format!(r#"{{"count":{},"per":{},"burst":{}}}"#, self.count, self.per.as_millis(), self.burst)
    }

    /// So many at once after a pause, instead of `count`; at least 1.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst: burst.max(1), ..self }
    }
}

/// `100/60s`, `100/m`, `20/s`, `5/250ms`; with a burst behind a colon: `20/s:100`.
impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Config(format!(
                "`{text}` is no rate; write COUNT/TIME, as 100/60s or 20/s, or 20/s:100 with a burst"
            ))
        };
        let (count, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (time, burst) = rest.split_once(':').map_or((rest, None), |(time, burst)| (time, Some(burst)));
        let digits = time.len() - time.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = if digits == 0 { 1 } else { time[..digits].parse().map_err(|_| wrong())? };
        let unit = match &time[digits..] {
            "ms" => 1,
            "s" | "" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let per = number.checked_mul(unit).filter(|millis| 0 < *millis).ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse().ok().filter(|number| 0 < *number).ok_or_else(wrong);
        let rate = Self::new(number(count)?, Duration::from_millis(per));
        Ok(match burst {
            Some(burst) => rate.with_burst(number(burst)?),
            None => rate,
        })
    }
}

/// What is left of a [`Rate`].
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Tokens in a second, at most so many, and how many there were at that time.
    per_second: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    /// Full.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let most = f64::from(rate.burst);
        Self { per_second: f64::from(rate.count) / rate.per.as_secs_f64(), most, left: most, at: now }
    }

    /// Takes so many, or says after what time there will be as many. More than ever fit are taken from a full bucket.
    pub(crate) fn take(&mut self, count: usize, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        self.spend(count)
    }

    /// Adds what has come since the last time.
    pub(crate) fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.most);
        self.at = self.at.max(now);
    }

    /// [`Bucket::take`] of many at one moment, one after the other: it was refilled for that.
    pub(crate) fn spend(&mut self, count: usize) -> Result<(), Duration> {
        let count = count as f64;
        let missing = count.min(self.most) - self.left;
        // What came of many small additions may lack a part that no one meant.
        if 1e-6 < missing {
            return Err(Duration::from_secs_f64((missing / self.per_second).min(1e9)));
        }
        self.left -= count;
        Ok(())
    }

    /// When there are so many, or as many as ever fit.
    #[cfg_attr(not(feature = "protocol"), allow(dead_code, reason = "nobody asks"))]
    pub(crate) fn ready_at(&self, count: usize) -> Instant {
        let missing = (count as f64).min(self.most) - self.left;
        let wait = (missing.max(0.0) / self.per_second).min(1e9);
        self.at + Duration::from_secs_f64(wait)
    }

    /// Whether nothing would be lost if a new one took its place.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.most <= self.left + passed * self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let seconds = Duration::from_secs;
        for (text, rate) in [
            ("100/60s", Rate::new(100, seconds(60))),
            ("100/m", Rate::new(100, seconds(60))),
            ("20/s", Rate::new(20, seconds(1))),
            ("20/1", Rate::new(20, seconds(1))),
            ("5/250ms", Rate::new(5, Duration::from_millis(250))),
            ("7/2h", Rate::new(7, seconds(7200))),
            ("20/s:100", Rate::new(20, seconds(1)).with_burst(100)),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap(), rate, "{text}");
        }
        for text in [
            "",
            "/",
            "100",
            "x/s",
            "0/s",
            "-1/s",
            "1/0s",
            "1/x",
            "1/s:",
            "1/s:0",
            "1/s:x",
            "1/99999999999999999999h",
            "1/18446744073709551615h",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bucket_is_full_at_first_and_fills_steadily() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::new("10/s".parse().unwrap(), start);
        assert!((0..10).all(|_| bucket.take(1, start).is_ok()));
        assert_eq!(bucket.take(1, start).unwrap_err().as_millis(), 100);
        assert!(bucket.take(1, at(99)).is_err() && bucket.take(1, at(100)).is_ok());
        assert!(bucket.take(1, at(150)).is_err(), "a refusal costs nothing and gives nothing");
        assert!(
            bucket.take(1, at(200)).is_ok() && bucket.take(1, at(100)).is_err(),
            "time may seem to go back"
        );
        assert!(!bucket.is_full(at(1100)) && bucket.is_full(at(1200)));
        assert!(bucket.take(10, at(9000)).is_ok() && bucket.take(1, at(9000)).is_err());
    }

    #[test]
    fn what_never_fits_empties_a_full_bucket() {
        let start = Instant::now();
        let mut bucket = Bucket::new("10/s".parse().unwrap(), start);
        assert!(bucket.take(25, start).is_ok(), "a message larger than a burst passes once");
        assert_eq!(bucket.take(1, start).unwrap_err().as_millis(), 1600);
    }

    #[test]
    fn a_year_of_thirds_adds_up() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(Rate::new(100, Duration::from_secs(60)), now);
        assert!(bucket.take(100, now).is_ok());
        for _ in 0..10_000 {
            now += Duration::from_millis(600);
            assert!(bucket.take(1, now).is_ok());
        }
    }
}
