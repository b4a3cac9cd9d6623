//! How many bytes may wait in a queue: whoever puts more in waits until some were taken out.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// How many bytes wait in the queue: its length in commands says little of that.
pub(crate) struct ByteBound {
    limit: usize,
    used: AtomicUsize,
    waiting: AtomicUsize,
    closed: AtomicBool,
    lock: Mutex<()>,
    freed: Condvar,
}

impl ByteBound {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            lock: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// Bytes that are in the queue.
    pub(crate) fn used(&self) -> usize {
        self.used.load(SeqCst)
    }

    pub(crate) fn try_take(&self, size: usize) -> bool {
        // What is larger than the whole bound still passes when nothing else waits.
        let fits = |used: usize| (used == 0 || used + size <= self.limit).then_some(used + size);
        self.closed.load(SeqCst) || self.used.fetch_update(SeqCst, SeqCst, fits).is_ok()
    }

    pub(crate) fn take(&self, size: usize) {
        if size == 0 || self.try_take(size) {
            return;
        }
        self.waiting.fetch_add(1, SeqCst);
        let mut lock = self.lock.lock();
        while !self.try_take(size) {
            self.freed.wait(&mut lock);
        }
        drop(lock);
        self.waiting.fetch_sub(1, SeqCst);
    }

    pub(crate) fn free(&self, size: usize) {
        let _ = self.used.fetch_update(SeqCst, SeqCst, |used| Some(used.saturating_sub(size)));
        if 0 < self.waiting.load(SeqCst) {
            // Under the lock, or a thread that has just found the queue full would miss it.
            let _lock = self.lock.lock();
            self.freed.notify_all();
        }
    }

    /// Nobody takes anything out from now on, so nobody may wait: whatever is put in passes.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.free(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn bytes_are_bounded_and_waiters_go_on_when_there_is_room() {
        let bound = Arc::new(ByteBound::new(100));
        bound.take(60);
        assert!(!bound.try_take(41));
        let (other, (took, taken)) = (bound.clone(), bounded(0));
        let thread = thread::spawn(move || {
            other.take(90);
            took.send(()).unwrap();
        });
        while bound.waiting.load(SeqCst) == 0 {}
        assert!(taken.try_recv().is_err());
        bound.free(60);
        taken.recv().unwrap();
        thread.join().unwrap();
        bound.free(90);
        assert!(bound.try_take(1000), "what is larger than the bound passes alone");
    }

    #[test]
    fn nobody_waits_once_it_is_closed() {
        let bound = Arc::new(ByteBound::new(100));
        bound.take(60);
        let (took, taken) = bounded(2);
        let wait = || {
            let (bound, took) = (bound.clone(), took.clone());
            thread::spawn(move || {
                bound.take(90);
                took.send(()).unwrap();
            })
        };
        let threads = [wait(), wait()];
        while bound.waiting.load(SeqCst) < threads.len() {}
        bound.close();
        for thread in threads {
            // What the first has taken nobody gives back.
            taken.recv_timeout(Duration::from_secs(60)).unwrap();
            drop(thread);
        }
        assert!(bound.try_take(1000));
    }
}
