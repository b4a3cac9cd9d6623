//! The server API: every request of it, through sockets, as a program elsewhere would send it; and what its users get.

use crate::config::File;
use crate::support::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use switchboard::auth::Tokens;
use switchboard::engine::Memory;
use switchboard::{Drain, Error, Identity, Limits, Response};

const KEY: &str = "5f3ac2e07d";
const PATHS: [&str; 7] = [
    "/api/publish",
    "/api/broadcast",
    "/api/direct",
    "/api/disconnect",
    "/api/rooms",
    "/api/rooms/tea",
    "/api/stats",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

fn with_key() -> Program {
    serve_binary(&["--api-key", KEY])
}

/// A request with these whole header lines.
fn send(address: SocketAddr, line: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    exchange(address, [head.as_bytes(), body].concat())
}

fn authorized(headers: &str) -> String {
    format!("Authorization: Bearer {KEY}\r\n{headers}")
}

/// A body as a program would send it.
fn post_text(address: SocketAddr, path: &str, body: &[u8]) -> Answer {
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    send(address, &format!("POST {path}"), &authorized(&headers), body)
}

/// Status and JSON of an answer.
#[track_caller]
fn parsed(answer: &Answer) -> (u16, Value) {
    assert_eq!(answer.header("Content-Type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("Content-Length").unwrap().parse(), Ok(answer.body.len()));
    (answer.status, serde_json::from_str(answer.text()).unwrap())
}

#[track_caller]
fn post(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    parsed(&post_text(address, path, body.to_string().as_bytes()))
}

/// What a POST is answered that is carried out.
#[track_caller]
fn done(address: SocketAddr, path: &str, body: &Value) -> Value {
    let (status, value) = post(address, path, body);
    assert_eq!(status, 200, "{path} {body}: {value}");
    value
}

#[track_caller]
fn look(address: SocketAddr, path: &str) -> (u16, Value) {
    parsed(&send(address, &format!("GET {path}"), &authorized(""), b""))
}

/// An error has exactly a code and a text.
#[track_caller]
fn check_error(answer: &Answer, status: u16, code: &str) -> String {
    let (found, value) = parsed(answer);
    assert_eq!((found, &value["code"]), (status, &json!(code)), "{value}");
    let fields = value.as_object().unwrap();
    assert!(fields.len() == 2 && fields["message"].as_str().is_some_and(|text| 10 < text.len()), "{value}");
    fields["message"].as_str().unwrap().into()
}

/// A user at `/ws` who has been welcomed.
fn enter(address: SocketAddr, user: &str) -> Client {
    let mut client = Client::connect(address, &format!("/ws?user={user}"));
    assert_eq!(next(&mut client)["type"], "welcome");
    client
}

#[track_caller]
fn next(client: &mut Client) -> Value {
    serde_json::from_str(&client.text()).unwrap()
}

#[track_caller]
fn next_of(client: &mut Client, kind: &str) -> Value {
    loop {
        let text = next(client);
        if text["type"] == kind {
            return text;
        }
    }
}

#[track_caller]
fn join(client: &mut Client, room: &str) -> Value {
    client.send(&json!({"type": "join", "room": room, "id": 1}).to_string());
    next_of(client, "joined")
}

#[test]
fn until_there_is_a_key_there_is_no_api() {
    let program = serve_binary(&[]);
    let mut bodies = Vec::new();
    for path in PATHS.iter().chain(&["/api", "/api/", "/api/nothing", "/api/rooms/"]) {
        for method in METHODS {
            let line = format!("{method} {path}");
            for headers in ["", &authorized("Content-Length: 99999999\r\n"), "Transfer-Encoding: chunked\r\n"]
            {
                let answer = send(program.address, &line, headers, b"");
                assert_eq!(answer.status, 404, "{line}");
                assert_eq!((answer.header("WWW-Authenticate"), answer.header("Allow")), (None, None));
                bodies.push(if method == "HEAD" { b"".to_vec() } else { answer.body });
            }
        }
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 2, "nobody can tell one path from another");
    check_error(&get(program.address, "/api/publish"), 404, "not_found");
    for path in ["/apis", "/Api/rooms", "/"] {
        assert_eq!(get(program.address, path).text(), get(serve_binary(&[]).address, path).text());
    }
}

#[test]
fn without_a_good_key_nothing_else_is_told() {
    let program = with_key();
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let twice = bearer(KEY).repeat(2);
    let wrong = [
        String::new(),
        bearer("wrong"),
        bearer(""),
        bearer(&KEY[1..]),
        bearer(&KEY[..KEY.len() - 1]),
        bearer(&format!("{KEY}0")),
        bearer(&format!("{KEY} x")),
        bearer(&KEY.to_ascii_uppercase()),
        bearer(&"x".repeat(7000)),
        format!("Authorization: Basic {KEY}\r\n"),
        format!("Authorization: {KEY}\r\n"),
        format!("Authorization: Bearer{KEY}\r\n"),
        format!("X-Api-Key: {KEY}\r\n"),
        format!("Sec-WebSocket-Protocol: bearer.{KEY}\r\n"),
        twice,
    ];
    let mut bodies = Vec::new();
    let mut check = |line: &str, headers: &str| {
        let answer = send(program.address, line, headers, b"");
        assert_eq!(
            (answer.status, answer.header("WWW-Authenticate")),
            (401, Some("Bearer")),
            "{line} {headers}"
        );
        assert_eq!(answer.header("Allow"), None);
        if !line.starts_with("HEAD") {
            check_error(&answer, 401, "unauthorized");
            bodies.push(answer.body);
        }
    };
    for headers in &wrong {
        check("GET /api/rooms", headers);
        check("POST /api/publish", headers);
    }
    for method in METHODS {
        for path in PATHS.iter().chain(&["/api", "/api/", "/api/nothing", "/api/rooms/%zz", "/api/rooms/%00"])
        {
            check(&format!("{method} {path}"), "");
        }
    }
    check(&format!("GET /api/rooms?token={KEY}"), "");
    // Neither the length nor the kind of a body is told.
    for headers in
        ["Content-Length: 99999999999\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: x\r\n"]
    {
        check("POST /api/publish", headers);
        check("POST /api/publish", &format!("{headers}{}", bearer("wrong")));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    for good in ["bearer", "BEARER", "Bearer  "] {
        let answer =
            send(program.address, "GET /api/rooms", &format!("Authorization: {good} {KEY}\r\n"), b"");
        assert_eq!(answer.status, 200, "{good}");
    }
}

#[test]
fn every_refusal_has_its_status_and_says_what_to_change() {
    let program = serve_binary(&["--api-key", KEY, "--max-message", "1000"]);
    let address = program.address;
    let request = |line: &str, headers: &str| send(address, line, &authorized(headers), b"");
    for path in
        ["/api", "/api/", "/api/nothing", "/api/publish/", "/api/rooms/a/b", "/api//rooms", "/api/Rooms"]
    {
        for method in ["GET", "POST"] {
            check_error(&request(&format!("{method} {path}"), ""), 404, "not_found");
        }
    }
    for path in PATHS {
        let is_read = !path.contains("publish") && (path.contains("rooms") || path.contains("stats"));
        let allowed = if is_read { "GET, HEAD" } else { "POST" };
        for method in METHODS.iter().filter(|method| !allowed.split(", ").any(|one| one == **method)) {
            let answer = request(&format!("{method} {path}"), "");
            assert_eq!((answer.status, answer.header("Allow")), (405, Some(allowed)), "{method} {path}");
            if *method != "HEAD" {
                assert!(check_error(&answer, 405, "method_not_allowed").contains(allowed));
            }
        }
    }
    let publish = |headers: &str| request("POST /api/publish", headers);
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"] {
        let line = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let answer = publish(&format!("{line}Content-Length: 0\r\n"));
        assert!(
            check_error(&answer, 415, "unsupported_media_type").contains("Content-Type: application/json")
        );
    }
    let json = "Content-Type: application/json\r\n";
    for (length, status, code) in [
        ("Content-Length: 2001", 413, "too_large"),
        ("Content-Length: 99999999999999999999999", 413, "too_large"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1", 400, "bad_request"),
        ("Transfer-Encoding: identity", 400, "bad_request"),
        ("Transfer-Encoding: gzip, chunked", 501, "not_implemented"),
        ("Content-Length: x", 400, "bad_request"),
        ("Content-Length: 1\r\nContent-Length: 2", 400, "bad_request"),
    ] {
        check_error(&publish(&format!("{json}{length}\r\n")), status, code);
    }
    assert!(publish(&format!("{json}Content-Length: 2001\r\n")).text().contains("2000 bytes"));
    // Twice the limit on messages is no byte too much.
    let body = |length: usize| format!("{{\"room\":\"r\",\"data\":\"{}\"}}", "x".repeat(length - 22));
    assert_eq!(body(2000).len(), 2000);
    assert_eq!(post_text(address, "/api/publish", body(2000).as_bytes()).status, 200);
    check_error(&post_text(address, "/api/publish", body(2001).as_bytes()), 413, "too_large");
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=1"] {
        let answer = send(
            address,
            "POST /api/broadcast",
            &authorized(&format!("Content-Type: {kind}\r\nContent-Length: 10\r\n")),
            br#"{"data":1}"#,
        );
        assert_eq!(answer.status, 200, "{kind}");
    }
}

#[test]
fn a_body_may_come_in_chunks() {
    let program = serve_binary(&["--api-key", KEY, "--max-message", "1000"]);
    let publish = |body: &[u8]| {
        let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        send(program.address, "POST /api/publish", &authorized(headers), body)
    };
    let text = r#"{"room":"tea","data":"in chunks"}"#;
    let chunks = |size: usize| -> String {
        let pieces = text.as_bytes().chunks(size).map(|piece| str::from_utf8(piece).unwrap());
        pieces.map(|piece| format!("{:x};n=1\r\n{piece}\r\n", piece.len())).collect()
    };
    for (offset, size) in (1..=text.len()).enumerate() {
        let answer = publish(format!("{}0\r\nX-Trailer: ignored\r\n\r\n", chunks(size)).as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(parsed(&answer).1["offset"], offset + 1);
    }
    let (_, room) = look(program.address, "/api/rooms/tea");
    assert_eq!(room["offset"], text.len());
    // Twice the limit on messages is no byte too much, as with Content-Length.
    let full = format!("{{\"room\":\"r\",\"data\":\"{}\"}}", "x".repeat(2000 - 22));
    let halves = full.split_at(900);
    let body = format!("384\r\n{}\r\n44C\r\n{}\r\n", halves.0, halves.1);
    assert_eq!(publish(format!("{body}0\r\n\r\n").as_bytes()).status, 200);
    let over = publish(format!("{body}1\r\n").as_bytes());
    assert!(check_error(&over, 413, "too_large").contains("2000 bytes"));
    check_error(&publish(b"7d1\r\n"), 413, "too_large");
    for malformed in [&b"x"[..], b"5\nhello", b"5\r\nhello!", b"1;\0", b"0\r\n: x\r\n\r\n"] {
        check_error(&publish(malformed), 400, "bad_request");
    }
    let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(65));
    check_error(&publish(trailers.as_bytes()), 431, "bad_request");
    check_error(&publish(b"0\r\n\r\n"), 400, "bad_json");
}

#[test]
fn a_body_that_does_not_come_is_given_up_in_json_too() {
    let limits = Limits { head_deadline: Duration::from_millis(300), ..Limits::default() };
    let keys = Tokens::new().with(KEY, Identity::default()).unwrap();
    let server = serve(limits, |builder| builder.protocol("/ws").api("/api", &keys));
    for (length, begun) in [
        ("Content-Length: 5", &b"{"[..]),
        ("Transfer-Encoding: chunked", b""),
        ("Transfer-Encoding: chunked", b"5;x"),
        ("Transfer-Encoding: chunked", b"5\r\n{"),
        ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\nx: "),
    ] {
        let headers = authorized(&format!("Content-Type: application/json\r\n{length}\r\n"));
        check_error(&send(server.local_addr(), "POST /api/publish", &headers, begun), 408, "timeout");
    }
}

#[test]
fn a_body_that_is_no_request_is_refused_with_the_reason() {
    let program = with_key();
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let (long, key) = ("x".repeat(129), "k".repeat(65));
    for (path, body, code, hint) in [
        ("publish", "", "bad_json", "not JSON"),
        ("publish", "{", "bad_json", "not JSON"),
        ("publish", "{}}", "bad_json", "not JSON"),
        ("publish", "\u{feff}{}", "bad_json", "not JSON"),
        ("publish", "[1,", "bad_json", "not JSON"),
        ("publish", "[]", "bad_request", "JSON object"),
        ("publish", "null", "bad_request", "JSON object"),
        ("publish", "7", "bad_request", "JSON object"),
        ("publish", &deep(100_000), "bad_request", "JSON object"),
        ("publish", &"[".repeat(1_000_000), "bad_json", "not JSON"),
        ("publish", &"{\"a\":".repeat(400_000), "bad_json", "not JSON"),
        ("publish", r#"{"data":1}"#, "bad_request", "`room` is missing"),
        ("publish", r#"{"room":7,"data":1}"#, "bad_request", "`room` must be a string"),
        ("publish", r#"{"room":null,"data":1}"#, "bad_request", "`room` must be a string"),
        (
            "publish",
            r#"{"room":"","data":1}"#,
            "bad_request",
            "`room`: this name cannot be used: it is empty",
        ),
        ("publish", r#"{"room":"a\nb","data":1}"#, "bad_request", "`room`: "),
        ("publish", &format!(r#"{{"room":"{long}","data":1}}"#), "bad_request", "it has 129 bytes"),
        ("publish", r#"{"room":"\ud800","data":1}"#, "bad_request", "`room`"),
        ("publish", r#"{"room":"r"}"#, "bad_request", "`data` is missing"),
        ("publish", r#"{"room":"r","data":1,"key":7}"#, "bad_request", "`key` must be a string"),
        ("publish", r#"{"room":"r","data":1,"key":""}"#, "bad_request", "1 to 64 bytes"),
        ("publish", &format!(r#"{{"room":"r","data":1,"key":"{key}"}}"#), "bad_request", "1 to 64 bytes"),
        ("publish", r#"{"room":"r","data":01}"#, "bad_json", "not JSON"),
        ("publish", r#"{"room":"r","data":NaN}"#, "bad_json", "not JSON"),
        ("broadcast", "{}", "bad_request", "`data` is missing"),
        ("broadcast", r#"{"data":"\ud800"}"#, "bad_request", "surrogate"),
        ("broadcast", r#"{"data":"\ud800\u0041"}"#, "bad_request", "surrogate"),
        ("direct", r#"{"data":1}"#, "bad_request", "`to` is missing"),
        ("direct", r#"{"to":["ann"],"data":1}"#, "bad_request", "`to` must be a string"),
        ("direct", r#"{"to":"ann"}"#, "bad_request", "`data` is missing"),
        ("direct", r#"{"to":"\u0000","data":1}"#, "bad_request", "`to`: "),
        ("disconnect", "{}", "bad_request", "`user` is missing"),
        ("disconnect", r#"{"user":""}"#, "bad_request", "`user`: "),
        ("disconnect", r#"{"user":"ann","reason":7}"#, "bad_request", "`reason` must be a string"),
        (
            "disconnect",
            &format!(r#"{{"user":"ann","reason":"{}"}}"#, "x".repeat(1025)),
            "bad_request",
            "1024",
        ),
    ] {
        let answer = post_text(program.address, &format!("/api/{path}"), body.as_bytes());
        let message = check_error(&answer, 400, code);
        assert!(message.contains(hint) && message.len() < 300, "{path} {body:.80}: {message}");
    }
    for body in
        [&b"{\"room\":\"r\xff\",\"data\":1}"[..], b"\xff", b"{\"room\":\"r\",\"data\":\"\xed\xa0\x80\"}"]
    {
        let answer = post_text(program.address, "/api/publish", body);
        assert!(check_error(&answer, 400, "bad_json").contains("UTF-8"));
    }
    for (path, code) in [
        ("%00", "bad_request"),
        ("%zz", "bad_request"),
        ("%ff", "bad_request"),
        ("", "bad_request"),
        (&long, "bad_request"),
    ] {
        let answer = send(program.address, &format!("GET /api/rooms/{path}"), &authorized(""), b"");
        check_error(&answer, 400, code);
    }
    assert_eq!(look(program.address, "/api/rooms"), (200, json!({"rooms": []})), "nothing was published");
}

#[test]
fn what_is_published_reaches_members_from_nobody_and_unchanged() {
    let program = with_key();
    let mut ann = enter(program.address, "ann");
    let joined = join(&mut ann, "大厅");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("-{}.5E+999999", "9".repeat(5000));
    for (at, data) in
        ["null", r#""\u5927\n""#, "[1.50,1e999]", r#"{"b":1, "a":{"a":[]},"b":2}"#, &deep, &long]
            .iter()
            .enumerate()
    {
        let body = format!(r#"{{"extra":[{{}}],"data": {data} ,"room":"大厅"}}"#);
        let (status, answer) = parsed(&post_text(program.address, "/api/publish", body.as_bytes()));
        let expected = json!({"room": "大厅", "epoch": joined["epoch"], "offset": at + 1});
        assert_eq!((status, answer), (200, expected));
        let message = ann.text();
        assert!(message.contains(&format!(r#""from":null,"data":{data},"time":"#)), "{message:.200}");
        let head =
            format!(r#"{{"type":"message","room":"大厅","epoch":{},"offset":{},"#, joined["epoch"], at + 1);
        assert!(message.starts_with(&head), "{message:.200}");
    }
    // It is in the history like any other.
    let mut bob = enter(program.address, "bob");
    bob.send(&json!({"type": "join", "room": "大厅", "history": 6, "id": 1}).to_string());
    let recalled = bob.text();
    assert!(
        recalled.contains(r#""messages":[{"offset":1,"from":null,"data":null,"time":1"#),
        "{recalled:.300}"
    );
    assert!(recalled.contains(&format!(r#","data":{long},"time":1"#)) && recalled.contains(&deep));
    // More than a room keeps.
    let body = format!(r#"{{"room":"大厅","data":"{}"}}"#, "x".repeat(1_100_000));
    check_error(&post_text(program.address, "/api/publish", body.as_bytes()), 413, "too_large");
}

#[test]
fn a_key_is_published_once_and_apart_from_users() {
    let program = with_key();
    let mut ann = enter(program.address, "ann");
    join(&mut ann, "r");
    ann.send(r#"{"type":"publish","room":"r","data":"ann","key":"k","id":2}"#);
    assert_eq!(next_of(&mut ann, "published")["offset"], 1);
    for (room, key, offset) in [
        ("r", json!("k"), 2),
        ("r", json!("k"), 2),
        ("r", json!("l"), 3),
        ("s", json!("k"), 1),
        ("r", json!("k"), 2),
    ] {
        let answer = done(program.address, "/api/publish", &json!({"room": room, "data": "api", "key": key}));
        assert_eq!(answer["offset"], offset, "{room} {key}");
    }
    ann.send(r#"{"type":"publish","room":"r","data":"end","id":3}"#);
    assert_eq!(next_of(&mut ann, "published")["offset"], 4, "nothing else was published");
}

#[test]
fn requests_of_the_api_and_of_clients_make_one_order() {
    let program = with_key();
    let address = program.address;
    let mut members: Vec<Client> = (0..3).map(|n| enter(address, &format!("member-{n}"))).collect();
    members.iter_mut().for_each(|member| drop(join(member, "r")));
    thread::scope(|scope| {
        for n in 0..3 {
            scope.spawn(move || {
                for at in 0..20 {
                    done(address, "/api/publish", &json!({"room": "r", "data": [n, at]}));
                }
            });
        }
        scope.spawn(move || {
            let mut ann = enter(address, "ann");
            for at in 0..20 {
                ann.send(&json!({"type": "publish", "room": "r", "data": [3, at], "id": at}).to_string());
                assert_eq!(next(&mut ann)["type"], "published");
            }
        });
    });
    let mut orders = members.iter_mut().map(|member| {
        (1..=80)
            .map(|offset| {
                let message = next_of(member, "message");
                assert_eq!(message["offset"], offset);
                message["data"].to_string()
            })
            .collect::<Vec<_>>()
    });
    let first = orders.next().unwrap();
    assert!(orders.all(|order| order == first));
}

#[test]
fn a_broadcast_reaches_everybody_once_in_its_own_way() {
    let program = with_key();
    let mut plain: Vec<Client> = ["/echo", "/conn_ws", "/conn_ws/ann", "/chat/r", "/room/r"]
        .map(|path| Client::settled(program.address, path))
        .into();
    let mut ann = enter(program.address, "ann");
    ["r", "s", "t"].iter().for_each(|room| drop(join(&mut ann, room)));
    let mut bob = enter(program.address, "bob");
    let mut cid = enter(program.address, "cid");
    join(&mut cid, "r");
    next_of(&mut ann, "presence");
    cid.send(r#"{"type":"leave","room":"r","id":2}"#);
    next_of(&mut cid, "left");
    next_of(&mut ann, "presence");
    for (data, bare) in [
        (r#""closing \u0073oon 大\n""#, "closing soon 大\n"),
        (r#""""#, ""),
        (r#"{"b": 1,"a":"x"}"#, r#"{"b": 1,"a":"x"}"#),
        ("[1e999]", "[1e999]"),
        ("null", "null"),
        ("\t\"x\" ", "x"),
    ] {
        let body = format!(r#"{{"data":{data}}}"#);
        let (status, answer) = parsed(&post_text(program.address, "/api/broadcast", body.as_bytes()));
        assert_eq!((status, answer), (200, json!({"connections": 6})), "{data}");
        plain.iter_mut().for_each(|client| client.expect(bare));
        let told = ann.text();
        let start = format!(r#"{{"type":"broadcast","data":{},"time":"#, data.trim());
        assert!(told.starts_with(&start) && told.ends_with('}'), "{told}");
    }
    // Nobody got anything twice, and those in no room nothing at all.
    for client in [&mut ann, &mut bob, &mut cid] {
        client.send(r#"{"type":"ping","id":9}"#);
        assert_eq!(next(client)["type"], "pong");
    }
    plain[0].send("mine");
    plain[0].expect("mine");
    plain.drain(..).for_each(Client::leave);
}

#[test]
fn a_compressed_broadcast_is_the_same() {
    let program = with_key();
    let text = "again and ".repeat(1000);
    let url = |path: &str| format!("ws://{}{path}", program.address);
    let mut plain = switchboard::Client::connect(&url("/room/r")).unwrap();
    let mut ann = switchboard::Client::connect(&url("/ws?user=ann")).unwrap();
    assert!(plain.is_compressed() && ann.is_compressed());
    ann.send(r#"{"type":"join","room":"r","id":1}"#).unwrap();
    for _ in 0..2 {
        ann.recv().unwrap().unwrap();
    }
    plain.send("here").unwrap();
    plain.recv().unwrap().unwrap();
    assert_eq!(done(program.address, "/api/broadcast", &json!({"data": text})), json!({"connections": 2}));
    assert_eq!(plain.recv().unwrap().unwrap().to_text().unwrap(), text);
    let told: Value = serde_json::from_str(ann.recv().unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!((&told["type"], &told["data"]), (&json!("broadcast"), &json!(text)));
}

#[test]
fn a_direct_message_reaches_all_connections_of_a_user() {
    let program = with_key();
    let mut anns = [enter(program.address, "ann"), enter(program.address, "ann")];
    let mut nick = Client::settled(program.address, "/conn_ws/ann");
    let answer = done(program.address, "/api/direct", &json!({"to": "ann", "data": {"mail": 3}}));
    assert_eq!(answer, json!({"connections": 2}));
    for ann in &mut anns {
        let told = next(ann);
        assert!(told["time"].is_u64());
        assert_eq!(
            (&told["type"], &told["from"], &told["data"]),
            (&json!("direct"), &json!(null), &json!({"mail": 3}))
        );
    }
    nick.settle();
    nick.leave();
    for nobody in ["bob", "nick:ann"] {
        let (status, error) = post(program.address, "/api/direct", &json!({"to": nobody, "data": 1}));
        assert_eq!((status, &error["code"]), (404, &json!("no_such_user")), "a nick is no user of /ws");
    }
}

#[test]
fn who_is_disconnected_is_told_why_and_closed_with_1008() {
    let program = with_key();
    let mut anns = [enter(program.address, "ann"), enter(program.address, "ann")];
    let mut bob = enter(program.address, "bob");
    for client in anns.iter_mut().chain([&mut bob]) {
        join(client, "r");
    }
    let nick = Client::settled(program.address, "/conn_ws/ann");
    let body = json!({"user": "ann", "reason": "too \"loud\" 大"});
    assert_eq!(done(program.address, "/api/disconnect", &body), json!({"connections": 2}));
    assert_eq!(
        done(program.address, "/api/disconnect", &body),
        json!({"connections": 0}),
        "they are closed already"
    );
    assert_eq!(post(program.address, "/api/direct", &json!({"to": "ann", "data": 1})).0, 404);
    for ann in &mut anns {
        let kicked = next_of(ann, "kicked");
        assert_eq!(kicked, json!({"type": "kicked", "reason": "too \"loud\" 大"}));
        assert_eq!(ann.close(), (1008, "too \"loud\" 大".into()));
        ann.send_close(1008);
        ann.expect_end();
    }
    nick.leave();
    // They may come back.
    let mut ann = enter(program.address, "ann");
    // A reason is not needed, and what does not fit into a Close frame is cut there.
    assert_eq!(done(program.address, "/api/disconnect", &json!({"user": "ann"})), json!({"connections": 1}));
    let reason = next_of(&mut ann, "kicked")["reason"].as_str().unwrap().to_string();
    assert_eq!(ann.close(), (1008, reason));
    let long = "大".repeat(341);
    assert_eq!(
        done(program.address, "/api/disconnect", &json!({"user": "bob", "reason": long}))["connections"],
        1
    );
    assert_eq!(next_of(&mut bob, "kicked")["reason"], json!(long));
    assert_eq!(bob.close(), (1008, "大".repeat(41)));
}

#[test]
fn with_authentication_a_user_is_disconnected_on_every_path() {
    let program = serve_binary(&["--api-key", KEY, "--token", "t1=ann", "--token", "t2=bob"]);
    let enter = |path: &str, token: &str| {
        let mut client =
            Client::connect_with(program.address, path, &format!("Authorization: Bearer {token}\r\n"));
        match path {
            "/ws" => assert_eq!(next(&mut client)["type"], "welcome"),
            _ => client.settle(),
        }
        client
    };
    let paths = ["/echo", "/conn_ws", "/conn_ws/ann", "/chat/r", "/room/r"];
    let mut plain: Vec<Client> = paths.iter().map(|path| enter(path, "t1")).collect();
    let mut speaker = enter("/ws", "t1");
    let others = ["/conn_ws", "/conn_ws/bob", "/room/r"].map(|path| enter(path, "t2"));
    let mut bob = enter("/ws", "t2");
    let body = json!({"user": "ann", "reason": "out"});
    assert_eq!(done(program.address, "/api/disconnect", &body), json!({"connections": 6}));
    assert_eq!(next(&mut speaker), json!({"type": "kicked", "reason": "out"}));
    for client in plain.iter_mut().chain([&mut speaker]) {
        assert_eq!(client.close(), (1008, "out".into()));
        client.send_close(1008);
        client.expect_end();
    }
    assert_eq!(
        done(program.address, "/api/disconnect", &json!({"user": "nick:bob"})),
        json!({"connections": 0})
    );
    bob.send(r#"{"type":"ping","id":1}"#);
    assert_eq!(next(&mut bob)["type"], "pong");
    others.into_iter().for_each(Client::leave);
    // A token is no key, and a key no token.
    for (key, status) in [("t1", 401), (KEY, 200)] {
        let answer =
            send(program.address, "GET /api/stats", &format!("Authorization: Bearer {key}\r\n"), b"");
        assert_eq!(answer.status, status);
    }
    let mut stranger = Client::connect_with(program.address, "/echo", &authorized(""));
    stranger.expect_close(1008);
}

#[test]
fn rooms_and_numbers_are_told() {
    let program = with_key();
    assert_eq!(look(program.address, "/api/rooms"), (200, json!({"rooms": []})));
    let (_, stats) = look(program.address, "/api/stats");
    assert_eq!((&stats["connections"], &stats["users"], &stats["rooms"]), (&json!(0), &json!(0), &json!(0)));
    let (status, error) = look(program.address, "/api/rooms/tea");
    assert_eq!((status, &error["code"]), (404, &json!("no_such_room")));
    let plain = ["/room/tea", "/chat/tea", "/conn_ws"].map(|path| Client::settled(program.address, path));
    let mut anns = [enter(program.address, "ann"), enter(program.address, "ann")];
    let mut bob = enter(program.address, "bob");
    let cid = enter(program.address, "cid");
    let epoch = join(&mut anns[0], "tea")["epoch"].clone();
    for client in [&mut anns[1], &mut bob] {
        assert_eq!(join(client, "tea")["epoch"], epoch);
    }
    join(&mut bob, "a/b 大");
    done(program.address, "/api/publish", &json!({"room": "tea", "data": 1}));
    done(program.address, "/api/publish", &json!({"room": "left", "data": 1}));
    let (status, answer) = look(program.address, "/api/rooms");
    let rooms: Vec<(&str, u64, u64, u64)> = answer["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| {
            assert!(room.as_object().unwrap().len() == 5 && room["epoch"].is_string(), "{room}");
            let number = |field: &str| room[field].as_u64().unwrap();
            (room["room"].as_str().unwrap(), number("users"), number("connections"), number("offset"))
        })
        .collect();
    assert_eq!((status, rooms), (200, vec![("a/b 大", 1, 1, 0), ("left", 0, 0, 1), ("tea", 2, 3, 1)]));
    let members = json!([{"user": "ann", "connections": 2}, {"user": "bob", "connections": 1}]);
    let tea = json!({"room": "tea", "members": members, "epoch": epoch, "offset": 1});
    assert_eq!(look(program.address, "/api/rooms/tea"), (200, tea.clone()));
    assert_eq!(look(program.address, "/api/rooms/t%65a?x=1"), (200, tea));
    let (status, slash) = look(program.address, "/api/rooms/a%2Fb%20%E5%A4%A7");
    assert_eq!((status, &slash["room"], &slash["offset"]), (200, &json!("a/b 大"), &json!(0)));
    let (_, stats) = look(program.address, "/api/stats");
    assert_eq!((&stats["connections"], &stats["users"], &stats["rooms"]), (&json!(7), &json!(3), &json!(3)));
    for path in ["/api/rooms", "/api/rooms/tea", "/api/stats"] {
        let [full, head] = ["GET", "HEAD"]
            .map(|method| send(program.address, &format!("{method} {path}"), &authorized(""), b""));
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("Content-Length"), full.header("Content-Length"), "{path}");
    }
    plain.into_iter().chain([cid]).for_each(Client::leave);
}

#[test]
fn rooms_come_in_pages() {
    let program = with_key();
    for n in 0..25 {
        done(program.address, "/api/publish", &json!({"room": format!("r{n:02}"), "data": n}));
    }
    let page = |query: &str| {
        let (status, answer) = look(program.address, &format!("/api/rooms{query}"));
        assert_eq!(status, 200, "{query}: {answer}");
        let rooms = answer["rooms"].as_array().unwrap().iter().map(|room| room["room"].as_str().unwrap());
        let rooms: Vec<String> = rooms.map(String::from).collect();
        assert_eq!(answer.as_object().unwrap().len(), if answer["more"] == true { 2 } else { 1 });
        (rooms, answer["more"] == true)
    };
    let all: Vec<String> = (0..25).map(|n| format!("r{n:02}")).collect();
    assert_eq!(page(""), (all.clone(), false));
    assert_eq!(page("?limit=25"), (all.clone(), false));
    assert_eq!(page("?limit=24"), (all[..24].to_vec(), true));
    assert_eq!(page("?limit=10000&after=r2"), (all[20..].to_vec(), false));
    assert_eq!(page("?after=r24"), (vec![], false));
    assert_eq!(page("?after=%E5%A4%A7"), (vec![], false));
    let (mut pages, mut last) = (Vec::new(), String::new());
    loop {
        let (rooms, is_more) = page(&format!("?after={last}&limit=10"));
        last = rooms.last().unwrap().clone();
        pages.push(rooms);
        if !is_more {
            break;
        }
    }
    assert_eq!((pages.len(), pages.concat()), (3, all));
    for query in
        ["limit=0", "limit=", "limit=-1", "limit=10001", "limit=x", "limit=1%202", "after=%zz", "after=%ff"]
    {
        let answer = send(program.address, &format!("GET /api/rooms?{query}"), &authorized(""), b"");
        check_error(&answer, 400, "bad_request");
    }
}

#[test]
fn a_body_may_wait_to_be_asked_for() {
    let program = with_key();
    let body = br#"{"data":1}"#;
    let json = "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n";
    let mut stream = connect(program.address);
    let head = format!("POST /api/broadcast HTTP/1.1\r\nHost: x\r\n{}\r\n", authorized(json));
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    // Who may not is told so at once, and need not send it.
    let answer = send(program.address, "POST /api/broadcast", json, b"");
    assert_eq!(answer.status, 401);
}

#[test]
fn a_websocket_is_nothing_for_the_api() {
    let program = with_key();
    for (path, status) in [("/api/rooms", 200), ("/api/publish", 405), ("/api/ws", 404)] {
        let request = handshake(program.address, path, &authorized(""));
        assert_eq!(exchange(program.address, request).status, status, "{path}");
    }
}

/// Which of these keys are good.
fn good(address: SocketAddr, keys: &[&str]) -> Vec<u16> {
    let status = |key: &&str| {
        let header = format!("Authorization: Bearer {key}\r\n");
        send(address, "GET /api/stats", &header, b"").status
    };
    keys.iter().map(status).collect()
}

#[test]
fn keys_come_from_flags_environment_and_files() {
    let keys = File::new("# for the shop\nk3 shop\nk4 # until spring\n");
    let config = File::new(&format!(
        "bind = \"127.0.0.1:0\"\napi-key = [\"k5\", \"k6\"]\napi-key-file = '{}'\n",
        keys.path()
    ));
    let all = ["k1", "k2", "k3", "k4", "k5", "k6", "shop", "k"];
    let serve = ["serve", "--bind", "127.0.0.1:0"];
    for (args, variable, expected) in [
        (&["--api-key", "k1", "--api-key", "k2"][..], None, [200, 200, 401, 401, 401, 401, 401, 401]),
        (&["--api-key", "k1,k2"], None, [200, 200, 401, 401, 401, 401, 401, 401]),
        (&[], Some("k1,k2"), [200, 200, 401, 401, 401, 401, 401, 401]),
        (&["--api-key-file", keys.path()], None, [401, 401, 200, 200, 401, 401, 401, 401]),
        (&["--api-key-file", keys.path(), "--api-key=k1"], None, [200, 401, 200, 200, 401, 401, 401, 401]),
        (&["--config", config.path()], None, [401, 401, 200, 200, 200, 200, 401, 401]),
        (&["--config", config.path()], Some("k2"), [401, 200, 200, 200, 401, 401, 401, 401]),
    ] {
        let mut command = switchboard(&[&serve[..], args].concat());
        command.envs(variable.map(|keys| ("SWITCHBOARD_API_KEY", keys)));
        let program = Program::start(&mut command);
        assert_eq!(good(program.address, &all), expected, "{args:?} {variable:?}");
    }
    for (args, hint) in [
        (&["--api-key", "hush me"][..], "--api-key: a token is letters"),
        (&["--api-key", "hush,hush"], "--api-key: "),
        (&["--api-key-file", "/nowhere/keys"], "/nowhere/keys"),
    ] {
        let output = switchboard(&[&serve[..], args].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(hint) && !said.contains("hush"), "{said}");
    }
}

#[test]
fn keys_are_read_again_and_told_to_nobody() {
    let keys = File::new("first-secret\n");
    let config = File::new("bind = \"127.0.0.1:0\"\n");
    let mut command = switchboard(&["--config", config.path()]);
    let program = Program::start(command.env("RUST_LOG", "debug"));
    let all = ["first-secret", "second-secret", "third-secret"];
    assert_eq!(good(program.address, &all), [404, 404, 404]);
    let mut ann = enter(program.address, "ann");
    let reload = |text: &str, said: &str| {
        std::fs::write(config.path(), format!("bind = \"127.0.0.1:0\"\n{text}")).unwrap();
        program.signal(Signal::HUP);
        program.wait_said(said);
    };
    let file = format!("api-key-file = '{}'\n", keys.path());
    let read = "the keys of the API were read again";
    reload(&file, read);
    assert_eq!(good(program.address, &all), [200, 401, 401]);
    std::fs::write(keys.path(), "second-secret\n").unwrap();
    reload(&file, read);
    assert_eq!(good(program.address, &all), [401, 200, 401]);
    reload(&format!("{file}api-key = \"third-secret\"\n"), read);
    assert_eq!(good(program.address, &all), [401, 200, 200]);
    std::fs::write(keys.path(), "# none\n").unwrap();
    reload(&file, "the old keys of the API stay");
    assert_eq!(good(program.address, &all), [401, 200, 200]);
    reload("", read);
    assert_eq!(good(program.address, &all), [404, 404, 404]);
    reload("api-key = \"third-secret\"\n", read);
    assert_eq!(good(program.address, &all), [401, 401, 200]);
    ann.send(r#"{"type":"ping","id":1}"#);
    assert_eq!(next(&mut ann)["type"], "pong", "who is in stays in");
    let said = program.all_said();
    assert!(said.contains("api-key = (secret)") && !said.contains("-secret"), "{said}");
}

#[test]
fn an_embedded_server_can_have_it_elsewhere() {
    let keys = Tokens::new();
    let server = serve(Limits::default(), |builder| {
        builder
            .protocol("/ws")
            .get("/admin/own", |_| Response::text("own"))
            .get("/api/rooms", |_| Response::text("mine"))
            .api("/admin/chat", &keys)
    });
    let address = server.local_addr();
    let status = |path: &str| send(address, &format!("GET {path}"), &authorized(""), b"").status;
    assert_eq!((status("/admin/chat/rooms"), get(address, "/admin/own").text()), (404, "own"));
    keys.replace(&Tokens::new().with(KEY, Identity::user("shop").may_write(["nothing"])).unwrap());
    assert_eq!(
        (status("/admin/chat/rooms"), status("/admin/chats"), get(address, "/api/rooms").text()),
        (200, 404, "mine")
    );
    let published = parsed(&post_text(address, "/admin/chat/publish", br#"{"room":"r","data":1}"#));
    assert_eq!((published.0, &published.1["offset"]), (200, &json!(1)));
    for path in ["", "/", "api", "/api/", "/{x}"] {
        let mistaken = switchboard::Server::builder().api(path, &keys).bind("127.0.0.1:0");
        assert!(matches!(mistaken, Err(Error::Config(_))), "{path}");
    }
}

#[test]
fn a_program_around_the_server_can_do_the_same() {
    let server = serve(Limits::default(), |builder| builder.protocol("/ws"));
    let mut ann = Client::connect(server.local_addr(), "/ws?user=ann");
    assert_eq!(next(&mut ann)["type"], "welcome");
    assert_eq!(join(&mut ann, "r")["epoch"], server.rooms().unwrap()[0].epoch);
    let published = server.publish("r", " {\"a\": 1}\n", Some("k")).unwrap();
    assert_eq!(server.publish("r", "2", Some("k")).unwrap(), published);
    let message = next_of(&mut ann, "message");
    assert_eq!((&message["offset"], &message["data"]), (&json!(published.offset), &json!({"a": 1})));
    let state = server.rooms().unwrap().remove(0);
    assert_eq!((state.room.as_str(), state.users, state.connections, state.offset), ("r", 1, 1, 1));
    for wrong in ["", "{", "1 2", "hello"] {
        assert!(matches!(server.publish("r", wrong, None), Err(Error::Config(_))), "{wrong}");
        assert!(matches!(server.direct("ann", wrong), Err(Error::Config(_))), "{wrong}");
        assert!(matches!(server.announce(wrong), Err(Error::Config(_))), "{wrong}");
    }
    for wrong in ["", "a\nb", &"x".repeat(129)] {
        assert!(matches!(server.publish(wrong, "1", None), Err(Error::Name(_))), "{wrong}");
        assert!(matches!(server.direct(wrong, "1"), Err(Error::Name(_))), "{wrong}");
        assert!(matches!(server.kick(wrong, ""), Err(Error::Name(_))), "{wrong}");
    }
    assert!(matches!(server.publish("r", "1", Some("")), Err(Error::Config(_))));
    assert!(matches!(server.kick("ann", &"x".repeat(1025)), Err(Error::Config(_))));
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    assert!(matches!(server.publish("r", &large, None), Err(Error::TooLarge(_))));
    assert_eq!(server.kick("ann", "").unwrap(), 1);
    assert_eq!(next(&mut ann), json!({"type": "kicked", "reason": ""}));
    ann.expect_close(1008);
    let handle = server.handle();
    server.shutdown(Drain::within(Duration::ZERO));
    assert!(matches!(handle.publish("r", "1", None), Err(Error::Stopped)));
    assert!(matches!(handle.rooms(), Err(Error::Stopped)));
}

#[test]
fn a_hub_that_does_not_answer_is_unavailable() {
    let keys = Tokens::new().with(KEY, Identity::default()).unwrap();
    let ((hold, held), (enter, entered)) = (channel::<()>(), channel());
    let ends = std::sync::Mutex::new(Some((held, enter)));
    let server = serve(Limits::default(), |builder| {
        builder.protocol("/ws").api("/api", &keys).route("/hold", move |mut ws| {
            let (held, enter) = ends.lock().unwrap().take().unwrap();
            // Against all rules: a view that blocks, and the hub with it.
            ws.join_with("hold", move |message| {
                let _ = enter.send(());
                let _ = held.recv();
                Some(message)
            })?;
            ws.send("ready")?;
            ws.recv().map(drop)
        })
    });
    // Let go before the server ends, whatever happens.
    let hold = hold;
    let mut holder = Client::connect(server.local_addr(), "/hold");
    holder.expect("ready");
    assert!(server.room("hold").send("now"));
    entered.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    let answer = send(server.local_addr(), "GET /api/stats", &authorized(""), b"");
    assert!(check_error(&answer, 503, "unavailable").contains("try again"));
    assert!(answer.header("Retry-After").is_some());
    assert!(Duration::from_secs(10) < began.elapsed(), "{:?}", began.elapsed());
    drop(hold);
    holder.expect("now");
    assert_eq!(send(server.local_addr(), "GET /api/stats", &authorized(""), b"").status, 200);
}

#[test]
fn servers_with_the_same_rooms_reach_each_other_s_users() {
    let (rooms, keys) = (Memory::new(), Tokens::new().with(KEY, Identity::default()).unwrap());
    let start = || {
        serve(Limits::default(), |builder| {
            let builder = builder.authenticate(|request| match request.query("user") {
                Some(user) => Ok(Identity::user(&user)),
                None => Ok(Identity::default()),
            });
            builder.protocol("/ws").engine(rooms.clone()).api("/api", &keys).route("/plain", |mut ws| {
                ws.send("ready")?;
                ws.recv().map(drop)
            })
        })
    };
    let (east, west) = (start(), start());
    let address = east.local_addr();
    // Until the engine hears, nothing is published; then it is known who is where.
    eventually("the rooms can be reached", || east.rooms().is_ok() && east.publish("r", "0", None).is_ok());
    eventually("the rooms can be reached", || west.publish("r", "0", None).is_ok());
    let mut ann = Client::connect(west.local_addr(), "/ws?user=ann");
    assert_eq!(next(&mut ann)["type"], "welcome");
    join(&mut ann, "r");
    let mut plain = Client::connect(west.local_addr(), "/plain?user=ann");
    plain.expect("ready");
    let mut here = enter(address, "ann");
    join(&mut here, "r");
    eventually("ann is in the room at both", || {
        let (_, room) = parsed(&send(address, "GET /api/rooms/r", &authorized(""), b""));
        room["members"] == json!([{"user": "ann", "connections": 2}])
    });
    let published = done(address, "/api/publish", &json!({"room": "r", "data": "hi", "key": "k"}));
    for client in [&mut ann, &mut here] {
        let message = next_of(client, "message");
        assert_eq!((&message["from"], &message["data"]), (&json!(null), &json!("hi")));
        assert_eq!(message["offset"], published["offset"]);
    }
    // A room that nobody is in here.
    join(&mut ann, "west only");
    eventually("the other server's room is listed", || {
        let (_, list) = look(address, "/api/rooms?after=r");
        let room = &list["rooms"][0];
        (&room["room"], &room["users"], &room["connections"]) == (&json!("west only"), &json!(1), &json!(1))
    });
    let again = done(west.local_addr(), "/api/publish", &json!({"room": "r", "data": "hi", "key": "k"}));
    assert_eq!(again, published, "the key holds at all servers");
    assert_eq!(done(address, "/api/direct", &json!({"to": "ann", "data": 1})), json!({"connections": 2}));
    done(address, "/api/broadcast", &json!({"data": "all"}));
    for client in [&mut ann, &mut here] {
        assert_eq!(next(client)["type"], "direct");
        assert_eq!(next(client)["type"], "broadcast");
    }
    plain.expect("all");
    let answer = done(address, "/api/disconnect", &json!({"user": "ann", "reason": "out"}));
    assert_eq!(answer, json!({"connections": 2}), "those of /ws, at all servers");
    for client in [&mut ann, &mut here] {
        assert_eq!(next(client), json!({"type": "kicked", "reason": "out"}));
        assert_eq!(client.close(), (1008, "out".into()));
    }
    assert_eq!(plain.close(), (1008, "out".into()));
    assert_eq!(post(address, "/api/direct", &json!({"to": "ann", "data": 1})).0, 404);
}

#[test]
fn rooms_on_disk_are_published_in_and_looked_at() {
    let folder = std::env::temp_dir().join(format!("switchboard-api-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = folder.join("rooms");
    let start = || serve_binary(&["--api-key", KEY, "--store", store.to_str().unwrap()]);
    let program = start();
    let first = done(program.address, "/api/publish", &json!({"room": "r", "data": 1, "key": "k"}));
    assert_eq!(first["offset"], 1);
    drop(program);
    let program = start();
    assert_eq!(done(program.address, "/api/publish", &json!({"room": "r", "data": 1, "key": "k"})), first);
    // Nobody is in it.
    let room = json!({"room": "r", "members": [], "epoch": first["epoch"], "offset": 1});
    assert_eq!(look(program.address, "/api/rooms/r"), (200, room));
    let mut ann = enter(program.address, "ann");
    let epoch = join(&mut ann, "a")["epoch"].clone();
    let standing = |room: &str, users: usize, epoch: &Value, offset: u64| json!({"room": room, "users": users, "connections": users, "epoch": epoch, "offset": offset});
    let rooms = json!({"rooms": [standing("a", 1, &epoch, 0), standing("r", 0, &first["epoch"], 1)]});
    assert_eq!(look(program.address, "/api/rooms"), (200, rooms));
    let one = json!({"rooms": [standing("a", 1, &epoch, 0)], "more": true});
    assert_eq!(look(program.address, "/api/rooms?limit=1"), (200, one));
    let (status, error) = look(program.address, "/api/rooms/unknown");
    assert_eq!((status, &error["code"]), (404, &json!("no_such_room")));
    let body = format!(r#"{{"room":"r","data":"{}"}}"#, "x".repeat(1_100_000));
    check_error(&post_text(program.address, "/api/publish", body.as_bytes()), 413, "too_large");
    drop(program);
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(feature = "schema")]
#[test]
fn what_a_room_does_not_take_is_not_published_by_the_api_either() {
    let schema = File::new(r#"{"properties": {"item": {"type": "string"}}}"#);
    let rule = format!("ws:orders-*={}", schema.path());
    let program = serve_binary(&["--api-key", KEY, "--schema", &rule]);
    let publish =
        |room: &str, data: Value| post(program.address, "/api/publish", &json!({"room": room, "data": data}));
    let (status, error) = publish("orders-7", json!({"item": 5}));
    assert_eq!((status, &error["code"], &error["path"]), (400, &json!("invalid_data"), &json!("/item")));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("string")));
    assert_eq!(publish("orders-7", json!({"item": "tea"})).1["offset"], 1);
    assert_eq!(publish("other", json!({"item": 5})).0, 200);
}
