//! Clients that take more than their share, come in another's name, or bring no proof of their own: against quotas, an
//! authenticator and trusted proxies, all on the library's server. The table of all hostile inputs is in `hostile`.

use crate::hostile::Witness;
use crate::support::{
    BINARY, CLOSE, CONTINUATION, Client, LONG, PING, PONG, TEXT, close_payload, connect, connect_from,
    connect_narrow, echo, eventually, frame, handshake, metric, parse_close, raise_descriptor_limit, reset,
    serve, text_frame,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use switchboard::{
    Builder, Denied, Event, Identity, Limits, Message, Quotas, Rate, Refuse, Request, Response, Server,
    events,
};

/// A deadline that a test waits for.
const SHORT: Duration = Duration::from_millis(300);

fn rate(text: &str) -> Option<Rate> {
    Some(text.parse().unwrap())
}

fn plain(builder: Builder) -> Builder {
    builder.get("/", |request| Response::text(request.peer().ip().to_string())).route("/echo", echo)
}

fn serve_quotas(limits: Limits, quotas: Quotas) -> Server {
    serve(limits, |builder| plain(builder).quotas(quotas))
}

/// Who is known by a token.
fn guarded(builder: Builder) -> Builder {
    let known = |request: &Request| match request.token().as_deref() {
        Some("good") => Ok(Identity::user("ann")),
        Some("control") => Ok(Identity::user("a\nb")),
        Some("nameless") => Ok(Identity::user("")),
        Some("long") => Ok(Identity::user(&"x".repeat(1000))),
        Some("panic") => resume_unwind(Box::new("on purpose")),
        Some(_) => Err(Denied::unauthorized("this token is not known")),
        None => Err(Denied::unauthorized("a token is needed")),
    };
    builder.authenticate(known).route("/echo", echo)
}

/// The answer to a plain request: its status and its body.
fn ask(mut stream: TcpStream, lines: &str) -> (u16, String) {
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status.unwrap_or(0), answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.into()))
}

/// Whether a WebSocket is opened, or the status in its place.
fn open(stream: TcpStream, address: SocketAddr, path: &str, lines: &str) -> Result<Client, u16> {
    Client::over(stream, handshake(address, path, lines)).map_err(|answer| answer.status)
}

