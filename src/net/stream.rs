//! A connection's bytes in the clear: a socket, or TLS over one. Reading blocks and is for the connection's thread alone;
//! writing never blocks and is for whoever drains the outbox.

use super::socket::Socket;
use super::tls::Tls;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) struct Stream {
    socket: Socket,
    peer: SocketAddr,
    /// In a box: it has more than a kilobyte, which a plain connection need not have.
    tls: OnceLock<Box<Tls>>,
}

/// How much of what TLS had taken has left.
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing takes anything"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The socket is full now.
    Part,
    /// It was full before.
    Nothing,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        Self { socket: Socket::new(socket), peer, tls: OnceLock::new() }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the bytes are sealed on their way.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Runs a TLS handshake; from then on everything goes through it.
    #[cfg(feature = "tls")]
    pub(crate) fn secure<E>(&self, handshake: impl FnOnce(&Socket) -> Result<Tls, E>) -> Result<(), E> {
        let tls = handshake(&self.socket)?;
        let _ = self.tls.set(Box::new(tls));
        Ok(())
    }

    /// Reads what there is; blocks until there is something, for `timeout` at most (`WouldBlock`).
    pub(crate) fn read(&self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        match self.tls.get() {
            Some(tls) => tls.read(&self.socket, buffer, timeout),
            None => self.socket.read(buffer, timeout),
        }
    }

    /// Reads what there is now. `WouldBlock`: nothing.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.tls.get() {
            Some(tls) => tls.try_read(&self.socket, buffer),
            None => self.socket.try_read(buffer),
        }
    }

    /// Waits until there is something to read; `false` when `timeout` passed first. With TLS it may be half a record.
    pub(crate) fn wait_readable(&self, timeout: Duration) -> io::Result<bool> {
        match self.tls.get() {
            Some(tls) if tls.has_plaintext() => Ok(true),
            _ => self.socket.wait_readable(timeout),
        }
    }

    /// Writes as much as is taken now. `WouldBlock`: it is full. With TLS what is taken leaves by [`Stream::flush`] at the
    /// latest.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.tls.get() {
            Some(tls) => tls.try_write(&self.socket, &[IoSlice::new(bytes)]),
            None => self.socket.try_write(bytes),
        }
    }

    /// [`Stream::try_write`] of many pieces at once.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.get() {
            Some(tls) => tls.try_write(&self.socket, pieces),
            None => self.socket.try_write_vectored(pieces),
        }
    }

    /// Writes what was taken.
    pub(crate) fn flush(&self) -> io::Result<Flushed> {
        self.tls.get().map_or(Ok(Flushed::All), |tls| tls.flush(&self.socket))
    }

    /// Whether TLS has something to say that nobody asked it to, as the answer to a key update.
    pub(crate) fn wants_flush(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.wants_write())
    }

    /// Writes everything, waiting for room until `deadline` (`TimedOut`). Only while no outbox has the stream.
    pub(crate) fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let Some(tls) = self.tls.get() else { return self.socket.write_all(bytes, deadline) };
        while !bytes.is_empty() || tls.flush(&self.socket)? != Flushed::All {
            match tls.try_write(&self.socket, &[IoSlice::new(bytes)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait_writable(deadline)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room for a few last bytes to a peer that does not read: see [`Socket::make_room`].
    pub(crate) fn make_room(&self) {
        self.socket.make_room();
    }

    /// Ends one direction or both; wakes a thread that is blocked in [`Stream::read`] when that direction is ended.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        if let (Some(tls), Shutdown::Write) = (self.tls.get(), how) {
            tls.close(&self.socket);
        }
        self.socket.shutdown(how);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
