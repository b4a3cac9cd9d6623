//! One TCP socket: a blocking read half for the connection's thread, a write half that never blocks for whoever drains the
//! outbox. One handle for both, as a second one would cost a second descriptor.

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// `SO_SNDBUF` for the last frames to a client that does not read: the kernel cuts it to its `wmem_max`.
const LAST_SEND_BUFFER: usize = 4 * 1024 * 1024;

pub(crate) struct Socket {
    tcp: TcpStream,
    /// The read timeout that the socket has now: setting it costs a system call, and it rarely changes.
    read_timeout: Mutex<Option<Duration>>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, read_timeout: Mutex::new(None) }
    }

    /// Reads what there is; blocks until there is something, for `timeout` at most (`WouldBlock`).
    ///
    /// The timeout is kept to within an eighth: a deadline that is checked again afterwards does not need more.
    pub(crate) fn read(&self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.set_read_timeout(timeout)?;
        loop {
            match (&self.tcp).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Reads what there is now. `WouldBlock`: nothing.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = recv(&self.tcp, buffer, RecvFlags::DONTWAIT)?;
        Ok(read)
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        // Zero would mean "for ever" to the kernel.
        let timeout = timeout.max(Duration::from_millis(1));
        let mut set = self.read_timeout.lock();
        let near = set.is_some_and(|set| set <= timeout + timeout / 8 && timeout - timeout / 8 <= set);
        if !near {
            self.tcp.set_read_timeout(Some(timeout))?;
            *set = Some(timeout);
        }
        Ok(())
    }

    /// Waits until a read would not block; `false` when `timeout` passed first.
    pub(crate) fn wait_readable(&self, timeout: Duration) -> io::Result<bool> {
        self.wait(PollFlags::IN, timeout)
    }

    /// Waits until the socket takes something; `TimedOut` at the deadline.
    pub(crate) fn wait_writable(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.wait(PollFlags::OUT, left).map(|_| ())
    }

    fn wait(&self, what: PollFlags, timeout: Duration) -> io::Result<bool> {
        match poll(&mut [PollFd::new(&self.tcp, what)], Some(&timespec(timeout))) {
            Ok(ready) => Ok(0 < ready),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much as the socket takes now. `WouldBlock`: it is full.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.tcp, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// [`Socket::try_write`] of many pieces in one system call.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(sendmsg(&self.tcp, pieces, &mut SendAncillaryBuffer::default(), flags)?)
    }

    /// Writes everything, waiting for room until `deadline` (`TimedOut`).
    pub(crate) fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable(deadline)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room in the kernel for a few last bytes to a peer that does not read, so that it finds them should it read
    /// again. Does nothing when the kernel allows no more.
    pub(crate) fn make_room(&self) {
        let _ = SockRef::from(&self.tcp).set_send_buffer_size(LAST_SEND_BUFFER);
    }

    /// Ends one direction or both; wakes a thread that is blocked in [`Socket::read`] when that direction is ended.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        // It may have ended before.
        let _ = self.tcp.shutdown(how);
    }
}

/// As `poll` takes it.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}