#[test]
fn tokens_of_every_kind() {
    let long = |length: usize| "x".repeat(length);
    let long_query = format!("?token={}", long(9000));
    let rows: Vec<(&str, &str, String, u16, &str)> = vec![
        ("none", "", String::new(), 401, "a token is needed"),
        ("a good one", "", "Authorization: Bearer good".into(), 101, ""),
        ("in other letters", "", "aUTHORIZATION: bEARER good".into(), 101, ""),
        ("blanks around it", "", "Authorization:   Bearer   good  ".into(), 101, ""),
        ("an empty one", "", "Authorization: Bearer ".into(), 401, "a token is needed"),
        ("an empty header", "", "Authorization:".into(), 401, "a token is needed"),
        ("a wrong one", "", "Authorization: Bearer bad".into(), 401, "this token is not known"),
        ("one in other letters", "", "Authorization: Bearer GOOD".into(), 401, "this token is not known"),
        ("another scheme", "", "Authorization: Basic good".into(), 401, "a token is needed"),
        ("no scheme", "", "Authorization: good".into(), 401, "a token is needed"),
        ("two in one", "", "Authorization: Bearer good, Bearer bad".into(), 401, "this token is not known"),
        (
            "two, the first good",
            "",
            "Authorization: Bearer good\r\nAuthorization: Bearer bad".into(),
            401,
            "",
        ),
        ("two, the last good", "", "Authorization: Bearer bad\r\nAuthorization: Bearer good".into(), 401, ""),
        ("not ASCII", "", "Authorization: Bearer gööd".into(), 401, "a token is needed"),
        ("7 KB", "", format!("Authorization: Bearer {}", long(7000)), 401, "this token is not known"),
        ("9 KB", "", format!("Authorization: Bearer {}", long(9000)), 431, ""),
        ("in the query", "?token=good", String::new(), 101, ""),
        ("encoded in the query", "?a=b&%74oken=%67ood", String::new(), 101, ""),
        ("empty in the query", "?token=", String::new(), 401, "this token is not known"),
        ("twice in the query", "?token=bad&token=good", String::new(), 401, "this token is not known"),
        ("wrongly encoded in the query", "?token=%zz", String::new(), 401, "a token is needed"),
        ("no UTF-8 in the query", "?token=good%ff", String::new(), 401, "a token is needed"),
        ("with a NUL in the query", "?token=good%00", String::new(), 401, "this token is not known"),
        ("by another name in the query", "?Token=good", String::new(), 401, "a token is needed"),
        ("9 KB in the query", &long_query, String::new(), 414, ""),
        ("wrong, and good in the query", "?token=good", "Authorization: Bearer bad".into(), 401, ""),
        ("as a subprotocol", "", "Sec-WebSocket-Protocol: bearer.good".into(), 101, ""),
        ("behind another subprotocol", "", "Sec-WebSocket-Protocol: chat, bearer.good".into(), 101, ""),
        (
            "empty as a subprotocol",
            "",
            "Sec-WebSocket-Protocol: bearer.".into(),
            401,
            "this token is not known",
        ),
        ("wrong as a subprotocol", "", "Sec-WebSocket-Protocol: bearer.bad".into(), 401, ""),
        ("of wrong letters as a subprotocol", "", "Sec-WebSocket-Protocol: bearer.a/b=".into(), 400, ""),
        ("of a name with a line's end", "?token=control", String::new(), 403, "control character"),
        ("of no name", "?token=nameless", String::new(), 403, "empty"),
        ("of a name of 1000 bytes", "?token=long", String::new(), 403, "1000 bytes"),
        ("one that makes the authenticator panic", "?token=panic", String::new(), 403, "failed"),
    ];
    for refuse in [Refuse::Http, Refuse::Close] {
        let server = serve(Limits::default(), |builder| guarded(builder).refuse(refuse));
        let address = server.local_addr();
        let mut witness = Witness::new(address, "/echo?token=good");
        for (row, query, line, status, reason) in &rows {
            let lines = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
            let request = handshake(address, &format!("/echo{query}"), &lines);
            let told = refuse == Refuse::Close && [401, 403].contains(status);
            match Client::over(connect(address), request) {
                Ok(mut client) if told => {
                    let (code, said) = client.close();
                    assert!(code == 1008 && said.contains(reason), "{row}: {code} {said}");
                    client.send_close(1008);
                    client.expect_end();
                }
                Ok(mut client) => {
                    assert_eq!(101, *status, "{row}");
                    client.send("hello");
                    client.expect("hello");
                }
                Err(answer) => {
                    assert!(answer.status == *status && !told, "{row}: {}", answer.status);
                    assert!(answer.text().contains(reason), "{row}: {}", answer.text());
                    let challenge = answer.header("WWW-Authenticate");
                    assert_eq!(challenge, (*status == 401).then_some("Bearer"), "{row}");
                }
            }
            witness.check(row);
        }
    }
}

#[test]
fn who_is_denied_and_does_not_go_is_cut() {
    let limits = Limits { close_deadline: SHORT, ..Limits::default() };
    let server = serve(limits, guarded);
    let address = server.local_addr();
    let mut witness = Witness::new(address, "/echo?token=good");
    for flood in [&b""[..], &text_frame("let me in"), &frame(PING, b"", true, true), b"\0\0"] {
        let mut client = Client::connect(address, "/echo");
        client.stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
        eventually("it is cut", || {
            let _ = client.stream.write_all(flood);
            server.connections() == 1
        });
        assert_eq!(client.close(), (1008, "a token is needed".into()));
        client.expect_end();
        witness.check("one that does not go");
    }
}

