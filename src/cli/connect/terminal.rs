//! In a terminal: a prompt with history, and messages that come above it while somebody types.
//!
//! Three threads: this one receives, one owns the prompt, one prints what came. What is printed while the prompt is there goes
//! through the prompt's thread, which draws the prompt anew below it.

use super::super::colour::{GREEN, are_shown, in_colour};
use super::input::{HELP, Input, parse, read};
use super::output::for_terminal;
use super::{CLOSED_BADLY, Closer, End, Goal, receive};
use parking_lot::{Condvar, Mutex};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, ExternalPrinter, Helper};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::cell::Cell;
use std::io::Write;
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use std::{env, fs, io, thread};
use switchboard::{Client, Error, Message, Result};

/// Messages that may wait to be shown, as while the history is searched.
const WAITING: usize = 1024;
const HISTORY: usize = 1000;
const PROMPT: &str = "> ";
const CLOSING: &str = "closing; Ctrl-C leaves at once ";
/// Up one line and down again: nothing that can be seen. When it has been taken, what was printed before has been shown.
const NOTHING: &str = "\x1b[A\n";
/// Takes back the line above.
const ERASE: &str = "\x1b[A\r\x1b[2K";

type Printer = Box<dyn ExternalPrinter + Send>;

/// The terminal, ready for a prompt.
pub(super) struct Screen {
    editor: Editor<Shared, FileHistory>,
    printer: Printer,
    shared: Shared,
}

impl Screen {
    /// `None`: this terminal cannot do it (`TERM=dumb`).
    pub(super) fn open() -> Option<Self> {
        let config = Config::builder().max_history_size(HISTORY).ok()?.build();
        let mut editor = Editor::with_config(config).ok()?;
        let printer = Box::new(editor.create_external_printer().ok()?);
        let shared = Shared(Arc::default());
        editor.set_helper(Some(shared.clone()));
        Some(Self { editor, printer, shared })
    }
}

pub(super) fn run(client: &mut Client, goal: &Goal, closer: &Closer, screen: Screen) -> Result<End> {
    let Screen { editor, printer, shared } = screen;
    close_by_signal(closer)?;
    eprintln!("/help lists the commands, Ctrl-C closes");
    let (show, to_show) = sync_channel(WAITING);
    let printing = thread::Builder::new().name("screen".into()).spawn({
        let shared = shared.clone();
        move || print_all(&to_show, printer, &shared)
    })?;
    let typing = thread::Builder::new().name("prompt".into()).spawn({
        let mut prompt = Prompt { editor, closer: closer.clone(), shared: shared.clone() };
        move || prompt.run()
    })?;
    let mark = if are_shown(&io::stdout()) { in_colour("<", GREEN) } else { "<".into() };
    let end = receive(client, goal, |message| {
        let line = format!("{mark} {}\n", for_terminal(message));
        show.send(line).map_err(|_| io::ErrorKind::BrokenPipe.into())
    });
    drop(show);
    let _ = printing.join();
    shared.0.ended.store(true, Ordering::Release);
    while !typing.is_finished() {
        // The only way to wake the prompt. It may just be between two lines, so once need not be enough.
        signal_hook::low_level::raise(SIGINT)?;
        thread::sleep(Duration::from_millis(2));
    }
    let _ = typing.join();
    Ok(end)
}

/// SIGTERM closes. SIGINT from the keyboard is a key to the prompt; one that comes between two lines is nothing.
fn close_by_signal(closer: &Closer) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let closer = closer.clone();
    let wait = move || {
        signals.forever().filter(|signal| *signal == SIGTERM).for_each(|_| closer.close(1000, ""));
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Prints what comes, while the prompt is there to be drawn anew.
fn print_all(to_show: &Receiver<String>, mut printer: Printer, shared: &Shared) {
    let mut print = |line: String| {
        shared.wait_for_prompt();
        if printer.print(line.clone()).is_err() {
            // The prompt is gone for good.
            let _ = io::stdout().write_all(line.as_bytes());
        }
    };
    to_show.iter().for_each(&mut print);
    print(NOTHING.into());
}

/// What the threads tell each other.
#[derive(Default)]
struct State {
    /// The prompt is there, and what is printed goes through its thread.
    prompting: Mutex<bool>,
    changed: Condvar,
    /// The connection has ended.
    ended: AtomicBool,
}

#[derive(Clone)]
struct Shared(Arc<State>);

impl Shared {
    fn set_prompting(&self, prompting: bool) {
        *self.0.prompting.lock() = prompting;
        self.0.changed.notify_all();
    }

    fn wait_for_prompt(&self) {
        let mut prompting = self.0.prompting.lock();
        self.0.changed.wait_while(&mut prompting, |prompting| !*prompting);
    }

    fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

/// Every line is a valid one; but it is no longer the time to print.
impl Validator for Shared {
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.set_prompting(false);
        Ok(ValidationResult::Valid(None))
    }
}

impl Completer for Shared {
    type Candidate = String;
}

impl Hinter for Shared {
    type Hint = String;
}

impl Highlighter for Shared {}

impl Helper for Shared {}

/// A prompt's text; the first look at it tells that the terminal is prepared.
struct Announced<'a> {
    text: &'static str,
    shared: &'a Shared,
    done: Cell<bool>,
}

