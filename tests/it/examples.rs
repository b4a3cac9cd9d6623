//! The examples as a collection, and those that are programs of their own.

#[allow(dead_code, unreachable_pub, reason = "its main is not run here")]
#[path = "../../examples/naive_broadcast.rs"]
mod naive_broadcast;

use crate::gallery::{check_time, connect, expect, expect_rest, gallery, text};
use crate::support::{
    self, PATIENCE, Program, connect_narrow, echo, example, get, handshake, serve, serve_binary,
};
use jiff::tz;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};
use switchboard::{Client, Limits, Server, Session};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all examples.
fn examples() -> Vec<String> {
    let files = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let names = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names: Vec<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().into()).collect();
    names.sort();
    assert!(20 < names.len(), "{names:?}");
    names
}

fn source(name: &str) -> String {
    fs::read_to_string(root().join(format!("examples/{name}.rs"))).unwrap()
}

/// What stands between `start` and `end`, each time.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(move |rest| rest.split_once(end).unwrap().0)
}

#[test]
fn the_index_names_every_path_and_every_file() {
    let program = gallery(&[]);
    let index = get(program.address, "/gallery");
    assert_eq!(index.header("Content-Type"), Some("text/html; charset=utf-8"));
    let rows: Vec<&str> = between(index.text(), "<li><button data-say=", "</li>").collect();
    assert!(25 < rows.len(), "{} rows", rows.len());
    for row in &rows {
        let path = row.split_once('>').unwrap().1.split_once('<').unwrap().0;
        let file = between(row, "<code>", "</code>").next().unwrap();
        connect(program.address, path);
        let route = path.split(['/', '?']).nth(1).unwrap();
        assert!(
            source(file.trim_end_matches(".rs")).contains(&format!("\"/{route}")),
            "{path} is not in {file}"
        );
    }
    for link in between(index.text(), " href=\"/", "\"") {
        assert_eq!(get(program.address, &format!("/{link}")).status, 200, "/{link}");
    }
    for name in examples().iter().filter(|name| !["autobahn_client", "gallery"].contains(&name.as_str())) {
        let names = [format!("<code>{name}.rs</code>"), format!("<code>cargo run --example {name}</code>")];
        assert!(names.iter().any(|name| index.text().contains(name)), "{name} is not in the index");
    }
}

#[test]
fn each_example_says_how_to_run_it_and_the_servers_run_alone() {
    let mut ran = 0;
    for name in examples() {
        let text = source(&name);
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(header.join("\n").contains(&format!("--example {name}")), "{name}.rs: {header:?}");
        if text.contains("\npub fn mount(builder: Builder) -> Builder") {
            Program::start(example(&name).args(["--bind", "127.0.0.1:0"]));
            ran += 1;
        }
    }
    assert!(20 < ran, "only {ran} servers");
}

#[test]
fn a_wrong_option_is_told() {
    for wrong in
        [&["--bin", "127.0.0.1:0"][..], &["127.0.0.1:0"], &["--interval", "0"], &["--interval", "soon"]]
    {
        let output = example("gallery").args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && output.stderr.ends_with(b"or nothing\n"), "{wrong:?}");
    }
}

/// What the naive broadcast and the hub have to get past: a client that does not read. And one that does.
fn one_stalled_one_healthy(server: &Server, path: &str) -> (support::Client, Client) {
    let address = server.local_addr();
    let mut stalled = support::Client::over(connect_narrow(address), handshake(address, path, "")).unwrap();
    stalled.expect("welcome");
    let builder = Client::builder().compression(false);
    let mut healthy = builder.connect(&format!("ws://{address}{path}")).unwrap();
    expect(&mut healthy, "welcome");
    (stalled, healthy)
}

/// Far more than the outbox and the kernel hold for one client.
const MANY: usize = 128;

