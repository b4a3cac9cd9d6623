//! `switchboard connect` as a pipe: what it sends, prints and exits with.

use crate::support::{PATIENCE, echo, eventually, serve};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use switchboard::{Limits, Message, Result, Server, WebSocket};

/// Routes that answer, end or stay silent in every way.
fn server() -> Server {
    serve(Limits::default(), |routes| {
        routes
            .route("/echo", echo)
            .route("/hello", |mut ws: WebSocket| ws.send("one").and_then(|()| ws.send("two")))
            .route("/bytes", |mut ws: WebSocket| ws.send(Message::Binary(vec![0, 1, 255].into())))
            .route("/silent", |mut ws: WebSocket| ws.recv().map(drop))
            .route("/close/{code}", |mut ws: WebSocket| {
                let code = ws.param("code").parse().unwrap();
                ws.close(code, "as \x1basked");
                ws.recv().map(drop)
            })
            .route("/header", |mut ws: WebSocket| {
                let said = ws.request().header("x-said").unwrap_or("nothing").to_string();
                ws.send(said)
            })
    })
}

fn start(server: &Server, path: &str, args: &[&str]) -> Child {
    let url = format!("ws://{}{path}", server.local_addr());
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("connect").args(args).arg(url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end: exit code, stdout, stderr.
fn finish(mut child: Child) -> (Option<i32>, String, String) {
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Gives it all of stdin, and waits for its end.
fn run(server: &Server, path: &str, args: &[&str], stdin: &[u8]) -> (Option<i32>, String, String) {
    let mut child = start(server, path, args);
    // It may have ended by itself.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    finish(child)
}

#[test]
fn lines_go_out_and_replies_come_back_before_the_end() {
    let server = server();
    let lines: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
    let (code, stdout, stderr) = run(&server, "/echo", &[], lines.as_bytes());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout == lines, "{} of {} bytes came", stdout.len(), lines.len());
    assert!(stderr.ends_with("connection closed: 1000 (OK)\n"), "{stderr}");
}

#[test]
fn line_ends_are_no_part_of_a_message() {
    let (code, stdout, _) = run(&server(), "/echo", &[], b"dos\r\n\nno end");
    assert_eq!((code, &stdout[..]), (Some(0), "dos\n\nno end\n"));
}

#[test]
fn count_ends_it() {
    let server = server();
    assert_eq!(run(&server, "/hello", &["-1"], b"").1, "one\n");
    let (code, stdout, stderr) = run(&server, "/hello", &["--count", "2"], b"");
    assert_eq!((code, &stdout[..]), (Some(0), "one\ntwo\n"), "{stderr}");
    let (code, stdout, stderr) = run(&server, "/hello", &["--count", "3"], b"");
    assert_eq!((code, &stdout[..]), (Some(4), "one\ntwo\n"), "{stderr}");
    assert!(stderr.contains("2 of 3 messages came before the connection ended"), "{stderr}");
}

#[test]
fn a_timeout_ends_it() {
    let server = server();
    let (code, _, stderr) = run(&server, "/silent", &["-1", "--timeout", "50ms"], b"");
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("0 of 1 messages came before the time was up"), "{stderr}");
    // Nothing was counted on: we closed. Its stdin stays open.
    let mut child = start(&server, "/silent", &["--timeout", "50ms"]);
    let stdin = child.stdin.take();
    assert_eq!(finish(child).0, Some(0));
    drop(stdin);
}

#[test]
fn binary_is_hex_on_stdout_and_one_message_on_stdin() {
    let server = server();
    assert_eq!(run(&server, "/bytes", &[], b"").1, "0001ff\n");
    let (code, stdout, stderr) = run(&server, "/echo", &["--binary"], b"a\n\xffb\n");
    assert_eq!((code, &stdout[..]), (Some(0), "610aff620a\n"), "{stderr}");
}

#[test]
fn the_way_it_was_closed_is_told() {
    let server = server();
    for (path, expected, told) in [
        ("/close/1000", 0, "1000 (OK): as \\x1basked"),
        ("/close/1001", 0, "1001 (going away)"),
        ("/close/1008", 3, "1008 (policy violation)"),
        ("/close/4321", 3, "4321 (private use)"),
    ] {
        let mut child = start(&server, path, &[]);
        let stdin = child.stdin.take();
        let (code, stdout, stderr) = finish(child);
        drop(stdin);
        assert_eq!((code, &stdout[..]), (Some(expected), ""), "{path}: {stderr}");
        assert!(stderr.contains(&format!("connection closed: {told}")), "{path}: {stderr}");
    }
}

#[test]
fn what_cannot_be_reached_is_told_with_what_to_do() {
    let server = server();
    let (code, _, stderr) = run(&server, "/nowhere", &[], b"");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("404: there is nothing at /nowhere; check the path"), "{stderr}");
    let connect = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_switchboard")).arg("connect").args(args).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // Port 1 is nobody's.
    let (code, stderr) = connect(&["ws://127.0.0.1:1/"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Connection refused"), "{stderr}");
    for wrong in [
        &["ftp://127.0.0.1/"][..],
        &["-H", "no colon", "ws://127.0.0.1:1/"],
        &["--count", "0", "ws://127.0.0.1:1/"],
        &["--ca", "/nonexistent", "ws://127.0.0.1:1/"],
        &["-1", "--count", "2", "ws://127.0.0.1:1/"],
    ] {
        assert_eq!(connect(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn headers_and_limits_are_kept() {
    let server = server();
    assert_eq!(run(&server, "/header", &["-H", "X-Said: a: b"], b"").1, "a: b\n");
    let (code, stdout, stderr) = run(&server, "/echo", &["--max-message", "4", "-1"], b"12345\n");
    assert_eq!((code, &stdout[..]), (Some(4), ""));
    assert!(stderr.contains("larger than the limit"), "{stderr}");
}

#[test]
fn stdin_that_is_no_text_is_told() {
    let (code, stdout, stderr) = run(&server(), "/echo", &[], b"good\nb\xffd\nmore\n");
    assert_eq!((code, &stdout[..]), (Some(1), "good\n"));
    assert!(stderr.contains("line 2 of stdin is not UTF-8") && stderr.contains("--binary"), "{stderr}");
}

#[test]
fn a_signal_closes_politely() {
    let (told, closed) = channel();
    let server = serve(Limits::default(), |routes| {
        routes.route("/", move |mut ws: WebSocket| -> Result<()> {
            ws.send("there")?;
            while ws.recv()?.is_some() {}
            let _ = told.send(ws.closed().map(|(code, _)| code));
            Ok(())
        })
    });
    let mut child = start(&server, "/", &[]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "there\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), Some(1000));
    // Its stdin is still open.
    eventually("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(finish(child).0, Some(0));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let server = server();
    let mut child = start(&server, "/echo", &[]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"who reads this?\n").unwrap();
    eventually("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(finish(child).0, Some(0));
}

/// Answers one handshake like that, and keeps the connection open until the client ends it.
fn refusing(answer: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (url, thread)
}

#[test]
fn what_a_server_says_when_it_refuses_is_shown() {
    let text = "HTTP/1.1 400 No\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ";
    for (answer, expected) in [
        (format!("{text}25\r\n\r\nthis port speaks TLS:\n\x1bx\n"), "400: this port speaks TLS: \u{fffd}x\n"),
        (format!("{text}0\r\n\r\n"), "400; check whether the URL is that of a WebSocket\n"),
        ("HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".into(), "404; check the path of the URL\n"),
        (
            "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".into(),
            "503: {}; try again in 7 s, as it asks\n",
        ),
        // Longer than is looked at.
        (format!("{text}99999\r\n\r\n{}", "x".repeat(99_999)), &format!("400: {}…\n", "x".repeat(300))),
    ] {
        let (url, thread) = refusing(answer.leak());
        let output = Command::new(env!("CARGO_BIN_EXE_switchboard")).args(["connect", &url]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr, format!("switchboard: the server refused the WebSocket with HTTP status {expected}"));
        thread.join().unwrap();
    }
}
