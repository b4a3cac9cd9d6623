//! Both ends in one thread: from the opening handshake to each way to end.

use super::*;
use std::time::Duration;

fn pair() -> (Protocol, Protocol, Instant) {
    let now = Instant::now();
    let mut client = Protocol::client("ws://h/p?q", Limits::default(), now).unwrap();
    let mut server = Protocol::server(Limits::default(), now).unwrap();
    let opened = [Event::Opened { path: "/p?q".into() }];
    // A byte at a time: cut anywhere.
    let events: Vec<Event> = client.output().iter().flat_map(|byte| server.receive(&[*byte], now)).collect();
    assert_eq!(events, opened);
    let events: Vec<Event> = server.output().iter().flat_map(|byte| client.receive(&[*byte], now)).collect();
    assert_eq!(events, opened);
    (client, server, now)
}

#[test]
fn two_ends_talk_and_part() {
    let (mut client, mut server, now) = pair();
    client.send("from the client").unwrap();
    client.send(Message::binary(vec![7; 70_000])).unwrap();
    let sent = client.output();
    assert_eq!(sent[1], 0x80 | 15, "a client masks");
    let got: Vec<Event> = sent.chunks(999).flat_map(|part| server.receive(part, now)).collect();
    let expected = [Message::text("from the client"), Message::binary(vec![7; 70_000])];
    assert_eq!(got, expected.map(Event::Message));
    server.close(1000, "done", now);
    assert!(matches!(server.send("late"), Err(Error::Closed)));
    let closed = |reason: &str| [Event::Closed { code: 1000, reason: reason.into() }];
    assert_eq!(client.receive(&server.output(), now), closed("done"));
    assert_eq!(server.receive(&client.output(), now), closed(""));
    assert!(client.is_over() && server.is_over() && server.receive_eof().is_none());
    assert_eq!((server.next_deadline(), server.tick(now)), (None, vec![]));
}

#[test]
fn frames_may_come_with_the_handshake() {
    let now = Instant::now();
    let mut client = Protocol::client("ws://h/", Limits::default(), now).unwrap();
    let mut server = Protocol::server(Limits::default(), now).unwrap();
    server.receive(&client.output(), now);
    server.send("at once").unwrap();
    let events = client.receive(&server.output(), now);
    assert_eq!(events, [Event::Opened { path: "/".into() }, Event::Message(Message::text("at once"))]);
}

#[test]
fn time_brings_pings_and_the_end_of_the_silent() {
    let (mut client, mut server, now) = pair();
    let limits = Limits::default();
    assert_eq!(server.next_deadline(), Some(now + limits.ping_interval));
    let later = now + limits.ping_interval;
    assert_eq!(server.tick(later), []);
    assert_eq!(client.receive(&server.output(), later), []);
    assert_eq!(server.receive(&client.output(), later), [Event::Pong(Some(Duration::ZERO))]);
    let (ping, end) = (later + limits.ping_interval, later + limits.ping_interval + limits.ping_timeout);
    assert_eq!(server.tick(ping), []);
    let silent = Event::Failed { code: 1011, reason: "keepalive ping timeout".into() };
    assert_eq!(server.tick(end), [silent]);
    assert!(server.is_over() && !server.output().is_empty());
}

#[test]
fn wrong_handshakes_end_with_an_answer() {
    let now = Instant::now();
    let mut server = Protocol::server(Limits::default(), now).unwrap();
    let events = server.receive(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", now);
    assert!(matches!(&events[..], [Event::Failed { code: 426, .. }]), "{events:?}");
    assert!(server.output().starts_with(b"HTTP/1.1 426 ") && server.is_over());
    let mut client = Protocol::client("ws://h/", Limits::default(), now).unwrap();
    let events = client.receive(b"HTTP/1.1 503 Busy\r\n\r\n", now);
    assert!(matches!(&events[..], [Event::Failed { code: 503, .. }]), "{events:?}");
    let mut late = Protocol::server(Limits::default(), now).unwrap();
    let events = late.tick(late.next_deadline().unwrap());
    assert!(matches!(&events[..], [Event::Failed { code: 408, .. }]), "{events:?}");
    assert!(Protocol::client("http:/x", Limits::default(), now).is_err());
    let mut gone = Protocol::server(Limits::default(), now).unwrap();
    assert_eq!(gone.receive_eof(), Some(Event::Closed { code: 1006, reason: String::new() }));
}
