//! How fast the server lets us ask: it says so in the welcome, and who keeps to it is never refused for it.

use crate::rate::{Bucket, Rate};
use std::time::{Duration, Instant};

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

#[derive(Default)]
pub(super) struct Pace {
    texts: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Pace {
    pub(super) fn new(rates: &Rates, now: Instant) -> Self {
        let bucket = |allowed: Option<Allowed>| {
            let Allowed { count, per, burst } = allowed?;
            // Half of the burst: the rest is for what the network bunches on the way.
            let rate = Rate::new(count, Duration::from_millis(per)).with_burst(burst / 2);
            Some(Bucket::new(rate, now))
        };
        Self { texts: bucket(rates.texts), bytes: bucket(rates.bytes) }
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
