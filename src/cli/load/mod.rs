//! `switchboard load`: thousands of clients from one process, and whether the server keeps its promises to them.
//!
//! In reading order: `options` and `plan` say what is wanted; `stamp`, `order`, `pace` and `tally` judge and count, without
//! a socket; `poller`, `connection`, `pool` and `driver` are a thread with its connections, `shared` and `lines` what threads
//! know of each other; `traffic`, `idle`, `churn` and `storm` are the modes; `target` and `run` lead, `progress`, `report`
//! and `compare` tell. `soak` is a command of its own, on the same connections.

mod advice;
mod churn;
mod compare;
mod connection;
mod driver;
mod idle;
mod lines;
mod opener;
mod options;
mod order;
mod pace;
mod plan;
mod poller;
mod pool;
mod progress;
mod report;
mod run;
mod shared;
mod soak;
mod stamp;
mod storm;
mod table;
mod tally;
mod target;
mod traffic;

pub(crate) use options::Load;
pub(crate) use soak::{Soak, run as soak};

use super::colour;
use super::logging::say;
use super::serve::raise_descriptor_limit;
use plan::Plan;
use report::Report;
use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use shared::Shared;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;
use switchboard::{Error, Result};
use target::Target;

const USAGE: u8 = 2;
/// Descriptors beside the connections': streams, `epoll`, bells, files.
const DESCRIPTORS: u64 = 64;

pub(crate) fn run(options: &Load) -> ExitCode {
    let result = match &options.compare {
        Some(files) => compare::run(files),
        None => load(options),
    };
    result.unwrap_or_else(|error| {
        say!(Error, "switchboard: {error}");
        if matches!(error, Error::Config(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

fn load(options: &Load) -> Result<ExitCode> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan::new(options, cores).map_err(Error::Config)?;
    raise_descriptor_limit();
    check_descriptors(plan.connections as u64)?;
    let target = Target::find(options, &plan)?;
    let mut run_id = [0; 4];
    // Up to 256 bytes come whole. getrandom(2)
    let _ = getrandom(&mut run_id[..], GetRandomFlags::empty());
    let shared = Arc::new(Shared::new(plan, u32::from_ne_bytes(run_id)));
    stop_by_signal(&shared)?;
    let tally = run::run(&shared, &target)?;
    let report = Report::new(&shared, &target, tally);
    let text = if options.json { format!("{:#}\n", report.json()) } else { report.table() };
    colour::print(&text)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_descriptors(connections: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let (needed, room) = (connections + DESCRIPTORS, limit.saturating_sub(DESCRIPTORS));
    if limit < needed {
        return Err(Error::other(format!(
            "{connections} connections need {needed} open files, and {limit} are allowed: raise that with `ulimit -n {needed}` \
             (as root), or say --connections {room}"
        )));
    }
    Ok(())
}

/// The first SIGINT or SIGTERM ends the run, and what there is by then is told; the second ends the process.
fn stop_by_signal(shared: &Arc<Shared>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let shared = shared.clone();
    let wait = move || {
        for (n, signal) in signals.forever().enumerate() {
            if 0 < n {
                exit(128 + signal);
            }
            shared.interrupt();
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}
