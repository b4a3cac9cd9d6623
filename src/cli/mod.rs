//! The command line: what can be said, and which part of the program does it.

mod access;
mod api;
mod certificate;
mod colour;
mod config;
mod connect;
mod direct;
mod doctor;
mod environment;
mod generate;
mod health;
mod load;
mod logging;
mod nearest;
mod pages;
mod quotas;
mod reach;
mod redis;
mod reload;
mod rooms;
mod routes;
mod schema;
mod secrets;
mod serve;
mod supervision;
mod token;
mod units;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use config::{Failure, Faulty, Grammar, Setting};
use logging::{Format, say};
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use switchboard::Error;

/// A real-time WebSocket server: rooms, direct messages, broadcast. Without a command it serves.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    configured: Configured,
}

const AFTER_HELP: &str = "Logging: RUST_LOG=debug (or info, trace; default warn). Every option can also be set in the \
                          environment, as SWITCHBOARD_BIND, or as a key of the configuration file.";

/// The options of the server, and the file where they can be said as well.
#[derive(Args)]
struct Configured {
    #[command(flatten)]
    file: config::File,
    #[command(flatten)]
    options: serve::Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the web app, the chat rooms and the echo on one port (the default)
    Serve(Configured),
    /// Connect to a WebSocket server, from a terminal or as a pipe
    Connect(connect::Connect),
    /// Load a server with thousands of clients, and check what it does with their messages
    Load(load::Load),
    /// Run mixed load for a long time, and check that nothing is lost and nothing grows
    Soak(load::Soak),
    /// Print a configuration file with all defaults, or check one
    Config(config::Config),
    /// Check whether this machine and the configuration can serve, and say what to do if not
    Doctor(doctor::Doctor),
    /// Ask a server whether it lives, or takes clients
    Health(health::Health),
    /// Make a self-signed certificate for development
    Certificate(certificate::Certificate),
    /// Make a signed token (JWT), to connect to a server that asks for one
    Token(token::Token),
    /// Print what a shell needs to complete these commands and options: bash, zsh, fish, elvish, powershell
    Completions(generate::Completions),
    /// Write the manual pages
    Man(generate::Man),
}

impl Cli {
    /// The server's part of it, whichever way it was asked for.
    fn into_configured(self) -> Configured {
        match self.command {
            Some(Command::Serve(configured)) => configured,
            _ => self.configured,
        }
    }
}

/// Everything that was said, by whatever means.
struct Said {
    cli: Cli,
    settings: Vec<Setting>,
}

pub(crate) fn run() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let (said, faulty) = match read(&args) {
        Ok(said) => (said, None),
        Err(failure) => match without_file(&args, failure) {
            Ok((said, faulty)) => (said, Some(faulty)),
            Err(failure) => return refuse(&args, &failure),
        },
    };
    let Said { cli, settings } = said;
    logging::start(match &cli.command {
        None => cli.configured.options.log_format,
        Some(Command::Serve(configured)) => configured.options.log_format,
        Some(_) => Format::Text,
    });
    tell_strays(&args);
    let done = |()| ExitCode::SUCCESS;
    let serve = |configured, settings| serve::run(configured, settings, args.clone()).map(done);
    let result = match cli.command {
        None => serve(cli.configured, settings),
        Some(Command::Serve(configured)) => serve(configured, settings),
        Some(Command::Connect(options)) => return connect::run(&options),
        Some(Command::Load(options)) => return load::run(&options),
        Some(Command::Soak(options)) => return load::soak(&options),
        Some(Command::Config(options)) => config::run(options, &grammar(&args)).map_err(Error::from),
        Some(Command::Doctor(options)) => doctor::run(options, settings, faulty).map_err(Error::from),
        Some(Command::Certificate(options)) => certificate::run(options).map(done),
        Some(Command::Health(options)) => health::run(options),
        Some(Command::Token(options)) => token::run(options).map(done),
        Some(Command::Completions(options)) => {
            generate::completions(&options, program()).map(done).map_err(Error::from)
        }
        Some(Command::Man(options)) => generate::man(&options, program()).map(done).map_err(Error::from),
    };
    result.unwrap_or_else(|error| {
        say!(Error, "switchboard: {error}");
        ExitCode::FAILURE
    })
}

