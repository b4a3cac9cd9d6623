//! Tables for `session`: bytes in, events out, both roles, every way to cut the bytes, time as a number.

use super::*;
use tungstenite::protocol::frame::Utf8Bytes;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame as it is on the wire.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=65535 => frame.extend([&[0xfe][..], &(n as u16).to_be_bytes()].concat()),
        n => frame.extend([&[0xff][..], &(n as u64).to_be_bytes()].concat()),
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn limits() -> Limits {
    Limits { message: 100_000, fragments: 4, ..Limits::default() }
}

/// What a fresh session makes of `bytes` that come in pieces of `size`.
fn run(role: Role, bytes: &[u8], size: usize) -> Vec<Event> {
    let now = Instant::now();
    let mut session = Session::new(role, &limits(), None, now);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        session.receive(&mut piece.to_vec(), now, &mut out);
    }
    out
}

/// Whole, byte by byte, and in odd pieces it must come to the same.
fn check(bytes: &[u8], expected: &[Event]) {
    for size in [bytes.len().max(1), 1, 2, 3, 7] {
        assert_eq!(run(Role::Server, bytes, size), expected, "in pieces of {size}: {bytes:02x?}");
    }
}

fn text(text: &str) -> Event {
    Event::Message(Message::text(text))
}

fn pong(payload: &'static [u8]) -> Event {
    Event::Send(frame::PONG, Bytes::from_static(payload))
}

fn ended(code: u16, reason: &str) -> Event {
    Event::Ended(Ending::Closed(Some(CloseFrame { code: code.into(), reason: Utf8Bytes::from(reason) })))
}

/// The session sends a Close with `code` and is over.
fn check_refused(bytes: &[u8], code: CloseCode) {
    for size in [bytes.len(), 1, 5] {
        let events = run(Role::Server, bytes, size);
        let [
            ..,
            Event::Send(OpCode::Control(Control::Close), sent),
            Event::Ended(Ending::Violated(violation)),
        ] = &events[..]
        else {
            panic!("{events:?} of {bytes:02x?} in pieces of {size}");
        };
        assert_eq!((violation.code, &sent[..2]), (code, &u16::from(code).to_be_bytes()[..]), "{violation:?}");
        assert_eq!(&sent[2..], violation.reason.as_bytes());
    }
}

#[test]
fn server_receives_messages() {
    check(&client(0x81, b"Hello"), &[text("Hello")]);
    check(&client(0x81, b""), &[text("")]);
    check(&client(0x82, b"\xff\x00"), &[Event::Message(Message::binary(&b"\xff\x00"[..]))]);
    check(&[client(0x81, "服".as_bytes()), client(0x81, b"b")].concat(), &[text("服"), text("b")]);
    for length in [125, 126, 65535, 65536] {
        let long = "x".repeat(length);
        check(&client(0x81, long.as_bytes()), &[text(&long)]);
    }
}

#[test]
fn server_joins_fragments_and_answers_pings_between_them() {
    let bytes = [
        client(0x01, "é".as_bytes().split_at(1).0),
        client(0x89, b"now?"),
        client(0x00, "é".as_bytes().split_at(1).1),
        client(0x8a, b"unasked"),
        client(0x80, b"!"),
    ];
    check(&bytes.concat(), &[pong(b"now?"), Event::Pong(None), text("é!")]);
    check(&[client(0x02, b""), client(0x80, b"")].concat(), &[Event::Message(Message::binary(Bytes::new()))]);
}

#[test]
fn server_refuses_what_breaks_the_protocol() {
    let masked = |first| client(first, b"x");
    for bytes in [
        b"\x81\x05Hello".to_vec(), // unmasked
        masked(0xc1),              // RSV1
        masked(0xa1),              // RSV2
        masked(0x91),              // RSV3
        masked(0x83),              // reserved opcodes
        masked(0x8b),
        masked(0x8f),
        masked(0x80), // nothing to continue
        masked(0x00),
        masked(0x09),                          // fragmented ping
        client(0x89, &[0; 126]),               // long ping
        client(0x88, b"\x03"),                 // half a close code
        client(0x88, b"\x03\xed"),             // a code nobody may send
        [masked(0x01), masked(0x81)].concat(), // a message inside a message
        [masked(0x01), masked(0x01)].concat(),
        [&[0x81, 0xff, 0x80][..], &[0; 7], &KEY].concat(), // 2^63 bytes
    ] {
        check_refused(&bytes, CloseCode::Protocol);
    }
}

#[test]
fn server_refuses_text_that_is_not_utf8() {
    check_refused(&client(0x81, b"\xff"), CloseCode::Invalid);
    check_refused(&client(0x81, b"\xc3"), CloseCode::Invalid);
    check_refused(&client(0x88, b"\x03\xe8\xff"), CloseCode::Invalid);
    // Fail fast: the rest of the message is never waited for.
    check_refused(&client(0x01, b"\xce\xba\xf4\x90"), CloseCode::Invalid);
    let mut long = client(0x81, &[&b"\xed\xa0"[..], &[b'x'; 1000]].concat());
    long.truncate(20);
    check_refused(&long, CloseCode::Invalid);
}

