//! `/healthz`, `/readyz` and `/metrics` while everybody else is refused.

use crate::hostile_quotas::{PROXY, proxy_header};
use crate::support::{
    Client, LONG, connect, connect_from, echo, eventually, exchange, get, handshake, metric, read_answer,
    request, serve,
};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use switchboard::{Builder, Limits, Quotas, Refuse, Response, Server};

fn routes(builder: Builder) -> Builder {
    builder.health().route("/echo", echo).get("/", |_| Response::text("a page"))
}

/// A server whose places are all in use.
fn full(limits: &Limits, routes: impl FnOnce(Builder) -> Builder) -> (Server, Client) {
    let server = serve(Limits { connections: Some(1), ..limits.clone() }, routes);
    let client = Client::settled(server.local_addr(), "/echo");
    (server, client)
}

fn head(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

#[test]
fn a_full_server_lives_and_says_so() {
    let (server, mut client) = full(&Limits::default(), routes);
    let address = server.local_addr();
    let alive = get(address, "/healthz");
    assert_eq!((alive.status, alive.text()), (200, "ok\n"));
    let head = request(address, "HEAD /healthz");
    assert_eq!((head.status, head.body.len(), head.header("Content-Length")), (200, 0, Some("3")));
    let ready = get(address, "/readyz");
    assert_eq!((ready.status, ready.text()), (503, "not ready: all connections are in use\n"));
    let shown = get(address, "/metrics");
    assert_eq!(shown.status, 200);
    assert_eq!(metric(shown.text(), "connections{state=\"websocket\"}"), 1);
    for probe in [alive, head, ready, shown] {
        assert_eq!(probe.header("Cache-Control"), Some("no-store"));
        assert!(probe.header("Date").is_some());
    }
    assert_eq!(metric(&server.metrics(), "over_budget_total"), 0, "who only looks is not refused");
    assert_eq!(metric(&server.metrics(), "refused_total"), 1, "`/readyz` says 503");
    client.send("still here");
    client.expect("still here");
}

#[test]
fn nothing_else_is_answered_by_a_full_server() {
    let (server, _client) =
        full(&Limits::default(), |builder| routes(builder).get("/readyz", |_| Response::text("mine")));
    let address = server.local_addr();
    let many = format!("X: {}\r\n", "x".repeat(2100));
    let refused = [
        head("GET /", ""),
        handshake(address, "/echo", ""),
        head("POST /healthz", ""),
        head("GET /healthz/", ""),
        head("GET /readyz", ""),
        head("GET /healthz", "Content-Length: 1\r\n"),
        head("GET /healthz", "Transfer-Encoding: chunked\r\n"),
        head("GET /healthz", &many),
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "nonsense\r\n\r\n".into(),
    ];
    for (row, refused) in refused.iter().enumerate() {
        let answer = exchange(address, refused);
        assert!(answer.status == 503 && answer.text().contains("in use"), "{refused}: {answer:?}");
        assert!(answer.header("Retry-After").is_some() && answer.header("Date").is_some());
        assert_eq!(metric(&server.metrics(), "over_budget_total"), row as u64 + 1);
    }
    // Whoever never asks, or not to the end, is told in the end.
    for part in ["", "GET /healthz HTTP/1.1\r\nHost"] {
        assert_eq!(exchange(address, part).status, 503);
    }
}

#[test]
fn nobody_holds_up_who_asks_whether_the_server_lives() {
    let (server, _client) = full(&Limits::default(), routes);
    let address = server.local_addr();
    // Many more than are seen off at once. They do not ask, or not to the end.
    let mut crowd: Vec<TcpStream> = (0..400).map(|_| connect(address)).collect();
    crowd.iter_mut().step_by(2).for_each(|half| drop(half.write_all(b"GET /healthz HT")));
    assert_eq!(get(address, "/healthz").status, 200);
    // Torn as badly as may be.
    let mut torn = connect(address);
    for byte in head("GET /healthz", "").bytes() {
        torn.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_answer(&mut torn).status, 200);
    for mut one in crowd {
        let mut answer = String::new();
        match one.read_to_string(&mut answer) {
            Ok(_) => assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn an_answer_that_the_socket_does_not_take_at_once_arrives_whole() {
    let routes = |builder| {
        (0..300).fold(routes(builder), |builder, n| builder.route(&format!("/{n}/{}", "x".repeat(100)), echo))
    };
    let (server, _client) = full(&Limits { send_buffer: 4096, ..Limits::default() }, routes);
    let shown = get(server.local_addr(), "/metrics");
    assert!(100_000 < shown.body.len());
    assert_eq!(shown.header("Content-Length"), Some(&*shown.body.len().to_string()));
}

#[test]
fn a_probe_passes_the_quotas() {
    let rate = Quotas { connects: Some("3/h".parse().unwrap()), ..Quotas::default() };
    let one = Quotas { per_address: Some(1), ..Quotas::default() };
    for quotas in [rate, one] {
        let limits = Limits { close_deadline: LONG, ..Limits::default() };
        let server = serve(limits, |builder| {
            let builder = builder.trust_proxies(["127.0.0.2".parse().unwrap()]).refuse(Refuse::Http);
            routes(builder).quotas(quotas)
        });
        let address = server.local_addr();
        let forwarded = "X-Forwarded-For: 127.0.0.1\r\n";
        let direct = |request: &str| exchange(address, request).status;
        let behind = |request: &str| {
            let mut stream = connect_from(PROXY, address);
            stream.write_all(request.as_bytes()).unwrap();
            read_answer(&mut stream).status
        };
        let _held: Vec<_> =
            (0..3).map(|_| Client::over(connect(address), handshake(address, "/echo", ""))).collect();
        eventually("it is refused", || direct(&head("GET /", "")) == 429);
        for (path, status) in
            [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/", 429), ("/echo", 429)]
        {
            assert_eq!(direct(&head(&format!("GET {path}"), "")), status, "{path}");
            assert_eq!(behind(&head(&format!("GET {path}"), forwarded)), status, "{path} behind a proxy");
        }
        assert_eq!(direct(&handshake(address, "/echo", "")), 429);
    }
}

#[test]
fn a_probe_may_come_behind_a_proxy_header() {
    let (server, _client) = full(&Limits::default(), |builder| {
        routes(builder).trust_proxies(["127.0.0.2".parse().unwrap()]).proxy_protocol(true)
    });
    let ask = |from: [u8; 4], parts: &[&[u8]]| {
        let mut stream = connect_from(from, server.local_addr());
        parts.iter().for_each(|part| stream.write_all(part).unwrap());
        read_answer(&mut stream).status
    };
    let (proxied, probe) = (proxy_header([6, 6, 6, 6]), head("GET /healthz", ""));
    for (from, header, status) in [
        (PROXY, &proxied[..], 200),
        (PROXY, b"", 503),
        ([127, 0, 0, 1], &proxied[..], 503),
        ([127, 0, 0, 1], b"", 200),
    ] {
        assert_eq!(ask(from, &[header, probe.as_bytes()]), status, "{from:?} {header:?}");
    }
    assert_eq!(ask(PROXY, &[&proxied[..7], &proxied[7..], probe.as_bytes()]), 200);
}