#[test]
fn more_connections_than_one_address_may_have() {
    const CROWD: usize = 1000;
    const MOST: usize = 100;
    raise_descriptor_limit();
    for most in [None, Some(MOST)] {
        let quotas = Quotas { per_address: most, ..Quotas::default() };
        let limits = Limits { close_deadline: LONG, head_deadline: LONG, ..Limits::default() };
        let server = serve_quotas(limits, quotas);
        let address = server.local_addr();
        let mut witness = Witness::new(address, "/echo");
        let elsewhere = || {
            let mut client = open(connect_from([127, 0, 0, 2], address), address, "/echo", "").unwrap();
            client.send("hello");
            client.expect("hello");
        };
        let (mut open_now, mut closed, mut refused) = (Vec::new(), Vec::new(), 0);
        for _ in 0..CROWD {
            match open(connect(address), address, "/echo", "") {
                // What a client is told who is let in, or else it would be hung up on.
                Ok(mut client) => {
                    client.send_frame(PING, b"", true);
                    match client.frame().opcode {
                        PONG => open_now.push(client),
                        CLOSE => closed.push(client),
                        other => panic!("opcode {other}"),
                    }
                }
                Err(429) => refused += 1,
                Err(status) => panic!("{status}"),
            }
        }
        let expected = match most {
            None => (CROWD, 0, 0),
            // The witness is one of them. Those that were told and do not go hold as many places again.
            Some(_) => (MOST - 1, MOST, CROWD - 2 * MOST + 1),
        };
        assert_eq!((open_now.len(), closed.len(), refused), expected);
        witness.check("a crowd");
        elsewhere();
        // A freed place can be had.
        closed.into_iter().for_each(|client| reset(client.stream));
        open_now.truncate(10);
        eventually("places are free", || server.connections() == 11);
        let mut again = open(connect(address), address, "/echo", "").unwrap();
        again.settle();
        witness.check("the crowd has gone");
    }
}

#[test]
fn more_new_connections_than_a_rate_allows() {
    let quotas = Quotas { connects: rate("1/h:20"), ..Quotas::default() };
    let server = serve_quotas(Limits::default(), quotas);
    let address = server.local_addr();
    let mut witness = Witness::new(address, "/echo");
    let statuses: Vec<u16> = (0..100).map(|_| ask(connect(address), "").0).collect();
    assert!(statuses[..19].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses[19..].iter().all(|status| *status == 429), "{statuses:?}");
    witness.check("many connections");
    assert_eq!(ask(connect_from([127, 0, 0, 2], address), "").0, 200);
}

#[test]
fn floods_that_a_rate_does_not_allow() {
    let messages = Quotas { messages: rate("1/h:50"), ..Quotas::default() };
    let bytes = Quotas { bytes: rate("1/h:5000"), ..Quotas::default() };
    let fragments = |payload: &[u8]| {
        [frame(TEXT, payload, false, true), frame(CONTINUATION, payload, false, true).repeat(9999)].concat()
    };
    let tiny = [frame(TEXT, b"", true, true), frame(PING, b"", true, true)];
    for (row, quotas, flood, reason) in [
        ("empty messages", &messages, frame(TEXT, b"", true, true).repeat(1000), "messages"),
        ("pings", &messages, frame(PING, b"", true, true).repeat(1000), "messages"),
        ("pongs", &messages, frame(PONG, b"", true, true).repeat(1000), "messages"),
        ("pings between messages", &messages, tiny.concat().repeat(1000), "messages"),
        ("a large message", &bytes, frame(BINARY, &[7; 50_000], true, true), "bytes"),
        (
            "the beginning of a large message",
            &bytes,
            frame(BINARY, &[7; 100_000], true, true)[..50_000].into(),
            "bytes",
        ),
        ("empty fragments", &bytes, fragments(b""), "bytes"),
        ("fragments of a byte", &bytes, fragments(b"x"), "bytes"),
        ("pongs, by their bytes", &bytes, frame(PONG, b"", true, true).repeat(1000), "bytes"),
    ] {
        let server = serve_quotas(Limits::default(), quotas.clone());
        let mut witness = Witness::new(server.local_addr(), "/echo");
        let mut client = Client::connect(server.local_addr(), "/echo");
        let mut sending = client.stream.try_clone().unwrap();
        let flood = thread::spawn(move || drop(sending.write_all(&flood)));
        let mut answers = 0;
        let close = loop {
            let frame = client.frame();
            if frame.opcode == CLOSE {
                break parse_close(&frame.payload);
            }
            answers += 1;
        };
        assert_eq!(close, (1008, format!("rate limit: too many {reason}")), "{row}");
        assert!(answers <= 50, "{row}: {answers} answers");
        flood.join().unwrap();
        client.end_sending();
        client.expect_end();
        assert_eq!(metric(&server.metrics(), "rate_limited_total"), 1, "{row}");
        witness.check(row);
    }
}

