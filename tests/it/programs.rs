//! Clients that others wrote, against the program: the scripts of tests/programs, which fail with a word on what was wrong.

use crate::support::{serve, serve_binary};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use switchboard::{Limits, Result, WebSocket};

/// Starts a script; Python or Node by its name.
fn start(script: &str, args: &[&str]) -> Child {
    let (variable, default) = if script.ends_with(".py") {
        ("SWITCHBOARD_TEST_PYTHON", "python3")
    } else {
        ("SWITCHBOARD_TEST_NODE", "node")
    };
    let program = std::env::var(variable).unwrap_or_else(|_| default.into());
    let mut command = Command::new(&program);
    if let Ok(modules) = std::env::var("SWITCHBOARD_TEST_NODE_MODULES") {
        command.env("NODE_PATH", modules);
    }
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(script)).args(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs what is missing"))
}

/// Waits until the script succeeds; what it printed.
#[track_caller]
fn finish(script: Child) -> String {
    // Each script ends by itself within a minute.
    let output = script.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{}\n{stdout}{stderr}(tests/run installs what is missing)",
        output.status
    );
    stdout
}

/// Echoes the way through; then a handler that returns, so that the server closes.
fn check_client(script: &str) {
    let program = serve_binary(&[]);
    let leaving = serve(Limits::default(), |routes| {
        routes.route("/bye", |mut ws: WebSocket| -> Result<()> { ws.recv().map(drop) })
    });
    let (echo, bye) =
        (format!("ws://{}/echo", program.address), format!("ws://{}/bye", leaving.local_addr()));
    let printed = finish(start(script, &[&echo, &bye]));
    assert!(printed.starts_with("extensions:"), "{printed}");
}

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn python_websockets_asyncio() {
    check_client("websockets_asyncio.py");
}

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn python_websockets_sync() {
    check_client("websockets_sync.py");
}

#[test]
#[ignore = "needs Node's ws: run tests/run"]
fn node_ws() {
    check_client("ws.mjs");
}

#[test]
#[ignore = "needs Python's websockets and Node's ws: run tests/run"]
fn python_and_node_talk_in_a_room() {
    let program = serve_binary(&[]);
    let room = format!("ws://{}/room/counting%20%F0%9F%90%8D", program.address);
    let (python, node) = (start("room.py", &[&room]), start("room.mjs", &[&room]));
    finish(python);
    finish(node);
}
