//! What all examples share: the address on the command line, the first line on stdout, the local time.

#![allow(dead_code, reason = "each example uses a part of it")]

use jiff::{Timestamp, tz::TimeZone};
use std::time::Duration;
use std::{env, process, thread};
use switchboard::{Builder, Result, Server};

/// Serves what `mount` adds, at `--bind ADDR:PORT`, until the process is ended.
#[allow(clippy::print_stdout, reason = "says where it listens")]
pub(crate) fn serve(mount: impl FnOnce(Builder) -> Builder) -> Result<()> {
    let server = mount(Server::builder()).bind(&address())?.start()?;
    println!("listening on http://{}", server.local_addr());
    loop {
        thread::park(); // the server has its own threads; dropping `server` would stop it
    }
}

/// `--bind ADDR:PORT`; port 0 takes any free one.
pub(crate) fn address() -> String {
    option("--bind").unwrap_or("127.0.0.1:9527".into())
}

/// `--interval SECONDS`: how often something happens that happens by itself.
pub(crate) fn interval() -> Duration {
    let Some(seconds) = option("--interval") else { return Duration::from_secs(30) };
    let interval = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval.filter(|interval| !interval.is_zero()).unwrap_or_else(|| misused(&seconds))
}

/// What follows `name` on the command line.
fn option(name: &str) -> Option<String> {
    let mut found = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--bind" | "--interval", Some(value)) if argument == name => found = Some(value),
            ("--bind" | "--interval", Some(_)) => {}
            _ => misused(&argument),
        }
    }
    found
}

#[allow(clippy::print_stderr, reason = "says what would do")]
fn misused(what: &str) -> ! {
    eprintln!("`{what}` does not fit: give --bind ADDR:PORT, --interval SECONDS, both, or nothing");
    process::exit(2)
}

/// The clock on the wall.
#[derive(Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// Reads the time zone, once.
    pub(crate) fn local() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// Now: `2023-04-01 09:24:14.787357`.
    pub(crate) fn now(&self) -> String {
        Timestamp::now().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
    }
}
