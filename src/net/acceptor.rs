//! A server's TLS handshakes, on stacks that are given back.
//!
//! A handshake's cryptography touches 24 KiB of stack; a connection's own thread would keep them for as long as the connection
//! lives. So a few threads do nothing but handshakes.

use super::pool::Pool;
use super::stream::Stream;
use super::tls::{HandshakeError, Tls};
use crate::limits::Limits;
use crossbeam_channel::{Sender, bounded};
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Handshakes that have a thread of their own; those beyond run on their connection's.
const THREADS: usize = 64;

pub(crate) struct Acceptor {
    config: Arc<ServerConfig>,
    pool: Pool<Handshake>,
}

struct Handshake {
    stream: Arc<Stream>,
    deadline: Instant,
    done: Sender<Result<(), HandshakeError>>,
}

impl Acceptor {
    pub(crate) fn new(config: Arc<ServerConfig>, limits: &Limits) -> Self {
        let shared = config.clone();
        let work = move |job: Handshake| {
            let _ = job.done.send(accept(&shared, &job.stream, job.deadline));
        };
        Self { config, pool: Pool::new("sb-handshake", THREADS, limits.stack, limits.thread_idle, work) }
    }

    /// Turns the stream into one that speaks TLS. Blocks, until `deadline` at most.
    pub(crate) fn secure(&self, stream: &Arc<Stream>, deadline: Instant) -> Result<(), HandshakeError> {
        let (done, result) = bounded(1);
        match self.pool.run(Handshake { stream: stream.clone(), deadline, done }) {
            Ok(()) => {
                result.recv().unwrap_or_else(|_| Err(io::Error::other("the handshake panicked").into()))
            }
            Err(job) => accept(&self.config, &job.stream, job.deadline),
        }
    }
}

fn accept(config: &Arc<ServerConfig>, stream: &Stream, deadline: Instant) -> Result<(), HandshakeError> {
    stream.secure(|socket| Tls::accept(socket, config.clone(), deadline))
}
