//! Clients that are refused before they have said anything. One thread sees all of them off, so that they hold neither a
//! thread nor a place that others could have.
//!
//! Each is answered once its request has begun to come: there are clients that see no answer which was there before they
//! asked. Then what it still sends is read, or the kernel would reset the connection and the answer could be lost.

use crate::limits::{DISMISSAL, DISMISSALS};
use crate::net::stream::Stream;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{io, mem};
use tungstenite::Bytes;

/// The thread ends when this is dropped, or told to stop.
pub(crate) struct Refusals(Arc<Inbox>);

struct Inbox {
    arrived: Mutex<Arrived>,
    /// Wakes the thread from `poll`.
    waker: OwnedFd,
}

#[derive(Default)]
struct Arrived {
    refused: Vec<Refused>,
    /// How many there are, those that the thread has included.
    waiting: usize,
    stopped: bool,
}

struct Refused {
    stream: Arc<Stream>,
    /// Until it is sent.
    answer: Option<Bytes>,
    deadline: Instant,
    readable: bool,
}

impl Refusals {
    pub(crate) fn start(stack: usize) -> io::Result<(Self, JoinHandle<()>)> {
        let waker = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let inbox = Arc::new(Inbox { arrived: Mutex::default(), waker });
        let shared = inbox.clone();
        let run = move || see_off(&shared);
        let thread = thread::Builder::new().name("sb-refusals".into()).stack_size(stack).spawn(run)?;
        Ok((Self(inbox), thread))
    }

    /// Answers and hangs up, when the client has asked. Never blocks.
    pub(crate) fn refuse(&self, stream: Arc<Stream>, answer: impl Into<Bytes>) {
        let (answer, deadline) = (Some(answer.into()), Instant::now() + DISMISSAL);
        let mut refused = Refused { stream, answer, deadline, readable: false };
        let mut arrived = self.0.arrived.lock();
        if arrived.waiting < DISMISSALS && !arrived.stopped {
            arrived.waiting += 1;
            arrived.refused.push(refused);
            drop(arrived);
            self.0.wake();
        } else {
            drop(arrived);
            refused.answer();
        }
    }

    pub(crate) fn stop(&self) {
        self.0.arrived.lock().stopped = true;
        self.0.wake();
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inbox {
    fn wake(&self) {
        // It fails only when the counter is full, and then the thread wakes anyway.
        let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
    }
}

impl Refused {
    fn answer(&mut self) {
        if let Some(answer) = self.answer.take() {
            let _ = self.stream.try_write(&answer);
            self.stream.shutdown(Shutdown::Write);
        }
    }

    /// `false`: there is nothing more to do.
    fn go_on(&mut self, now: Instant) -> bool {
        let is_late = self.deadline <= now;
        if self.readable || is_late {
            self.answer();
        }
        if self.readable {
            let mut buffer = [0; 1024];
            return match self.stream.try_read(&mut buffer) {
                Ok(read) => 0 < read && !is_late,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock && !is_late,
            };
        }
        !is_late
    }
}

fn see_off(inbox: &Inbox) {
    let mut all: Vec<Refused> = Vec::new();
    loop {
        let now = Instant::now();
        let before = all.len();
        all.retain_mut(|refused| refused.go_on(now));
        {
            let mut arrived = inbox.arrived.lock();
            arrived.waiting -= before - all.len();
            if arrived.stopped {
                let rest = mem::take(&mut arrived.refused);
                all.into_iter().chain(rest).for_each(|mut refused| refused.answer());
                return;
            }
            all.append(&mut arrived.refused);
        }
        wait(inbox, &mut all);
    }
}

/// Until one of them has sent something, a deadline has come, or there is one more.
fn wait(inbox: &Inbox, all: &mut [Refused]) {
    let timeout = all.iter().map(|refused| refused.deadline).min().map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
    });
    let readable: Vec<bool> = {
        let sockets = all.iter().map(|refused| PollFd::new(&*refused.stream, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> =
            [PollFd::new(&inbox.waker, PollFlags::IN)].into_iter().chain(sockets).collect();
        if let Err(error) = poll(&mut fds, timeout.as_ref())
            && error != rustix::io::Errno::INTR
        {
            log::error!("poll: {error}");
        }
        fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect()
    };
    all.iter_mut().zip(readable).for_each(|(refused, readable)| refused.readable = readable);
    let _ = rustix::io::read(&inbox.waker, &mut [0; 8]);
}
