//! The door: a listening socket whose `accept` can be ended from another thread, and that survives a lack of
//! descriptors. Either our own, or one that others hold too and that must outlive us.

use super::waker::Waker;
use crate::error::{Error, Result};
use crate::limits::Limits;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long until accept is tried again when nothing tells that it could succeed.
const AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Listener {
    socket: TcpListener,
    /// A descriptor kept for the moment there are no others: given up to accept, and so be able to refuse, one more.
    spare: Mutex<Option<File>>,
    /// For a socket that was handed over: ends `accept` in place of a shutdown, which would end it for all who hold it.
    waker: Option<Waker>,
}

/// What came through the door.
pub(crate) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// There are no descriptors left; this connection was taken with the last one and must be refused at once.
    OneTooMany(TcpStream),
    /// [`Listener::close`] was called.
    Closed,
}

impl Listener {
    /// Listens with the backlog and send buffer of `limits`.
    pub(crate) fn bind(address: SocketAddr, limits: &Limits) -> Result<Self> {
        let bind = || -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // A server that restarts must not wait for the old connections' TIME_WAIT.
            socket.set_reuse_address(true)?;
            // Accepted sockets inherit it. Left alone the kernel grows it to megabytes for a client that does not read.
            socket.set_send_buffer_size(limits.send_buffer)?;
            socket.set_tcp_nodelay(true)?;
            socket.bind(&address.into())?;
            socket.listen(limits.backlog)?;
            Ok(socket.into())
        };
        let socket = bind().map_err(|error| Error::Bind(address, error))?;
        Ok(Self { socket, spare: spare(), waker: None })
    }

    /// Takes a socket that listens already. Its backlog stays as it is.
    pub(crate) fn adopt(socket: TcpListener, limits: &Limits) -> Result<Self> {
        let options = SockRef::from(&socket);
        if !options.is_listener()? {
            let text = "the socket that was handed over does not listen; hand over the listening one (systemd: Accept=no)";
            return Err(Error::Config(text.into()));
        }
        options.set_send_buffer_size(limits.send_buffer)?;
        options.set_tcp_nodelay(true)?;
        // Whoever else holds it may take the client that `poll` has announced.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, spare: spare(), waker: Some(Waker::new()?) })
    }

    /// Whether it goes on without us.
    pub(crate) fn is_shared(&self) -> bool {
        self.waker.is_some()
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Blocks until a client connects or [`Listener::close`] is called.
    pub(crate) fn accept(&self) -> Accepted {
        loop {
            if self.is_woken() {
                return Accepted::Closed;
            }
            match self.socket.accept() {
                Ok((socket, peer)) => return Accepted::Connection(socket, peer),
                // Linux answers EINVAL to an accept on a listener that was shut down.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Accepted::Closed,
                Err(error) if is_out_of_descriptors(&error) => {
                    if let Some(socket) = self.accept_with_spare() {
                        return Accepted::OneTooMany(socket);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_out_of_memory(&error) => thread::sleep(AGAIN),
                // The client is gone already, or the network coughed: neither is the listener's end.
                Err(error) => log::debug!("accept: {error}"),
            }
        }
    }

    /// Waits for a client, if the socket is one to wait for. `true`: [`Listener::close`] was called.
    fn is_woken(&self) -> bool {
        let Some(waker) = &self.waker else { return false };
        let mut either = [PollFd::new(waker, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut either, None).is_ok() && !either[0].revents().is_empty()
    }

    /// Ends [`Listener::accept`]. New clients are refused by the kernel; those of a shared socket wait for whoever holds it.
    pub(crate) fn close(&self) {
        match &self.waker {
            Some(waker) => waker.wake(),
            None => drop(SockRef::from(&self.socket).shutdown(Shutdown::Both)),
        }
    }

    fn accept_with_spare(&self) -> Option<TcpStream> {
        let mut spare = self.spare.lock();
        let had_spare = spare.take().is_some();
        let accepted = self.socket.accept().ok().map(|(socket, _)| socket);
        if !had_spare && accepted.is_none() {
            // accept would answer at once for ever.
            thread::sleep(AGAIN);
        }
        accepted
    }

    /// Takes the spare descriptor back, once the connection accepted with it is closed.
    pub(crate) fn restore_spare(&self) {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            *spare = File::open("/dev/null").ok();
        }
    }
}

/// The client is still there to be accepted, and accept answers the same at once.
fn is_out_of_memory(error: &io::Error) -> bool {
    let error = rustix::io::Errno::from_io_error(error);
    matches!(error, Some(rustix::io::Errno::NOMEM | rustix::io::Errno::NOBUFS))
}

fn spare() -> Mutex<Option<File>> {
    Mutex::new(File::open("/dev/null").ok())
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let error = rustix::io::Errno::from_io_error(error);
    matches!(error, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
