//! How much a peer sends: counts against its rates.

use crate::rate::{Bucket, Rate};
use crate::wire::frame::{self, Violation};
use crate::wire::session::Event;
use std::time::Instant;
use tungstenite::protocol::frame::coding::CloseCode;

const TOO_MANY: Violation = Violation { code: CloseCode::Policy, reason: "rate limit: too many messages" };
const TOO_MUCH: Violation = Violation { code: CloseCode::Policy, reason: "rate limit: too many bytes" };

pub(crate) struct Meter {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Meter {
    /// `None` when there is nothing to count.
    pub(crate) fn new(messages: Option<Rate>, bytes: Option<Rate>, now: Instant) -> Option<Box<Self>> {
        let bucket = |rate: Option<Rate>| rate.map(|rate| Bucket::new(rate, now));
        (messages.is_some() || bytes.is_some())
            .then(|| Box::new(Self { messages: bucket(messages), bytes: bucket(bytes) }))
    }

    /// Counts what one read brought: so many bytes, and what they were. `Err`: how many of the events were allowed.
    pub(crate) fn count(
        &mut self,
        bytes: usize,
        events: &[Event],
        now: Instant,
    ) -> Result<(), (usize, Violation)> {
        if self.bytes.as_mut().is_some_and(|bucket| bucket.take(bytes, now).is_err()) {
            return Err((0, TOO_MUCH));
        }
        let Some(bucket) = &mut self.messages else { return Ok(()) };
        bucket.refill(now);
        for (at, event) in events.iter().enumerate() {
            // A ping shows by the pong that answers it. Nobody needs pongs that answer nothing, but they may be sent.
            let counts = matches!(event, Event::Message(_) | Event::Send(frame::PONG, _) | Event::Pong(_));
            if counts && bucket.spend(1).is_err() {
                return Err((at, TOO_MANY));
            }
        }
        Ok(())
    }
}
