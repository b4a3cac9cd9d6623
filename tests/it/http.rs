//! Plain requests, refusals and handshakes, byte by byte, mostly against the program.

use crate::support::{
    Answer, Client, LONG, TEXT, connect, echo, exchange, frame, get, handshake, read_answer, request, serve,
    serve_binary,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::{Limits, Request, Response};

const WEBSOCKET_PATHS: [&str; 6] =
    ["/echo", "/conn_ws", "/conn_ws/ann", "/chat/lobby", "/room/lobby", "/room/lobby/"];

/// Status and a part of the body.
#[track_caller]
fn check(answer: &Answer, status: u16, hint: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(hint), "{hint:?} is not in {:?}", answer.text());
    let length: usize = answer.header("Content-Length").unwrap().parse().unwrap();
    assert_eq!(length, answer.body.len());
    assert!(answer.header("Connection").unwrap().contains("close"));
}

#[test]
fn plain_paths_answer() {
    let program = serve_binary(&[]);
    for (path, media, hint) in [
        ("/", "text/html", "<!doctype html>"),
        ("/single_chat", "text/html", "<!doctype html>"),
        ("/healthz", "text/plain", "ok"),
        ("/readyz", "text/plain", "ready"),
        ("/metrics", "text/plain; version=0.0.4", "\nswitchboard_connections{state=\"http\"} "),
        ("/healthz?probe=1", "text/plain", "ok"),
    ] {
        let answer = get(program.address, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("Content-Type").unwrap().starts_with(media), "{path}: {answer:?}");
        assert!(answer.text().to_lowercase().contains(hint), "{path}: {hint} is missing");
        check(&answer, 200, "");
    }
}

#[test]
fn pages_are_strict_and_kept_by_browsers() {
    let program = serve_binary(&[]);
    let page = get(program.address, "/");
    let mut paths = vec!["/".to_string(), "/single_chat".to_string()];
    for attribute in ["src=\"", "href=\""] {
        let parts = page.text().split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
        paths.extend(parts.filter(|path| path.starts_with('/')).map(String::from));
    }
    assert!(20 < paths.len(), "{paths:?}");
    for path in paths {
        let answer = get(program.address, &path);
        assert_eq!(answer.status, 200, "{path}");
        let media = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("Content-Type"), Some(media), "{path}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{path}: {policy}");
        // Nothing in it that the policy would forbid.
        for inline in ["<style", "<script>", "style=\"", "onsubmit=", "onclick=", "innerHTML"] {
            assert!(!answer.text().contains(inline), "{path} has {inline}");
        }

        // Kept, and asked for each time: what has not changed is not sent again.
        assert_eq!(answer.header("Cache-Control"), Some("no-cache"), "{path}");
        let tag = answer.header("ETag").unwrap();
        let again = |known: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {known}\r\n\r\n");
            exchange(program.address, head)
        };
        for known in [tag, &format!("\"x\", W/{tag}"), "*"] {
            let answer = again(known);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{path}: {known}");
            assert_eq!(answer.header("ETag"), Some(tag), "{path}");
        }
        assert_eq!(again("\"x\"").body, answer.body, "{path}");
    }
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let program = serve_binary(&[]);
    let address = program.address;
    for path in ["/nothing", "/echo/", "/chat", "/chat/a/b", "/chat/a/", "//", "/ECHO", "/conn_ws/a/"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
    check(&get(address, "/nothing"), 404, "/nothing");
    let answer = request(address, "POST /");
    check(&answer, 405, "POST");
    assert_eq!(answer.header("Allow"), Some("GET, HEAD"));
    let answer = request(address, "DELETE /echo");
    check(&answer, 405, "DELETE");
    assert!(answer.header("Allow").unwrap().contains("GET"));
}

