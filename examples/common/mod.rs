//! What all examples share: the address on the command line, the first line on stdout, the local time.

#![allow(dead_code, reason = "each example uses a part of it")]

use jiff::{Timestamp, tz::TimeZone};
use std::{env, thread};
use switchboard::{Builder, Error, Result, Server};

/// Serves what `mount` adds, at `--bind ADDR:PORT`, until the process is ended.
#[allow(clippy::print_stdout, reason = "says where it listens")]
pub(crate) fn serve(mount: impl FnOnce(Builder) -> Builder) -> Result<()> {
    let server = mount(Server::builder()).bind(&option("--bind", "127.0.0.1:9527")?)?.start()?;
    println!("listening on http://{}", server.local_addr());
    loop {
        thread::park(); // the server has its own threads; dropping `server` would stop it
    }
}

/// The value that follows `name` on the command line.
///
/// # Errors
/// When something is on the command line that no example knows.
pub(crate) fn option(name: &str, default: &str) -> Result<String> {
    let mut value = default.to_string();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            (argument, Some(given)) if argument == name => value = given,
            ("--bind" | "--interval", Some(_)) => {}
            _ => {
                return Err(Error::Config(format!(
                    "`{argument}`: give --bind ADDR:PORT or --interval SECONDS"
                )));
            }
        }
    }
    Ok(value)
}

/// The clock on the wall.
#[derive(Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// Reads the time zone, once: that takes more stack than a connection's thread has (`Limits::stack`).
    pub(crate) fn local() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// Now: `2023-04-01 09:24:14.787357`.
    pub(crate) fn now(&self) -> String {
        Timestamp::now().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
    }
}