#[test]
fn the_naive_broadcast_freezes_until_the_stalled_client_is_gone() {
    let clients = naive_broadcast::Clients::default();
    let limits = Limits { write_deadline: 10 * PATIENCE, ..Limits::default() };
    let server = serve(limits, |builder| naive_broadcast::mount(builder, &clients));
    let (stalled, mut healthy) = one_stalled_one_healthy(&server, "/naive");
    support::eventually("both are on the list", || clients.lock().unwrap().len() == 2);
    let text = "x".repeat(64 * 1024);
    thread::scope(|scope| {
        scope.spawn(|| (0..MANY).for_each(|_| naive_broadcast::send_to_all(&clients, &text)));
        // Not all of it can have come, however long one waits: half a second, here.
        let mut received = 0;
        while healthy.recv_timeout(Duration::from_millis(500)).unwrap().is_some() {
            received += 1;
        }
        assert!(received < MANY && !healthy.is_closed(), "{received} of {MANY} came");
        support::reset(stalled.stream);
        while received < MANY {
            expect(&mut healthy, text.as_str());
            received += 1;
        }
    });
}

#[test]
fn the_hub_delivers_past_a_stalled_client() {
    let limits = Limits { write_deadline: 10 * PATIENCE, ..Limits::default() };
    let server = serve(limits, |builder| naive_broadcast::mount(builder, &Default::default()));
    let (_stalled, mut healthy) = one_stalled_one_healthy(&server, "/room");
    let (room, text) = (server.room("all"), "x".repeat(64 * 1024));
    for _ in 0..MANY {
        assert!(room.send(text.as_str()));
        expect(&mut healthy, text.as_str());
    }
}

#[test]
fn two_threads_share_a_client() {
    let server = serve(Limits::default(), |routes| routes.route("/echo", echo));
    let output = example("two_threads").arg(format!("ws://{}/echo", server.local_addr())).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "1000 messages of one thread and 1000 of the other came back, each in order\n");
}

#[test]
fn reconnect_comes_back() {
    // The first connection is lost, the second is ended in order.
    let count = std::sync::atomic::AtomicU32::new(0);
    let server = serve(Limits::default(), |routes| {
        routes.route("/", move |mut ws| {
            if let Some(message) = ws.recv()? {
                ws.send(message)?;
            }
            match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => ws.close(1012, "restart"),
                _ => ws.close(1000, ""),
            }
            Ok(())
        })
    });
    let mut command = example("reconnect");
    let url = format!("ws://{}/", server.local_addr());
    // Its stdin stays open: the end of it would stop it.
    let mut child = command.arg(&url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let [first, hello, lost, second, again] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!([first, second], ["connected"; 2]);
    assert_eq!([hello, again], ["received: here I am"; 2]);
    assert!(lost.contains("1012 restart") && lost.contains("next try in "), "{lost}");
}

#[test]
fn session_chats_until_stdin_ends() {
    let program = serve_binary(&[]);
    let url = format!("ws://{}/ws?user=ann", program.address);
    let mut child =
        example("session").arg(&url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().unwrap(), "1 here");
    stdin.write_all(b"hello\n").unwrap();
    assert_eq!(lines.next().unwrap(), "ann: \"hello\"");
    let bob = Session::builder().user("bob").connect(&url.replace("ann", "bob")).unwrap();
    bob.join("lobby").unwrap();
    assert_eq!(lines.next().unwrap(), "bob came");
    bob.room("lobby").leave().unwrap();
    assert_eq!(lines.next().unwrap(), "bob left");
    drop(program);
    assert!(lines.next().unwrap().contains("next try in "));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn embed_tells_the_time_until_stdin_ends() {
    let mut command = example("embed");
    command.args(["--bind", "127.0.0.1:0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address: SocketAddr = first.strip_prefix("listening on http://").unwrap().parse().unwrap();
    assert!(get(address, "/").text().contains("new WebSocket"));
    let mut client = connect(address, "/");
    // The clock may strike after the client has connected and before the loop has heard of it.
    let told =
        std::iter::repeat_with(|| text(&mut client)).find(|told| !told.ends_with(" · 0 here")).unwrap();
    let (time, visitors) = told.split_once(" · ").unwrap();
    check_time(time, &tz::TimeZone::system());
    assert_eq!(visitors, "1 here");
    drop(child.stdin.take());
    expect_rest(&mut client);
    assert_eq!(client.closed(), Some((1001, "the server is going away")));
    assert_eq!(lines.next().unwrap().unwrap(), "1 connections were open, 0 were cut");
    assert!(child.wait().unwrap().success());
}
