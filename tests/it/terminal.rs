//! The program in a terminal, which `script(1)` provides: colours there and only there, the prompt, the progress bar.

use crate::support::{echo, serve};
use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use switchboard::{Limits, Server};

const PROGRAM: &str = env!("CARGO_BIN_EXE_switchboard");
const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[32m";

/// A program that has a terminal for stdin, stdout and stderr.
struct Terminal {
    child: Child,
    screen: BufReader<ChildStdout>,
    shown: String,
}

impl Terminal {
    fn start(arguments: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("script");
        command.args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &format!("{PROGRAM} {arguments}"),
            "/dev/null",
        ]);
        unbiased(&mut command).envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script(1), of util-linux");
        let screen = BufReader::new(child.stdout.take().unwrap());
        Self { child, screen, shown: String::new() }
    }

    fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits until that is on the screen.
    fn sees(&mut self, expected: &str) {
        while !self.shown.contains(expected) {
            let mut bytes = [0; 4096];
            let count = self.screen.read(&mut bytes).unwrap();
            assert!(0 < count, "{expected:?} did not come: {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Exit status, and all that was shown.
    fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code(), self.shown)
    }
}

/// Without what the machine at hand thinks of colours: a CI, for one, shows them on any terminal.
fn unbiased(command: &mut Command) -> &mut Command {
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(variable);
    }
    command.env("TERM", "xterm")
}

fn in_terminal(arguments: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    Terminal::start(arguments, environment).ends()
}

fn server() -> Server {
    serve(Limits::default(), |routes| routes.route("/echo", echo))
}

#[test]
fn verdicts_and_errors_are_coloured() {
    let (code, shown) = in_terminal("doctor --bind 127.0.0.1:0 --max-connections 1", &[]);
    assert!(code == Some(0) && shown.contains(&format!("{GREEN}ok\x1b[0m ")), "{shown:?}");
    let (code, shown) = in_terminal("health http://127.0.0.1:1", &[]);
    assert!(
        code == Some(1) && shown.starts_with(&format!("{RED}switchboard:\x1b[0m cannot connect")),
        "{shown:?}"
    );
    let (code, shown) = in_terminal("serve --bnd", &[]);
    assert!(
        code == Some(2) && shown.contains("\x1b[") && shown.contains("a similar argument exists"),
        "{shown:?}"
    );
    let (code, shown) = in_terminal("token --help", &[]);
    assert!(code == Some(0) && shown.contains("\x1b["), "{shown:?}");
}

#[test]
fn nothing_is_coloured_where_it_is_not_wanted() {
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        for arguments in
            ["doctor --bind 127.0.0.1:0", "health http://127.0.0.1:1", "serve --bnd", "token --help"]
        {
            let (_, shown) = in_terminal(arguments, &[environment]);
            assert!(!shown.is_empty() && !shown.contains('\x1b'), "{environment:?}, {arguments}: {shown:?}");
        }
    }
    for arguments in [&["doctor", "--bind", "127.0.0.1:0"][..], &["serve", "--bnd"], &["token", "--help"]] {
        let output = unbiased(Command::new(PROGRAM).args(arguments)).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            !said.is_empty() && !said.contains(&b'\x1b'),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn lines_are_typed_and_shown() {
    let server = server();
    let mut terminal = Terminal::start(&format!("connect ws://{}/echo", server.local_addr()), &[]);
    terminal.sees("> ");
    terminal.type_in("hello\r");
    terminal.sees(&format!("{GREEN}<\x1b[0m hello"));
    terminal.type_in("/hex 00ff\r");
    terminal.sees("(binary) 00 ff, 2 bytes");
    terminal.type_in("/nonsense\r");
    terminal.sees("there is no command /nonsense");
    terminal.type_in("/close 4001 bye\r");
    let (code, shown) = terminal.ends();
    assert!(code == Some(0) && shown.contains("connection closed: 4001"), "{code:?}: {shown:?}");
}

#[test]
fn a_load_shows_how_far_it_is_and_what_came_of_it() {
    let server = server();
    let arguments = format!("load ws://{}/echo --mode echo -c 2 -d 1s --warmup 100ms", server.local_addr());
    let (code, shown) = in_terminal(&arguments, &[]);
    assert!(code == Some(0) && shown.contains("echo [="), "{shown:?}");
    assert!(shown.contains(&format!("{GREEN}ok:\x1b[0m every message")), "{shown:?}");
}
