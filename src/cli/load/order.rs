//! What one receiver has of one sender's messages: which came, which are missing, which came twice or too late.

use std::ops::Range;

/// Gaps that are remembered. Of a pair that has more, the oldest are given up: what comes of them later counts as a
/// duplicate.
const GAPS: usize = 1024;

/// The state of one pair of sender and receiver. Small while nothing is wrong: there may be millions.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The number that is due next.
    next: u64,
    missing: Option<Box<Missing>>,
}

#[derive(Debug, Default)]
struct Missing {
    /// Ascending.
    gaps: Vec<Range<u64>>,
    given_up: u64,
}

/// What to make of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The one that was due.
    InOrder,
    /// Others should have come before it.
    Early,
    /// It was missing: a later one has overtaken it.
    Late,
    /// It had come before.
    Again,
}

impl Order {
    pub(super) fn arrive(&mut self, sequence: u64) -> Arrival {
        if sequence == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if self.next < sequence {
            let missing = self.missing.get_or_insert_default();
            missing.gaps.push(self.next..sequence);
            if GAPS < missing.gaps.len() {
                let oldest = missing.gaps.remove(0);
                missing.given_up += oldest.end - oldest.start;
            }
            self.next = sequence + 1;
            return Arrival::Early;
        }
        let was_missing = self.missing.as_mut().is_some_and(|missing| missing.take(sequence));
        if was_missing { Arrival::Late } else { Arrival::Again }
    }

    /// How many have not come, of the first `sent`.
    pub(super) fn missing(&self, sent: u64) -> u64 {
        let behind = sent.saturating_sub(self.next);
        behind + self.missing.as_ref().map_or(0, |missing| missing.count())
    }
}

impl Missing {
    fn count(&self) -> u64 {
        self.given_up + self.gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>()
    }

    /// Whether that one was missing; it no longer is.
    fn take(&mut self, sequence: u64) -> bool {
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(&sequence)) else { return false };
        let gap = self.gaps[at].clone();
        let parts = [gap.start..sequence, sequence + 1..gap.end];
        self.gaps.splice(at..=at, parts.into_iter().filter(|part| !part.is_empty()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Arrival::{Again, Early, InOrder, Late};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_fault_has_its_name() {
        for (came, arrivals, lost) in [
            (&[][..], &[][..], 4),
            (&[0, 1, 2, 3], &[InOrder, InOrder, InOrder, InOrder], 0),
            (&[0, 1, 2], &[InOrder, InOrder, InOrder], 1),
            (&[0, 2, 3], &[InOrder, Early, InOrder], 1),
            (&[0, 0, 1, 2, 3], &[InOrder, Again, InOrder, InOrder, InOrder], 0),
            (&[1, 0, 2, 3], &[Early, Late, InOrder, InOrder], 0),
            (&[3, 2, 1, 0], &[Early, Late, Late, Late], 0),
            (&[3, 1, 1, 2], &[Early, Late, Again, Late], 1),
        ] {
            let mut order = Order::default();
            let found: Vec<Arrival> = came.iter().map(|sequence| order.arrive(*sequence)).collect();
            assert_eq!((&found[..], order.missing(4)), (arrivals, lost), "{came:?}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_count_stays_right() {
        let mut order = Order::default();
        for sequence in (1..=100_001).step_by(2) {
            order.arrive(sequence);
        }
        assert_eq!(order.missing.as_ref().unwrap().gaps.len(), GAPS);
        assert_eq!(order.missing(100_002), 50_001);
    }

    proptest! {
        /// Against a set, which is slow and obvious.
        #[test]
        fn it_counts_as_a_set_does(came in proptest::collection::vec(0u64..40, 0..80)) {
            let (mut order, mut seen) = (Order::default(), BTreeSet::new());
            for sequence in came {
                let highest = seen.last().copied();
                let expected = match (seen.insert(sequence), highest) {
                    (false, _) => Again,
                    (true, Some(highest)) if sequence < highest => Late,
                    (true, highest) if sequence == highest.map_or(0, |highest| highest + 1) => InOrder,
                    (true, _) => Early,
                };
                prop_assert_eq!(order.arrive(sequence), expected);
            }
            prop_assert_eq!(order.missing(40), 40 - seen.len() as u64);
        }
    }
}