#[test]
fn server_refuses_sizes_when_announced() {
    check_refused(&[&[0x82, 0xff][..], &100_001u64.to_be_bytes(), &KEY].concat(), CloseCode::Size);
    check_refused(&[&[0x82, 0xff][..], &i64::MAX.to_be_bytes(), &KEY].concat(), CloseCode::Size);
    let half = client(0x02, &[0; 60_000]);
    check_refused(&[half, client(0x00, &[0; 40_001])].concat(), CloseCode::Size);
    let empty =
        [client(0x01, b""), client(0x00, b""), client(0x00, b""), client(0x00, b""), client(0x80, b"")];
    check_refused(&empty.concat(), CloseCode::Size);
}

#[test]
fn client_receives_unmasked_frames_only() {
    assert_eq!(run(Role::Client, b"\x81\x02ok", 1), [text("ok")]);
    let [Event::Send(_, sent), Event::Ended(_)] = &run(Role::Client, &client(0x81, b"no"), 1)[..] else {
        panic!("a masked frame from a server must be refused");
    };
    assert_eq!(&sent[..2], b"\x03\xea");
}

#[test]
fn a_peer_s_close_is_answered_with_its_code() {
    let answer = |payload| Event::Send(OpCode::Control(Control::Close), Bytes::from_static(payload));
    check(&client(0x88, b"\x03\xe8bye"), &[answer(b"\x03\xe8"), ended(1000, "bye")]);
    check(&client(0x88, b"\x0f\xa0"), &[answer(b"\x0f\xa0"), ended(4000, "")]);
    check(&client(0x88, b""), &[answer(b""), Event::Ended(Ending::Closed(None))]);
    // Inside a fragmented message too, and nothing behind it is read.
    let bytes = [client(0x01, b"begun"), client(0x88, b"\x03\xe9"), client(0x80, b"late"), vec![0xff; 9]];
    check(&bytes.concat(), &[answer(b"\x03\xe9"), ended(1001, "")]);
}

#[test]
fn our_close_is_sent_once_and_messages_still_arrive_until_it_is_answered() {
    let now = Instant::now();
    let mut session = Session::new(Role::Server, &limits(), None, now);
    assert!(session.close(now));
    assert!(!session.close(now));
    let mut out = Vec::new();
    let bytes = [client(0x81, b"crossed"), client(0x89, b"?"), client(0x88, b"\x03\xe8")];
    session.receive(&mut bytes.concat(), now, &mut out);
    assert_eq!(out, [text("crossed"), ended(1000, "")]);
    assert!(session.next_deadline().is_none());
}

#[test]
fn a_close_that_is_ignored_ends_at_the_deadline() {
    let now = Instant::now();
    let mut session = Session::new(Role::Server, &limits(), None, now);
    session.close(now);
    let deadline = now + limits().close_deadline;
    assert_eq!(session.next_deadline(), Some(deadline));
    let mut out = Vec::new();
    // Talking on does not put it off.
    session.receive(&mut client(0x81, b"more"), deadline - Duration::from_millis(1), &mut out);
    session.tick(deadline - Duration::from_millis(1), &mut out);
    assert_eq!(out, [text("more")]);
    session.tick(deadline, &mut out);
    assert_eq!(out[1..], [Event::Ended(Ending::CloseIgnored)]);
}

#[test]
fn silence_is_pinged_and_then_ended() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut session = Session::new(Role::Server, &limits(), None, start);
    let tick = |session: &mut Session, seconds| {
        let mut out = Vec::new();
        session.tick(at(seconds), &mut out);
        out
    };
    assert_eq!(session.next_deadline(), Some(at(20)));
    assert_eq!(tick(&mut session, 19), []);
    assert_eq!(tick(&mut session, 20), [Event::Send(frame::PING, Bytes::new())]);
    assert_eq!(session.next_deadline(), Some(at(40)));
    // Half a frame header is a sign of life.
    session.receive(&mut [0x81], at(39), &mut Vec::new());
    assert_eq!(session.next_deadline(), Some(at(59)));
    assert_eq!(tick(&mut session, 40), []);
    // Whoever answers with anything but a pong is pinged again, not cut.
    assert_eq!(tick(&mut session, 59), [Event::Send(frame::PING, Bytes::new())]);
}

