//! What all threads know of each sender: how much it has sent, and how much of that has arrived.

use super::plan::Plan;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

pub(super) struct Lines {
    senders: Vec<Line>,
    /// Members of each room that read.
    members: Vec<AtomicU64>,
    /// By thread: a sender of it may send again.
    poked: Vec<AtomicBool>,
}

#[derive(Default)]
struct Line {
    sent: AtomicU64,
    /// Deliveries of what was sent, and those of them that have been made, or will never be.
    due: AtomicI64,
    settled: AtomicI64,
    /// Its connection has ended.
    gone: AtomicBool,
    /// Requests up to this one have been acknowledged.
    acknowledged: AtomicU64,
    /// Requests that the server has refused, so that nobody gets them.
    refused: AtomicU64,
}

impl Lines {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            senders: (0..plan.senders).map(|_| Line::default()).collect(),
            members: (0..plan.rooms).map(|_| AtomicU64::new(0)).collect(),
            poked: (0..plan.threads).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    pub(super) fn join(&self, room: usize) {
        self.members[room].fetch_add(1, AcqRel);
    }

    pub(super) fn leave(&self, room: usize) {
        self.members[room].fetch_sub(1, AcqRel);
    }

    pub(super) fn members(&self, room: usize) -> u64 {
        self.members[room].load(Acquire)
    }

    pub(super) fn sent(&self, sender: usize) -> u64 {
        self.senders[sender].sent.load(Acquire)
    }

    /// A message is to go out, to so many.
    pub(super) fn send(&self, sender: usize, receivers: u64) {
        let line = &self.senders[sender];
        line.due.fetch_add(receivers as i64, AcqRel);
        line.sent.fetch_add(1, Release);
    }

    /// So many deliveries were made, or will never be.
    pub(super) fn settle(&self, sender: usize, deliveries: u64) {
        self.senders[sender].settled.fetch_add(deliveries as i64, AcqRel);
    }

    /// Whether fewer than `window` messages of the sender are under way, each to so many. One is under way until all have it.
    pub(super) fn may_send(&self, sender: usize, window: u64, receivers: u64) -> bool {
        let open = (window - 1).saturating_mul(receivers);
        self.under_way(sender) <= i64::try_from(open).unwrap_or(i64::MAX)
    }

    /// Deliveries that have not been made.
    fn under_way(&self, sender: usize) -> i64 {
        let line = &self.senders[sender];
        line.due.load(Acquire) - line.settled.load(Acquire)
    }

    /// Changes whenever something of the sender's arrives.
    pub(super) fn progress(&self, sender: usize) -> i64 {
        self.senders[sender].settled.load(Acquire)
    }

    /// Waits no longer for what is under way.
    pub(super) fn give_up(&self, sender: usize) {
        let line = &self.senders[sender];
        line.settled.store(line.due.load(Acquire), Release);
    }

    pub(super) fn acknowledge(&self, sender: usize, sequence: u64) {
        self.senders[sender].acknowledged.fetch_max(sequence + 1, AcqRel);
    }

    /// The server has refused a message of the sender's.
    pub(super) fn refuse(&self, sender: usize) {
        self.senders[sender].refused.fetch_add(1, AcqRel);
    }

    pub(super) fn refused(&self, sender: usize) -> u64 {
        self.senders[sender].refused.load(Acquire)
    }

    /// The sender's connection has ended.
    pub(super) fn end(&self, sender: usize) {
        self.senders[sender].gone.store(true, Release);
    }

    /// How many of the sender's messages every receiver must have. Nobody knows how much of the last ones of a sender that has
    /// gone ever reached the server; but what was acknowledged did.
    pub(super) fn required(&self, sender: usize) -> u64 {
        let line = &self.senders[sender];
        if line.gone.load(Acquire) { line.acknowledged.load(Acquire) } else { self.sent(sender) }
    }

    /// A sender of that thread may send again; `true`: it has not been told yet.
    pub(super) fn poke(&self, thread: usize) -> bool {
        !self.poked[thread].swap(true, AcqRel)
    }

    pub(super) fn was_poked(&self, thread: usize) -> bool {
        // Reading is cheaper, and nearly always all there is to do.
        self.poked[thread].load(Relaxed) && self.poked[thread].swap(false, AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    #[test]
    fn a_message_is_under_way_until_all_have_it() {
        let lines = Lines::new(&plan("").unwrap());
        assert!(lines.may_send(0, 1, 3));
        lines.send(0, 3);
        for settled in 0..3 {
            assert!(!lines.may_send(0, 1, 3), "{settled}");
            assert!(lines.may_send(0, 2, 3));
            lines.settle(0, 1);
        }
        assert!(lines.may_send(0, 1, 3));
        (0..5).for_each(|_| lines.send(0, 3));
        assert!(!lines.may_send(0, 5, 3) && lines.may_send(0, 6, 3));
        lines.give_up(0);
        assert!(lines.may_send(0, 1, 3));
    }

    #[test]
    fn of_a_sender_that_has_gone_only_what_was_acknowledged_must_come() {
        let lines = Lines::new(&plan("").unwrap());
        (0..5).for_each(|_| lines.send(0, 1));
        lines.acknowledge(0, 2);
        lines.acknowledge(0, 1);
        assert_eq!(lines.required(0), 5);
        lines.end(0);
        assert_eq!(lines.required(0), 3);
    }
}
