//! How much may wait in an outbox, and for how long: when a client is a slow consumer.
//!
//! The hub fills an outbox quicker than any socket takes it, so bytes alone do not tell who is slow: a client that reads may
//! be behind by a burst. Redis judges the buffers of its clients in the same way (`client-output-buffer-limit`).

use super::state::State;
use crate::limits::Limits;
use std::time::{Duration, Instant};

pub(super) struct Bounds {
    /// Above it who sends to this client alone waits, and others have only so much time.
    pub(super) limit: usize,
    burst: usize,
    lag: Duration,
}

/// Since when more than the limit waits.
#[derive(Clone, Copy)]
pub(super) struct Behind {
    since: Instant,
    /// Once so much has left, the client has caught up with that moment.
    mark: u64,
}

impl Bounds {
    pub(super) fn of(limits: &Limits) -> Self {
        Self { limit: limits.outbox, burst: limits.burst.max(limits.outbox), lag: limits.lag }
    }

    /// A piece larger than the whole bound still passes when nothing else waits.
    pub(super) fn have_room(&self, charged: usize, more: usize) -> bool {
        charged.saturating_add(more) <= self.limit || charged == 0
    }

    /// With more than that waiting nothing is read from the client.
    pub(super) fn calm(&self) -> usize {
        self.limit.max(self.burst / 2)
    }
}

impl State {
    /// Whether so many bytes more may wait; why not.
    pub(super) fn admit(
        &mut self,
        more: usize,
        bounds: &Bounds,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), &'static str> {
        if bounds.have_room(self.charged, more) {
            self.behind = None;
            return Ok(());
        }
        if bounds.burst < self.charged.saturating_add(more) {
            return Err("slow consumer: its outbox is full");
        }
        let now = now();
        match self.behind {
            Some(behind) if self.left < behind.mark => match now.duration_since(behind.since) <= bounds.lag {
                true => Ok(()),
                false => Err("slow consumer: it is too far behind"),
            },
            _ => {
                self.behind = Some(Behind { since: now, mark: self.left + self.charged as u64 });
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(5);
    const FULL: Result<(), &str> = Err("slow consumer: its outbox is full");
    const LATE: Result<(), &str> = Err("slow consumer: it is too far behind");

    /// An outbox whose time passes as the test says.
    struct Line {
        bounds: Bounds,
        state: State,
        now: Instant,
    }

    impl Line {
        fn new(outbox: usize, burst: usize) -> Self {
            let bounds = Bounds::of(&Limits { outbox, burst, lag: LAG, ..Limits::default() });
            Self { bounds, state: State::default(), now: Instant::now() }
        }

        fn push(&mut self, bytes: usize) -> Result<(), &'static str> {
            self.state.admit(bytes, &self.bounds, || self.now)?;
            self.state.charged += bytes;
            Ok(())
        }

        fn leaves(&mut self, bytes: usize) {
            self.state.settle(bytes);
        }

        fn passes(&mut self, time: Duration) {
            self.now += time;
        }
    }

    #[test]
    fn a_burst_may_wait_for_a_while() {
        let mut line = Line::new(100, 1000);
        for _ in 0..10 {
            assert_eq!(line.push(100), Ok(()));
        }
        assert_eq!(line.push(1), FULL);
        line.leaves(99);
        line.passes(LAG);
        assert_eq!(line.push(99), Ok(()));
        line.passes(Duration::from_millis(1));
        line.leaves(1);
        assert_eq!(line.push(1), Ok(()), "the first 100 have left, and it is a new beginning");
        line.leaves(899);
        line.passes(LAG + Duration::from_millis(1));
        assert_eq!(line.push(1), LATE, "one byte of what waited then has not");
    }

    #[test]
    fn whoever_keeps_up_may_have_more_than_the_limit_waiting_for_ever() {
        let mut line = Line::new(100, 1000);
        assert_eq!(line.push(800), Ok(()));
        for _ in 0..100 {
            assert_eq!(line.push(200), Ok(()));
            line.passes(Duration::from_secs(1));
            line.leaves(200);
        }
        // From now on it takes a tenth of that, and 800 are no longer gone within four seconds.
        let mut slower = (0..100).map(|_| {
            line.leaves(20);
            line.passes(Duration::from_secs(1));
            line.push(20)
        });
        assert_eq!(slower.find(Result::is_err), Some(LATE));
    }

    #[test]
    fn who_has_caught_up_begins_anew() {
        let mut line = Line::new(100, 1000);
        assert_eq!(line.push(500), Ok(()));
        assert_eq!(line.push(1), Ok(()));
        line.leaves(501);
        line.passes(LAG * 10);
        assert_eq!(line.push(500), Ok(()), "nothing else waits");
        assert_eq!(line.push(1), Ok(()), "it is behind from now on");
        line.passes(LAG);
        assert_eq!(line.push(1), Ok(()));
    }

    #[test]
    fn without_a_burst_the_limit_holds_at_once() {
        let mut line = Line::new(100, 0);
        assert_eq!(line.push(500), Ok(()), "larger than the whole bound, alone");
        assert_eq!(line.push(1), FULL);
        line.leaves(500);
        assert_eq!(line.push(100), Ok(()));
        assert_eq!(line.push(1), FULL);
        assert_eq!((line.bounds.calm(), Line::new(100, 1000).bounds.calm()), (100, 500));
    }
}
