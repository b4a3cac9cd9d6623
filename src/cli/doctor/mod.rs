//! `switchboard doctor`: whether this machine and this configuration can serve, and what to do if not.

mod elsewhere;
mod machine;
mod remedy;
mod report;
mod server;

use super::Configured;
use super::config::{Faulty, Setting};
use super::serve::{Serve, limits};
use clap::Args;
use machine::Descriptors;
use remedy::Place;
use report::{Check, Report};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use switchboard::Limits;

/// Every group of checks, in the order of the report. What needs no options comes from [`machine`].
const CHECKS: &[fn(&Patient) -> Vec<Check>] = &[
    server::configuration,
    server::environment,
    server::permissions,
    server::address,
    server::certificate,
    server::tokens,
    server::keys,
    server::schemas,
    elsewhere::redis,
    elsewhere::store,
    machine::connections,
    machine::backlog,
    machine::buffers,
];

const AFTER_HELP: &str = "\
It takes the options, the environment and the file of `switchboard serve` too, and looks at the limits of this process, \
this user and this place: start it as the service is started. It changes nothing.

Exit status: 0 when all is well or there are warnings only, 1 when something fails.";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Doctor {
    /// Report as JSON, for scripts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configured: Configured,
}

/// What is examined.
struct Patient {
    options: Serve,
    limits: Limits,
    settings: Vec<Setting>,
    file: Option<PathBuf>,
    /// The configuration file cannot be used; `options` are without it then.
    faulty: Option<Faulty>,
    descriptors: Descriptors,
    place: Place,
}

impl Patient {
    fn speaks_tls(&self) -> bool {
        self.options.tls_cert.is_some()
    }
}

/// `faulty`: the configuration file, when it cannot be used.
pub(crate) fn run(doctor: Doctor, settings: Vec<Setting>, faulty: Option<Faulty>) -> io::Result<ExitCode> {
    let Doctor { json, configured: Configured { file, options } } = doctor;
    let descriptors = Descriptors::raise();
    let limits = limits(&options);
    let place = Place::here();
    let patient = Patient { options, limits, settings, file: file.path, faulty, descriptors, place };
    let checks = CHECKS.iter().flat_map(|check| check(&patient)).collect();
    let report = Report::new(checks);
    report.print(json)?;
    Ok(if report.is_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
