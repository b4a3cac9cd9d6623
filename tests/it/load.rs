//! `switchboard load`: each mode against a server that keeps its promises, and against servers that break them.

use crate::support::{PATIENCE, Program, serve, serve_binary, switchboard};
use crate::tls::{Authority, Files};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs, process, thread};
use switchboard::{Limits, Message, Result, Server, WebSocket};
use tungstenite::handshake::derive_accept_key;

/// Long enough that nothing is called lost because the machine is busy.
const LONG: &str = "--patience=30s";

/// Exit code, stdout, stderr.
fn finish(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn load(url: &str, args: &str) -> Command {
    let mut command = switchboard(&["load", url]);
    command.args(args.split_whitespace());
    command
}

/// A run that ends by itself: whether all was well, and its result.
#[track_caller]
fn result(url: &str, args: &str) -> (bool, Value) {
    let (code, stdout, stderr) = finish(load(url, args).arg("--json"));
    let result: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?} {stderr}"));
    assert_eq!(code, Some(if result["ok"] == true { 0 } else { 1 }), "{result:#} {stderr}");
    assert_eq!(stderr, "", "no progress bar without a terminal");
    (result["ok"] == true, result)
}

#[track_caller]
fn good(url: &str, args: &str) -> Value {
    let (is_ok, result) = result(url, &format!("{args} {LONG}"));
    assert!(is_ok, "{args}: {result:#}");
    result
}

