//! Clients that others wrote, against the program, and our client against servers that others wrote: the scripts of
//! tests/programs, which fail with a word on what was wrong.

use crate::support::{PATIENCE, serve, serve_binary};
use crate::tls::{Authority, Files};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use switchboard::{Client, ClientBuilder, Incoming, Limits, Message, Result, WebSocket};

/// How long the servers of tests/programs are silent when asked to be.
const QUIET: Duration = Duration::from_secs(4);

pub(crate) fn start(script: &str, args: &[&str]) -> Child {
    start_trusting(script, args, None)
}

/// Starts a script; Python or Node by its name. `root`: a file with the authority it trusts.
fn start_trusting(script: &str, args: &[&str], root: Option<&Path>) -> Child {
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
    if let Some(root) = root {
        command.env("SSL_CERT_FILE", root).env("NODE_EXTRA_CA_CERTS", root);
    }
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(script)).args(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs what is missing"))
}

/// Waits until the script succeeds; what it printed.
#[track_caller]
pub(crate) fn finish(script: Child) -> String {
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

/// Echoes the way through; then a handler that returns, so that the server closes. With compression, and without.
#[track_caller]
fn check_client(script: &str) {
    let leaving = serve(Limits::default(), |routes| {
        routes.route("/bye", |mut ws: WebSocket| -> Result<()> { ws.recv().map(drop) })
    });
    let bye = format!("ws://{}/bye", leaving.local_addr());
    for (options, compressed) in [(&[][..], true), (&["--no-compression"], false)] {
        let program = serve_binary(options);
        let echo = format!("ws://{}/echo", program.address);
        check_printed(&finish(start(script, &[&echo, &bye])), compressed);
    }
}

/// As [`check_client`], over TLS.
#[track_caller]
fn check_tls_client(script: &str) {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let root = files.0.join("root.pem");
    fs::write(&root, authority.root()).unwrap();
    let server = serve(Limits::default(), |routes| {
        routes
            .route("/echo", |mut ws: WebSocket| -> Result<()> {
                while let Some(message) = ws.recv()? {
                    ws.send(message)?;
                }
                Ok(())
            })
            .route("/bye", |mut ws: WebSocket| -> Result<()> { ws.recv().map(drop) })
            .tls(&files.read().unwrap())
    });
    let [echo, bye] =
        ["echo", "bye"].map(|path| format!("wss://localhost:{}/{path}", server.local_addr().port()));
    check_printed(&finish(start_trusting(script, &[&echo, &bye], Some(&root))), true);
}

#[track_caller]
fn check_printed(printed: &str, compressed: bool) {
    let extensions = printed.lines().find_map(|line| line.strip_prefix("extensions:"));
    let extensions = extensions.unwrap_or_else(|| panic!("{printed}"));
    assert_eq!(extensions.contains("permessage-deflate"), compressed, "{printed}");
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

/// A server that a script runs, and what it prints. Killed when dropped.
struct Foreign {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Foreign {
    /// Port 0: any that is free.
    fn start(script: &str, port: u16) -> Self {
        Self::serving(start(script, &[&port.to_string()]))
    }

    fn serving(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut foreign = Self { child, lines, port: 0 };
        let line = foreign.line();
        foreign.port = line.strip_prefix("port ").and_then(|port| port.parse().ok()).expect(&line);
        foreign
    }

    /// What it prints next. A script ends by itself within a minute.
    #[track_caller]
    fn line(&mut self) -> String {
        if let Some(line) = self.lines.next() {
            return line.unwrap();
        }
        let mut stderr = String::new();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut stderr);
        panic!("the script has ended: {stderr}(tests/run installs what is missing)");
    }

    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn expect(client: &mut Client, message: impl Into<Message>) {
    let message = message.into();
    let got = client.recv_timeout(PATIENCE).unwrap();
    assert!(got.as_ref() == Some(&message), "{got:?} instead of {message:?}");
}

/// Our client, with whatever a server of others' knows to do.
#[track_caller]
fn check_server(foreign: &mut Foreign, builder: ClientBuilder, url: &str) {
    let limits =
        Limits { ping_interval: Duration::from_millis(100), ping_timeout: QUIET / 2, ..Limits::default() };
    let builder =
        builder.limits(limits).header("X-Test", "seen").subprotocol("echo.v2").subprotocol("echo.v1");
    let mut client = builder.connect(url).unwrap();
    assert!(client.is_compressed());
    assert_eq!(client.subprotocol(), Some("echo.v1"));

    // 1 MB that compresses, and 1 MB that does not.
    let mut state = 1u64;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let random: Vec<u8> = random.take(1_000_000).collect();
    let text = "Grüße, 你好, 👋🏽 ".repeat(1000);
    for message in ["hello", "", "👋🏽", &text] {
        client.send(message).unwrap();
        expect(&mut client, message);
    }
    for message in [vec![], vec![0, 255], vec![7; 1_000_000], random] {
        client.send(Message::binary(message.clone())).unwrap();
        expect(&mut client, Message::binary(message));
    }
    for number in 0..100 {
        client.send(format!("message {number}")).unwrap();
    }
    (0..100).for_each(|number| expect(&mut client, format!("message {number}")));

    client.send("/header").unwrap();
    expect(&mut client, "seen");
    client.send("/ping").unwrap();
    expect(&mut client, "the pong came");
    // It says nothing for longer than our client bears without a pong.
    client.send("/quiet").unwrap();
    expect(&mut client, "no longer quiet");

    client.close(1000, "that was all");
    assert!(client.recv().unwrap().is_none());
    assert_eq!(client.closed(), Some((1000, "that was all")));
    drop(client);
    assert_eq!(foreign.line(), "closed 1000 that was all");

    let mut client = builder.connect(url).unwrap();
    client.send("/close").unwrap();
    assert!(client.recv().unwrap().is_none());
    assert_eq!(client.closed(), Some((1000, "as you wish")));
    drop(client);
    // The answer to a Close says the code again, not the reason.
    assert_eq!(foreign.line().trim_end(), "closed 1000");
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

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn our_client_and_python_websockets() {
    let mut foreign = Foreign::start("server.py", 0);
    let url = foreign.url();
    check_server(&mut foreign, Client::builder(), &url);
}

#[test]
#[ignore = "needs Node's ws: run tests/run"]
fn our_client_and_node_ws() {
    let mut foreign = Foreign::start("server.mjs", 0);
    let url = foreign.url();
    check_server(&mut foreign, Client::builder(), &url);
}

#[test]
#[ignore = "needs Python's websockets and Node's ws: run tests/run"]
fn python_and_node_speak_tls() {
    for script in ["websockets_asyncio.py", "websockets_sync.py", "ws.mjs"] {
        check_tls_client(script);
    }
}

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn our_client_speaks_both_versions_of_tls_with_openssl() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| files.0.join(name).display().to_string());
    for version in ["TLSv1_2", "TLSv1_3"] {
        let mut foreign = Foreign::serving(start("server.py", &["0", &certificate, &key, version]));
        let url = format!("wss://localhost:{}/", foreign.port);
        check_server(&mut foreign, Client::builder().roots(authority.root()), &url);
    }
}

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn our_client_comes_back_to_a_server_that_was_killed() {
    let foreign = Foreign::start("server.py", 0);
    let (port, url) = (foreign.port, foreign.url());
    let mut line = Client::builder().subprotocol("echo.v1").reconnecting(&url);
    let mut next = || line.recv().unwrap().expect("not the end");
    assert!(matches!(next(), Incoming::Connected));
    drop(foreign);
    assert!(matches!(next(), Incoming::Lost { .. }));
    // Nobody is there now.
    assert!(matches!(next(), Incoming::Lost { .. }));
    let _foreign = Foreign::start("server.py", port);
    assert!(matches!(next(), Incoming::Connected));
    line.send("hello again").unwrap();
    match line.recv().unwrap() {
        Some(Incoming::Message(message)) => assert_eq!(message, Message::text("hello again")),
        other => panic!("{other:?}"),
    }
    line.stopper().stop();
    assert!(line.recv().unwrap().is_none());
}