#[test]
fn who_is_refused_at_the_door_takes_up_no_place() {
    // Twice over what the server holds: all of it would be gone if the refused could linger.
    const CROWD: usize = 60;
    let limits = Limits {
        connections: Some(CROWD / 2),
        close_deadline: LONG,
        head_deadline: LONG,
        ..Limits::default()
    };
    let per_address = Quotas { per_address: Some(2), ..Quotas::default() };
    let connects = Quotas { connects: rate("5/h"), ..Quotas::default() };
    for quotas in [per_address, connects] {
        let server = serve_quotas(limits.clone(), quotas);
        let address = server.local_addr();
        // They neither ask, nor read, nor go.
        let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
        eventually("the crowd was looked at", || metric(&server.metrics(), "accepted_total") == CROWD as u64);
        eventually("another address gets in", || {
            let other = connect_from([127, 0, 0, 2], address);
            Client::over(other, handshake(address, "/echo", "")).is_ok_and(|mut client| {
                client.send("hello");
                client.text() == "hello"
            })
        });
        drop(crowd);
    }
}

#[test]
fn who_is_not_let_in_never_reaches_the_hub() {
    let server = serve(Limits::default(), guarded);
    let address = server.local_addr();
    for _ in 0..20 {
        let mut client = Client::connect(address, "/echo");
        assert_eq!(client.close(), (1008, "a token is needed".into()));
        client.send_close(1008);
        client.expect_end();
    }
    eventually("they are gone", || server.connections() == 0);
    // Or a broadcast could reach it before its Close.
    assert_eq!(metric(&server.metrics(), "hub_commands_total"), 0);
    let mut ann = Client::connect(address, "/echo?token=good");
    ann.settle();
    assert!(server.broadcast("to those who are in"));
    ann.expect("to those who are in");
}

#[test]
fn a_flood_that_ends_with_a_close_is_still_told_why() {
    let quotas = Quotas { messages: rate("3/h"), ..Quotas::default() };
    let server = serve_quotas(Limits::default(), quotas);
    let mut client = Client::connect(server.local_addr(), "/echo");
    let mut flood = text_frame("x").repeat(10);
    flood.extend(frame(CLOSE, &close_payload(1000, ""), true, true));
    client.send_raw(&flood);
    (0..3).for_each(|_| client.expect("x"));
    assert_eq!(client.close(), (1008, "rate limit: too many messages".into()));
    client.expect_end();
}

