//! How fast the server lets us ask: it says so in the welcome, and who keeps to it is never refused for it.

use crate::rate::{Bucket, Rate};
use std::time::{Duration, Instant};

/// Most requests in flight.
pub(super) const WINDOW: usize = 32;
/// What a frame adds to a text, at most: header and mask. RFC 6455 §5.2
const FRAME: usize = 14;

/// What the server has said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::session) struct Rates {
    /// Texts of one connection.
    pub(super) texts: Option<Allowed>,
    /// Their bytes.
    pub(super) bytes: Option<Allowed>,
}

/// So many in so many milliseconds, after a burst of as many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::session) struct Allowed {
    pub(super) count: u32,
    pub(super) per: u64,
    pub(super) burst: u32,
}

/// What may leave when. Both in time and in flight it is half of the burst: the rest is for what the network bunches on the way,
/// or a busy server.
pub(super) struct Pace {
    texts: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Texts and bytes that may be in flight.
    window: (usize, usize),
}

impl Pace {
    pub(super) fn new(rates: &Rates, now: Instant) -> Self {
        let half = |allowed: Option<Allowed>| {
            let Allowed { count, per, burst } = allowed?;
            let half = (burst / 2).max(1);
            let rate = Rate::new(count, Duration::from_millis(per)).with_burst(half);
            Some((Bucket::new(rate, now), half as usize))
        };
        let (texts, text_window) = half(rates.texts).unzip();
        let (bytes, byte_window) = half(rates.bytes).unzip();
        let window = (text_window.map_or(WINDOW, |half| half.min(WINDOW)), byte_window.unwrap_or(usize::MAX));
        Self { texts, bytes, window }
    }

    /// Whether so many texts and bytes are few enough for another one to follow.
    pub(super) fn may_follow(&self, (texts, bytes): (usize, usize)) -> bool {
        texts == 0 || (texts < self.window.0 && bytes < self.window.1)
    }

    /// From when on any text may leave at once.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        let texts = self.texts.as_ref().map(|bucket| bucket.ready_at(1));
        let bytes = self.bytes.as_ref().map(|bucket| bucket.ready_at(usize::MAX));
        texts.max(bytes)
    }

    /// Counts a text of so many bytes that is about to leave. `Err`: it may leave then.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Result<(), Instant> {
        for (bucket, count) in [(&mut self.bytes, bytes + FRAME), (&mut self.texts, 1)] {
            if let Some(bucket) = bucket {
                bucket.take(count, now).map_err(|wait| now + wait)?;
            }
        }
        Ok(())
    }
}
