//! Opens a thread's connections, a few at a time.

use super::connection::End;
use super::driver::Work;
use super::pool::Pool;
use super::shared::Shared;
use super::tally::Tally;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Connections are opened one behind the other, with so many handshakes at once.
pub(super) struct Opener<'a> {
    shared: &'a Shared,
    thread: usize,
    next: usize,
    under_way: usize,
}

impl<'a> Opener<'a> {
    pub(super) fn new(shared: &'a Shared, thread: usize) -> Self {
        Self { shared, thread, next: 0, under_way: 0 }
    }

    /// The number of the connection at that place, over all threads.
    pub(super) fn connection(&self, place: usize) -> usize {
        place * self.shared.plan.threads + self.thread
    }

    /// Begins to open the connection of that place; how long it takes counts from `began`.
    pub(super) fn open(&self, pool: &mut Pool, place: usize, began: Instant) -> Result<(), End> {
        let (plan, connection) = (&self.shared.plan, self.connection(place));
        pool.open(place, plan.room_of(connection), plan.is_stalled(connection), began)
    }

    /// Opens the next ones.
    pub(super) fn work(&mut self, pool: &mut Pool, tally: &mut Tally) -> Work {
        let plan = &self.shared.plan;
        while self.next < pool.len() && self.under_way < plan.at_once.div_ceil(plan.threads) {
            let place = self.next;
            self.next += 1;
            self.under_way += 1;
            if let Err(end) = self.open(pool, place, Instant::now()) {
                self.failed(&end, tally);
            }
        }
        if self.under_way == 0 { Work::Done } else { Work::Wait }
    }

    /// One of them is open, after so long.
    pub(super) fn opened(&mut self, took: Duration, tally: &mut Tally) {
        self.under_way = self.under_way.saturating_sub(1);
        self.shared.live.opened.fetch_add(1, Relaxed);
        tally.opened += 1;
        tally.opening.add(took);
    }

    /// One of them did not come about.
    pub(super) fn failed(&mut self, end: &End, tally: &mut Tally) {
        self.under_way = self.under_way.saturating_sub(1);
        self.shared.live.failed.fetch_add(1, Relaxed);
        tally.broken.unopened += 1;
        tally.fail(end);
    }
}

/// The places of a thread.
pub(super) fn places(connections: usize, threads: usize, thread: usize) -> usize {
    connections.saturating_sub(thread).div_ceil(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_one_place() {
        for (connections, threads, expected) in
            [(10, 1, vec![10]), (10, 4, vec![3, 3, 2, 2]), (2, 4, vec![1, 1, 0, 0])]
        {
            let found: Vec<usize> = (0..threads).map(|thread| places(connections, threads, thread)).collect();
            assert_eq!(found, expected);
        }
    }
}