/// RFC 9110 §10.2.1
#[test]
fn the_methods_that_a_path_allows_are_the_same_whoever_asks() {
    let server = serve(Limits::default(), |builder| {
        let builder = builder.route("/ws", echo).route("/both", echo).route("/all", echo);
        let text = |_: &Request| Response::text("here");
        builder.get("/both", text).get("/all", text).post("/all", text).post("/post", text)
    });
    let address = server.local_addr();
    for (path, allowed) in
        [("/ws", "GET, HEAD"), ("/both", "GET, HEAD"), ("/all", "GET, POST, HEAD"), ("/post", "POST")]
    {
        for method in
            ["DELETE", "OPTIONS", "POST", "GET"].into_iter().filter(|method| !allowed.contains(method))
        {
            let plain = request(address, &format!("{method} {path}"));
            let upgrade = handshake(address, path, "").replace("GET ", &format!("{method} "));
            for answer in [plain, exchange(address, upgrade)] {
                assert_eq!((answer.status, answer.header("Allow")), (405, Some(allowed)), "{method} {path}");
            }
        }
    }
    // RFC 9110 §7.8: who does not want to upgrade answers as if it had not been asked.
    let upgrade = |method: &str, path: &str| {
        exchange(address, handshake(address, path, "").replace("GET ", &format!("{method} ")))
    };
    assert_eq!((upgrade("POST", "/all").status, upgrade("HEAD", "/both").status), (200, 200));
    assert_eq!(upgrade("HEAD", "/ws").status, 426);
}

