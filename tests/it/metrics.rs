//! What `/metrics` shows: each number moves when the thing happens, and by how much; and the text is what Prometheus reads.

use crate::support::{
    BINARY, CLOSE, Client, LONG, PATIENCE, PING, PONG, SHORT, TEXT, close_payload, connect, connect_narrow,
    echo, eventually, exchange, frame, get, handshake, metric, read_answer, relay, request, reset, serve,
    serve_binary,
};
use crate::support_prometheus::Exposition;
use crate::support_v1::Speaker;
use serde_json::json;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};
use switchboard::{
    Builder, Denied, Drain, Handle, Limits, Origins, Quotas, Refuse, Response, Result, Server, WebSocket,
};

const KIB: usize = 1024;

fn routes(builder: Builder) -> Builder {
    builder.health().route("/echo", echo).route("/room/{room}", relay)
}

/// Waits until a metric, or one series of it, has that value.
#[track_caller]
fn wait_for(server: &Handle, name: &str, value: u64) {
    let deadline = Instant::now() + PATIENCE;
    while metric(&server.metrics(), name) != value {
        assert!(Instant::now() < deadline, "{name} is not {value}:\n{}", server.metrics());
        thread::yield_now();
    }
}

/// Sum and count of a histogram.
fn histogram(server: &Handle, name: &str) -> (f64, f64) {
    let shown = Exposition::parse(&server.metrics());
    (shown.value(&format!("{name}_sum"), ""), shown.value(&format!("{name}_count"), ""))
}

