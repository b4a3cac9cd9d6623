//! A client's TLS without a socket: records in, plaintext out, and the other way round.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Whom to trust, and the sessions that can be resumed.
pub(crate) type Config = Arc<ClientConfig>;

pub(crate) struct Sealed {
    connection: ClientConnection,
    is_closed: bool,
}

impl Sealed {
    /// Begins a handshake with a server of that name or address.
    pub(crate) fn connect(config: &Config, host: &str) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        // What waits is the caller's to bound: nothing must be left out.
        connection.set_buffer_limit(None);
        Ok(Self { connection, is_closed: false })
    }

    /// What the records hold, cut anywhere. On an error [`Sealed::send`] has the alert that tells the peer.
    pub(crate) fn receive(&mut self, mut records: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        // rustls takes a few KiB at once, and wants what they held to be fetched before the next ones.
        while !records.is_empty() {
            if self.connection.read_tls(&mut records)? == 0 {
                break;
            }
            let state = self.connection.process_new_packets();
            let held = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let start = plain.len();
            plain.resize(start + held.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut plain[start..])?;
        }
        Ok(plain)
    }

    /// Records for that, and whatever else TLS has to say. `last`: nothing follows. RFC 8446 §6.1
    pub(crate) fn send(&mut self, plain: &[u8], last: bool) -> Vec<u8> {
        let mut records = Vec::new();
        // Neither a buffer without bound nor a Vec refuses anything.
        let _ = self.connection.writer().write_all(plain);
        if last && !self.is_closed {
            self.is_closed = true;
            self.connection.send_close_notify();
        }
        while self.connection.wants_write() {
            let _ = self.connection.write_tls(&mut records);
        }
        records
    }
}
