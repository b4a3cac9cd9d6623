//! The configuration: where it may be said, and `switchboard config`, which shows and checks files.

mod file;
mod merge;
mod setting;
mod tables;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use merge::{Failure, Faulty, Grammar};
pub(crate) use setting::{Setting, Source};
pub(crate) use tables::TABLE;

use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// For every command that has a configuration.
#[derive(Args)]
pub(crate) struct File {
    /// Configuration file (TOML), whose keys are the names of these options: bind = "0.0.0.0:80". An option given here
    /// or in the environment has priority. SIGHUP reads it again. `switchboard config` prints one with all defaults
    #[arg(long = "config", id = merge::FILE, value_name = "FILE", env = "SWITCHBOARD_CONFIG")]
    pub(crate) path: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  switchboard config > switchboard.toml
  switchboard config check switchboard.toml
  switchboard --config switchboard.toml";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Config {
    #[command(subcommand)]
    ask: Option<Ask>,
}

#[derive(Subcommand)]
enum Ask {
    /// Report every mistake in a configuration file; exit status 1 if there is one
    Check {
        /// The file
        file: PathBuf,
    },
}

pub(crate) fn run(config: Config, grammar: &Grammar) -> io::Result<ExitCode> {
    let mut stdout = io::stdout();
    let Some(Ask::Check { file: path }) = config.ask else {
        stdout.write_all(template::of(&grammar.keys).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    // As the server would be started with it, here and with this environment.
    let args = ["switchboard", "serve"].map(OsString::from);
    let problems = grammar.check(&args, &path);
    if problems.is_empty() {
        writeln!(stdout, "{}: fine", path.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stdout, "{}", Faulty { path, problems })?;
    Ok(ExitCode::FAILURE)
}
