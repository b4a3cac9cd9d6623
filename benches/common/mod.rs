//! What the benchmarks have in common: a server as a process of its own, on a core of its own, and its processor time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio, id};

/// Of the times in /proc, for a second.
pub(crate) const TICKS: f64 = 100.0;

/// Takes all descriptors there are, and this process to the second core; whether servers can have the first.
pub(crate) fn pin() -> bool {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).unwrap();
    let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    run(Command::new("taskset").args(["-c", "0", "true"]))
        && run(Command::new("taskset").args(["-cp", "1", &id().to_string()]))
}

/// A server as a child process, killed when dropped.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// On a core of its own, if it is to be pinned; and its port.
    pub(crate) fn start(pinned: bool, command: &[&str]) -> (Self, u16) {
        let prefix: &[&str] = if pinned { &["taskset", "-c", "0"] } else { &["env"] };
        let mut server = Command::new(prefix[0]);
        server.args(&prefix[1..]).args(command).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Self(server.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().rsplit(':').next().and_then(|port| port.parse().ok());
        (server, port.unwrap_or_else(|| panic!("no port in the first line, {line:?}, of {command:?}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Some fields of the first line of a file in /proc, from behind a process's name; their sum.
pub(crate) fn ticks(file: &str, fields: &[usize]) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().next().unwrap().rsplit(')').next().unwrap();
    let all: Vec<&str> = line.split_whitespace().collect();
    fields.iter().map(|at| all[*at].parse::<f64>().unwrap()).sum()
}
