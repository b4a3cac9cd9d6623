//! The `switchboard` program. Only the library's public interface is used here.
//!
//! The binary, unlike the library, may print, log and end the process.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program speaks through its standard streams"
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
