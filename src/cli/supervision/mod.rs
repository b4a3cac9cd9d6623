//! What a service manager is told and gives: systemd, or whatever else speaks as it does. Without one nothing happens here.

mod notify;
mod socket;

pub(crate) use socket::listener;

use notify::Notifier;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use switchboard::Handle;

/// Tells how the server is. While it lives, the watchdog is fed, as long as the hub is at work.
pub(crate) struct Supervisor {
    notifier: Notifier,
    server: Handle,
    /// What the manager shows is how it ends.
    is_stopping: Arc<AtomicBool>,
    /// Dropped, it ends the thread.
    _watch: Option<Sender<()>>,
}

impl Supervisor {
    /// Tells that the server serves.
    pub(crate) fn start(server: Handle) -> Self {
        let notifier = Notifier::from_env();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let watch = notifier.watchdog().map(|period| {
            let (stop, stopped) = channel::<()>();
            let (notifier, server, is_stopping) = (notifier.clone(), server.clone(), is_stopping.clone());
            // Twice in the time that the manager waits: once may be late.
            let feed = move || {
                while stopped.recv_timeout(period / 2) == Err(RecvTimeoutError::Timeout) {
                    feed(&notifier, &server, is_stopping.load(Relaxed), period / 2);
                }
            };
            thread::spawn(feed);
            stop
        });
        let supervisor = Self { notifier, server, is_stopping, _watch: watch };
        supervisor.ready();
        supervisor
    }

    fn ready(&self) {
        self.notifier.tell(&["READY=1", &status(&self.server)]);
    }

    /// Tells that the configuration is read again, has it read, and tells that it was.
    pub(crate) fn reload(&self, reload: impl FnOnce()) {
        let now = format!("MONOTONIC_USEC={}", notify::monotonic_usec());
        self.notifier.tell(&["RELOADING=1", &now, "STATUS=reading the configuration again"]);
        reload();
        self.ready();
    }

    /// Tells that the server ends, and how long that may take.
    pub(crate) fn stopping(&self, drain: Duration) {
        // A second for what is cut, and some more for whatever else there is to do.
        let within = format!("EXTEND_TIMEOUT_USEC={}", (drain + Duration::from_secs(5)).as_micros());
        self.is_stopping.store(true, Relaxed);
        let status = ending(&self.server);
        self.notifier.tell(&["STOPPING=1", &within, &status]);
    }
}

fn feed(notifier: &Notifier, server: &Handle, is_stopping: bool, patience: Duration) {
    if server.answers(patience) {
        let status = if is_stopping { ending(server) } else { status(server) };
        notifier.tell(&["WATCHDOG=1", &status]);
    } else {
        log::error!("the hub has not answered within {patience:?}: the watchdog gets nothing");
    }
}

fn status(server: &Handle) -> String {
    let (open, most) = (server.connections(), server.max_connections());
    format!("STATUS=listening on {}, {open} of {most} connections", server.local_addr())
}

fn ending(server: &Handle) -> String {
    format!("STATUS=stopping, connections open: {}", server.connections())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::sync::Mutex;
    use switchboard::Server;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn the_watchdog_is_fed_only_while_the_hub_is_at_work() {
        let name = format!("switchboard-test-{}-feed", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let (release, hold) = channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let server = Server::builder().route("/", move |mut ws| {
            let hold = hold.clone();
            // A view runs in the hub's turn.
            ws.join_with("room", move |message| {
                let _ = hold.lock().unwrap().recv();
                Some(message)
            })?;
            ws.send("joined")?;
            ws.recv().map(drop)
        });
        let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        // Dropped before the server, which waits for the hub.
        let release = release;
        let mut client = server.connect("/").unwrap();
        client.recv().unwrap();
        let notifier = Notifier::to(address);
        server.room("room").send("holds the hub up");
        feed(&notifier, &server, false, Duration::from_millis(50));
        manager.set_nonblocking(true).unwrap();
        assert!(manager.recv(&mut [0; 100]).is_err());
        drop(release);
        feed(&notifier, &server, false, PATIENCE);
        let mut told = [0; 100];
        let length = manager.recv(&mut told).unwrap();
        assert!(told[..length].starts_with(b"WATCHDOG=1\nSTATUS=listening on 127.0.0.1:"));
    }
}
