//! As a pipe: lines of stdin are sent, messages are printed as lines, nothing else goes to stdout.

use super::output::for_pipe;
use super::{Closer, End, Goal, receive};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::exit;
use std::sync::{Arc, OnceLock};
use std::thread;
use switchboard::{Client, Error, Message, Result, Sender};

pub(super) fn run(client: &mut Client, goal: &Goal, closer: &Closer, binary: bool) -> Result<End> {
    close_by_signal(closer)?;
    let failure = Arc::new(OnceLock::new());
    // Neither thread is waited for: reading stdin may block for ever.
    thread::Builder::new().name("stdin".into()).spawn({
        let (closer, failure) = (closer.clone(), failure.clone());
        let stays = goal.count.is_some();
        move || match send_stdin(&closer.sender, binary) {
            // It ended before stdin did.
            Err(Error::Closed) => {}
            Err(error) => {
                let _ = failure.set(error);
                closer.close(1000, "");
            }
            Ok(()) if stays => {}
            Ok(()) => closer.close(1000, ""),
        }
    })?;
    let mut stdout = io::stdout();
    let escaped = stdout.is_terminal();
    let end = receive(client, goal, |message| {
        writeln!(stdout, "{}", for_pipe(message, escaped))?;
        stdout.flush()
    });
    match failure.get() {
        Some(error) => Err(Error::other(error.to_string())),
        None => Ok(end),
    }
}

/// The first SIGINT or SIGTERM closes, the second ends the process.
fn close_by_signal(closer: &Closer) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let closer = closer.clone();
    let wait = move || {
        for (n, signal) in signals.forever().enumerate() {
            if 0 < n {
                exit(128 + signal);
            }
            closer.close(1000, "");
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

fn send_stdin(sender: &Sender, binary: bool) -> Result<()> {
    let stdin = io::stdin().lock();
    if binary { send_whole(sender, stdin) } else { send_lines(sender, stdin) }
}

fn send_whole(sender: &Sender, mut stdin: impl Read) -> Result<()> {
    let mut content = Vec::new();
    stdin.read_to_end(&mut content).map_err(|error| unreadable(&error))?;
    sender.send(Message::Binary(content.into()))
}

fn send_lines(sender: &Sender, stdin: impl BufRead) -> Result<()> {
    for (n, line) in stdin.split(b'\n').enumerate() {
        let mut line = line.map_err(|error| unreadable(&error))?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let line = String::from_utf8(line).map_err(|_| {
            let what = "is not UTF-8, as a text must be; --binary sends stdin as one binary message";
            Error::other(format!("line {} of stdin {what}", n + 1))
        })?;
        sender.send(Message::text(line))?;
    }
    Ok(())
}

fn unreadable(error: &io::Error) -> Error {
    Error::other(format!("cannot read stdin: {error}"))
}