#[test]
fn a_pong_tells_the_round_trip_and_silence_after_a_ping_ends_with_1011() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut session = Session::new(Role::Server, &limits(), None, start);
    let mut out = Vec::new();
    session.tick(at(20), &mut out);
    session.receive(&mut client(0x8a, b""), at(21), &mut out);
    session.tick(at(41), &mut out);
    session.tick(at(60), &mut out);
    session.tick(at(61), &mut out);
    let ping = Event::Send(frame::PING, Bytes::new());
    assert_eq!(
        out,
        [
            ping.clone(),
            Event::Pong(Some(Duration::from_secs(1))),
            ping,
            close_event(CloseCode::Error, "keepalive ping timeout"),
            Event::Ended(Ending::Silent),
        ]
    );
}

#[cfg(feature = "deflate")]
mod compressed {
    use super::*;
    use crate::wire::deflate::{Deflater, Inflater};
    use crate::wire::soup_tests::{Soup, spoiled};
    use proptest::prelude::*;

    /// As [`super::run`], with compression agreed on.
    fn run(bytes: &[u8], size: usize) -> Vec<Event> {
        let now = Instant::now();
        let mut session = Session::new(Role::Server, &limits(), Some(Box::new(Inflater::new())), now);
        let mut out = Vec::new();
        bytes.chunks(size).for_each(|piece| session.receive(&mut piece.to_vec(), now, &mut out));
        out
    }

    fn deflated(text: &str) -> Vec<u8> {
        Deflater::new(15).deflate(text.as_bytes())
    }

    #[test]
    fn messages_are_inflated_whole_or_in_fragments_with_pings_between() {
        let long = "服务器 ".repeat(500);
        let half = deflated(&long);
        let (first, second) = half.split_at(half.len() / 2);
        let bytes = [
            client(0xc1, &deflated("Hello")),
            client(0x41, first),
            client(0x89, b""),
            client(0x80, second),
            client(0x81, b"plain"),
            client(0xc1, b"\0"),
            client(0xc2, &deflated("bin")),
        ]
        .concat();
        let expected = [
            text("Hello"),
            pong(b""),
            text(&long),
            text("plain"),
            text(""),
            Event::Message(Message::binary("bin")),
        ];
        for size in [bytes.len(), 1, 3] {
            assert_eq!(run(&bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_wrong_inside_is_refused() {
        let zeros = Deflater::new(15).deflate(&[0; 100_001]);
        for (bytes, code) in [
            (client(0xc1, &Deflater::new(15).deflate(b"\xff")), CloseCode::Invalid),
            (client(0xc1, b"\xff\xff\xff"), CloseCode::Invalid),
            (client(0xc2, &zeros), CloseCode::Size),
            ([client(0x42, &zeros[..9]), client(0x80, &zeros[9..])].concat(), CloseCode::Size),
            (client(0xc9, b"ping"), CloseCode::Protocol),
            ([client(0x01, b"a"), client(0xc0, b"b")].concat(), CloseCode::Protocol),
            ([client(0x41, b"a"), client(0xc1, b"b")].concat(), CloseCode::Protocol),
        ] {
            let events = run(&bytes, bytes.len());
            let [.., Event::Ended(Ending::Violated(violation))] = &events[..] else { panic!("{events:?}") };
            assert_eq!(violation.code, code, "{violation:?}");
        }
    }

    proptest! {
        /// Good compressed traffic is changed: however it is cut, the same events come of it, and no message over the limit.
        #[test]
        fn spoiled_traffic_is_judged_as_a_whole(
            Soup(bytes) in {
                let half = deflated(&"again and again ".repeat(300));
                let (first, second) = half.split_at(half.len() / 2);
                spoiled([
                    client(0xc1, &deflated("Hello")),
                    client(0x41, first),
                    client(0x89, b"now"),
                    client(0x80, second),
                    client(0xc2, &Deflater::new(15).deflate(&[0; 100_000])),
                    client(0x88, b"\x03\xe8"),
                ].concat())
            },
            size in 1usize..40,
        ) {
            let events = run(&bytes, size);
            prop_assert_eq!(&events, &run(&bytes, usize::MAX));
            for event in &events {
                prop_assert!(!matches!(event, Event::Message(message) if limits().message < message.len()));
            }
        }
    }
}

mod soup {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes, and however it is cut, both roles answer the same events and never panic.
        #[test]
        fn any_bytes_cut_anywhere(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
            for role in [Role::Server, Role::Client] {
                prop_assert_eq!(run(role, &bytes, size), run(role, &bytes, usize::MAX));
            }
        }

        /// Nearly right frames: one byte of good traffic is changed.
        #[test]
        fn mutated_frames(at in 0usize..90, to in any::<u8>(), size in 1usize..40) {
            let mut bytes = [
                client(0x01, "中文".as_bytes()),
                client(0x89, b"ping"),
                client(0x80, &[b'y'; 40]),
                client(0x88, b"\x03\xe8bye"),
            ].concat();
            let at = at % bytes.len();
            bytes[at] = to;
            prop_assert_eq!(run(Role::Server, &bytes, size), run(Role::Server, &bytes, usize::MAX));
        }
    }
}