/// RFC 9110 §6.6.1
#[test]
fn answers_say_when_they_were_made() {
    let long_ago = "Thu, 01 Jan 1970 00:00:00 GMT";
    let server = serve(Limits::default(), |builder| {
        let builder = builder.get("/", |_| Response::text("")).route("/echo", echo);
        let builder = builder.get("/old", move |_| Response::text("").with_header("date", long_ago));
        builder.get("/not-modified", |_| Response::text("").with_status(304))
    });
    let address = server.local_addr();
    for line in ["GET /", "HEAD /", "GET /not-modified", "GET /nothing", "GET /echo", "DELETE /", "nonsense"]
    {
        let before = seconds(SystemTime::now());
        let answer = request(address, line);
        let made = seconds(httpdate::parse_http_date(answer.header("Date").unwrap()).unwrap());
        assert!((before..=seconds(SystemTime::now())).contains(&made), "{line}: {answer:?}");
    }
    let dates =
        |answer: Answer| answer.headers.into_iter().filter(|(name, _)| name == "Date").collect::<Vec<_>>();
    assert_eq!(dates(get(address, "/old")), [("Date".to_string(), long_ago.to_string())]);
    let client = Client::settled(address, "/echo");
    assert_eq!(client.answer.header("Date"), None, "a 101 is no answer of its own");
    client.leave();
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn head_is_get_without_the_body() {
    let program = serve_binary(&[]);
    for path in ["/", "/healthz", "/nothing", "/echo"] {
        let (full, head) = (get(program.address, path), request(program.address, &format!("HEAD {path}")));
        assert_eq!((full.status, head.body.len()), (head.status, 0), "{path}");
        assert_eq!(full.header("Content-Length"), head.header("Content-Length"), "{path}");
        assert_ne!(head.header("Content-Length"), Some("0"), "{path}");
    }
}

#[test]
fn a_plain_get_on_a_websocket_path_says_what_to_do() {
    let program = serve_binary(&[]);
    for path in WEBSOCKET_PATHS {
        let answer = get(program.address, path);
        check(&answer, 426, &format!("ws://{}{path}", program.address));
        assert_eq!(answer.header("Upgrade"), Some("websocket"));
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let program = serve_binary(&[]);
    let request = |target: &str, headers: &str| {
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        exchange(program.address, text)
    };
    let long = "x".repeat(9000);
    check(&request(&format!("/{long}"), ""), 414, "URL");
    check(&request("/", &format!("X-Long: {long}\r\n")), 431, "8192");
    check(&request("/", &"X-Many: 1\r\n".repeat(70)), 431, "64");
    check(&request("/", "Content-Length: 99999999\r\n"), 413, "2097152");
    check(&request("/nothing", "Content-Length: 99999999999999999999999\r\n"), 413, "2097152");
    check(&request("/healthz", &"X-Many: 1\r\n".repeat(60)), 200, "ok");
}

#[test]
fn what_is_no_request_is_refused_at_once() {
    let program = serve_binary(&[]);
    for (bytes, status, hint) in [
        // The beginning of a TLS ClientHello, whose rest is never sent.
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 400, "TLS"),
        (b"\x00\x01\x02\x03\r\n\r\n", 400, "HTTP"),
        (b"hello\r\n", 400, "HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "colon"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "alone",
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "as it is"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"),
    ] {
        let answer = exchange(program.address, bytes);
        assert_eq!(answer.status, status, "{}: {}", bytes.escape_ascii(), answer.text());
        check(&answer, status, hint);
    }
    check(&get(program.address, "/healthz"), 200, "ok");
}

#[test]
fn a_head_that_drips_in_is_given_up() {
    let limits = Limits { head_deadline: Duration::from_millis(300), ..Limits::default() };
    let server = serve(limits, |builder| builder.get("/", |_| Response::text("")));
    let mut stream = connect(server.local_addr());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    let mut first = [0; 1];
    // The wait for an answer that does not come yet is the pace of the drip.
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    loop {
        match stream.read(&mut first) {
            Ok(read) => break assert_eq!((read, first[0]), (1, b'H')),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock), "{error}"),
        }
        stream.write_all(b"x").unwrap();
    }
    let mut rest = String::from("H");
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

/// RFC 9112 §9.6: closed with the rest unread, the kernel would reset the connection, and the answer could be lost.
#[test]
fn a_large_upload_that_is_refused_is_taken_until_the_client_has_read_why() {
    let server = serve(Limits { close_deadline: LONG, ..Limits::default() }, |builder| builder);
    let mut stream = connect(server.local_addr());
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b'x'; 16 << 20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    check(&read_answer(&mut stream), 413, "2097152");
}

#[test]
fn a_client_that_says_nothing_is_told_so() {
    let limits = Limits { head_deadline: Duration::from_millis(200), ..Limits::default() };
    let server = serve(limits, |builder| builder);
    let mut stream = connect(server.local_addr());
    check(&read_answer(&mut stream), 408, "in time");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let program = serve_binary(&[]);
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for (path, status) in [
        ("/room/%00", 400),
        ("/room/%0a", 400),
        ("/room/%ff", 400),
        ("/room/%zz", 400),
        ("/chat/", 400),
        ("/conn_ws/", 400),
        ("/conn_ws/%7F", 400),
        (&format!("/room/{too_long}"), 400),
        (&format!("/room/{too_long}/"), 400),
        (&format!("/room/{longest}"), 101),
        (&format!("/chat/{longest}"), 101),
        (&format!("/conn_ws/{longest}"), 101),
        ("/room/a%20b", 101),
        ("/room/a%2Fb", 101),
    ] {
        match Client::over(connect(program.address), handshake(program.address, path, "")) {
            Ok(mut client) => {
                assert_eq!(status, 101, "{path}");
                client.settle();
            }
            Err(answer) => assert_eq!(answer.status, status, "{path}"),
        }
    }
    let answer = get(program.address, "/room/%00");
    check(&answer, 400, "control character");
}

#[test]
fn a_path_may_be_spelt_in_many_ways() {
    let program = serve_binary(&["--api-key", "a-key-of-16-bytes"]);
    let join = |path: &str| {
        let mut client = Client::settled(program.address, path);
        client.send("who hears me?");
        client.expect("who hears me?");
        client
    };
    // Clients that send what is typed, as websocket-client and tornado do.
    let mut members: Vec<Client> = Vec::new();
    for path in ["/room/大厅", "/room/%E5%A4%A7%E5%8E%85", "/r%6fom/%e5%a4%a7厅", "/room/大厅/"] {
        let newest = join(path);
        members.iter_mut().for_each(|member| member.expect("who hears me?"));
        members.push(newest);
    }
    join("/room/a%2Fb").leave();
    assert_eq!(get(program.address, "/room%2Fa").status, 404, "an encoded slash separates nothing");
    // Whoever guards the API is asked however it is written.
    assert_eq!(get(program.address, "/%61pi/%73tats").status, 401);
}

/// Sends a handshake with one line changed; an empty new line takes it out.
fn upgrade(address: SocketAddr, old: &str, new: &str) -> Answer {
    let good = handshake(address, "/echo", "");
    assert!(good.contains(old), "{old}");
    let changed = good
        .replace(&format!("{old}\r\n"), &if new.is_empty() { String::new() } else { format!("{new}\r\n") });
    match Client::over(connect(address), changed) {
        Ok(client) => client.answer,
        Err(answer) => answer,
    }
}

#[test]
fn handshakes_are_taken_as_tutorials_write_them() {
    let program = serve_binary(&[]);
    for (old, new) in [
        ("Upgrade: websocket", "Upgrade:websocket"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection:upgrade"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version:13"),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-foo",
        ),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat"),
    ] {
        let answer = upgrade(program.address, old, new);
        assert_eq!(answer.status, 101, "{new}");
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("0FFP+2nmNIf/h+4BP36k9uzrYGk="));
        assert_eq!(answer.header("Upgrade"), Some("websocket"));
        assert_eq!(answer.header("Connection"), Some("Upgrade"));
        assert_eq!(answer.header("Sec-WebSocket-Protocol"), None, "{new}");
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None, "{new}");
    }
}

