//! Clients that break the protocol, stall, flood or vanish: each costs itself something, and nobody else anything.

use crate::support::{
    BINARY, CLOSE, CONTINUATION, Client, Frame, LONG, PING, PONG, SHORT, TEXT, close_payload, connect,
    connect_narrow, echo, eventually, frame, handshake, metric, parse_close, relay, reset, serve,
    serve_binary, text_frame,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io::Write;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use switchboard::{Builder, Error, Limits, Message, Result, Server, WebSocket};

const KIB: usize = 1024;
/// In a frame's first byte: the message is compressed. RFC 7692 §6.
const RSV1: u8 = 0x40;

fn echo_and_rooms(builder: Builder) -> Builder {
    builder.route("/echo", echo).route("/room/{room}", relay)
}

/// Somebody new is served as ever.
#[track_caller]
fn check_alive(server: &Server) {
    let mut client = Client::connect(server.local_addr(), "/echo");
    client.send("alive");
    client.expect("alive");
    client.leave();
}

#[test]
fn frames_torn_byte_by_byte_are_read() {
    let server = serve(Limits::default(), echo_and_rooms);
    let mut client = Client::connect(server.local_addr(), "/echo");
    let long = "大厅".repeat(60);
    let frames = [
        text_frame("torn"),
        frame(TEXT, "in 片".as_bytes(), false, true),
        frame(PING, b"between", true, true),
        frame(CONTINUATION, " 段".as_bytes(), true, true),
        text_frame(&long),
        frame(CLOSE, &close_payload(1000, "bye"), true, true),
    ];
    for byte in frames.concat() {
        client.send_raw(&[byte]);
    }
    // A pong may overtake messages.
    let (pongs, messages): (Vec<_>, Vec<_>) =
        (0..4).map(|_| client.frame()).partition(|frame| frame.opcode == PONG);
    let payloads = |frames: &[Frame]| frames.iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&pongs), [b"between"]);
    assert_eq!(payloads(&messages), ["torn", "in 片 段", &long].map(str::as_bytes));
    client.expect_close(1000);
    client.expect_end();
}