#[test]
fn connections_are_apart_by_state_and_by_route() {
    let (entered, enters) = channel();
    let (release, wait) = channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let server = serve(Limits { connections: Some(50), ..Limits::default() }, |builder| {
        routes(builder).get("/slow", move |_| {
            entered.send(()).unwrap();
            let _ = wait.lock().recv();
            Response::text("at last")
        })
    });
    let address = server.local_addr();
    let mut asking = connect(address);
    asking.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut served = connect(address);
    write!(served, "GET /slow HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    enters.recv().unwrap();
    let clients: Vec<Client> =
        ["/room/secret-name", "/room/b", "/echo"].map(|path| Client::settled(address, path)).into();
    wait_for(&server, "connections{state=\"request\"}", 1);
    for (name, value) in [
        ("connections{state=\"http\"}", 1),
        ("connections{state=\"websocket\"}", 3),
        ("websocket_connections{route=\"/room/{room}\"}", 2),
        ("websocket_connections{route=\"/echo\"}", 1),
        ("websocket_handshakes_total{route=\"/room/{room}\"}", 2),
        ("accepted_total", 5),
        ("max_connections", 50),
        ("connection_threads{state=\"busy\"}", 5),
        ("connection_threads{state=\"idle\"}", 0),
        ("ready", 1),
    ] {
        assert_eq!(metric(&server.metrics(), name), value, "{name}");
    }
    // What clients choose is in no label.
    assert!(!server.metrics().contains("secret-name"));
    clients.into_iter().for_each(Client::leave);
    drop(release);
    served.read_to_end(&mut Vec::new()).unwrap();
    drop((asking, served));
    wait_for(&server, "connections", 0);
    wait_for(&server, "connection_threads{state=\"idle\"}", 5);
    assert_eq!(metric(&server.metrics(), "websocket_connections"), 0);
    assert_eq!(metric(&server.metrics(), "websocket_handshakes_total"), 3);
    server.shutdown(Drain::within(Duration::ZERO));
    assert_eq!(metric(&server.metrics(), "connection_threads"), 0);
    assert_eq!(metric(&server.metrics(), "ready"), 0);
}

#[test]
fn refusals_are_apart_by_status() {
    let server = serve(Limits { body: 10, ..Limits::default() }, |builder| {
        let builder = routes(builder).origins(Origins::List(Vec::new()));
        builder.get("/teapot", |_| Response::text("").with_status(418)).post("/post", |_| Response::text(""))
    });
    let address = server.local_addr();
    let origin = handshake(address, "/echo", "Origin: https://evil.example\r\n");
    let body = format!("POST /post HTTP/1.1\r\nHost: {address}\r\nContent-Length: 11\r\n\r\n");
    let statuses = [
        (get(address, "/nowhere").status, "404"),
        (get(address, "/echo").status, "426"),
        (exchange(address, origin).status, "403"),
        (request(address, "DELETE /post").status, "405"),
        (get(address, "/room/%00").status, "400"),
        (exchange(address, body).status, "413"),
        (get(address, "/teapot").status, "4xx"),
    ];
    for (status, label) in statuses {
        let expected = if label == "4xx" { "418" } else { label };
        assert_eq!(status.to_string(), expected);
        assert_eq!(metric(&server.metrics(), &format!("refused_total{{status=\"{label}\"}}")), 1, "{label}");
    }
    assert_eq!(metric(&server.metrics(), "refused_total"), statuses.len() as u64);
    assert_eq!(get(address, "/healthz").status, 200);
    assert_eq!(metric(&server.metrics(), "refused_total"), statuses.len() as u64);

    let server = serve(Limits { head_deadline: SHORT, ..Limits::default() }, routes);
    let mut late = connect(server.local_addr());
    late.write_all(b"GET / HT").unwrap();
    assert_eq!(read_answer(&mut late).status, 408);
    assert_eq!(metric(&server.metrics(), "refused_total{status=\"408\"}"), 1);
}

#[test]
fn a_full_and_an_ending_server_count_503() {
    let server = serve(Limits { connections: Some(1), ..Limits::default() }, routes);
    // The request itself takes the last place.
    assert_eq!(get(server.local_addr(), "/readyz").status, 503);
    assert_eq!(metric(&server.metrics(), "refused_total{status=\"503\"}"), 1);
    wait_for(&server, "connections", 0);
    wait_for(&server, "connection_threads{state=\"busy\"}", 0);
    let client = Client::settled(server.local_addr(), "/echo");
    assert_eq!(metric(&server.metrics(), "ready"), 0);
    assert_eq!(get(server.local_addr(), "/echo").status, 503);
    assert_eq!(metric(&server.metrics(), "over_budget_total"), 1);
    assert_eq!(metric(&server.metrics(), "refused_total"), 1);
    client.leave();

    let server = serve(Limits { close_deadline: LONG, ..Limits::default() }, routes);
    let mut last = Client::settled(server.local_addr(), "/echo");
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    last.expect_close(1001);
    let refused = Client::over(connect(server.local_addr()), handshake(server.local_addr(), "/echo", ""));
    assert_eq!(refused.err().unwrap().status, 503);
    assert_eq!(metric(&server.metrics(), "refused_total{status=\"503\"}"), 1);
    last.send_close(1001);
    last.expect_end();
    ending.join().unwrap();
    assert_eq!(metric(&server.metrics(), "disconnects_total{code=\"1001\"}"), 1);
}

#[test]
fn who_is_not_let_in_is_counted_by_reason() {
    for refuse in [Refuse::Http, Refuse::Close] {
        let server = serve(Limits::default(), |builder| {
            let builder = builder.quotas(Quotas { per_user: Some(1), ..Quotas::default() }).refuse(refuse);
            routes(builder).authenticate(|request| match request.query("user") {
                Some(user) if user == "eve" => Err(Denied::forbidden("not you")),
                Some(user) => Ok(switchboard::Identity::user(&user)),
                None => Err(Denied::unauthorized("who are you?")),
            })
        });
        let address = server.local_addr();
        let ann = Client::settled(address, "/echo?user=ann");
        for (query, reason, status) in
            [("", "unauthorized", 401), ("?user=eve", "forbidden", 403), ("?user=ann", "too_many", 429)]
        {
            match Client::over(connect(address), handshake(address, &format!("/echo{query}"), "")) {
                Ok(mut client) => client.expect_close(1008),
                Err(answer) => assert_eq!(answer.status, status),
            }
            let name = format!("denied_total{{reason=\"{reason}\"}}");
            assert_eq!(metric(&server.metrics(), &name), 1, "{refuse:?} {reason}");
            let status = format!("refused_total{{status=\"{status}\"}}");
            assert_eq!(metric(&server.metrics(), &status), u64::from(refuse == Refuse::Http));
        }
        wait_for(&server, "disconnects_total{code=\"1008\"}", if refuse == Refuse::Close { 3 } else { 0 });
        ann.leave();
    }
}

#[test]
fn disconnects_are_apart_by_close_code() {
    let server = serve(Limits { message: KIB, ..Limits::default() }, |builder| {
        routes(builder).route("/panic", |_| panic!("on purpose")).route("/own", |mut ws| {
            ws.close(4001, "by the program");
            ws.recv().map(drop)
        })
    });
    let address = server.local_addr();
    let closes = |code: u16, answer: u16| {
        let mut client = Client::settled(address, "/echo");
        client.send_frame(CLOSE, &close_payload(code, "bye"), true);
        client.expect_close(answer);
    };
    let breaks = |bytes: &[u8], code: u16| {
        let mut client = Client::settled(address, "/echo");
        client.send_raw(bytes);
        client.expect_close(code);
        // No answer: what was said first counts.
    };
    let closed_by = |path: &str, code: u16| {
        let mut client = Client::connect(address, path);
        client.expect_close(code);
        client.send_close(1000);
    };
    let empty = || {
        let mut client = Client::settled(address, "/echo");
        client.send_frame(CLOSE, b"", true);
        assert_eq!(client.close().0, 1005);
    };
    let gone = || reset(Client::settled(address, "/echo").stream);
    let rows: [(&str, &dyn Fn()); 13] = [
        ("1000", &|| Client::settled(address, "/echo").leave()),
        ("1001", &|| closes(1001, 1001)),
        ("1002", &|| breaks(&frame(TEXT, b"unmasked", true, false), 1002)),
        ("1005", &empty),
        ("1006", &gone),
        ("1007", &|| breaks(&frame(TEXT, &[0xff], true, true), 1007)),
        ("1009", &|| breaks(&frame(BINARY, &[0; KIB + 1], true, true), 1009)),
        ("1011", &|| closed_by("/panic", 1011)),
        ("1012", &|| closes(1012, 1012)),
        ("1014", &|| closes(1014, 1014)),
        ("3xxx", &|| closes(3999, 3999)),
        ("4xxx", &|| closes(4000, 4000)),
        ("4xxx", &|| closed_by("/own", 4001)),
    ];
    for (at, (code, act)) in rows.iter().enumerate() {
        act();
        let before = rows[..at].iter().filter(|(other, _)| other == code).count() as u64;
        wait_for(&server, &format!("disconnects_total{{code=\"{code}\"}}"), before + 1);
        assert_eq!(metric(&server.metrics(), "disconnects_total"), at as u64 + 1, "after {code}");
    }
    assert_eq!(metric(&server.metrics(), "websocket_handshakes_total"), rows.len() as u64);
    wait_for(&server, "websocket_connections", 0);
    assert_eq!(metric(&server.metrics(), "handler_panics_total"), 1);
    assert_eq!(metric(&server.metrics(), "protocol_violations_total"), 3);
}

#[test]
fn messages_and_bytes_are_counted_both_ways() {
    let server = serve(Limits::default(), routes);
    let mut client = Client::connect(server.local_addr(), "/echo");
    let sent = [frame(TEXT, b"one", true, true), frame(BINARY, &[2; 300], true, true)].concat();
    client.send_raw(&sent);
    client.expect("one");
    assert_eq!(client.frame().payload, [2; 300]);
    for (name, value) in [
        ("messages_received_total{kind=\"text\"}", 1),
        ("messages_received_total{kind=\"binary\"}", 1),
        ("messages_sent_total{kind=\"text\"}", 1),
        ("messages_sent_total{kind=\"binary\"}", 1),
        ("received_bytes_total", sent.len() as u64),
        // Unmasked: four bytes fewer each.
        ("sent_bytes_total", sent.len() as u64 - 8),
    ] {
        wait_for(&server, name, value);
    }
    client.leave();

    // Through the hub, many in one piece.
    let server = serve(Limits::default(), routes);
    let mut members: Vec<Client> = (0..3).map(|_| Client::settled(server.local_addr(), "/room/r")).collect();
    // The pongs by which they have settled.
    let pongs = 3 * (2 + "settle".len() as u64);
    let burst = [frame(TEXT, b"text", true, true).repeat(10), frame(BINARY, b"bin", true, true).repeat(5)];
    members[0].send_raw(&burst.concat());
    for member in &mut members {
        (0..10).for_each(|_| member.expect("text"));
        (0..5).for_each(|_| assert_eq!(member.frame().opcode, BINARY));
    }
    wait_for(&server, "messages_sent_total{kind=\"text\"}", 30);
    wait_for(&server, "messages_sent_total{kind=\"binary\"}", 15);
    wait_for(&server, "sent_bytes_total", pongs + 3 * (10 * 6 + 5 * 5));
    assert_eq!(metric(&server.metrics(), "delivered_bytes_total"), 3 * (10 * 6 + 5 * 5));
    let deliveries = metric(&server.metrics(), "deliveries_total");
    assert!((3..=45).contains(&deliveries), "{deliveries}");
    // One message alone, to one user: not what was sent to all before.
    server.broadcast("all");
    members.iter_mut().for_each(|member| member.expect("all"));
    wait_for(&server, "messages_sent_total{kind=\"text\"}", 33);
}

#[test]
fn a_pings_round_trip_is_measured() {
    let server = serve(Limits { ping_interval: SHORT, ping_timeout: LONG, ..Limits::default() }, routes);
    let mut client = Client::connect(server.local_addr(), "/echo");
    let ping = client.frame();
    assert_eq!(ping.opcode, PING);
    let before = Instant::now();
    // One that answers nothing is no round trip.
    assert_eq!(histogram(&server, "switchboard_ping_seconds"), (0.0, 0.0));
    let waited = before.elapsed();
    client.send_frame(PONG, &ping.payload, true);
    client.send_frame(PONG, b"unasked", true);
    client.send("done");
    while client.frame().opcode != TEXT {}
    let (sum, count) = histogram(&server, "switchboard_ping_seconds");
    assert!(1.0 <= count && waited.as_secs_f64() <= sum && sum < PATIENCE.as_secs_f64(), "{sum} {count}");
    // The client is silent from now on.
    let server = serve(Limits { ping_interval: SHORT, ping_timeout: SHORT, ..Limits::default() }, routes);
    let mut silent = Client::connect(server.local_addr(), "/echo");
    assert_eq!(silent.frame().opcode, PING);
    silent.expect_close(1011);
    wait_for(&server, "keepalive_timeouts_total", 1);
    silent.end_sending();
    wait_for(&server, "disconnects_total{code=\"1011\"}", 1);
    assert_eq!(histogram(&server, "switchboard_ping_seconds"), (0.0, 0.0));
}

#[test]
fn compression_is_counted_before_and_after() {
    let server = serve(Limits::default(), routes);
    let text = "the same again, ".repeat(1000);
    let mut client = server.connect("/echo").unwrap();
    assert!(client.is_compressed());
    client.send(text.as_str()).unwrap();
    assert_eq!(client.recv().unwrap(), Some(text.as_str().into()));
    let value = |name: &str| metric(&server.metrics(), &format!("{name}_bytes_total"));
    assert_eq!((value("deflate_input"), value("inflate_output")), (text.len() as u64, text.len() as u64));
    for (after, wire) in [("deflate_output", "sent"), ("inflate_input", "received")] {
        assert!((10..text.len() as u64 / 10).contains(&value(after)), "{after}");
        // With the frame's header, and its key if it is masked.
        eventually(wire, || (value(after) + 2..=value(after) + 8).contains(&value(wire)));
    }
    // Too small to be worth it.
    let before = value("deflate_input");
    client.send("small").unwrap();
    client.recv().unwrap();
    assert_eq!(value("deflate_input"), before);
    // Once for a whole room.
    let mut members = [0; 3].map(|_| server.connect("/room/r").unwrap());
    wait_for(&server, "rooms", 1);
    members[0].send(text.as_str()).unwrap();
    assert_eq!(members[0].recv().unwrap(), Some(text.as_str().into()));
    assert_eq!(value("deflate_input"), before + text.len() as u64);
}

#[test]
fn a_full_socket_is_seen_in_the_slow_lane_and_in_its_outbox() {
    let limits =
        Limits { outbox: 64 * KIB * KIB, send_buffer: 16 * KIB, write_deadline: LONG, ..Limits::default() };
    let server = serve(limits, routes);
    let (narrow, request) =
        (connect_narrow(server.local_addr()), handshake(server.local_addr(), "/room/r", ""));
    let mut slow = Client::over(narrow, request).unwrap();
    slow.settle();
    let (text, mut sent) = ("x".repeat(8 * KIB), 0);
    while metric(&server.metrics(), "stalls_total") == 0 {
        sent += u64::from(server.room("r").send(text.as_str()));
    }
    wait_for(&server, "slow_lane_connections", 1);
    let text_then = server.metrics();
    let [all, largest] = ["outbox_bytes", "outbox_largest_bytes"].map(|name| metric(&text_then, name));
    assert!(0 < all && all == largest, "{all} {largest}");
    assert_eq!(metric(&server.metrics(), "outbox_limit_bytes"), 64 << 20);
    (0..sent).for_each(|_| slow.expect(&text));
    wait_for(&server, "slow_lane_connections", 0);
    wait_for(&server, "outbox_bytes", 0);
    wait_for(&server, "sent_bytes_total", sent * (8 * KIB as u64 + 4) + 2 + 6);
    assert_eq!(metric(&server.metrics(), "slow_consumers_total"), 0);
    slow.leave();
}

#[test]
fn a_slow_consumer_is_counted_with_1013() {
    let limits = Limits {
        message: 8 * KIB,
        outbox: 64 * KIB,
        send_buffer: 16 * KIB,
        close_deadline: SHORT,
        ..Limits::default()
    };
    let server = serve(limits, routes);
    let (narrow, request) =
        (connect_narrow(server.local_addr()), handshake(server.local_addr(), "/room/r", ""));
    let mut stalled = Client::over(narrow, request).unwrap();
    stalled.settle();
    let text = "x".repeat(8 * KIB);
    while metric(&server.metrics(), "slow_consumers_total") == 0 {
        server.room("r").send(text.as_str());
    }
    // It never reads, so it is cut; the code is what it was to be told.
    wait_for(&server, "disconnects_total{code=\"1013\"}", 1);
    assert_eq!(metric(&server.metrics(), "disconnects_total"), 1);
}

/// Joins with a view that says when it is called, and keeps the hub until it may go on.
fn hold_the_hub() -> (Server, Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (held, holds) = channel();
    let (release, wait) = channel::<()>();
    let ends = Arc::new(parking_lot::Mutex::new((held, wait)));
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |mut ws: WebSocket| -> Result<()> {
            let ends = ends.clone();
            let _room = ws.join_with("r", move |message| {
                let (held, wait) = &*ends.lock();
                let _ = held.send(());
                let _ = wait.recv();
                Some(message)
            })?;
            ws.send("joined")?;
            ws.recv().map(drop)
        })
    });
    (server, holds, release)
}