fn number(result: &Value, path: &str) -> u64 {
    result.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {result:#}"))
}

fn ws(server: &Program, path: &str) -> String {
    format!("ws://{}{path}", server.address)
}

#[test]
fn every_message_reaches_every_member() {
    let server = serve_binary(&[]);
    for (path, args, receivers) in [
        ("/room/load", "-c 20", 20),
        ("/room/load", "-c 10 --senders 4 --window 8 --binary", 10),
        ("/room/load", "-c 7 --rate 200 --senders 3 --size 5000", 7),
        ("/room/load-{room}", "-c 12 --rooms 3 --senders 6 --window 2", 4),
        ("/chat/load", "-c 9 --others-only --senders 2", 8),
        ("/conn_ws", "-c 5 --threads 3 --senders 5", 5),
        ("/echo", "-m echo -c 8 --threads 2 --window 4", 1),
        ("/echo", "-m echo -c 3 --rate 100 --compress --size 4K", 1),
        ("/ws", "--protocol -c 10", 10),
        ("/ws", "--protocol -c 9 --rooms 3 --senders 6 --window 4 --room a\"b", 3),
        ("/ws", "--protocol -c 6 --senders 2 --rate 200", 6),
    ] {
        let args = format!("{args} -d 300ms --warmup 50ms");
        let result = good(&ws(&server, path), &args);
        let sent = number(&result, "/rates/sent/count");
        assert!(0 < sent, "{args}: {result:#}");
        // Both count what was to be sent within the time that is measured.
        assert_eq!(number(&result, "/milliseconds/delivery/count"), sent * receivers, "{args}: {result:#}");
        if args.contains("--protocol") {
            assert_eq!(number(&result, "/milliseconds/acknowledgement/count"), sent, "{args}: {result:#}");
        }
        assert_eq!(result["plan"]["compressed"], args.contains("--compress"), "{args}");
        assert_eq!((&result["foreign"], &result["unsent"]), (&0.into(), &0.into()), "{args}: {result:#}");
    }
}

#[test]
fn a_rate_is_kept() {
    let server = serve_binary(&[]);
    let result = good(&ws(&server, "/echo"), "-m echo -c 4 --rate 400 -d 1s --warmup 0");
    assert_eq!(number(&result, "/rates/sent/count"), 400);
    assert_eq!(number(&result, "/milliseconds/delivery/count"), 400);
}

#[test]
fn stalled_members_are_cut_and_the_others_notice_nothing() {
    let server = serve_binary(&[]);
    let result = good(&ws(&server, "/room/load"), "-m stall -c 8 --stalled 3 --size 64K --window 4 -d 2s");
    let stalled = result["stalled"].as_array().unwrap();
    assert_eq!(stalled.len(), 1, "{result:#}");
    assert!(stalled[0]["what"].as_str().unwrap().starts_with("closed with 1013"), "{result:#}");
    assert_eq!(stalled[0]["count"], 3);
}

/// A server that opens WebSockets, and then says nothing to anybody.
fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let is_key = |line: &&str| line.to_lowercase().starts_with("sec-websocket-key: ");
        let key = head.lines().find(is_key).unwrap().split_once(": ").unwrap().1;
        let accept = derive_accept_key(key.as_bytes());
        write!(stream, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n").unwrap();
        write!(stream, "Sec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn who_answers_no_ping_is_found() {
    let url = format!("ws://{}/", mute());
    let (is_ok, result) = result(&url, "-m idle -c 3 -d 300ms --patience 300ms");
    assert!(!is_ok, "{result:#}");
    assert_eq!(number(&result, "/checks/silent") + number(&result, "/checks/ended"), 3, "{result:#}");
}

#[test]
fn connections_are_held_opened_and_cut() {
    let server = serve_binary(&[]);
    let idle = good(&ws(&server, "/room/x"), "-m idle -c 30 -d 300ms");
    assert_eq!(number(&idle, "/milliseconds/opening/count"), 30);
    assert!(30 <= number(&idle, "/milliseconds/pong/count"), "{idle:#}");
    let churn = good(&ws(&server, "/echo"), "-m churn -c 4 -d 300ms --threads 2");
    let opened = number(&churn, "/rates/opened/count");
    assert!(4 < opened, "{churn:#}");
    assert_eq!(number(&churn, "/milliseconds/closing/count"), opened);
    let paced = good(&ws(&server, "/echo"), "-m churn -c 50 -d 1s --rate 50");
    assert_eq!(number(&paced, "/rates/opened/count"), 50, "{paced:#}");
    let storm = good(&ws(&server, "/echo"), "-m storm -c 25 --rounds 2 --threads 3 -d 30s");
    assert_eq!(number(&storm, "/milliseconds/recovery/count"), 50, "{storm:#}");
}

#[test]
fn who_is_refused_in_a_storm_tries_again() {
    let server = serve_binary(&["--connect-rate", "12/1s"]);
    // One tries it out, and eight are opened; so of those who come back some must wait.
    let result = good(&ws(&server, "/echo"), "-m storm -c 8 --rounds 1 -d 60s");
    assert_eq!(number(&result, "/milliseconds/recovery/count"), 8);
    let refusals = result["refusals"].as_array().unwrap();
    assert!(refusals[0]["what"].as_str().unwrap().starts_with("refused with HTTP status 429"), "{result:#}");
}

#[test]
fn tls_is_spoken() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let root = files.path("root.pem");
    fs::write(&root, authority.root()).unwrap();
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let server = serve_binary(&["--tls-cert", &certificate, "--tls-key", &key]);
    let url = format!("wss://{}/room/load", server.address);
    let ca = format!("--ca {root}");
    for args in [format!("-c 10 --compress --size 3K {ca}"), "-c 5 --insecure --window 9".into()] {
        good(&url, &format!("{args} -d 300ms --warmup 0"));
    }
    let (code, stdout, stderr) = finish(&mut load(&url, "-c 5"));
    assert_eq!((code, &stdout[..]), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("--ca FILE"), "{stderr}");
}

/// What a broken server does with one of five messages, which is not the last one.
#[derive(Clone, Copy)]
enum Fault {
    Drop,
    Double,
    Swap,
    Change,
    Binary,
    /// Once; answers after that wait.
    Stall,
    Close,
}

/// An echo with a fault.
fn broken(mut ws: WebSocket, fault: Fault) -> Result<()> {
    let (mut count, mut held) = (0, None);
    while let Some(message) = ws.recv()? {
        count += 1;
        if count % 5 != 3 {
            ws.send(message)?;
            if let Some(held) = held.take() {
                ws.send(held)?;
            }
            continue;
        }
        match fault {
            Fault::Drop => {}
            Fault::Double => {
                ws.send(message.clone())?;
                ws.send(message)?;
            }
            Fault::Swap => held = Some(message),
            Fault::Change => ws.send(message.to_text().unwrap().replace("Ann", "Eve"))?,
            Fault::Binary => ws.send(Message::Binary(message.into_data()))?,
            Fault::Stall => {
                if count == 3 {
                    // The stall itself is what is tested.
                    thread::sleep(Duration::from_millis(500));
                }
                ws.send(message)?;
            }
            Fault::Close => ws.close(4000, "enough"),
        }
    }
    Ok(())
}

fn broken_server() -> Server {
    let faults = [
        ("/drop", Fault::Drop),
        ("/double", Fault::Double),
        ("/swap", Fault::Swap),
        ("/change", Fault::Change),
        ("/binary", Fault::Binary),
        ("/stall", Fault::Stall),
        ("/close", Fault::Close),
    ];
    serve(Limits::default(), |routes| {
        let routes = faults
            .into_iter()
            .fold(routes, |routes, (path, fault)| routes.route(path, move |ws: WebSocket| broken(ws, fault)));
        // To everybody, whichever room they asked for.
        routes.route("/mixed/{room}", |mut ws: WebSocket| {
            let room = ws.join("all")?;
            while let Some(message) = ws.recv()? {
                room.send(message);
            }
            Ok(())
        })
    })
}

#[test]
fn broken_promises_are_found() {
    let server = broken_server();
    let check = |(path, args, broken, others): (&str, &str, &str, usize)| {
        let url = format!("ws://{}{path}", server.local_addr());
        let (is_ok, result) = result(&url, &format!("{args} -c 2 --rate 200 -d 500ms --warmup 0 --size 200"));
        assert!(!is_ok && 0 < number(&result, &format!("/checks/{broken}")), "{path}: {result:#}");
        let found = result["checks"].as_object().unwrap().values().filter(|count| **count != 0).count();
        assert_eq!(found, 1 + others, "{path}: {result:#}");
    };
    // Each mostly waits for what does not come.
    thread::scope(|scope| {
        for case in [
            ("/drop", "-m echo --patience 2s", "lost", 0),
            ("/double", "-m echo", "duplicated", 0),
            ("/swap", "-m echo", "reordered", 0),
            ("/change", "-m echo --patience 2s", "damaged", 1),
            ("/binary", "-m echo --patience 2s", "damaged", 1),
            ("/close", "-m echo", "ended", 0),
            ("/mixed/{room}", "--rooms 2", "misdelivered", 0),
        ] {
            scope.spawn({
                let check = &check;
                move || check(case)
            });
        }
    });
    let sent = 2 * 50;
    let url = format!("ws://{}/drop", server.local_addr());
    let (_, dropped) = result(&url, "-m echo -c 2 --rate 200 -d 500ms --warmup 0 --patience 2s --size 200");
    assert_eq!(number(&dropped, "/checks/lost"), sent / 5, "{dropped:#}");
    // In the closed loop, too, a sender whose message is lost goes on.
    let (_, dropped) = result(&url, "-m echo -c 1 -d 1500ms --warmup 0 --patience 2s");
    assert!(1 <= number(&dropped, "/overdue") && 5 < number(&dropped, "/rates/sent/count"), "{dropped:#}");
}

/// "Coordinated omission": in the closed loop one message is late, and the others were never sent. At a rate all those were
/// late that were due meanwhile.
#[test]
fn a_stall_is_seen_by_all_who_were_due_meanwhile() {
    let server = broken_server();
    let url = format!("ws://{}/stall", server.local_addr());
    let paced = good(&url, "-m echo -c 1 --rate 200 -d 1s --warmup 0");
    assert_eq!(number(&paced, "/milliseconds/delivery/count"), 200);
    let p50 = |result: &Value| result["milliseconds"]["delivery"]["p50"].as_f64().unwrap();
    // Of 200 messages, 100 were due while the server stood still, evenly over 500 ms: 60 of them waited for 200 ms or more.
    assert!(paced["milliseconds"]["delivery"]["p90"].as_f64().unwrap() > 200.0, "{paced:#}");
    let closed = good(&url, "-m echo -c 1 -d 1s --warmup 0");
    assert!(closed["milliseconds"]["delivery"]["max"].as_f64().unwrap() > 400.0, "{closed:#}");
    assert!(p50(&closed) < 200.0, "{closed:#}");
}

/// A server of `switchboard.v1` for one member, with a fault in every fifth publish.
fn broken_protocol(mut ws: WebSocket) -> Result<()> {
    let fault = ws.param("fault").to_string();
    let (mut count, mut offset) = (0, 0);
    while let Some(message) = ws.recv()? {
        let request: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let (id, data) = (&request["id"], &request["data"]);
        if request["type"] == "join" {
            ws.send(format!(r#"{{"type":"joined","id":{id},"epoch":"e","offset":0}}"#))?;
            continue;
        }
        count += 1;
        let fault = if count % 5 == 0 { &fault[..] } else { "" };
        if fault == "refused" {
            ws.send(format!(r#"{{"type":"error","id":{id},"code":"rate_limited","message":"slower"}}"#))?;
            continue;
        }
        offset += 1;
        let told = if fault == "offset" { offset + 1 } else { offset };
        let published = format!(r#"{{"type":"published","id":{id},"epoch":"e","offset":{told}}}"#);
        if fault != "silent" {
            ws.send(published.as_str())?;
        }
        if fault != "lost" {
            ws.send(format!(r#"{{"type":"message","epoch":"e","offset":{offset},"data":{data}}}"#))?;
        }
        if fault == "twice" {
            ws.send(published)?;
        }
    }
    Ok(())
}

#[test]
fn broken_promises_of_the_protocol_are_found() {
    let server = serve(Limits::default(), |routes| routes.route("/{fault}", broken_protocol));
    for (fault, broken) in [
        ("none", &[][..]),
        ("refused", &[]),
        ("lost", &["lost", "offsets"]),
        ("silent", &["unacknowledged"]),
        ("offset", &["offsets"]),
        ("twice", &["duplicated"]),
    ] {
        let url = format!("ws://{}/{fault}", server.local_addr());
        let patience = if broken.is_empty() { LONG } else { "--patience=2s" };
        let args = format!("--protocol -c 1 --rate 100 -d 300ms --warmup 0 {patience}");
        let (is_ok, result) = result(&url, &args);
        assert_eq!(is_ok, broken.is_empty(), "{fault}: {result:#}");
        let checks = result["checks"].as_object().unwrap();
        let found: Vec<&str> =
            checks.iter().filter(|(_, count)| **count != 0).map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, broken, "{fault}: {result:#}");
        let is_refused = result["errors"][0]["what"] == "rate_limited";
        assert_eq!(is_refused, fault == "refused", "{fault}: {result:#}");
    }
}

#[test]
fn a_server_that_is_full_is_told_with_what_to_do() {
    let server = serve_binary(&["--max-connections", "5"]);
    let (code, stdout, stderr) = finish(&mut load(&ws(&server, "/room/load"), "-c 20 -d 200ms --warmup 0"));
    assert_eq!(code, Some(1), "{stdout} {stderr}");
    for part in [" x refused with HTTP status 503: all connections are in use", "switchboard doctor"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    // The place of the one that tried it out may not be free yet.
    assert!(["15", "16"].iter().any(|n| stdout.contains(&format!("FAIL: {n} unopened"))), "{stdout}");
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() {
    let server = serve_binary(&[]);
    let here = ws(&server, "/echo");
    let nowhere = ws(&server, "/nowhere");
    let check = |(url, args, code, part): (&str, &str, i32, &str)| {
        let (found, stdout, stderr) = finish(&mut load(url, args));
        assert_eq!(found, Some(code), "{url} {args}: {stdout} {stderr}");
        assert!(format!("{stdout}{stderr}").contains(part), "{url} {args}: {stdout} {stderr}");
    };
    thread::scope(|scope| {
        for case in [
            ("ws://192.0.2.1/", "", 2, "--allow-remote"),
            ("ws://[2001:db8::1]/", "", 2, "--allow-remote"),
            (&here[..], "-c 0", 2, "1 or more"),
            (&here, "-c 65536", 2, "65535 at most"),
            (&here, "--rate 1 --window 2", 2, "cannot be used with"),
            (&here, "--mode storm --rate 5", 2, "--rate says nothing in --mode storm"),
            (&here, "-H x", 2, "NAME: VALUE"),
            ("http//x", "", 2, "ws://HOST"),
            ("ws://127.0.0.1:1/", "", 1, "is the server running"),
            (&here, "-c 2 --ca /nowhere.pem", 2, "--ca /nowhere.pem"),
            (&nowhere[..], "", 1, "check the path"),
            (&here, "-c 3 -d 100ms --warmup 0", 1, "does this path pass messages on to all"),
        ] {
            scope.spawn({
                let check = &check;
                move || check(case)
            });
        }
    });
    assert_eq!(finish(&mut switchboard(&["load"])).0, Some(2));
}

#[test]
fn a_signal_ends_it_with_the_results_so_far() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(Limits::default(), move |routes| {
        routes.route("/echo", move |mut ws: WebSocket| {
            for n in 0.. {
                let Some(message) = ws.recv()? else { return Ok(()) };
                ws.send(message)?;
                if n == 50 {
                    let _ = tell.lock().unwrap().send(());
                }
            }
            Ok(())
        })
    });
    let url = format!("ws://{}/echo", server.local_addr());
    let mut command = load(&url, "-m echo -c 1 -d 1h --warmup 0 --json");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{result:#}");
    assert_eq!((&result["interrupted"], &result["ok"]), (&true.into(), &true.into()));
    assert!(
        50 <= number(&result, "/rates/sent/count") && result["seconds"].as_f64().unwrap() < 600.0,
        "{result:#}"
    );
}

#[test]
fn two_results_are_compared() {
    let served = Arc::new(AtomicU64::new(0));
    let server = serve(Limits::default(), |routes| {
        let served = served.clone();
        routes.route("/echo", move |mut ws: WebSocket| {
            served.fetch_add(1, Relaxed);
            while let Some(message) = ws.recv()? {
                ws.send(message)?;
            }
            Ok(())
        })
    });
    let url = format!("ws://{}/echo", server.local_addr());
    let folder = env::temp_dir().join(format!("switchboard-load-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (before, after) = (folder.join("before.json"), folder.join("after.json"));
    for (path, rate) in [(&before, 20), (&after, 200)] {
        let result = good(&url, &format!("-m echo -c 2 -d 500ms --warmup 0 --rate {rate}"));
        fs::write(path, result.to_string()).unwrap();
    }
    assert_eq!(served.load(Relaxed), 2 * (1 + 2), "one tries it out");
    let compare = |files: [&std::path::Path; 2]| finish(switchboard(&["load", "--compare"]).args(files));
    let (code, stdout, _) = compare([&before, &after]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.starts_with("not alike: rate was 20, and is 200\n"), "{stdout}");
    let line = stdout.lines().find(|line| line.starts_with("sent/s")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, before_rate, after_rate, change, verdict] = words[..] else { panic!("{line}") };
    // On a busy machine what was due at the end may not have been sent.
    let [slow, fast] = [before_rate, after_rate].map(|rate| rate.parse::<f64>().unwrap());
    assert!(slow <= 20.0 && slow < fast && fast <= 200.0, "{line}");
    assert!(change.starts_with('+') && change.ends_with('%') && verdict == "better", "{line}");
    fs::write(&before, "{}").unwrap();
    for files in [[&before, &after], [&after, &folder.join("nowhere")]] {
        let (code, _, stderr) = compare(files.map(PathBuf::as_path));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("switchboard load --json"), "{stderr}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
