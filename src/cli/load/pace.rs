//! When each message is due, if so many are to be sent per second.
//!
//! The times are fixed beforehand. A message that leaves late was late for its receiver too, so its latency counts from
//! when it was due: otherwise a server that stalls would also stop the questions that would show it ("coordinated
//! omission").

use std::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// A schedule for all senders together, who take turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
    senders: u64,
}

impl Pace {
    /// `per_second`: of all senders together. Neither may be 0.
    pub(super) fn new(per_second: u64, senders: usize) -> Self {
        Self { per_second, senders: senders as u64 }
    }

    /// When the sender's message of that number is due, since the beginning.
    pub(super) fn due(&self, sender: usize, sequence: u64) -> Duration {
        let n = u128::from(sequence) * u128::from(self.senders) + sender as u128;
        let nanos = n * SECOND / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many of the sender's messages are due before `end`.
    pub(super) fn count(&self, sender: usize, end: Duration) -> u64 {
        // The first number of all that is not due before the end.
        let all = (end.as_nanos() * u128::from(self.per_second)).div_ceil(SECOND);
        let own = all.saturating_sub(sender as u128).div_ceil(u128::from(self.senders));
        u64::try_from(own).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn senders_take_turns() {
        let pace = Pace::new(1000, 4);
        let due = |sender, sequence| pace.due(sender, sequence).as_micros();
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1), due(2, 5)], [0, 1000, 3000, 4000, 22_000]);
        assert_eq!(Pace::new(10_000_000, 1).due(0, 864_000_000_000), Duration::from_secs(86_400));
        assert_eq!(Pace::new(3, 1).due(0, 3), Duration::from_secs(1));
        assert_eq!(Pace::new(1, 65_536).due(1, u64::MAX).as_nanos(), u128::from(u64::MAX));
    }

    proptest! {
        #[test]
        fn just_those_are_due_before_the_end(
            per_second in 1u64..1_000_000,
            senders in 1usize..100,
            sender in 0usize..100,
            millis in 0u64..10_000,
        ) {
            let (pace, end) = (Pace::new(per_second, senders), Duration::from_millis(millis));
            let count = pace.count(sender % senders, end);
            prop_assert!(count == 0 || pace.due(sender % senders, count - 1) < end);
            prop_assert!(end <= pace.due(sender % senders, count) + Duration::from_nanos(1));
        }
    }
}
