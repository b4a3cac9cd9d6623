//! The gallery of examples, path by path.

use crate::browser::check_reports;
use crate::programs::{finish, start};
use crate::support::{
    self, CLOSE, PATIENCE, PING, PONG, Program, TEXT, example, exchange, get, handshake, text_frame,
};
use crate::support_cdp::Browser;
use jiff::civil::DateTime;
use jiff::{Span, Timestamp, tz};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use switchboard::{Client, Message, Result};

pub(super) fn gallery(options: &[&str]) -> Program {
    Program::start(example("gallery").args(["--bind", "127.0.0.1:0"]).args(options))
}

pub(super) fn connect(address: SocketAddr, path: &str) -> Client {
    Client::connect(&format!("ws://{address}{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// With a header field, as `Origin`.
fn connect_as(address: SocketAddr, path: &str, (name, value): (&str, &str)) -> Result<Client> {
    Client::builder().header(name, value).connect(&format!("ws://{address}{path}"))
}

#[track_caller]
pub(super) fn text(client: &mut Client) -> String {
    match client.recv_timeout(PATIENCE).unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?} instead of a text; closed: {:?}", client.closed()),
    }
}

#[track_caller]
fn parsed(client: &mut Client) -> Value {
    let text = text(client);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
pub(super) fn expect(client: &mut Client, message: impl Into<Message>) {
    let message = message.into();
    let got = client.recv_timeout(PATIENCE).unwrap();
    assert!(got.as_ref() == Some(&message), "{got:?} instead of {message:?}; closed: {:?}", client.closed());
}

#[track_caller]
fn expect_close(client: &mut Client, code: u16, reason: &str) {
    let got = client.recv_timeout(PATIENCE).unwrap();
    assert!(got.is_none(), "{got:?} instead of the end");
    assert_eq!(client.closed(), Some((code, reason)));
}

/// Sends a message, and waits until it comes back.
#[track_caller]
fn check_echo(client: &mut Client, message: impl Into<Message>) {
    let message = message.into();
    client.send(message.clone()).unwrap();
    expect(client, message);
}

/// Text, and bytes that are no text.
#[track_caller]
fn check_echoes(client: &mut Client) {
    check_echo(client, "héllo, 你好 👋");
    check_echo(client, Message::binary(&b"\x00\xff"[..]));
}

/// Two clients of one path, both known to the hub.
fn two(address: SocketAddr, path: &str) -> [support::Client; 2] {
    [0; 2].map(|_| support::Client::settled(address, path))
}

#[track_caller]
pub(super) fn check_time(text: &str, zone: &tz::TimeZone) {
    assert_eq!(text.len(), "2023-04-01 09:24:14.787357".len(), "{text}");
    let time =
        DateTime::strptime("%Y-%m-%d %H:%M:%S.%f", text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let now = Timestamp::now();
    let time = time.to_zoned(zone.clone()).unwrap().timestamp();
    let ago = now.duration_since(time).unsigned_abs();
    assert!(time <= now && ago < PATIENCE, "{text} is not {now}");
}

#[test]
fn handlers_answer_with_the_local_time() {
    // A zone that no machine has, west to east: five hours and three quarters ahead.
    let program = Program::start(example("gallery").args(["--bind", "127.0.0.1:0"]).env("TZ", "XYZ-05:45"));
    let zone = tz::TimeZone::fixed(tz::Offset::UTC.checked_add(Span::new().hours(5).minutes(45)).unwrap());
    let check = |answer: &str, message: &str| {
        let start = format!("Data received as \"{message}\".  time: ");
        check_time(answer.strip_prefix(&start).unwrap_or_else(|| panic!("{answer}")), &zone);
    };
    let mut client = connect(program.address, "/handler");
    for message in ["Hello, I am PyPy.", "", "Javscript发送的数据"] {
        client.send(message).unwrap();
        check(&text(&mut client), message);
    }
    let mut once = connect(program.address, "/handler-once");
    once.send("only").unwrap();
    check(&text(&mut once), "only");
    expect_close(&mut once, 1000, "");
}

#[test]
fn broadcast_tells_everyone_the_time() {
    let program = gallery(&["--interval", "0.1"]);
    let mut clients = [0; 3].map(|_| connect(program.address, "/broadcast"));
    clients[0].send("is not answered").unwrap();
    let check = |client: &mut Client| {
        let told = text(client);
        let time = told.strip_prefix("Broadcast: New user joined, now time is ");
        check_time(time.unwrap_or_else(|| panic!("{told}")), &tz::TimeZone::system());
        told
    };
    clients.iter_mut().for_each(|client| drop(check(client)));
    // Two who are both there hear the same.
    let [first, second, third] = &mut clients;
    let newest = check(first);
    let same = std::iter::repeat_with(|| check(second)).find(|told| newest <= *told);
    assert_eq!(same, Some(newest));
    third.close(1000, "");
    expect_rest(third);
    for _ in 0..3 {
        check(first);
    }
}

/// Receives until the end.
#[track_caller]
pub(super) fn expect_rest(client: &mut Client) {
    while client.recv_timeout(PATIENCE).unwrap().is_some() {}
    assert!(client.is_closed());
}

#[test]
fn group_chat() {
    let program = gallery(&[]);
    let [mut ann, mut bob] = two(program.address, "/conn_ws");
    ann.send("大家好 <b>");
    bob.send_frame(support::BINARY, b"\x00\xff", true);
    for client in [&mut ann, &mut bob] {
        let mut heard = [client.frame(), client.frame()].map(|frame| (frame.opcode, frame.payload));
        heard.sort();
        assert_eq!(heard, [(TEXT, "大家好 <b>".into()), (support::BINARY, vec![0, 255])]);
    }
    ann.leave();
    bob.send("alone");
    bob.expect("alone");
}

#[test]
fn direct_chat() {
    let program = gallery(&[]);
    let mut ann = support::Client::settled(program.address, "/conn_ws/ann");
    let [mut bob, mut bob_at_home] = two(program.address, "/conn_ws/%E9%B2%8D%E5%8B%83");
    // Byte for byte, odd blanks included.
    let message = r#"{ "from_user":"ann",  "to_user":"鲍勃", "message":"你好" }"#;
    ann.send(message);
    bob.expect(message);
    bob_at_home.expect(message);
    // In somebody else's name, or in none: mended.
    for from in [r#""from_user":"eve","#, ""] {
        ann.send(&format!(r#"{{{from}"to_user":"鲍勃","message":"hi"}}"#));
        let got: Value = serde_json::from_str(&bob.text()).unwrap();
        assert_eq!(got, json!({"from_user": "ann", "to_user": "鲍勃", "message": "hi"}));
    }
    for (wrong, code) in [
        (r#"{"from_user":"ann","to_user":"nobody","message":"hi"}"#, "no_such_user"),
        ("hello", "bad_json"),
        ("[]", "bad_request"),
        (r#"["ann","鲍勃","hi"]"#, "bad_request"),
        (r#"{"to_user":"鲍勃"}"#, "bad_request"),
        (r#"{"from_user":"eve","from_user":"ann","to_user":"ann","message":"hi"}"#, "bad_request"),
    ] {
        ann.send(wrong);
        let error: Value = serde_json::from_str(&ann.text()).unwrap();
        assert_eq!((&error["type"], &error["code"]), (&"error".into(), &code.into()), "{wrong}: {error}");
    }
    let own = r#"{"from_user":"ann","to_user":"ann","message":"to myself"}"#;
    ann.send(own);
    ann.expect(own);
}

#[test]
fn rooms_pass_on_to_the_others_and_admit_some_sites() {
    let program = gallery(&[]);
    let [mut ann, mut bob] = two(program.address, "/chat/%E5%A4%A7%E5%8E%85");
    let [mut eve, _] = two(program.address, "/chat/elsewhere");
    ann.send("to bob");
    bob.expect("to bob");
    bob.send("to ann");
    ann.expect("to ann"); // and not its own before
    eve.send("alone");
    eve.settle();

    let own = format!("http://{}", program.address);
    for origin in ["https://example.com", "https://sub.example.com", &own] {
        connect_as(program.address, "/chat/lobby", ("Origin", origin)).unwrap();
    }
    for origin in ["https://example.com.evil.test", "http://example.com", "https://evil.test", "null"] {
        let request = handshake(program.address, "/chat/lobby", &format!("Origin: {origin}\r\n"));
        let answer = exchange(program.address, request);
        assert_eq!((answer.status, answer.text()), (403, "Forbidden\n"), "{origin}");
        // The other paths are open to all.
        connect_as(program.address, "/echo", ("Origin", origin)).unwrap();
    }
}

#[test]
fn pages() {
    let program = gallery(&[]);
    for (path, words) in [
        ("/", &["id=\"send_str\"", "id=\"send_btn\"", "id=\"chat_list\"", "/conn_ws'"][..]),
        (
            "/single_chat",
            &["id=\"nick\"", "id=\"to_user\"", "id=\"send_str\"", "id=\"chat_list\"", "login()", "send()"],
        ),
        ("/room/123/", &["[连接成功]", "[断开连接]"]),
        ("/stream", &["/stream'"]),
        ("/game", &["/game'"]),
        ("/gallery", &["id=\"tester\""]),
    ] {
        let page = get(program.address, path);
        assert_eq!(
            (page.status, page.header("Content-Type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        for word in words {
            assert!(page.text().contains(word), "{path} has no {word}");
        }
        for forbidden in ["://", "innerHTML", "document.write"] {
            let text = page.text().replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[test]
fn hello_over_http_and_websocket() {
    let program = gallery(&[]);
    for path in ["/hello-http", "/hello"] {
        let answer = get(program.address, path);
        assert_eq!((answer.status, answer.text()), (200, "Hello, HTTP"), "{path}");
    }
    let mut client = connect(program.address, "/hello");
    expect(&mut client, "Hello, WebSocket");
    expect_close(&mut client, 1000, "");
}

#[test]
fn replies() {
    let program = gallery(&[]);
    for (path, words) in [("/echo-cn", "收到消息: "), ("/received", "Server received: ")] {
        let mut client = connect(program.address, path);
        for message in ["Hello, WebSocket!", "", "二"] {
            client.send(message).unwrap();
            expect(&mut client, format!("{words}{message}"));
        }
        client.send(Message::binary(&b"\xff"[..])).unwrap();
        assert!(text(&mut client).starts_with(words));
    }
    check_echoes(&mut connect(program.address, "/echo"));
}

#[test]
fn say_and_group1_reach_everyone() {
    let program = gallery(&[]);
    for (path, said) in [("/say", "用户说: 你好"), ("/group1", "你好SB")] {
        let [mut ann, mut bob] = two(program.address, path);
        ann.send("你好");
        ann.expect(said);
        bob.expect(said);
        bob.send_frame(support::BINARY, b"\xff", true);
        assert_eq!(ann.frame().payload, b"\xff");
        ann.leave();
        assert_eq!(bob.frame().payload, b"\xff");
        bob.send("你好");
        bob.expect(said);
    }
}

#[test]
fn binary_is_told_from_text() {
    let program = gallery(&[]);
    let mut client = connect(program.address, "/binary");
    client.send(Message::binary(&b"\x00\xff"[..])).unwrap();
    expect(&mut client, Message::binary("Binary received"));
    client.send("text").unwrap();
    expect(&mut client, "请发送二进制数据");
}

#[test]
fn heartbeat_pings_and_finds_out_who_is_gone() {
    let program = gallery(&["--interval", "0.1"]);
    let mut client = support::Client::connect(program.address, "/heartbeat");
    client.send("hello");
    client.expect("hello");
    for _ in 0..3 {
        let ping = client.frame();
        assert_eq!(ping.opcode, PING, "{ping:?}");
        client.send_frame(PONG, &ping.payload, true);
    }
    // The last answer. From now on it is silent, for 5 s.
    let silent = Instant::now();
    let close = loop {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!(support::parse_close(&close.payload).0, 1011);
    assert!(Duration::from_secs(5) <= silent.elapsed(), "{:?}", silent.elapsed());
}

#[test]
fn limited_to_1000_connections() {
    // The program's limit is this process's.
    let nofile = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let enough = nofile.maximum.map_or(8192, |maximum| maximum.min(8192));
    if nofile.current.is_some_and(|current| current < enough) {
        let raised = rustix::process::Rlimit { current: Some(enough), ..nofile };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    }
    let program = gallery(&[]);
    let mut clients: Vec<Client> = (0..1000).map(|_| connect(program.address, "/limited")).collect();
    clients.iter_mut().for_each(|client| check_echo(client, "I have a place"));
    let mut refused = connect(program.address, "/limited");
    expect_close(&mut refused, 1008, "服务器繁忙");
    drop(clients.pop());
    // The end of a connection is seen here before its handler is over.
    support::eventually("the place can be used", || {
        let mut client = connect(program.address, "/limited");
        client.send("is it free?").is_ok() && client.recv_timeout(PATIENCE).unwrap().is_some()
    });
    check_echoes(&mut clients[0]);
}

#[test]
fn batches() {
    let program = gallery(&[]);
    let mut client = support::Client::connect(program.address, "/batch");
    let lines = |numbers: std::ops::Range<u32>| numbers.map(|n| format!("line {n}")).collect::<Vec<_>>();
    // In one write, so that all are there at once.
    client.send_raw(&lines(0..25).iter().flat_map(|line| text_frame(line)).collect::<Vec<u8>>());
    for numbers in [0..10, 10..20, 20..25] {
        client.expect(&lines(numbers).join("\n"));
    }
    client.send("one, after 0.1 s");
    client.expect("one, after 0.1 s");
}

#[test]
fn auth_wants_the_token() {
    let program = gallery(&[]);
    let authorized = |value| connect_as(program.address, "/auth", ("Authorization", value)).unwrap();
    // The last word, whatever is before it.
    for good in [
        "Bearer secret-token",
        "bearer secret-token",
        "secret-token",
        "Token  secret-token",
        "a b secret-token",
    ] {
        check_echoes(&mut authorized(good));
    }
    for wrong in
        ["Bearer secret-tokem", "Bearer secret-token-2", "Bearer ", "secret-token Bearer", "SECRET-TOKEN"]
    {
        expect_close(&mut authorized(wrong), 1008, "无效令牌");
    }
    expect_close(&mut connect(program.address, "/auth"), 1008, "无效令牌");
}

#[test]
fn cors_wants_one_of_two_sites() {
    let program = gallery(&[]);
    for good in ["https://example.com", "https://sub.example.com"] {
        check_echoes(&mut connect_as(program.address, "/cors", ("Origin", good)).unwrap());
    }
    let own = format!("http://{}", program.address);
    for wrong in ["https://example.com.evil.test", "http://example.com", "https://EXAMPLE.com", "null", &own]
    {
        let mut client = connect_as(program.address, "/cors", ("Origin", wrong)).unwrap();
        expect_close(&mut client, 1008, "不允许的源");
    }
    expect_close(&mut connect(program.address, "/cors"), 1008, "不允许的源");
}

#[test]
fn validated_messages_have_a_shape() {
    let program = gallery(&[]);
    let mut client = connect(program.address, "/validated");
    let of_length = |length| json!({"type": "chat", "content": "字".repeat(length)}).to_string();
    for good in
        [r#"{"type":"chat","content":"你好"}"#, r#"{"content":"","type":"","more":[1]}"#, &of_length(1000)]
    {
        client.send(good).unwrap();
    }
    for wrong in [
        "hello",
        "[]",
        r#"["chat","hello"]"#,
        "{}",
        r#"{"type":"chat"}"#,
        r#"{"content":"hello"}"#,
        r#"{"type":1,"content":"hello"}"#,
        r#"{"type":"chat","content":null}"#,
        &of_length(1001),
    ] {
        client.send(wrong).unwrap();
        // The good ones had no answer: this is the first, and one for each.
        let answer = text(&mut client);
        assert!(answer.strip_prefix("无效消息: ").is_some_and(|why| !why.is_empty()), "{wrong}: {answer}");
    }
    client.send(Message::binary(&b"\xff"[..])).unwrap();
    assert!(text(&mut client).starts_with("无效消息: "));
    client.close(1000, "");
    expect_close(&mut client, 1000, "");
}

#[test]
fn protected_by_a_bucket_of_100_tokens() {
    let program = gallery(&[]);
    let start = Instant::now();
    let mut client = connect(program.address, "/protected");
    (0..100).for_each(|n| check_echo(&mut client, format!("message {n}")));
    // Nothing comes, but for a token: one in 0.6 s.
    assert!(client.recv_timeout(Duration::from_millis(700)).unwrap().is_none() && !client.is_closed());
    let mut more = 0;
    while client.send("more").is_ok() && client.recv_timeout(PATIENCE).unwrap().is_some() {
        more += 1;
    }
    assert_eq!(client.closed(), Some((1008, "发送消息过于频繁")));
    let refilled = start.elapsed().as_secs_f64() * 100.0 / 60.0;
    assert!(1 <= more && f64::from(more) <= refilled, "{more} in {:?}", start.elapsed());
    // Each connection has a bucket of its own.
    check_echo(&mut connect(program.address, "/protected"), "full again");
}

#[test]
fn stream_sends_five_numbers_each_second() {
    let program = gallery(&[]);
    let start = Instant::now();
    let mut client = connect(program.address, "/stream");
    client.send("is ignored").unwrap();
    let samples = [0; 3].map(|_| {
        let sample = parsed(&mut client);
        let values: Vec<f64> =
            sample["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(values.len() == 5 && values.iter().all(|value| (0.0..1.0).contains(value)), "{sample}");
        (sample["timestamp"].as_u64().unwrap(), values)
    });
    // At once, after 1 s, after 2 s.
    assert!(Duration::from_secs(2) <= start.elapsed(), "{:?}", start.elapsed());
    let [(first, a), _, (third, b)] = samples;
    assert!(first < third && first.abs_diff(Timestamp::now().as_second() as u64) < 60, "{first}, {third}");
    assert_ne!(a, b);
    client.close(1000, "");
    expect_rest(&mut client);
}

#[test]
fn game() {
    let program = gallery(&[]);
    let enter = || {
        let mut client = connect(program.address, "/game");
        let init = parsed(&mut client);
        assert_eq!((&init["type"], &init["state"]["objects"]), (&"init".into(), &json!({})), "{init}");
        let id = init["playerId"].as_str().unwrap().to_string();
        (client, id, init["state"]["players"].clone())
    };
    let (mut ann, a, players) = enter();
    assert_eq!(players, json!({&a: {"position": [0, 0]}}));
    ann.send(r#"{"type":"move","position":[3,-4.5]}"#).unwrap();
    let moved = json!({"type": "playerMoved", "playerId": a, "position": [3, -4.5]});
    assert_eq!(parsed(&mut ann), moved);

    let (mut bob, b, players) = enter();
    assert_eq!(players, json!({&a: {"position": [3, -4.5]}, &b: {"position": [0, 0]}}));
    for ignored in [
        "hello",
        "[]",
        "{}",
        r#"{"type":"jump"}"#,
        r#"{"type":"move"}"#,
        r#"{"type":"move","position":"up"}"#,
    ] {
        bob.send(ignored).unwrap();
    }
    bob.send(Message::binary(&b"\xff"[..])).unwrap();
    bob.send(r#"{"type":"move","position":[1,2]}"#).unwrap();
    let moved = json!({"type": "playerMoved", "playerId": b, "position": [1, 2]});
    assert_eq!(parsed(&mut bob), moved);
    assert_eq!(parsed(&mut ann), moved);

    // However they leave: in order, and cut off.
    let (eve, e, _) = enter();
    drop(bob);
    assert_eq!(parsed(&mut ann), json!({"type": "playerLeft", "playerId": b}));
    drop(eve);
    assert_eq!(parsed(&mut ann), json!({"type": "playerLeft", "playerId": e}));
    let gone = support::Client::connect(program.address, "/game");
    support::reset(gone.stream);
    assert_eq!(parsed(&mut ann)["type"], "playerLeft");
    let (_, c, players) = enter();
    assert_eq!(players, json!({&a: {"position": [3, -4.5]}, &c: {"position": [0, 0]}}));
}

#[test]
fn robust_answers_errors_and_goes_on() {
    let program = gallery(&[]);
    let mut client = connect(program.address, "/robust");
    for good in [r#"{"a": [1, 2]}"#, "1", "null"] {
        check_echo(&mut client, good);
    }
    for wrong in ["{", "", "hello", &"[".repeat(10_000)] {
        client.send(wrong).unwrap();
        let answer = text(&mut client);
        assert!(answer.strip_prefix("错误: ").is_some_and(|why| !why.is_empty()), "{answer}");
    }
    check_echo(&mut client, Message::binary("[1]"));
}

#[test]
fn once_means_once() {
    let program = gallery(&[]);
    let mut client = connect(program.address, "/echo-once");
    check_echo(&mut client, "only");
    expect_close(&mut client, 1000, "");
    let mut client = connect(program.address, "/chatsocket");
    client.send("whatever").unwrap();
    expect(&mut client, "你好呀你好");
    expect_close(&mut client, 1000, "");
    assert_eq!(get(program.address, "/echo-once").status, 426);
}

#[test]
fn lower_case_over_http_and_websocket() {
    let program = gallery(&[]);
    for (query, status, body) in [
        ("?message=HELLO%20ÄÖ".replace("ÄÖ", "%C3%84%C3%96"), 200, "hello äö"),
        ("?message=".into(), 200, ""),
    ] {
        let answer = get(program.address, &format!("/lower_case{query}"));
        assert_eq!((answer.status, answer.text()), (status, body), "{query}");
    }
    for query in ["", "?other=X"] {
        assert_eq!(get(program.address, &format!("/lower_case{query}")).status, 400, "{query}");
    }
    let mut client = connect(program.address, "/lower_case");
    for (sent, lower) in [("HELLO", "hello"), ("ÄÖ 你好", "äö 你好")] {
        client.send(sent).unwrap();
        expect(&mut client, lower);
    }
}

#[test]
fn greeting() {
    let program = gallery(&[]);
    let mut client = connect(program.address, "/room/123/");
    expect(&mut client, "来了呀客官");
    client.send("taken silently").unwrap();
    client.send("关闭").unwrap();
    expect_close(&mut client, 1000, "");
    let mut client = connect(program.address, "/room/123/");
    expect(&mut client, "来了呀客官");
    client.close(1000, "bye");
    expect_close(&mut client, 1000, "");
}

#[test]
fn groups_by_callbacks() {
    let program = gallery(&[]);
    let [mut ann, mut bob] = two(program.address, "/group2/a/");
    let mut eve = support::Client::settled(program.address, "/group2/b/");
    ann.send("to a");
    ann.expect("to a");
    bob.expect("to a");
    eve.send("to b");
    eve.expect("to b");
    ann.leave();
    bob.send("still here");
    bob.expect("still here");
}

#[test]
fn filtered_by_a_word() {
    let program = gallery(&[]);
    let mut all = support::Client::settled(program.address, "/filtered");
    let mut news = support::Client::settled(program.address, "/filtered?word=news");
    for message in ["weather", "news: rain", "the end"] {
        all.send(message);
        all.expect(message);
    }
    news.expect("news: rain");
    news.send("more news");
    news.expect("more news");
}

#[test]
fn commands() {
    let program = gallery(&[]);
    let mut ann = connect(program.address, "/commands/ann");
    expect(&mut ann, "* ann is in lobby");
    let mut bob = connect(program.address, "/commands/bob");
    for client in [&mut ann, &mut bob] {
        expect(client, "* bob is in lobby");
    }
    bob.send("hello").unwrap();
    expect(&mut ann, "bob: hello");
    expect(&mut bob, "bob: hello");
    bob.send("/to ann psst").unwrap();
    expect(&mut ann, "bob to you: psst");
    bob.send("/to eve psst").unwrap();
    expect(&mut bob, "eve is not here");
    bob.send("/join garden").unwrap();
    expect(&mut ann, "* bob has left lobby");
    // Two rooms: each has its order, the two together have none.
    let mut told = [text(&mut bob), text(&mut bob)];
    told.sort();
    assert_eq!(told, ["* bob has left lobby", "* bob is in garden"]);
    bob.send("/leave").unwrap();
    expect(&mut bob, "* bob has left garden");
    bob.send("anybody?").unwrap();
    expect(&mut bob, "you are in no room: /join ROOM");
}

#[test]
#[ignore = "needs Python's websockets: run tests/run"]
fn python_websockets_in_the_gallery() {
    let program = gallery(&[]);
    finish(start("gallery.py", &[&format!("ws://{}", program.address)]));
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn pages_in_a_browser() {
    let (program, browser) = (gallery(&[]), Browser::start());
    let open = |path: &str| browser.open(&format!("http://{}{path}", program.address));

    let [ann, bob] = ["ann", "bob"].map(|_| open("/"));
    for tab in [&ann, &bob] {
        tab.wait("document.getElementById('state').className === 'open'");
    }
    ann.fill("#send_str", "你好 <b>everybody</b>");
    ann.click("#send_btn");
    for tab in [&ann, &bob] {
        tab.wait("chat_list.children[0]?.textContent === '你好 <b>everybody</b>'");
    }

    let single = open("/single_chat");
    single.fill("#nick", "ann");
    single.eval("login()");
    single.wait("chat_list.children.length === 1");
    single.fill("#to_user", "ann");
    single.fill("#send_str", "to myself");
    single.eval("send()");
    single.wait("chat_list.lastChild.textContent === 'ann:to myself'");

    let room = open("/room/123/");
    room.wait("messages.children.length === 2");
    room.fill("#text", "关闭");
    room.eval("send()");
    let lines = json!(json!(["[连接成功]", "来了呀客官", "[断开连接]"]).to_string());
    room.wait(&format!("JSON.stringify([...messages.children].map((line) => line.textContent)) === {lines}"));

    let stream = open("/stream");
    stream.wait("2 <= document.querySelector('polyline').points.length");

    let players = [open("/game"), open("/game")];
    players.iter().for_each(|tab| tab.wait("document.querySelector('.own') !== null"));
    players[0].eval("move(50, -30)");
    for tab in &players {
        tab.wait("[...document.querySelectorAll('circle')].some((dot) => dot.cx.baseVal.value === 50)");
    }

    let index = open("/gallery");
    index.eval(
        "[...document.querySelectorAll('main button')].find((b) => b.textContent === '/echo-cn').click()",
    );
    index.wait("ws.readyState === WebSocket.OPEN");
    index.click("#send_btn");
    index.wait("document.querySelector('#log .in')?.textContent === '收到消息: 你好'");
    index.click("#connect_btn");
    index.wait("log.lastChild.textContent.includes('closed: /echo-cn, 1005')");

    for tab in [&ann, &bob, &single, &room, &stream, &players[0], &players[1], &index] {
        check_reports(tab, &program);
    }
}