impl rustyline::Prompt for Announced<'_> {
    fn raw(&self) -> &str {
        if !self.done.replace(true) {
            self.shared.set_prompting(true);
        }
        self.text
    }
}

/// The prompt's thread.
struct Prompt {
    editor: Editor<Shared, FileHistory>,
    closer: Closer,
    shared: Shared,
}

/// What follows a line.
enum Turn {
    Next,
    /// The prompt is done.
    Last,
    /// The program is to end without waiting for the server.
    Leave,
}

impl Prompt {
    fn run(&mut self) {
        let history = history_file();
        if let Some(path) = &history {
            // There is none at first; and without one it works too.
            let _ = self.editor.load_history(path);
        }
        let mut leave = false;
        while !self.shared.has_ended() {
            match self.turn() {
                Turn::Next => continue,
                Turn::Last => {}
                Turn::Leave => leave = true,
            }
            break;
        }
        if let Some(path) = &history {
            let _ = path.parent().map(fs::create_dir_all);
            let _ = self.editor.append_history(path);
        }
        if leave {
            eprintln!("connection closed: left before the server answered");
            exit(CLOSED_BADLY.into());
        }
        // From now on everything is printed directly.
        self.shared.set_prompting(true);
    }

    /// One line.
    fn turn(&mut self) -> Turn {
        let closing = self.closer.closed_with().is_some();
        let text = if closing { CLOSING } else { PROMPT };
        let prompt = Announced { text, shared: &self.shared, done: Cell::new(false) };
        let line = self.editor.readline(&prompt);
        self.shared.set_prompting(false);
        let empty = matches!(line, Err(ReadlineError::Eof));
        if closing || empty {
            eprint!("{ERASE}");
        }
        match line {
            _ if self.shared.has_ended() => return Turn::Last,
            Err(ReadlineError::Interrupted) if closing => return Turn::Leave,
            // Ctrl-D again, or the terminal is gone.
            Err(_) if closing => return Turn::Last,
            Ok(_) if closing => {}
            Ok(line) => {
                let _ = self.editor.add_history_entry(&line);
                self.act(&line);
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => self.closer.close(1000, ""),
            Err(error) => {
                eprintln!("the terminal cannot be read: {error}");
                self.closer.close(1000, "");
                return Turn::Last;
            }
        }
        Turn::Next
    }

    /// Does what the line says. Never waits for the server.
    fn act(&self, line: &str) {
        let done = parse(line).and_then(|input| match input {
            Input::Send(message) => self.send(message),
            Input::File { path, text } => {
                let message = read(&path, text)?;
                let length = message.len();
                self.send(message)?;
                eprintln!("sent {length} bytes");
                Ok(())
            }
            Input::Close(code, reason) => {
                self.closer.close(code, &reason);
                Ok(())
            }
            Input::Help => {
                eprintln!("{HELP}");
                Ok(())
            }
        });
        if let Err(what) = done {
            eprintln!("{what}");
        }
    }

    fn send(&self, message: Message) -> Result<(), String> {
        let sender = &self.closer.sender;
        let sent = if message.is_ping() { sender.send(message) } else { sender.try_send(message) };
        sent.map_err(|error| match error {
            Error::Full => {
                "not sent: the server has not yet taken what was sent before; try again in a while".into()
            }
            error => format!("not sent: {error}"),
        })
    }
}

/// `$XDG_STATE_HOME/switchboard/history`, or where that is by default.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("switchboard/history"))
}
