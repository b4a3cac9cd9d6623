//! Threads for connections: started on demand, used again, never more than the budget.
//!
//! Jobs are handed over hand to hand (a channel without a queue): if no idle thread takes the job, a new one is started
//! with it; nothing ever waits in a queue.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a thread that has finished its job and is about to ask for the next.
const TURNAROUND: Duration = Duration::from_millis(100);

pub(crate) struct Pool<J> {
    hand: Sender<J>,
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    hand: Receiver<J>,
    run: Box<dyn Fn(J) + Send + Sync>,
    max: usize,
    stack: usize,
    idle: Duration,
    name: &'static str,
    census: Mutex<Census>,
    changed: Condvar,
}

#[derive(Default)]
struct Census {
    threads: usize,
    busy: usize,
    /// Jobs that wait for the others.
    excused: usize,
}

impl Census {
    fn awaited(&self) -> usize {
        self.busy.saturating_sub(self.excused)
    }
}

impl<J: Send + 'static> Pool<J> {
    pub(crate) fn new(
        name: &'static str,
        max: usize,
        stack: usize,
        idle: Duration,
        run: impl Fn(J) + Send + Sync + 'static,
    ) -> Self {
        let (hand, receiver) = bounded(0);
        let (census, changed) = (Mutex::default(), Condvar::new());
        let run = Box::new(run);
        Self {
            hand,
            shared: Arc::new(Shared { hand: receiver, run, max, stack, idle, name, census, changed }),
        }
    }

    /// Runs the job on a thread of the pool; gives it back when the budget is used up or the machine refuses a thread.
    pub(crate) fn run(&self, job: J) -> Result<(), J> {
        let spawn = {
            let mut census = self.shared.census.lock();
            if self.shared.max <= census.busy {
                return Err(job);
            }
            census.busy += 1;
            census.threads < self.shared.max
        };
        let handed = match self.hand.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job)) if spawn => self.spawn(job),
            // All threads exist and one of them is free, or will be at once; unless it has just ended for idleness.
            Err(TrySendError::Full(job)) => {
                self.hand.send_timeout(job, TURNAROUND).or_else(|refused| self.spawn(refused.into_inner()))
            }
            Err(TrySendError::Disconnected(job)) => Err(job),
        };
        if handed.is_err() {
            self.shared.census.lock().busy -= 1;
        }
        handed
    }

    /// Threads that have a job, and threads that wait for one.
    pub(crate) fn threads(&self) -> (usize, usize) {
        let census = self.shared.census.lock();
        // A job is counted before its thread is, and no longer before its thread waits.
        let busy = census.busy.min(census.threads);
        (busy, census.threads - busy)
    }

    /// Jobs under way.
    #[cfg(test)]
    pub(crate) fn busy(&self) -> usize {
        self.shared.census.lock().busy
    }

    /// Waits until no job is under way that is not excused, or `deadline`; how many still are.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> usize {
        let mut census = self.shared.census.lock();
        while 0 < census.awaited() {
            if self.shared.changed.wait_until(&mut census, deadline).timed_out() {
                break;
            }
        }
        census.awaited()
    }

    /// One job is not waited for any more: it waits itself, until nobody else does.
    pub(crate) fn excuse(&self) {
        self.shared.census.lock().excused += 1;
        self.shared.changed.notify_all();
    }

    fn spawn(&self, job: J) -> Result<(), J> {
        // The thread's closure would be lost with the job when the spawn fails.
        let first = Arc::new(Mutex::new(Some(job)));
        let (shared, taken) = (self.shared.clone(), first.clone());
        {
            let mut census = shared.census.lock();
            if shared.max <= census.threads {
                drop(census);
                return first.lock().take().map_or(Ok(()), Err);
            }
            census.threads += 1;
        }
        let builder = thread::Builder::new().name(shared.name.into()).stack_size(shared.stack);
        match builder.spawn(move || shared.work(&taken)) {
            Ok(_) => Ok(()),
            Err(error) => {
                log::warn!("cannot start a thread: {error}");
                self.shared.census.lock().threads -= 1;
                match first.lock().take() {
                    Some(job) => Err(job),
                    None => Ok(()),
                }
            }
        }
    }
}

impl<J> Shared<J> {
    fn work(&self, first: &Mutex<Option<J>>) {
        let mut next = first.lock().take();
        while let Some(job) = next {
            // A job answers for its own panics; should one escape, the thread goes on and the count stays right.
            if catch_unwind(AssertUnwindSafe(|| (self.run)(job))).is_err() {
                log::error!("a connection's thread panicked outside its handler");
            }
            self.census.lock().busy -= 1;
            self.changed.notify_all();
            next = self.hand.recv_timeout(self.idle).ok();
        }
        self.census.lock().threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_budget_is_hard_and_a_freed_place_is_usable() {
        let (started, starts) = unbounded();
        let pool = Pool::new("test", 2, 64 * 1024, LONG, move |end: Receiver<()>| {
            started.send(thread::current().id()).unwrap();
            let _ = end.recv();
        });
        let (end, ends) = bounded(0);
        assert!(pool.run(ends.clone()).is_ok());
        assert!(pool.run(ends.clone()).is_ok());
        let first = [starts.recv().unwrap(), starts.recv().unwrap()];
        assert!(pool.run(ends.clone()).is_err());
        assert_eq!(pool.busy(), 2);
        for _ in 0..100 {
            end.send(()).unwrap();
            while pool.busy() == 2 {
                thread::yield_now();
            }
            assert!(pool.run(ends.clone()).is_ok());
            assert!(first.contains(&starts.recv().unwrap()), "a thread is used again");
        }
        drop(end);
        assert_eq!(pool.wait_idle(Instant::now() + LONG), 0);
    }

    #[test]
    fn a_panicking_job_costs_its_thread_nothing() {
        let (done, results) = unbounded();
        let pool = Pool::new("test", 1, 64 * 1024, LONG, move |n: u32| {
            if n == 0 {
                panic!("on purpose");
            }
            done.send(n).unwrap();
        });
        for n in 0..3 {
            while pool.run(n).is_err() {}
            pool.wait_idle(Instant::now() + LONG);
        }
        assert_eq!(results.iter().take(2).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn idle_threads_end() {
        let pool = Pool::new("test", 1, 64 * 1024, Duration::ZERO, |_: ()| {});
        let shared = pool.shared.clone();
        pool.run(()).unwrap();
        pool.wait_idle(Instant::now() + LONG);
        while shared.census.lock().threads > 0 {
            thread::yield_now();
        }
        assert!(pool.run(()).is_ok());
    }
}
