//! The outbox over a real loopback socket, with this test as the only drainer.

use super::*;
use crate::limits::Limits;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};

fn pair(limit: usize) -> (Arc<Outbox>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    let metrics = Arc::new(Metrics::default());
    let limits = Limits { outbox: limit, burst: 0, ..Limits::default() };
    // Never stopped: its thread waits for nothing and ends with the test's process.
    let (slow_lane, _) = SlowLane::start(&Limits::default(), metrics.clone(), 64 * KIB).unwrap();
    let stream = Arc::new(Stream::new(server, peer));
    (Arc::new(Outbox::new(stream, &limits, slow_lane, metrics, Arc::default(), None, Role::Server)), client)
}

fn text(text: &str) -> Bytes {
    frame::encode(frame::TEXT, text.as_bytes())
}

/// What the client reads after the server's end is shut down.
fn read_all(outbox: &Outbox, mut client: TcpStream) -> Vec<u8> {
    outbox.stream().shutdown(Shutdown::Write);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    got
}

#[test]
fn pieces_leave_in_order_and_control_frames_overtake() {
    let (outbox, client) = pair(KIB);
    assert_eq!(outbox.push(&text("a")), Pushed::NeedsWriter);
    assert_eq!(outbox.push(&text("b")), Pushed::Nothing, "one writer is enough");
    outbox.send_control(frame::PONG, b"now", false);
    assert_eq!(outbox.close(&frame::encode_close(CloseCode::Away, "bye")), Pushed::Nothing);
    assert_eq!(outbox.push(&text("late")), Pushed::Nothing, "nothing follows a Close");
    assert_eq!(outbox.drain(&mut Batch::default()), Drained::Empty);
    assert_eq!(read_all(&outbox, client), b"\x8a\x03now\x81\x01a\x81\x01b\x88\x05\x03\xe9bye");
}

#[test]
fn replies_are_held_back_until_the_last_one_and_keep_their_place() {
    let (outbox, mut client) = pair(KIB);
    client.set_nonblocking(true).unwrap();
    outbox.send(frame::TEXT, b"1", true).unwrap();
    outbox.send(frame::TEXT, b"2", true).unwrap();
    assert!(client.read(&mut [0; 9]).is_err(), "nothing has left");
    // What others send meanwhile comes behind.
    assert_eq!(outbox.push(&text("3")), Pushed::NeedsWriter);
    assert_eq!(outbox.drain(&mut Batch::default()), Drained::Empty);
    outbox.send(frame::TEXT, b"4", true).unwrap();
    outbox.send(frame::TEXT, b"5", false).unwrap();
    client.set_nonblocking(false).unwrap();
    assert_eq!(read_all(&outbox, client), b"\x81\x011\x81\x012\x81\x013\x81\x014\x81\x015");
}

#[test]
fn a_full_socket_gives_its_frames_back_and_goes_on_where_it_stopped() {
    let (outbox, mut client) = pair(64 << 20);
    let mut expected = Vec::new();
    let mut batch = Batch::default();
    for n in 0..200 {
        let frame = frame::encode(frame::BINARY, &vec![n as u8; 100_000]);
        expected.extend_from_slice(&frame);
        let _ = outbox.push(&frame);
    }
    assert!(matches!(outbox.drain(&mut batch), Drained::Full { progress: true }));
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 200 * 100_010];
        client.read_exact(&mut got).unwrap();
        got
    });
    while outbox.drain(&mut batch) != Drained::Empty {
        std::thread::yield_now();
    }
    assert!(reader.join().unwrap() == expected);
    assert_eq!(outbox.state.lock().charged, 0);
}

#[test]
fn a_slow_consumer_finds_whole_frames_and_then_1013() {
    let (outbox, client) = pair(MIB_AND_A_HALF);
    let frame = frame::encode(frame::BINARY, &[7; 1000]);
    let mut batch = Batch::default();
    while !outbox.is_abandoned() {
        if outbox.push(&frame) == Pushed::NeedsWriter {
            // The socket fills, and from then on the outbox: we have the right to drain, and no chance to.
            let _ = outbox.drain(&mut batch);
        } else if outbox.state.lock().data.len() == 1 {
            let _ = outbox.drain(&mut batch);
        }
    }
    assert!(outbox.state.lock().charged < 2 * KIB, "what waited is given back");
    outbox.stream().make_room();
    assert_eq!(outbox.drain(&mut batch), Drained::Empty);
    let got = read_all(&outbox, client);
    let close = frame::encode_close(CloseCode::Again, "slow consumer: its outbox is full");
    let frames = got.strip_suffix(&close[..]).expect("the last frame is the Close");
    assert!(!frames.is_empty() && frames.chunks(frame.len()).all(|whole| *whole == frame[..]));
}

const MIB_AND_A_HALF: usize = 1536 * KIB;

