//! What can be said to `switchboard soak`.

use super::super::super::units;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Of the connections, six of ten are in rooms of /ws (a member of each publishes with keys; all are cut now and then and resume), \
the others in plain rooms, in pairs that send direct messages, idle, coming and going (half of them by a reset or in the middle of \
a frame), or reading nothing.

Once a minute it tells what each server uses, and what was sent and broken. At the end it checks that:
  - nothing that was acknowledged is missing; nobody got anything twice or out of order
  - memory, threads and descriptors are what they were at minute two (or at half of a shorter run), with tolerances that it tells
  - when all have gone, threads and descriptors are what they were before anybody came
  - no server has logged an error or a panic, and SIGTERM ends each with exit status 0
With URLs in place of its own servers it checks the messages only; they may restart in order (close codes 1001 and 1012), and be \
back within --patience. Its own servers run without glibc's caches of freed memory for \
each thread, which fill for hours and would hide a leak; a GLIBC_TUNABLES in the environment holds in place of that.

Exit status:
  0  all of that is so
  1  something is not
  2  wrong usage

Examples:
  switchboard soak
  switchboard soak --for 30m -c 5000
  switchboard soak --for 30m --redis-server redis-server --servers 3
  switchboard soak --for 10m -- --store /tmp/soak.redb";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Soak {
    /// Servers that run already, as ws://127.0.0.1:9527; several are one by their Redis [default: starts its own]
    #[arg(value_name = "URL", conflicts_with_all = ["servers", "redis_server", "serve"])]
    pub(super) urls: Vec<String>,
    /// How long, 24h at most
    #[arg(long = "for", value_name = "T", default_value = "2m", value_parser = units::time)]
    pub(super) time: Duration,
    /// Connections at once, 50 or more
    #[arg(short, long, value_name = "N", default_value = "500", value_parser = units::count)]
    pub(super) connections: usize,
    /// Messages per second, of all together [default: one for 16 connections]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(super) rate: Option<usize>,
    /// Servers to start [default: 1; 2 with Redis]
    #[arg(long, value_name = "N", value_parser = units::count, requires = "redis_server")]
    pub(super) servers: Option<usize>,
    /// The program of a Redis to start, that makes the servers one; it is killed and started again now and then
    #[arg(long, value_name = "PATH")]
    pub(super) redis_server: Option<PathBuf>,
    /// How long missing messages are waited for at the end, and servers at URLs that restart
    #[arg(long, value_name = "T", default_value = "30s", value_parser = units::time)]
    pub(super) patience: Duration,
    /// Soak servers that are not on this machine. Only with their owner's leave
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Print the result as JSON; what is told meanwhile goes to stderr
    #[arg(long)]
    pub(super) json: bool,
    /// Options for the servers that it starts
    #[arg(last = true, value_name = "SERVE OPTIONS")]
    pub(super) serve: Vec<String>,
}