#[test]
fn handshakes_that_are_wrong_are_refused() {
    let program = serve_binary(&[]);
    for (old, new, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 13", "", 426),
        ("Upgrade: websocket", "", 426),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Connection: Upgrade", "Connection: keep-alive", 400),
        ("Connection: Upgrade", "", 400),
        ("Sec-WebSocket-Key: wDqumtseNBJdhkihL6PW7w==", "", 400),
        ("Sec-WebSocket-Key: wDqumtseNBJdhkihL6PW7w==", "Sec-WebSocket-Key: short", 400),
        ("GET /echo HTTP/1.1", "GET /echo HTTP/1.0", 400),
        ("GET /echo HTTP/1.1", "POST /echo HTTP/1.1", 405),
    ] {
        let answer = upgrade(program.address, old, new);
        assert_eq!(answer.status, status, "{old} -> {new}");
        if status == 426 {
            assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"), "{new}");
        }
    }
}

#[test]
fn only_pages_that_may_get_in() {
    let closed = serve_binary(&[]);
    let open = serve_binary(&["--allow-origin", "https://a.example"]);
    let any = serve_binary(&["--allow-origin", "*"]);
    let own = |address: SocketAddr| format!("http://{address}");
    for (address, origin, status) in [
        (closed.address, own(closed.address), 101),
        (closed.address, "https://a.example".into(), 403),
        (closed.address, own(open.address), 403),
        (closed.address, "null".into(), 403),
        (open.address, "https://a.example".into(), 101),
        (open.address, own(open.address), 101),
        (open.address, "https://b.example".into(), 403),
        (open.address, "https://a.example.evil.example".into(), 403),
        (open.address, "http://a.example".into(), 403),
        (any.address, "https://b.example".into(), 101),
    ] {
        let request = handshake(address, "/echo", &format!("Origin: {origin}\r\n"));
        let status_of =
            Client::over(connect(address), request).map_or_else(|a| a.status, |c| c.answer.status);
        assert_eq!(status_of, status, "{origin} at {address}");
    }
    let request = handshake(closed.address, "/echo", "Origin: https://a.example\r\n");
    check(&exchange(closed.address, request), 403, "--allow-origin https://a.example");
}

#[test]
fn a_frame_in_the_handshake_s_segment_is_not_lost() {
    let program = serve_binary(&[]);
    let mut bytes = handshake(program.address, "/echo", "").into_bytes();
    bytes.extend(frame(TEXT, b"first", true, true));
    // And the beginning of another.
    let second = frame(TEXT, b"second", true, true);
    bytes.extend(&second[..5]);
    let mut client = Client::over(connect(program.address), bytes).unwrap();
    client.expect("first");
    client.send_raw(&second[5..]);
    client.expect("second");
    client.leave();
}

#[test]
fn a_head_torn_byte_by_byte_is_read() {
    let program = serve_binary(&[]);
    let mut stream = connect(program.address);
    for byte in handshake(program.address, "/echo", "").into_bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    let mut client = Client::after_request(stream).unwrap();
    client.send("whole");
    client.expect("whole");
    client.leave();
}

#[test]
fn whoever_runs_the_server_is_told_of_pages_that_may_not_connect() {
    let program = serve_binary(&[]);
    let knock = |site: usize| {
        let request = handshake(program.address, "/ws", &format!("Origin: http://site{site}.example\r\n"));
        assert_eq!(exchange(program.address, request).status, 403);
    };
    (0..3).for_each(|_| knock(0));
    (1..20).for_each(knock);
    let said = program.all_said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("may not connect here")).collect();
    assert_eq!(lines.len(), 8, "{said}");
    assert!(lines[0].contains("WARN") && lines[0].contains("--allow-origin http://site0.example"), "{said}");
    assert!(lines[1].contains("http://site1.example"), "each once: {said}");
}
