//! A server as a child process: what it uses, what it logs, how it ends.

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};
use switchboard::{Error, Result};

/// Lines of a log that are kept: more of them tell nothing new.
const LINES: usize = 100;
/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

/// What a server has logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Errors and panics: the first ones.
    pub(super) errors: Vec<String>,
    pub(super) warnings: u64,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of memory.
    pub(super) memory: u64,
    pub(super) threads: u64,
    pub(super) descriptors: u64,
}

impl Server {
    /// This program, serving on a port of its own. Blocks until it listens.
    pub(super) fn start(options: &[String]) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve", "--bind", "127.0.0.1:0"]).args(options);
        // What is in the environment is meant for another server.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SWITCHBOARD_"))
        {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let log = Arc::new(Mutex::new(Log::default()));
        if let Some(stderr) = child.stderr.take() {
            let log = log.clone();
            // All of it is read: the server must not wait for that.
            let read = move || {
                let lines = BufReader::new(stderr).lines().map_while(io::Result::ok);
                lines.for_each(|line| log.lock().add(line));
            };
            thread::Builder::new().name("log".into()).spawn(read)?;
        }
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim_end().strip_prefix("listening on http://").and_then(|it| it.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let status = child.wait()?;
            return Err(Error::other(format!(
                "a server did not start ({status}): `switchboard serve {}` says why",
                options.join(" ")
            )));
        };
        Ok(Self { child, address, log })
    }

    /// What it uses now; `None`: it has ended.
    pub(super) fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id())
    }

    pub(super) fn log(&self) -> Log {
        self.log.lock().clone()
    }

    /// Sends SIGTERM and waits until it has ended, so long at most; `None`: it has not.
    pub(super) fn stop(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait()? {
                None if Instant::now() < deadline => thread::sleep(LOOK),
                status => return Ok(status),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn add(&mut self, line: String) {
        let is_error =
            line.contains(" ERROR ") || line.contains("panicked at") || line.contains("fatal runtime error");
        if is_error && self.errors.len() < LINES {
            self.errors.push(line);
        } else if line.contains(" WARN ") {
            self.warnings += 1;
        }
    }
}

impl Usage {
    /// proc(5)
    fn of(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let number = |field: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(field))?;
            value.trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
        Some(Self { memory: 1024 * number("VmRSS:")?, threads: number("Threads:")?, descriptors })
    }

    /// Each with its name.
    pub(super) fn named(&self) -> [(&'static str, u64); 3] {
        [("memory", self.memory), ("threads", self.threads), ("descriptors", self.descriptors)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_are_found_in_a_log() {
        let mut log = Log::default();
        for line in [
            "room for 100 connections",
            "[2026-11-21T16:00:00Z WARN  switchboard::x] slow",
            "[2026-11-21T16:00:00Z ERROR switchboard::x] a handler panicked",
            "thread 'connection-7' panicked at src/x.rs:1:1:",
            "[2026-11-21T16:00:00Z INFO  switchboard::x] error is a word",
        ] {
            log.add(line.into());
        }
        assert_eq!((log.errors.len(), log.warnings), (2, 1));
    }

    #[test]
    fn a_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(1 << 20 < usage.memory && 1 <= usage.threads && 3 <= usage.descriptors, "{usage:?}");
    }
}