#[test]
fn broken_rules_are_answered_with_their_close_code() {
    let limits = Limits { message: 1000, fragments: 4, ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let fragments = |count: usize| {
        let mut bytes = frame(TEXT, b"x", false, true);
        (1..count).for_each(|_| bytes.extend(frame(CONTINUATION, b"x", false, true)));
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("an unmasked frame", frame(TEXT, b"x", true, false), 1002),
        ("an unmasked Close", frame(CLOSE, b"", true, false), 1002),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("a reserved opcode", frame(3, b"", true, true), 1002),
        ("a fragmented ping", frame(PING, b"", false, true), 1002),
        ("a ping too long", frame(PING, &[0; 126], true, true), 1002),
        ("a continuation of nothing", frame(CONTINUATION, b"x", true, true), 1002),
        ("a message in a message", [fragments(1), text_frame("y")].concat(), 1002),
        ("half a close code", frame(CLOSE, &[3], true, true), 1002),
        ("a close code that must not be sent", frame(CLOSE, &close_payload(1005, ""), true, true), 1002),
        ("no UTF-8", frame(TEXT, &[0xff], true, true), 1007),
        ("no UTF-8 in the reason", frame(CLOSE, &[3, 232, 0xff], true, true), 1007),
        ("no UTF-8, the message not complete", frame(TEXT, &[b'a', 0xff], false, true), 1007),
        ("one byte over the limit", frame(BINARY, &[0; 1001], true, true), 1009),
        (
            "over the limit in sum",
            [frame(TEXT, &[b'a'; 600], false, true), frame(CONTINUATION, &[b'a'; 401], true, true)].concat(),
            1009,
        ),
        ("a length of 2^62", vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
        ("a length of 2^63", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1002),
        ("too many fragments", fragments(5), 1009),
    ];
    let count = cases.len() as u64;
    for (what, bytes, code) in cases {
        let mut client = Client::connect(server.local_addr(), "/echo");
        // What came before the mistake still counts, what comes after it does not.
        client.send("before");
        client.send_raw(&bytes);
        client.send("after");
        client.expect("before");
        assert_eq!(client.close().0, code, "{what}");
        client.end_sending();
        client.expect_end();
    }
    assert_eq!(metric(&server.metrics(), "protocol_violations_total"), count);
    check_alive(&server);
}

#[test]
fn messages_of_exactly_the_limits_pass() {
    let limits = Limits { message: 1000, fragments: 4, ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let mut client = Client::connect(server.local_addr(), "/echo");
    let largest = "x".repeat(1000);
    client.send(&largest);
    client.expect(&largest);
    for (n, part) in largest.as_bytes().chunks(250).enumerate() {
        client.send_frame(if n == 0 { TEXT } else { CONTINUATION }, part, n == 3);
    }
    client.expect(&largest);
    client.leave();
}

#[test]
fn a_reset_in_the_middle_of_a_message_ends_that_connection_only() {
    let server = serve(Limits::default(), echo_and_rooms);
    let mut other = Client::settled(server.local_addr(), "/room/r");
    for path in ["/echo", "/room/r"] {
        for cut in [1, 5, 50] {
            let mut client = Client::settled(server.local_addr(), path);
            client.send_raw(&text_frame(&"x".repeat(100))[..cut]);
            reset(client.stream);
        }
    }
    eventually("the others are gone", || server.connections() == 1);
    other.send("still here");
    other.expect("still here");
    check_alive(&server);
}

#[test]
fn what_was_meant_for_a_client_that_vanished_reaches_nobody_else() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let server = serve(Limits::default(), |builder| {
        echo_and_rooms(builder).route("/deaf", move |mut ws| {
            ws.join("secret")?;
            ws.send("joined")?;
            // It does not notice that its client is gone, so the room keeps it as a member.
            let _ = wait.lock().recv();
            Ok(())
        })
    });
    for _ in 0..20 {
        let mut listener = Client::settled(server.local_addr(), "/room/public");
        let mut gone = Client::connect(server.local_addr(), "/deaf");
        gone.expect("joined");
        reset(gone.stream);
        assert!(server.room("secret").send("secret"));
        for n in 0..10 {
            assert!(server.room("public").send(format!("public {n}")));
            listener.expect(&format!("public {n}"));
        }
        release.send(()).unwrap();
    }
}

#[test]
fn half_open_handshakes_do_not_disturb_a_chat() {
    let limits = Limits { head_deadline: LONG, ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let half = handshake(server.local_addr(), "/echo", "");
    let half_open: Vec<_> = (0..200)
        .map(|n| {
            let mut stream = connect(server.local_addr());
            stream.write_all(&half.as_bytes()[..n % half.len()]).unwrap();
            stream
        })
        .collect();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::settled(server.local_addr(), "/room/r")).collect();
    eventually("all are open", || server.connections() == 220);
    for n in 0..20 {
        let text = format!("message {n}");
        clients[n].send(&text);
        clients.iter_mut().for_each(|client| client.expect(&text));
    }
    drop(half_open);
    eventually("the half-open are gone", || server.connections() == 20);
}

/// Frames until the Close; they must be whole, and numbered without a gap. How many, and the Close.
fn read_to_the_close(client: &mut Client) -> (usize, (u16, String)) {
    for count in 0.. {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            return (count, parse_close(&frame.payload));
        }
        let text = str::from_utf8(&frame.payload).unwrap();
        let (number, rest) = text.split_once(' ').unwrap();
        assert_eq!(number.parse(), Ok(count), "a message is missing");
        assert!(rest.len() == 4 * KIB && rest.bytes().all(|byte| byte == b'x'), "frame {count} is torn");
    }
    unreachable!()
}

#[test]
fn a_member_that_stops_reading_gets_whole_frames_and_then_1013() {
    let full = Limits {
        message: 8 * KIB,
        outbox: 64 * KIB,
        send_buffer: 16 * KIB,
        write_deadline: LONG,
        close_deadline: LONG,
        ..Limits::default()
    };
    let late = Limits { outbox: 64 * KIB * KIB, write_deadline: SHORT, ..full.clone() };
    for (limits, reason) in [(full, "full"), (late, "write deadline")] {
        let server = serve(limits, echo_and_rooms);
        let address = server.local_addr();
        let request = handshake(address, "/room/r", "");
        let mut stalled = Client::over(connect_narrow(address), request).unwrap();
        stalled.settle();
        let mut healthy: Vec<Client> = (0..3).map(|_| Client::settled(address, "/room/r")).collect();
        let mut sent = 0;
        while metric(&server.metrics(), "slow_consumers_total") == 0 {
            let text = format!("{sent} {}", "x".repeat(4 * KIB));
            healthy[0].send(&text);
            // The sender is a member too: nobody falls behind but the stalled one.
            healthy.iter_mut().for_each(|client| client.expect(&text));
            sent += 1;
            assert!(sent < 100_000, "never cut");
        }
        let (received, (code, said)) = read_to_the_close(&mut stalled);
        assert_eq!(code, 1013, "{said}");
        assert!(said.contains("slow consumer") && said.contains(reason), "{said}");
        assert!(0 < received && received <= sent, "{received} of {sent}");
        stalled.send_close(1013);
        stalled.expect_end();
        drop(stalled);
        assert_eq!(metric(&server.metrics(), "slow_consumers_total"), 1);
        assert!(0 < metric(&server.metrics(), "stalls_total"));
        eventually("the stalled one is gone", || server.connections() == 3);
        healthy[1].send("after");
        healthy.iter_mut().for_each(|client| client.expect("after"));
    }
}

#[test]
fn a_slow_consumer_that_never_reads_again_is_cut() {
    let limits = Limits {
        message: 8 * KIB,
        outbox: 64 * KIB,
        send_buffer: 16 * KIB,
        write_deadline: SHORT,
        close_deadline: SHORT,
        ..Limits::default()
    };
    let server = serve(limits, echo_and_rooms);
    let request = handshake(server.local_addr(), "/room/r", "");
    let mut stalled = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    stalled.settle();
    let text = "x".repeat(8 * KIB);
    while server.connections() == 1 {
        // `false` only tells that the hub is behind.
        server.room("r").send(text.as_str());
    }
    assert_eq!(metric(&server.metrics(), "slow_consumers_total"), 1);
    check_alive(&server);
}

#[test]
fn a_client_that_reads_no_echoes_blocks_its_own_handler_only() {
    let limits = Limits {
        message: 64 * KIB,
        outbox: 64 * KIB,
        send_buffer: 16 * KIB,
        write_deadline: LONG,
        ..Limits::default()
    };
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = handled.clone();
    let server = serve(limits, |builder| {
        builder.route("/echo", move |mut ws| {
            while let Some(message) = ws.recv()? {
                counter.fetch_add(1, Relaxed);
                ws.send(message)?;
            }
            Ok(())
        })
    });
    const COUNT: usize = 2000;
    let request = handshake(server.local_addr(), "/echo", "");
    let mut stalled = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    let mut sending = stalled.stream.try_clone().unwrap();
    // 32 MB, far more than all buffers on the way hold.
    let payload = [7; 16 * KIB];
    let sender = thread::spawn(move || {
        let frame = frame(BINARY, &payload, true, true);
        (0..COUNT).for_each(|_| sending.write_all(&frame).unwrap());
    });
    eventually("the handler is stuck", || 0 < metric(&server.metrics(), "stalls_total"));
    for _ in 0..20 {
        check_alive(&server);
    }
    assert!(!sender.is_finished() && handled.load(Relaxed) < COUNT, "TCP made the client wait");
    // It reads on, and nothing is lost.
    for _ in 0..COUNT {
        let frame = stalled.frame();
        assert!(frame.opcode == BINARY && frame.payload == payload);
    }
    sender.join().unwrap();
    stalled.leave();
}

#[test]
fn the_close_code_tells_how_the_handler_ended() {
    let server = serve(Limits::default(), |builder| {
        echo_and_rooms(builder)
            .route("/return", |_| Ok(()))
            .route("/fail", |_| Err(Error::other("on purpose")))
            .route("/no-file", |_| Ok(std::fs::read("/no/such/file").map(drop)?))
            .route("/panic", |_| resume_unwind(Box::new("on purpose, and without a message on the screen")))
            .route("/panic-later", |mut ws| {
                ws.join("room")?;
                let _ = ws.recv()?;
                resume_unwind(Box::new("on purpose"))
            })
            .route("/question", |ws| ws.join("\0").map(drop))
    });
    for (path, code) in [
        ("/return", 1000),
        ("/fail", 1011),
        ("/no-file", 1011),
        ("/panic", 1011),
        ("/panic-later", 1011),
        ("/question", 1011),
    ] {
        let mut client = Client::connect(server.local_addr(), path);
        if path == "/panic-later" {
            client.send("now");
        }
        client.expect_close(code);
        client.send_close(code);
        client.expect_end();
    }
    assert_eq!(metric(&server.metrics(), "handler_panics_total"), 2);
    eventually("the room is empty", || metric(&server.metrics(), "rooms") == 0);
    check_alive(&server);
}

#[test]
fn a_full_hub_makes_connections_wait_and_loses_nothing_of_theirs() {
    const SENDERS: usize = 8;
    const EACH: usize = 300;
    // The senders do not read while they send.
    let roomy = Limits { outbox: 16 * KIB * KIB, ..Limits::default() };
    let limits = [
        Limits { hub_commands: 1, turn: 1, ..roomy.clone() },
        Limits { message: KIB, hub_queue: KIB, ..roomy },
    ];
    for limits in limits {
        let server = serve(limits, echo_and_rooms);
        let address = server.local_addr();
        let mut listener = Client::settled(address, "/room/r");
        let mut from_outside = 0;
        let mut next = [0; SENDERS];
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                scope.spawn(move || {
                    let mut client = Client::settled(address, "/room/r");
                    for n in 0..EACH {
                        client.send(&format!("{sender}:{n}:{}", "x".repeat(500)));
                    }
                    // It hears itself, so all it sent has gone through.
                    while !client.text().starts_with(&format!("{sender}:{}:", EACH - 1)) {}
                });
            }
            // Never blocks; what it says it has sent arrives.
            let (server, from_outside) = (&server, &mut from_outside);
            scope.spawn(move || {
                *from_outside = (0..1000).filter(|_| server.room("r").send("outside")).count();
            });
            for _ in 0..SENDERS * EACH {
                let text = loop {
                    let text = listener.text();
                    if text != "outside" {
                        break text;
                    }
                };
                let mut parts = text.split(':').map(str::parse::<usize>);
                let (Some(Ok(sender)), Some(Ok(n))) = (parts.next(), parts.next()) else { panic!("{text}") };
                let next: &mut usize = &mut next[sender];
                assert_eq!(n, *next, "of sender {sender}");
                *next += 1;
            }
        });
        assert_eq!(next, [EACH; SENDERS]);
    }
}

