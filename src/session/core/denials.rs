//! Whether a session that is not let in may try again: with another token, if there is somebody to ask for one.

use super::Loss;
use crate::error::Error;
use std::time::{Duration, Instant};

/// Denials in a row that are taken for a token that was too old. `client.js` has the same number and the same time.
const MOST: u32 = 5;
/// Who was let in for that long had a good token; what comes later is counted from the first again.
const STABLE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Denials {
    /// Each connection has a token of its own.
    renews: bool,
    count: u32,
    welcomed: Option<Instant>,
}

impl Denials {
    pub(super) fn new(renews: bool) -> Self {
        Self { renews, ..Self::default() }
    }

    pub(super) fn welcome(&mut self, now: Instant) {
        self.welcomed = Some(now);
    }

    /// A connection has ended. `true`: that may have been for its token, and the next may be better.
    pub(super) fn may_renew(&mut self, loss: &Loss, now: Instant) -> bool {
        if self.welcomed.take().is_some_and(|since| STABLE <= now - since) {
            self.count = 0;
        }
        // "Policy", or HTTP for the same. RFC 6455 §7.4.1, RFC 9110 §15.5.2
        let is_denied =
            matches!(loss, Loss::Closed(1008, _) | Loss::Failed(Error::Refused { status: 401, .. }));
        self.count += u32::from(is_denied);
        is_denied && self.renews && self.count <= MOST
    }
}
