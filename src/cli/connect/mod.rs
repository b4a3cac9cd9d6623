//! `switchboard connect`: a WebSocket client for people, line by line, and for scripts, as a pipe.

mod input;
mod output;
mod pipe;
mod terminal;

use super::logging::say;
use super::reach::{Reach, advice};
use super::units;
use clap::Args;
use output::{close_line, escape};
use std::io::{self, IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use switchboard::{Client, ClientBuilder, Error, Limits, Message, Sender};

const AFTER_HELP: &str = "\
In a terminal every line is sent as a text message, and what comes is shown behind `<`. /help lists the commands (/close, \
/send, /hex …); a line that begins with // is sent with one slash; Ctrl-C and Ctrl-D close.

As a pipe every line of stdin is sent as a text message, and every message that comes is a line of stdout, a binary one in \
hex. At the end of stdin we close, behind everything that was sent; what the server sends before it answers that is still \
printed. To wait for more, say how much: with -1 or --count the end of stdin closes nothing. Ctrl-C closes.

Exit status:
  0  closed normally: with 1000, 1001 or no code, or by us; or --count was reached
  1  could not connect, or stdin could not be sent
  2  wrong usage
  3  closed with another code, or without a Close frame; stderr says which
  4  --count was not reached before the connection ended or the time was up

Examples:
  switchboard connect ws://127.0.0.1:9527/echo
  echo hello | switchboard connect -1 --timeout 5s ws://127.0.0.1:9527/echo
  switchboard connect -H 'Authorization: Bearer secret' --subprotocol chat wss://example.com/chat";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Connect {
    /// Where to connect, as ws://127.0.0.1:9527/echo or wss://example.com/chat
    url: String,
    #[command(flatten)]
    reach: Reach,
    /// Do not offer compression
    #[arg(long)]
    no_compression: bool,
    /// Largest message to take, as 64K or 16M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::size)]
    max_message: usize,
    /// Close after one message has come; the same as --count 1
    #[arg(short = '1', conflicts_with = "count")]
    one: bool,
    /// Close after N messages have come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Close when this time has passed since connecting, as 20s or 500ms
    #[arg(long, value_name = "T", value_parser = units::time)]
    timeout: Option<Duration>,
    /// Send all of stdin as one binary message
    #[arg(long)]
    binary: bool,
}

/// Exit codes beside 0.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CLOSED_BADLY: u8 = 3;
const TOO_FEW: u8 = 4;

pub(crate) fn run(options: &Connect) -> ExitCode {
    let client = builder(options).and_then(|builder| builder.connect(&options.url));
    let mut client = match client {
        Ok(client) => client,
        Err(error) => {
            say!(Error, "switchboard: {}{}", escape(&error.to_string()), advice(&error));
            let usage = matches!(error, Error::Config(_));
            return ExitCode::from(if usage { USAGE } else { FAILED });
        }
    };
    let interactive = !options.binary && stdin().is_terminal() && stdout().is_terminal();
    eprintln!("connected to {}", describe(options, &client));
    let goal = Goal {
        count: if options.one { Some(1) } else { options.count },
        // A time beyond the clock's end is no limit.
        until: options.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
    };
    let closer = Closer::new(client.sender());
    let end = match interactive.then(terminal::Screen::open).flatten() {
        Some(screen) => terminal::run(&mut client, &goal, &closer, screen),
        None => pipe::run(&mut client, &goal, &closer, options.binary),
    };
    match end {
        Ok(end) => ExitCode::from(report(&end, &goal, &closer)),
        Err(error) => {
            say!(Error, "switchboard: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn builder(options: &Connect) -> switchboard::Result<ClientBuilder> {
    let defaults = Limits::default();
    let limits = Limits {
        message: options.max_message,
        outbox: defaults.outbox.max(options.max_message),
        hub_queue: defaults.hub_queue.max(options.max_message),
        ..defaults
    };
    options.reach.apply(Client::builder().limits(limits).compression(!options.no_compression))
}

/// Where we are connected, and what was agreed on.
fn describe(options: &Connect, client: &Client) -> String {
    let mut agreed = Vec::new();
    if let Some(name) = client.subprotocol() {
        // A token is nobody else's business.
        let name = if name.starts_with("bearer.") { "bearer" } else { name };
        agreed.push(format!("subprotocol {}", escape(name)));
    } else if options.reach.offers_subprotocol() {
        agreed.push("no subprotocol".into());
    }
    agreed.push(if client.is_compressed() { "compressed".into() } else { "not compressed".into() });
    // Nor is the query.
    let url = options.url.split_once('?').map_or(options.url.as_str(), |(url, _)| url);
    format!("{url} ({})", agreed.join(", "))
}

/// When there is nothing more to wait for.
struct Goal {
    count: Option<u64>,
    until: Option<Instant>,
}

/// Closes from any thread, and remembers the code that we closed with.
#[derive(Clone)]
struct Closer {
    sender: Sender,
    code: Arc<AtomicU16>,
}

impl Closer {
    fn new(sender: Sender) -> Self {
        Self { sender, code: Arc::default() }
    }

    /// Only the first time counts.
    fn close(&self, code: u16, reason: &str) {
        let _ = self.code.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
        self.sender.close(code, reason);
    }

    fn closed_with(&self) -> Option<u16> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}

/// How it ended.
struct End {
    received: u64,
    timed_out: bool,
    /// Nobody reads our output any more.
    unread: bool,
    /// Why the server is to blame, if it is.
    blame: Option<Error>,
    code: u16,
    reason: String,
}

/// Receives until the connection or the goal has come to its end, and closes then. `show` fails when nobody reads.
fn receive(client: &mut Client, goal: &Goal, mut show: impl FnMut(&Message) -> io::Result<()>) -> End {
    let (mut received, mut timed_out, mut unread, mut blame) = (0, false, false, None);
    let mut until = goal.until;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let got = match left {
            Some(left) => client.recv_timeout(left),
            None => client.recv(),
        };
        match got {
            Ok(Some(_)) if unread || goal.is_reached(received) => {}
            Ok(Some(message)) => {
                received += 1;
                unread = show(&message).is_err();
                if unread || goal.is_reached(received) {
                    client.close(1000, "");
                    until = None;
                }
            }
            Ok(None) if client.is_closed() => break,
            Ok(None) => {
                timed_out = true;
                client.close(1000, "");
                until = None;
            }
            Err(error) => {
                blame = Some(error);
                break;
            }
        }
    }
    let (code, reason) = client.closed().unwrap_or((1006, ""));
    End { received, timed_out, unread, blame, code, reason: reason.into() }
}

impl Goal {
    fn is_reached(&self, received: u64) -> bool {
        self.count.is_some_and(|count| count <= received)
    }
}

/// The last line, and the exit code.
fn report(end: &End, goal: &Goal, closer: &Closer) -> u8 {
    match &end.blame {
        Some(error) => eprintln!("connection closed: {error}"),
        None => eprintln!("{}", close_line(end.code, &end.reason)),
    }
    if goal.is_reached(end.received) || end.unread {
        return 0;
    }
    if let Some(count) = goal.count {
        let when = if end.timed_out { "the time was up" } else { "the connection ended" };
        say!(Error, "switchboard: {} of {count} messages came before {when}", end.received);
        return TOO_FEW;
    }
    let normal = matches!(end.code, 1000 | 1001 | 1005) || closer.closed_with() == Some(end.code);
    if end.blame.is_none() && normal { 0 } else { CLOSED_BADLY }
}