#[test]
fn what_the_program_sends_arrives_when_it_was_told_so() {
    let server = serve(Limits { hub_commands: 2, ..Limits::default() }, echo_and_rooms);
    let mut member = Client::settled(server.local_addr(), "/room/r");
    let told: Vec<String> = (0..2000)
        .map(|n| format!("message {n}"))
        .filter(|text| server.room("r").send(text.as_str()))
        .collect();
    told.iter().for_each(|text| member.expect(text));
    eventually("the last one goes through", || server.room("r").send("last"));
    member.expect("last");
}

/// Sends two messages at once; the answer to the first must come although the handler is then busy elsewhere.
fn check_release(answer: impl Fn(&mut WebSocket, Message) -> Result<()> + Send + Sync + 'static) {
    let (release, wait) = mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |mut ws| {
            ws.join("room")?;
            while let Some(message) = ws.recv()? {
                answer(&mut ws, message)?;
                // An error: the test is over.
                let _ = wait.lock().recv();
            }
            Ok(())
        })
    });
    let mut client = Client::settled(server.local_addr(), "/");
    client.send_raw(&[text_frame("one"), text_frame("two"), text_frame("three")].concat());
    for text in ["one", "two", "three"] {
        client.expect(text);
        release.send(()).unwrap();
    }
    client.leave();
}