#[test]
fn the_hubs_turns_and_its_queue_are_measured() {
    let (server, holds, release) = hold_the_hub();
    let mut client = Client::connect(server.local_addr(), "/");
    client.expect("joined");
    let of_three = || {
        let shown = Exposition::parse(&server.metrics());
        let at_most = |count| shown.value("switchboard_hub_turn_commands_bucket", &format!("le=\"{count}\""));
        at_most(4) - at_most(2)
    };
    // The turn of that is over, and what comes has one of its own.
    wait_for(&server, "rooms", 1);
    assert!(server.room("r").send("first"));
    holds.recv().unwrap();
    let (before, turns) = (of_three(), metric(&server.metrics(), "hub_turns_total"));
    let began = Instant::now();
    for _ in 0..3 {
        assert!(server.room("r").send("later"));
    }
    for (name, value) in [
        ("hub_queue_commands", 3),
        // Each with a header of two bytes; the first is still charged, until its turn is over.
        ("hub_queue_bytes", 4 * 7),
        ("hub_queue_limit_commands", 4096),
        ("hub_queue_limit_bytes", 64 << 20),
        ("hub_turns_total", turns),
    ] {
        assert_eq!(metric(&server.metrics(), name), value, "{name}");
    }
    let lasted = began.elapsed().as_secs_f64();
    drop(release);
    ["first", "later", "later", "later"].into_iter().for_each(|text| client.expect(text));
    wait_for(&server, "hub_turns_total", turns + 2);
    assert_eq!(metric(&server.metrics(), "hub_queue_commands"), 0);
    assert_eq!(metric(&server.metrics(), "hub_queue_bytes"), 0);
    assert_eq!(of_three(), before + 1.0, "a turn of three");
    let (sum, count) = histogram(&server, "switchboard_hub_turn_seconds");
    assert!(lasted <= sum && sum < 10.0 * PATIENCE.as_secs_f64(), "{sum}");
    assert_eq!(count as u64, metric(&server.metrics(), "hub_turns_total"));
    let (sum, _) = histogram(&server, "switchboard_hub_turn_commands");
    assert_eq!(sum as u64, metric(&server.metrics(), "hub_commands_total"));
    client.leave();
}

