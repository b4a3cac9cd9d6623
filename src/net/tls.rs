//! TLS over one socket, read by one thread while another writes.
//!
//! The lock around rustls' state is held for cryptography only, never across a socket call. Only whoever drains the outbox
//! takes records out and writes them, so the order in which they were sealed is the order on the wire. All knowledge of rustls
//! is in this file and in `certificate`.

use super::socket::Socket;
use super::stream::Flushed;
use crate::limits::KIB;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is read from the socket at once. rustls takes so much in one call; more than one could fill its buffer for what
/// the records hold.
const READ: usize = 4 * KIB;
/// First byte of a TLS connection: a handshake record. RFC 8446 §5.1.
const HANDSHAKE_RECORD: u8 = 0x16;

pub(crate) struct Tls {
    connection: Mutex<Connection>,
    /// Read from the socket, and not handed to rustls yet. Only the connection's thread comes here.
    unread: Mutex<Vec<u8>>,
    sealed: Mutex<Sealed>,
}

/// Records that the socket did not take yet.
#[derive(Default)]
struct Sealed {
    bytes: Vec<u8>,
    written: usize,
}

/// Why a handshake came to nothing.
pub(crate) enum HandshakeError {
    /// The client does not speak TLS.
    NotTls,
    Failed(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Tls {
    /// The server's side of the handshake, until `deadline`.
    pub(crate) fn accept(
        socket: &Socket,
        config: Arc<ServerConfig>,
        deadline: Instant,
    ) -> Result<Self, HandshakeError> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Self::handshake(socket, connection.into(), deadline)
    }

    /// The client's side, with a server of that name or address.
    pub(crate) fn connect(
        socket: &Socket,
        config: Arc<ClientConfig>,
        host: &str,
        deadline: Instant,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::handshake(socket, connection.into(), deadline).map_err(|error| match error {
            HandshakeError::Failed(error) => error,
            HandshakeError::NotTls => io::ErrorKind::InvalidData.into(),
        })
    }

    fn handshake(
        socket: &Socket,
        mut connection: Connection,
        deadline: Instant,
    ) -> Result<Self, HandshakeError> {
        let (mut buffer, mut unread) = (vec![0; READ], Vec::new());
        let mut first = matches!(connection, Connection::Server(_));
        while connection.is_handshaking() {
            socket.write_all(&to_write(&mut connection)?, deadline)?;
            let read = socket.read(&mut buffer, left(deadline)?)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if take(&mut first) && buffer[0] != HANDSHAKE_RECORD {
                return Err(HandshakeError::NotTls);
            }
            let mut records = &buffer[..read];
            while !records.is_empty() && connection.is_handshaking() {
                let Err(error) =
                    take_records(&mut connection, records).map(|taken| records = &records[taken..])
                else {
                    continue;
                };
                // The alert tells the peer what was wrong.
                let mut alert = Vec::new();
                connection.write_tls(&mut alert)?;
                let _ = socket.write_all(&alert, deadline);
                return Err(error.into());
            }
            unread.extend_from_slice(records);
        }
        // The last word of TLS 1.2 is the server's, and the client waits for it.
        socket.write_all(&to_write(&mut connection)?, deadline)?;
        Ok(Self { connection: Mutex::new(connection), unread: Mutex::new(unread), sealed: Mutex::default() })
    }

    /// As [`Socket::read`], of what the records hold. Waits without a buffer: thousands of idle connections would have one.
    pub(crate) fn read(&self, socket: &Socket, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.try_read(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            socket.wait_readable(left)?;
        }
    }

    /// As [`Socket::try_read`]. Feeds rustls only when it has given out all it had: its buffer for that is small, and a full
    /// one is an error.
    pub(crate) fn try_read(&self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.lock().reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer ended TCP without saying so by TLS. The WebSocket's own Close frame tells whether it meant to.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            let mut unread = take(&mut *self.unread.lock());
            if unread.is_empty() {
                unread.resize(READ, 0);
                let size = socket.try_read(&mut unread)?;
                unread.truncate(size);
            }
            let taken = take_records(&mut self.connection.lock(), &unread)?;
            unread.drain(..taken);
            if !unread.is_empty() {
                *self.unread.lock() = unread;
            }
        }
    }

    /// Whether there may be something to read without the socket.
    pub(crate) fn has_plaintext(&self) -> bool {
        !self.unread.lock().is_empty() || self.connection.lock().reader().fill_buf().is_ok()
    }

    /// Whether the protocol itself has something to say, as the answer to a key update.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.lock().wants_write()
    }

    /// As [`Socket::try_write_vectored`]. What it says was written is sealed, and leaves by [`Tls::flush`] at the latest.
    pub(crate) fn try_write(&self, socket: &Socket, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.flush(socket)? != Flushed::All {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.connection.lock().writer().write_vectored(pieces)?;
        self.flush(socket)?;
        Ok(written)
    }

    /// Writes what is sealed.
    pub(crate) fn flush(&self, socket: &Socket) -> io::Result<Flushed> {
        let mut sealed = self.sealed.lock();
        let mut left = Flushed::Nothing;
        loop {
            if sealed.bytes.len() == sealed.written {
                sealed.written = 0;
                sealed.bytes.clear();
                let mut connection = self.connection.lock();
                while connection.wants_write() {
                    connection.write_tls(&mut sealed.bytes)?;
                }
            }
            if sealed.bytes.is_empty() {
                // A thousand idle connections need not keep room for their largest message.
                sealed.bytes = Vec::new();
                return Ok(Flushed::All);
            }
            match socket.try_write(&sealed.bytes[sealed.written..]) {
                Ok(written) => {
                    sealed.written += written;
                    left = Flushed::Part;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(left),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the peer that nothing follows. RFC 8446 §6.1.
    pub(crate) fn close(&self, socket: &Socket) {
        self.connection.lock().send_close_notify();
        // What a full socket does not take now nobody waits for.
        let _ = self.flush(socket);
    }
}

/// The records that wait to be written.
fn to_write(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut records)?;
    }
    Ok(records)
}

/// Hands records over, as many as are taken at once; none means the end of TCP. How many bytes were taken.
fn take_records(connection: &mut Connection, mut records: &[u8]) -> io::Result<usize> {
    let taken = connection.read_tls(&mut records)?;
    connection.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(taken)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