/// Whether it is to serve, or to judge a configuration. The doctor has a report of its own.
fn is_about_options(args: &[OsString]) -> bool {
    match args.get(1).map(|arg| arg.to_string_lossy()) {
        Some(first) => first.starts_with('-') || ["serve", "config"].contains(&&*first),
        None => true,
    }
}

/// Flags, environment and file. Can be asked again: the file may have changed.
fn read(args: &[OsString]) -> Result<Said, Failure> {
    let merged = grammar(args).merge(args)?;
    let cli = Cli::from_arg_matches(&merged.matches).map_err(Failure::Usage)?;
    Ok(Said { cli, settings: merged.settings })
}

/// What the doctor examines when the file is ill.
fn without_file(args: &[OsString], failure: Failure) -> Result<(Said, Faulty), Failure> {
    let Failure::File(faulty) = failure else { return Err(failure) };
    let matches = grammar(args).without_file(args);
    match matches.ok().and_then(|matches| Cli::from_arg_matches(&matches).ok()) {
        Some(cli @ Cli { command: Some(Command::Doctor(_)), .. }) => {
            Ok((Said { cli, settings: Vec::new() }, faulty))
        }
        _ => Err(Failure::File(faulty)),
    }
}

/// All that can be said. The doctor and the probe take the server's options too, to be started as the service is; two
/// hundred lines about those would hide their own.
fn program() -> clap::Command {
    let keys = serve::Serve::augment_args(clap::Command::new("keys"));
    let ids: Vec<clap::Id> = keys.get_arguments().map(|arg| arg.get_id().clone()).collect();
    let is_hidden = |arg: &clap::Arg| ids.contains(arg.get_id()) && arg.get_id() != "bind";
    let hide = |arg: clap::Arg| if is_hidden(&arg) { arg.hide(true) } else { arg };
    ["doctor", "health"]
        .into_iter()
        .fold(Cli::command(), |program, name| program.mut_subcommand(name, |command| command.mut_args(hide)))
}

fn grammar(args: &[OsString]) -> Grammar {
    let mut command = program();
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    if command.find_subcommand(first).is_some() {
        // The options are the command's then. Beside it, what the environment says of them would be checked once more, and
        // for commands that do not have them too.
        command = command.mut_args(|arg| arg.env(None::<&str>));
    }
    // So that the environment may say SWITCHBOARD_NO_COMPRESSION=1 and =no.
    let switch = |arg: clap::Arg| {
        if arg.get_action().takes_values() { arg } else { arg.value_parser(BoolishValueParser::new()) }
    };
    command = command.mut_args(switch).mut_subcommands(|command| command.mut_args(switch));
    let keys = serve::Serve::augment_args(clap::Command::new("keys"));
    Grammar { command, keys, judge: serve::check }
}

/// They may be the reason for whatever is said next.
fn tell_strays(args: &[OsString]) {
    if is_about_options(args) {
        environment::strays(env::vars_os()).iter().for_each(|stray| say!(Warn, "warning: {stray}"));
    }
}

fn refuse(args: &[OsString], failure: &Failure) -> ExitCode {
    let said = Format::said(args).or_else(|| match failure {
        Failure::File(faulty) => Format::said(&grammar(args).flags(&faulty.path, "log-format")),
        _ => None,
    });
    logging::start(said.unwrap_or_default());
    tell_strays(args);
    match failure {
        Failure::Usage(error) if logging::is_for_people() || !error.use_stderr() => error.exit(),
        Failure::Usage(error) => {
            say!(Error, "{}", error.to_string().trim_end());
            return ExitCode::from(2);
        }
        Failure::Rule(text) => say!(Error, "switchboard: {text}"),
        Failure::File(faulty) => say!(Error, "{faulty}"),
    }
    ExitCode::FAILURE
}
