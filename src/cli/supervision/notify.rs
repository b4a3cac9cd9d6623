//! `sd_notify(3)`: one datagram for each word, to the socket that `NOTIFY_SOCKET` names.

use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

/// The way to the service manager, or to nobody.
#[derive(Clone)]
pub(super) struct Notifier(Option<SocketAddr>);

impl Notifier {
    pub(super) fn from_env() -> Self {
        let Ok(name) = env::var("NOTIFY_SOCKET") else { return Self(None) };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        if let Err(error) = &address {
            log::warn!("NOTIFY_SOCKET={name}: {error}; nobody is told how the server is");
        }
        Self(address.ok())
    }

    #[cfg(test)]
    pub(super) fn to(address: SocketAddr) -> Self {
        Self(Some(address))
    }

    /// Does not wait: a manager that reads nothing does not hold the server up.
    pub(super) fn tell(&self, words: &[&str]) {
        let Some(address) = &self.0 else { return };
        let send = || -> io::Result<()> {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.send_to_addr(words.join("\n").as_bytes(), address).map(drop)
        };
        if let Err(error) = send() {
            log::warn!("the service manager could not be told {}: {error}", words[0]);
        }
    }

    /// In which time it expects a sign of life, if it does, and of this process.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?;
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let usec = number("WATCHDOG_USEC").filter(|usec| 0 < *usec && is_ours)?;
        Some(Duration::from_micros(usec))
    }
}

/// By which the manager tells an answer to its own request from an older one.
pub(super) fn monotonic_usec() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
