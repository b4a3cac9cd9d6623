//! `switchboard soak`: mixed load for a long time, and whether the server is at the end what it was at the beginning.
//!
//! In reading order: `options` and `plan` say who does what; `client` is what every client is, `member` and `others` are those
//! that there are, `v1` what they say; `ledger` is where they write down what happens. `crew` is a thread with its clients, on
//! the sockets of the load. `process` and `redis` are what is soaked, `verdict` judges it, `run` leads, `report` tells.

mod client;
mod crew;
mod ledger;
mod member;
mod options;
mod others;
mod plan;
mod process;
mod redis;
mod report;
mod run;
mod v1;
mod verdict;

pub(crate) use options::Soak;

use super::{USAGE, check_descriptors};
use crate::cli::colour;
use crate::cli::logging::say;
use crate::cli::serve::raise_descriptor_limit;
use ledger::Ledger;
use plan::Plan;
use rustix::rand::{GetRandomFlags, getrandom};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;
use switchboard::{Error, Result};

pub(crate) fn run(options: &Soak) -> ExitCode {
    soak(options).unwrap_or_else(|error| {
        say!(Error, "switchboard: {error}");
        if matches!(error, Error::Config(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

fn soak(options: &Soak) -> Result<ExitCode> {
    let plan = Plan::new(options).map_err(Error::Config)?;
    raise_descriptor_limit();
    check_descriptors(plan.connections as u64)?;
    let mut run = [0; 4];
    // Up to 256 bytes come whole. getrandom(2)
    let _ = getrandom(&mut run[..], GetRandomFlags::empty());
    let ledger = Arc::new(Ledger::new(plan, u32::from_ne_bytes(run)));
    stop_by_signal(&ledger)?;
    let report = run::run(&ledger, options)?;
    let text = if options.json { format!("{:#}\n", report.json()) } else { report.table() };
    colour::print(&text)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first SIGINT or SIGTERM ends the run, and what there is by then is judged; the second ends the process.
fn stop_by_signal(ledger: &Arc<Ledger>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let ledger = ledger.clone();
    let wait = move || {
        for (n, signal) in signals.forever().enumerate() {
            if 0 < n {
                exit(128 + signal);
            }
            ledger.interrupt();
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}