#[test]
fn a_client_whose_messages_are_all_refused_does_not_hold_up_who_must_not_wait() {
    let (tell, told) = channel();
    let limits = Limits {
        outbox: 64 * 1024,
        message: 1024,
        send_buffer: 16 * 1024,
        write_deadline: LONG,
        ..Limits::default()
    };
    let server = serve(limits, |builder| {
        builder
            .route("/", move |mut ws| {
                ws.send("ready")?;
                for wait in [Duration::from_millis(100), Duration::ZERO] {
                    tell.send(ws.recv_timeout(wait)?).unwrap();
                }
                Ok(())
            })
            .check("/", |_, _| Err(Message::text("no ".repeat(300))))
    });
    let request = handshake(server.local_addr(), "/", "");
    let mut client = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    client.expect("ready");
    // It reads no answer, and never stops by itself.
    let mut sending = client.stream.try_clone().unwrap();
    let flood = thread::spawn(move || {
        let flood = text_frame("wrong").repeat(1000);
        while sending.write_all(&flood).is_ok() {}
    });
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(LONG / 2).expect("it came back"), None);
    }
    reset(client.stream);
    drop(server);
    flood.join().unwrap();
}

#[test]
fn clients_that_come_and_go_while_the_event_loop_is_busy_wait_for_it() {
    raise_descriptor_limit();
    let (handler, events) = events();
    let server = serve(Limits::default(), |builder| builder.route("/", handler));
    let address = server.local_addr();
    // 2000 heads of some 8 KiB each that the loop has not seen: more than may wait.
    let long = format!("X-Long: {}\r\n", "x".repeat(7 * 1024));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| reset(Client::connect_with(address, "/", &long).stream)));
        }
    });
    // 8 MiB of events, each with a head's 8 KiB and a little more: room for 1008.
    eventually("the others wait for the loop", || {
        metric(&server.metrics(), "websocket_handshakes_total") == 2000 && server.connections() == 992
    });
    let (mut came, mut left) = (0, 0);
    while left < 2000 {
        match events.recv_timeout(LONG).expect("an event") {
            Event::Connected(_) => came += 1,
            Event::Disconnected(..) => left += 1,
            Event::Message(..) => panic!("nothing was said"),
        }
    }
    assert_eq!(came, 2000);
}

#[test]
fn what_is_pending_is_bounded_whatever_is_sent() {
    let (over, is_over) = channel::<()>();
    let is_over = std::sync::Mutex::new(is_over);
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |mut ws| {
            ws.send("ready")?;
            let is_over = is_over.lock().unwrap();
            while is_over.try_recv().is_err() {
                ws.pending();
            }
            Ok(())
        })
    });
    let mut client = Client::connect(server.local_addr(), "/");
    client.expect("ready");
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let flood = frame(TEXT, &[b'x'; 1000], true, true).repeat(1000);
    let refused = (0..100).find_map(|_| client.stream.write_all(&flood).err());
    let kind = refused.expect("100 MB were taken in, and no message of it").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind}");
    over.send(()).unwrap();
}

/// A header of the PROXY protocol, version 2, for a connection over IPv4.
pub(crate) fn proxy_header(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    header
}

/// 127.0.0.2 is the proxy; all addresses here are ours to come from.
pub(crate) const PROXY: [u8; 4] = [127, 0, 0, 2];

fn behind_proxy(builder: Builder) -> Builder {
    plain(builder).trust_proxies(["127.0.0.2".parse().unwrap()])
}

