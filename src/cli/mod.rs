//! The command line: what can be said, and which part of the program does it.

mod access;
mod certificate;
mod connect;
mod direct;
mod pages;
mod quotas;
mod routes;
mod serve;
mod token;
mod units;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A real-time WebSocket server: rooms, direct messages, broadcast. Without a command it serves.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

const AFTER_HELP: &str = "Logging: RUST_LOG=debug (or info, trace; default warn). Every option can also be set in the \
                          environment, as SWITCHBOARD_BIND.";

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
enum Command {
    /// Serve the web app, the chat rooms and the echo on one port (the default)
    Serve(serve::Serve),
    /// Connect to a WebSocket server, from a terminal or as a pipe
    Connect(connect::Connect),
    /// Make a self-signed certificate for development
    Certificate(certificate::Certificate),
    /// Make a signed token (JWT), to connect to a server that asks for one
    Token(token::Token),
}

pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let result = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(options)) => serve::run(options),
        Some(Command::Connect(options)) => return connect::run(&options),
        Some(Command::Certificate(options)) => certificate::run(options),
        Some(Command::Token(options)) => token::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard: {error}");
            ExitCode::FAILURE
        }
    }
}