#[test]
fn a_reply_leaves_although_more_input_waits_and_the_handler_is_busy() {
    check_release(WebSocket::send);
}

#[test]
fn a_room_message_leaves_although_more_input_waits_and_the_handler_is_busy() {
    check_release(|ws, message| {
        assert!(ws.room("room").send(message));
        Ok(())
    });
}

#[test]
fn a_flood_of_pings_is_answered_as_far_as_it_is_read() {
    const COUNT: u32 = 50_000;
    let limits = Limits { send_buffer: 16 * KIB, write_deadline: LONG, ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let request = handshake(server.local_addr(), "/echo", "");
    let mut client = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    let mut flood = Vec::new();
    for n in 0..COUNT {
        let mut payload = [0; 125];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        flood.extend(frame(PING, &payload, true, true));
    }
    // No answer is read meanwhile, and yet all of it is taken.
    client.send_raw(&flood);
    client.send("after");
    let (mut last, mut echoed) = (None, false);
    while last != Some(COUNT - 1) || !echoed {
        let frame = client.frame();
        if frame.opcode == PONG {
            let n = u32::from_be_bytes(*frame.payload.first_chunk().unwrap());
            assert!(last.is_none_or(|last| last < n), "{n} after {last:?}");
            last = Some(n);
        } else {
            assert_eq!((frame.opcode, &frame.payload[..]), (TEXT, &b"after"[..]));
            echoed = true;
        }
    }
    client.leave();
}

/// One compressed message of about 1 MiB that inflates to 1 GiB of zeros: as large as a compressed message may be, and as
/// much as one can hold.
fn bomb() -> Vec<u8> {
    const PART: usize = 4 * KIB * KIB;
    let mut part = Vec::with_capacity(8 * KIB);
    // After a full flush nothing refers to what came before: the same bytes can follow.
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(&vec![0; PART], &mut part, FlushCompress::Full).unwrap();
    assert_eq!(compress.total_in(), PART as u64);
    let mut inflated = Vec::with_capacity(PART + 1);
    Decompress::new(false).decompress_vec(&part, &mut inflated, FlushDecompress::Sync).unwrap();
    assert_eq!(inflated.len(), PART);
    part.repeat(KIB * KIB * KIB / PART)
}

#[test]
fn a_mebibyte_that_would_inflate_to_a_gibibyte_takes_no_more_memory_than_the_limit_allows() {
    const LIMIT: usize = KIB * KIB;
    let bomb = bomb();
    assert!((9 * LIMIT / 10..=LIMIT).contains(&bomb.len()), "{} bytes", bomb.len());
    let (whole, begun) =
        (frame(BINARY | RSV1, &bomb, true, true), frame(BINARY | RSV1, &bomb[..9], false, true));
    let in_two = [begun, frame(CONTINUATION, &bomb[9..], true, true)].concat();

    let program = serve_binary(&[]);
    let open = || {
        let mut client = Client::connect_with(
            program.address,
            "/echo",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        );
        assert!(client.answer.header("Sec-WebSocket-Extensions").is_some());
        client.settle();
        client
    };
    let mut healthy = open();
    let before = program.peak_memory();
    for bytes in [&whole, &in_two, &whole] {
        let mut client = open();
        client.send_raw(bytes);
        client.expect_close(1009);
        client.end_sending();
        client.expect_end();
    }
    let grown = program.peak_memory() - before;
    // The message as it came and as far as it was inflated; each is moved where there is more room as it grows.
    assert!(grown < 5 * LIMIT, "{grown} bytes");
    healthy.send("alive");
    healthy.expect("alive");
}

/// Ways for a handler to wait for messages, all of which keep the connection's clock.
fn receivers(builder: Builder) -> Builder {
    builder
        .route("/recv", echo)
        .route("/recv_timeout", |mut ws| {
            while !ws.is_closed() {
                if let Some(message) = ws.recv_timeout(Duration::from_millis(10))? {
                    ws.send(message)?;
                }
            }
            Ok(())
        })
        .route("/try_recv", |mut ws| {
            while !ws.is_closed() {
                match ws.try_recv()? {
                    Some(message) => ws.send(message)?,
                    None => thread::yield_now(),
                }
            }
            Ok(())
        })
}

const RECEIVERS: [&str; 3] = ["/recv", "/recv_timeout", "/try_recv"];

#[test]
fn a_silent_client_is_pinged_and_then_given_up() {
    let limits = Limits { ping_interval: SHORT, ping_timeout: SHORT, ..Limits::default() };
    let server = serve(limits, receivers);
    for path in RECEIVERS {
        let mut client = Client::connect(server.local_addr(), path);
        assert_eq!(client.frame().opcode, PING, "{path}");
        client.expect_close(1011);
        client.end_sending();
        client.expect_end();
    }
    assert_eq!(metric(&server.metrics(), "keepalive_timeouts_total"), RECEIVERS.len() as u64);
}

#[test]
fn a_client_that_answers_pings_lives() {
    let limits = Limits { ping_interval: Duration::from_millis(20), ping_timeout: LONG, ..Limits::default() };
    let server = serve(limits, receivers);
    for path in RECEIVERS {
        let mut client = Client::connect(server.local_addr(), path);
        for _ in 0..5 {
            let ping = client.frame();
            assert_eq!(ping.opcode, PING, "{path}");
            client.send_frame(PONG, &ping.payload, true);
        }
        client.send("alive");
        let echo = loop {
            let frame = client.frame();
            if frame.opcode != PING {
                break frame;
            }
        };
        assert_eq!(echo.payload, b"alive", "{path}");
    }
}

fn closers(builder: Builder) -> Builder {
    builder
        .route("/return", |_| Ok(()))
        .route("/close", |mut ws| {
            ws.close(4000, "enough");
            while ws.recv()?.is_some() {}
            Ok(())
        })
        .route("/close-and-poll", |mut ws| {
            ws.close(4000, "enough");
            while !ws.is_closed() {
                let _ = ws.try_recv()?;
                thread::yield_now();
            }
            Ok(())
        })
        .route("/user", |mut ws| {
            ws.identify("user")?;
            ws.user("user").close(4000, "enough");
            while ws.recv()?.is_some() {}
            Ok(())
        })
}

const CLOSERS: [&str; 4] = ["/return", "/close", "/close-and-poll", "/user"];

#[test]
fn a_client_that_ignores_our_close_is_cut() {
    let server = serve(Limits { close_deadline: SHORT, ..Limits::default() }, closers);
    for path in CLOSERS {
        let mut client = Client::connect(server.local_addr(), path);
        let (code, _) = client.close();
        assert_eq!(code, if path == "/return" { 1000 } else { 4000 }, "{path}");
        client.expect_end();
    }
    eventually("nobody is left", || server.connections() == 0);
}

#[test]
fn a_client_that_answers_our_close_with_a_flood_is_cut() {
    let server = serve(Limits { close_deadline: SHORT, ..Limits::default() }, closers);
    for path in CLOSERS {
        let mut client = Client::connect(server.local_addr(), path);
        client.close();
        client.stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
        let flood = text_frame("more").repeat(1000);
        eventually("it is read no more", || {
            // What the kernel does with the rest does not matter.
            let _ = client.stream.write_all(&flood);
            server.connections() == 0
        });
    }
}