#[test]
fn switchboard_v1_and_its_store_are_counted() {
    let folder = env::temp_dir().join(format!("switchboard-metrics-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rooms.db");
    for store in [false, true] {
        let program = match store {
            true => serve_binary(&["--history-bytes", "1K", "--store", file.to_str().unwrap()]),
            false => serve_binary(&["--history-bytes", "1K"]),
        };
        let mut ann = Speaker::open(&program, "ann");
        let joined = ann.ask(json!({"type": "join", "room": "tea"}));
        assert_eq!(joined["type"], "joined");
        for key in ["1", "2", "2"] {
            let said = json!({"type": "publish", "room": "tea", "data": "hello", "key": key});
            assert_eq!(ann.ask(said)["type"], "published");
        }
        let too_large = json!({"type": "publish", "room": "tea", "data": "x".repeat(2000)});
        assert_eq!(ann.ask(too_large)["code"], "too_large");
        let shown = || Exposition::parse(get(program.address, "/metrics").text());
        let value = |name: &str| shown().value(&format!("switchboard_{name}"), "");
        for (name, expected) in [
            ("protocol_connections", 1.0),
            ("protocol_users", 1.0),
            ("protocol_rooms", 1.0),
            ("protocol_publishes_total", 4.0),
            ("protocol_acknowledged_total", 3.0),
            ("protocol_history_messages", 2.0),
        ] {
            eventually(name, || value(name) == expected);
        }
        assert!(100.0 < value("protocol_history_bytes"));
        assert_eq!(shown().families.contains_key("switchboard_engine_ready"), store);
        if store {
            assert_eq!(value("engine_ready"), 1.0);
            assert_eq!((value("store_messages_total"), value("store_commits_total")), (2.0, 2.0));
            assert_eq!(value("store_commit_seconds_count"), value("store_commits_total"));
            assert!(0.0 < value("store_commit_seconds_sum"));
            assert_eq!((value("store_failures_total"), value("store_waiting_messages")), (0.0, 0.0));
            assert_eq!(value("store_file_bytes"), file.metadata().unwrap().len() as f64);
        }
    }
    fs::remove_dir_all(folder).unwrap();
}
