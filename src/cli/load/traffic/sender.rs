//! One sender: its numbers, what lets it go on, and what it waits for.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long nothing may arrive before a sender in the closed loop goes on nevertheless.
const STUCK: Duration = Duration::from_secs(1);

/// Requests whose reply, or message, may be awaited.
const PENDING: usize = 65_536;

#[derive(Default)]
pub(super) struct Sender {
    /// The number of the next message.
    pub(super) next: u64,
    /// It is among those that may be able to go on.
    pub(super) is_ready: bool,
    /// Published, and not replied to: each one's number, and when it was to be sent.
    pending: VecDeque<(u64, Instant)>,
    /// Offsets that only the reply or only the message has told so far.
    offsets: BTreeMap<u64, u64>,
    /// Since when it waits for arrivals, and how much had arrived then.
    waits: Option<(Instant, i64)>,
}

impl Sender {
    pub(super) fn publish(&mut self, sequence: u64, at: Instant) {
        self.pending.push_back((sequence, at));
    }

    /// Whether so many replies are awaited that it should send no more.
    pub(super) fn is_full(&self) -> bool {
        PENDING <= self.pending.len()
    }

    /// A reply came: when the request was to be sent. `None`: there was no such request, or it has been replied to.
    pub(super) fn reply(&mut self, sequence: u64) -> Option<Instant> {
        // Requests of one connection are carried out in order.
        let place = self.pending.iter().position(|(pending, _)| *pending == sequence)?;
        self.pending.remove(place).map(|(_, at)| at)
    }

    pub(super) fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// The offset of a message, as its reply or its sender's own copy has it. `false`: the two differ.
    pub(super) fn is_same_offset(&mut self, sequence: u64, offset: u64) -> bool {
        match self.offsets.remove(&sequence) {
            Some(other) => other == offset,
            None => {
                self.offsets.insert(sequence, offset);
                // Of the oldest the other half was lost.
                if PENDING < self.offsets.len() {
                    self.offsets.pop_first();
                }
                true
            }
        }
    }

    /// Whether it has waited for so long that it should go on; `progress` changes when something arrives.
    pub(super) fn is_stuck(&mut self, progress: i64, now: Instant) -> bool {
        match self.waits {
            Some((since, before)) if before == progress => {
                let is_stuck = since + STUCK <= now;
                if is_stuck {
                    self.waits = None;
                }
                is_stuck
            }
            _ => {
                self.waits = Some((now, progress));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_replied_to_once() {
        let (mut sender, now) = (Sender::default(), Instant::now());
        (0..3).for_each(|sequence| sender.publish(sequence, now));
        assert_eq!((sender.reply(1), sender.reply(1), sender.reply(7)), (Some(now), None, None));
        assert_eq!((sender.reply(0), sender.unanswered()), (Some(now), 1));
    }

    #[test]
    fn reply_and_message_have_the_same_offset() {
        let mut sender = Sender::default();
        let told = [(0, 5), (0, 5), (1, 6), (1, 7), (2, 8), (2, 8)];
        let same = told.map(|(sequence, offset)| sender.is_same_offset(sequence, offset));
        assert_eq!(same, [true, true, true, false, true, true]);
        assert!(sender.offsets.is_empty());
    }

    #[test]
    fn only_a_sender_for_which_nothing_arrives_is_stuck() {
        let (mut sender, start) = (Sender::default(), Instant::now());
        let steps = [(0, 0), (900, 0), (950, 1), (1900, 1), (1950, 1), (2000, 1), (3000, 1)];
        let stuck =
            steps.map(|(millis, progress)| sender.is_stuck(progress, start + Duration::from_millis(millis)));
        assert_eq!(stuck, [false, false, false, false, true, false, true]);
    }
}