#[test]
fn only_the_frame_that_has_begun_is_finished() {
    let piece = Bytes::from([text("abc"), text("defg"), text("")].concat());
    for (written, rest) in [
        (0, ""),
        (1, "\u{3}abc"),
        (4, "c"),
        (5, ""),
        (6, "\u{4}defg"),
        (10, "g"),
        (11, ""),
        (12, "\0"),
        (13, ""),
    ] {
        let left = rest_of_begun_frame((piece.clone(), written));
        let left = left.map(|(piece, written)| piece.slice(written..)).unwrap_or_default();
        assert_eq!(left, rest.as_bytes(), "after {written}");
    }
}

#[test]
fn a_pong_flood_leaves_in_few_writes() {
    let (outbox, client) = pair(KIB);
    for n in 0..200u8 {
        outbox.send_control(frame::PONG, &[n], true);
        assert_eq!(outbox.state.lock().control.len(), (usize::from(n) + 1) % PONGS);
    }
    outbox.flush();
    let got = read_all(&outbox, client);
    let expected: Vec<u8> = (0..200u8).flat_map(|n| [0x8a, 1, n]).collect();
    assert_eq!(got, expected);
}

#[test]
fn of_pongs_that_cannot_leave_the_latest_are_kept() {
    let (outbox, client) = pair(KIB);
    // Somebody else is at it.
    outbox.state.lock().taken = true;
    for n in 0..200u8 {
        outbox.send_control(frame::PONG, &[n], true);
    }
    assert_eq!(outbox.state.lock().control.len(), PONGS);
    outbox.state.lock().taken = false;
    outbox.flush();
    let got = read_all(&outbox, client);
    assert_eq!((got.len(), &got[got.len() - 3..]), (PONGS * 3, &[0x8a, 1, 199][..]));
}

#[test]
fn a_closed_outbox_takes_nothing() {
    let (outbox, _client) = pair(KIB);
    outbox.close_own(b"");
    assert!(matches!(outbox.send(frame::TEXT, b"late", false), Err(Error::Closed)));
    assert!(matches!(outbox.try_send(frame::TEXT, b"late"), Err(Error::Closed)));
    outbox.cut();
    outbox.wait_written(Instant::now());
}

#[test]
fn an_overflow_while_a_reply_is_written_forgets_what_was_charged_for_it() {
    let (outbox, client) = pair(KIB);
    let reply = text(&"x".repeat(600));
    // As it is between taking the reply out and writing it.
    let mut state = outbox.state.lock();
    (state.taken, state.charged) = (true, reply.len());
    drop(state);
    assert_eq!(outbox.push(&text(&"y".repeat(600))), Pushed::Nothing);
    assert!(outbox.is_abandoned());
    assert!(!outbox.write_reply(reply.to_vec(), [1, 0]), "the Close is still to leave");
    assert!(outbox.waiting() < KIB);
    assert_eq!(outbox.drain(&mut Batch::default()), Drained::Empty);
    assert_eq!(outbox.waiting(), 0);
    let close = frame::encode_close(CloseCode::Again, "slow consumer: its outbox is full");
    assert_eq!(read_all(&outbox, client), [reply, close].concat());
}

/// What TLS takes it may still hold when the socket is full; whoever goes on has another batch.
#[cfg(feature = "cli")] // for rcgen
#[test]
fn what_tls_has_taken_is_charged_no_longer() {
    use crate::net::tls::Tls;
    use crate::net::trust::Trust;
    use rustls::ServerConfig;
    use rustls::crypto::ring;

    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (outbox, client) = pair(64 << 20);
    let deadline = Instant::now() + Duration::from_secs(60);
    let address = client.peer_addr().unwrap();
    let client = std::thread::spawn(move || {
        let (stream, trust) = (Stream::new(client, address), Trust::Anybody.config().unwrap());
        stream.secure(|socket| Tls::connect(socket, trust, "localhost", deadline)).unwrap();
        stream
    });
    let accepted = outbox.stream().secure(|socket| Tls::accept(socket, Arc::new(config), deadline));
    assert!(accepted.is_ok());
    let client = client.join().unwrap();
    let frame = frame::encode(frame::BINARY, &[7; 30_000]);
    let (mut batch, mut pushed) = (Batch::default(), 0);
    while {
        pushed += frame.len();
        assert_eq!(outbox.push(&frame), Pushed::NeedsWriter);
        outbox.drain(&mut batch) == Drained::Empty
    } {}
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * KIB];
        while 0 < pushed {
            pushed -= client.read(&mut buffer, Duration::from_secs(60)).unwrap();
        }
    });
    while outbox.drain(&mut Batch::default()) != Drained::Empty {
        std::thread::yield_now();
    }
    reader.join().unwrap();
    assert_eq!((outbox.waiting(), batch.charged), (0, 0));
}