#[test]
fn who_is_no_proxy_cannot_tell_where_it_comes_from() {
    let quotas = Quotas { per_address: Some(2), ..Quotas::default() };
    let server =
        serve(Limits::default(), |builder| behind_proxy(builder).quotas(quotas).refuse(Refuse::Http));
    let address = server.local_addr();
    let mut witness = Witness::new(address, "/echo");
    for (row, from, lines, seen) in [
        ("no header", [127, 0, 0, 1], "", "127.0.0.1"),
        ("a forged one", [127, 0, 0, 1], "X-Forwarded-For: 6.6.6.6\r\n", "127.0.0.1"),
        ("a forged proxy", [127, 0, 0, 1], "X-Forwarded-For: 127.0.0.2\r\n", "127.0.0.1"),
        ("by the proxy", PROXY, "X-Forwarded-For: 6.6.6.6\r\n", "6.6.6.6"),
        ("a forged one by the proxy", PROXY, "X-Forwarded-For: 7.7.7.7, 6.6.6.6\r\n", "6.6.6.6"),
        ("a forged line", PROXY, "X-Forwarded-For: 7.7.7.7\r\nX-Forwarded-For: 6.6.6.6\r\n", "6.6.6.6"),
        ("a forged last proxy", PROXY, "X-Forwarded-For: 7.7.7.7, 6.6.6.6, 127.0.0.2\r\n", "6.6.6.6"),
        ("nonsense", PROXY, "X-Forwarded-For: 7.7.7.7, nonsense\r\n", "127.0.0.2"),
        ("nothing", PROXY, "X-Forwarded-For:\r\n", "127.0.0.2"),
        ("by another name", PROXY, "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n", "127.0.0.2"),
    ] {
        assert_eq!(ask(connect_from(from, address), lines), (200, seen.into()), "{row}");
        eventually("its place is free again", || server.connections() == 1);
        witness.check(row);
    }
    // One more of 127.0.0.1, whatever it says, is too many.
    let open = |from, forged: u8| {
        open(connect_from(from, address), address, "/echo", &format!("X-Forwarded-For: 6.6.6.{forged}\r\n"))
    };
    let _second = open([127, 0, 0, 1], 1).unwrap();
    assert!((0..10).all(|n| open([127, 0, 0, 1], n).is_err_and(|status| status == 429)));
    let behind: Vec<Client> = (0..10).map(|n| open(PROXY, n).unwrap()).collect();
    witness.check("too many");
    assert_eq!(behind.len(), 10);
}

#[test]
fn proxy_headers_of_every_kind() {
    let limits = Limits { head_deadline: Duration::from_secs(1), ..Limits::default() };
    let server = serve(limits, |builder| behind_proxy(builder).proxy_protocol(true));
    let address = server.local_addr();
    let mut witness = Witness::new(address, "/echo");
    let good = proxy_header([6, 6, 6, 6]);
    let change = |at: usize, to: u8| {
        let mut header = good.clone();
        header[at] = to;
        header
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 7.7.7.7\r\n\r\n";
    let answer = |from, header: &[u8]| {
        let mut stream = connect_from(from, address);
        let _ = stream.write_all(&[header, request].concat());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        (
            status.unwrap_or(0),
            answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_string()),
        )
    };
    let cases = [
        ("the proxy's", PROXY, good.clone(), 200, "6.6.6.6"),
        ("of the proxy itself", PROXY, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".into(), 200, "127.0.0.2"),
        ("a forged one", [127, 0, 0, 1], good.clone(), 400, "request line"),
        ("none", [127, 0, 0, 1], Vec::new(), 200, "127.0.0.1"),
        ("none of the proxy's", PROXY, Vec::new(), 400, "PROXY header"),
        ("version 1", PROXY, b"PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n".into(), 400, "PROXY header"),
        ("version 3", PROXY, change(12, 0x31), 400, "PROXY header"),
        ("an unknown command", PROXY, change(12, 0x2f), 400, "unknown command"),
        ("a wrong signature", PROXY, change(5, b'x'), 400, "PROXY header"),
        ("too short for its addresses", PROXY, [&change(15, 8)[..24]].concat(), 400, "too short"),
        ("two of them", PROXY, good.repeat(2), 400, "request line"),
        // The request is taken for a part of it, and the rest of it never comes.
        ("65535 bytes that do not come", PROXY, [&good[..14], &[0xff, 0xff]].concat(), 0, ""),
    ];
    for (row, from, header, status, body) in &cases {
        let (got, said) = answer(*from, header);
        assert!(got == *status && said.contains(body), "{row}: {got} {said}");
        witness.check(row);
    }
    // Torn, and followed by a handshake: not a byte of that is lost.
    let mut torn = connect_from(PROXY, address);
    for byte in [&good, handshake(address, "/echo", "").as_bytes()].concat() {
        torn.write_all(&[byte]).unwrap();
    }
    let mut client = Client::after_request(torn).unwrap();
    client.send("whole");
    client.expect("whole");
    witness.check("a torn one");
}
