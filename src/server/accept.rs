//! The door: one thread accepts and hands each socket to a thread of the pool. It reads nothing itself, so that no client
//! can hold it up; whom it must refuse gets 503 at once.

use super::front;
use super::probes_tls;
use super::refusals::Cause;
use super::respond::encode_refusal;
use super::shared::Shared;
use crate::limits::PROBES;
use crate::metrics::Metrics;
use crate::net::listener::{Accepted, Listener};
use crate::net::pool::Pool;
use crate::net::stream::Stream;
use parking_lot::Mutex;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub(crate) struct Door {
    listener: Arc<Listener>,
    pool: Arc<Pool<Arc<Stream>>>,
    /// For those who come with TLS while the other is used up.
    probes: Arc<Pool<Arc<Stream>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Door {
    pub(crate) fn open(shared: &Arc<Shared>, listener: Listener) -> io::Result<Self> {
        let listener = Arc::new(listener);
        let (limits, served) = (&shared.limits, shared.clone());
        let serve = move |stream| front::serve(&served, stream);
        let pool =
            Pool::new("sb-connection", shared.max_connections, limits.stack, limits.thread_idle, serve);
        let pool = Arc::new(pool);
        let _ = shared.pool.set(Arc::downgrade(&pool));
        let served = shared.clone();
        let hear = move |stream| probes_tls::serve(&served, stream);
        let probes = Arc::new(Pool::new("sb-probe", PROBES, limits.stack, limits.thread_idle, hear));
        let accept = {
            let (shared, listener) = (shared.clone(), listener.clone());
            let (pool, probes) = (pool.clone(), probes.clone());
            move || accept_all(&shared, &listener, &pool, &probes)
        };
        let thread =
            thread::Builder::new().name("sb-accept".into()).stack_size(limits.stack).spawn(accept)?;
        Ok(Self { listener, pool, probes, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until no connection is open, or `deadline`; how many are.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> usize {
        self.pool.wait_idle(deadline) + self.probes.wait_idle(deadline)
    }

    /// Accepts nobody any more. Whoever was accepted has been handed to the pool then.
    pub(crate) fn close(&self) {
        self.listener.close();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn accept_all(shared: &Shared, listener: &Listener, pool: &Pool<Arc<Stream>>, probes: &Pool<Arc<Stream>>) {
    loop {
        match listener.accept() {
            Accepted::Closed => return,
            Accepted::OneTooMany(socket) => {
                log::warn!(
                    "no file descriptors left: connections are refused; raise the limit with `ulimit -n`"
                );
                refuse_at_once(&socket, &shared.metrics);
                drop(socket);
                listener.restore_spare();
            }
            Accepted::Connection(socket, peer) => {
                shared.metrics.accepted.add(1);
                let stream = Arc::new(Stream::new(socket, peer));
                // One that a handler gave away has no thread of the pool any more, but still its place.
                let is_full = shared.max_connections <= shared.metrics.connections.get() as usize;
                let served = if is_full { Err(stream) } else { pool.run(stream) };
                let hear = |stream| if shared.speaks_tls() { probes.run(stream) } else { Err(stream) };
                if let Err(stream) = served.or_else(hear) {
                    let proxied = shared.proxies.announce(peer.ip());
                    shared.refusals.refuse(stream, Cause::Full, proxied);
                }
            }
        }
    }
}

fn refuse_at_once(socket: &TcpStream, metrics: &Metrics) {
    let _ = socket.set_nonblocking(true);
    let _ = io::Write::write(&mut &*socket, &encode_refusal(Cause::Full.refusal(metrics)));
    let _ = socket.shutdown(Shutdown::Write);
}
