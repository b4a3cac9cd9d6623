//! A thread that waits for many sockets at once, and that others can wake.

use super::socket::timespec;
use super::stream::Stream;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Ends the wait that is under way, or the next one.
    pub(crate) fn wake(&self) {
        // It fails only when the counter is full, and then the thread wakes anyway.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until something can be done with one of the sockets, until `deadline`, or until it is woken; with which.
    pub(crate) fn wait<'a>(
        &self,
        sockets: impl Iterator<Item = (&'a Stream, PollFlags)>,
        deadline: Option<Instant>,
    ) -> Vec<bool> {
        let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
        fds.extend(sockets.map(|(socket, what)| PollFd::new(socket, what)));
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        if let Err(error) = poll(&mut fds, timeout.as_ref())
            && error != Errno::INTR
        {
            log::error!("poll: {error}");
        }
        let _ = read(&self.0, &mut [0; 8]);
        fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
