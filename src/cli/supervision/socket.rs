//! Socket activation, `sd_listen_fds(3)`: the manager opens the socket and hands it over, so that clients who come during a
//! restart wait in its backlog.

use rustix::io::{FdFlags, fcntl_setfd};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use switchboard::{Error, Result};

/// `FileDescriptorName=` in the socket's unit, when there is more than one socket.
const NAME: &str = "switchboard";

/// The socket that was handed over, if one was. To be asked once, before anything else is opened.
pub(crate) fn listener() -> Result<Option<TcpListener>> {
    let handed_over = sd_listen_fds::get().map_err(|error| {
        Error::Config(format!("{error}: unset LISTEN_PID, or set LISTEN_FDS to the number of sockets"))
    })?;
    let sockets =
        handed_over.into_iter().map(|(name, fd)| (name.unwrap_or_default(), fd.into_std())).collect();
    choose(sockets).map_err(Error::Config)?.map(tcp).transpose()
}

/// Ours among those: the only one, or the one with the name.
fn choose<T>(mut sockets: Vec<(String, T)>) -> Result<Option<T>, String> {
    let count = sockets.len();
    let names: Vec<String> = sockets.iter().map(|(name, _)| name.clone()).collect();
    if 1 < count {
        sockets.retain(|(name, _)| name == NAME);
    }
    match sockets.len() {
        0 | 1 if sockets.len() == count.min(1) => Ok(sockets.pop().map(|(_, socket)| socket)),
        _ => Err(format!(
            "{count} sockets were handed over ({}) and one is served: leave one ListenStream=, or give that one \
             FileDescriptorName={NAME}",
            names.join(", ")
        )),
    }
}

fn tcp(socket: OwnedFd) -> Result<TcpListener> {
    // Not for programs that we might start.
    let private = fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(io::Error::from);
    let listener = TcpListener::from(socket);
    match private.and_then(|()| listener.local_addr()) {
        Ok(_) => Ok(listener),
        Err(error) => Err(Error::Config(format!(
            "what was handed over is no socket of TCP ({error}); write ListenStream=PORT, or ADDR:PORT"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_is_taken_and_of_many_the_one_with_the_name() {
        let chosen = |names: &[&str]| {
            choose(names.iter().enumerate().map(|(index, name)| (name.to_string(), index)).collect())
        };
        for (names, index) in [
            (&[][..], None),
            (&[""], Some(0)),
            (&["whatever"], Some(0)),
            (&["metrics", "switchboard"], Some(1)),
            (&["switchboard", "a", "b"], Some(0)),
        ] {
            assert_eq!(chosen(names), Ok(index), "{names:?}");
        }
        for names in [&["", ""][..], &["a", "b"], &["switchboard", "switchboard"]] {
            let error = chosen(names).unwrap_err();
            assert!(error.starts_with("2 sockets") && error.contains(names[0]), "{error}");
        }
    }
}
