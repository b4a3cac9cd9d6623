//! Clients that do as they should, all at once: the first message after connecting, bursts, many rooms to come back to.

use crate::support::{
    Client, PATIENCE, Program, connect, echo, eventually, handshake, metric, relay, serve, switchboard,
    text_frame,
};
use crate::support_v1::Speaker;
use serde_json::{Value, json};
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use switchboard::{Limits, Message, Server};

const KIB: usize = 1024;
const MIB: usize = KIB * KIB;

fn rooms(limits: Limits) -> Server {
    serve(limits, |routes| routes.route("/echo", echo).route("/room/{room}", relay))
}

#[test]
fn who_is_connected_hears_what_is_said_from_then_on() {
    let program = Program::start(&mut switchboard(&["--bind", "127.0.0.1:0"]));
    for round in 0..100 {
        for path in [format!("/room/{round}"), format!("/chat/{round}"), "/conn_ws".into()] {
            let mut a = Client::connect(program.address, &path);
            let mut b = Client::connect(program.address, &path);
            a.send("first");
            b.expect("first");
        }
        let mut a = Client::connect(program.address, &format!("/conn_ws/a{round}"));
        let mut b = Client::connect(program.address, &format!("/conn_ws/b{round}"));
        a.send(
            &json!({"from_user": format!("a{round}"), "to_user": format!("b{round}"), "message": "first"})
                .to_string(),
        );
        assert!(b.text().contains("first"));
        let mut a = Client::connect(program.address, &format!("/ws?user=a{round}"));
        let mut b = Client::connect(program.address, &format!("/ws?user=b{round}"));
        a.send(&json!({"type": "direct", "to": format!("b{round}"), "data": "first"}).to_string());
        b.wait_for("first");
    }
}

#[test]
fn a_handler_that_is_busy_first_does_not_keep_its_client_waiting() {
    let (done, wait) = channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let server = serve(Limits::default(), |routes| {
        routes.route("/busy", move |mut ws| {
            let _ = wait.lock().recv_timeout(PATIENCE);
            ws.send("now")
        })
    });
    // It waits for us: only the time lets us in.
    let mut client = Client::connect(server.local_addr(), "/busy");
    done.send(()).unwrap();
    client.expect("now");
}

#[test]
fn a_burst_closes_nobody_who_reads() {
    for (count, size) in [(3, MIB), (50, 100 * KIB), (1000, 5 * KIB), (5000, KIB)] {
        let server = rooms(Limits::default());
        let mut member =
            switchboard::Client::connect(&format!("ws://{}/room/r", server.local_addr())).unwrap();
        let mut sender = Client::connect(server.local_addr(), "/room/r");
        let text = "x".repeat(size);
        let burst = text_frame(&text).repeat(count);
        let mut sending = sender.stream.try_clone().unwrap();
        // The sender is a member too, and reads.
        let sent = thread::spawn(move || std::io::Write::write_all(&mut sending, &burst));
        let heard = thread::spawn(move || {
            (0..count)
                .for_each(|n| assert_eq!(member.recv().unwrap().map(|said| said.len()), Some(size), "{n}"));
        });
        (0..count).for_each(|_| assert_eq!(sender.text().len(), size));
        sent.join().unwrap().unwrap();
        heard.join().unwrap();
    }
}

#[test]
fn who_sends_without_reading_is_not_read_from_instead_of_being_closed() {
    // Half of the burst, and more than the ways there and back hold.
    let server =
        rooms(Limits { burst: 2 * MIB, lag: PATIENCE, write_deadline: PATIENCE, ..Limits::default() });
    let mut client = Client::connect(server.local_addr(), "/room/r");
    let (count, text) = (20_000, "x".repeat(KIB));
    let mut sending = client.stream.try_clone().unwrap();
    let flood = text_frame(&text).repeat(count);
    let sent = thread::spawn(move || std::io::Write::write_all(&mut sending, &flood));
    // Without that more and more would wait, until it is too much.
    eventually("as much waits as may", || MIB as u64 <= metric(&server.metrics(), "outbox_largest_bytes"));
    (0..count).for_each(|_| client.expect(&text));
    sent.join().unwrap().unwrap();
}

#[test]
fn who_comes_back_to_many_long_histories_gets_them_all() {
    const ROOMS: usize = 6;
    let program = Program::start(&mut switchboard(&["--bind", "127.0.0.1:0"]));
    let mut ann = Speaker::open(&program, "ann");
    let data = "x".repeat(100 * KIB);
    for room in 0..ROOMS {
        for _ in 0..9 {
            let reply = ann.ask(json!({"type": "publish", "room": room.to_string(), "data": data}));
            assert_eq!(reply["type"], "published", "{reply}");
        }
    }
    let mut bob = Speaker::open(&program, "bob");
    for room in 0..ROOMS {
        bob.client
            .send(json!({"type": "join", "room": room.to_string(), "history": 100, "id": room}).to_string())
            .unwrap();
        bob.client
            .send(json!({"type": "history", "room": room.to_string(), "id": ROOMS + room}).to_string())
            .unwrap();
    }
    for room in 0..ROOMS {
        let joined = bob.next_of("joined");
        assert_eq!((joined["id"].as_u64(), count(&joined)), (Some(room as u64), 9));
        assert_eq!(count(&bob.next_of("history")), 9);
    }
}

fn count(reply: &Value) -> usize {
    reply["messages"].as_array().unwrap().len()
}

#[test]
fn who_has_only_stopped_speaking_gets_all_its_echoes() {
    let server = rooms(Limits::default());
    for (count, size) in [(20_000, 50), (3, 500 * KIB)] {
        let text = "x".repeat(size);
        let mut client =
            Client::over(connect(server.local_addr()), handshake(server.local_addr(), "/echo", "")).unwrap();
        let mut sending = client.stream.try_clone().unwrap();
        let flood = text_frame(&text).repeat(count);
        let sent = thread::spawn(move || {
            std::io::Write::write_all(&mut sending, &flood).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        (0..count).for_each(|_| client.expect(&text));
        client.expect_end();
        sent.join().unwrap();
    }
}

#[test]
fn who_reads_nothing_is_told_that_it_is_too_far_behind() {
    let limits = Limits {
        outbox: MIB,
        burst: usize::MAX,
        lag: Duration::from_millis(50),
        send_buffer: 16 * KIB,
        ..Limits::default()
    };
    let server = rooms(Limits { write_deadline: PATIENCE, ..limits });
    let mut stalled = switchboard::Client::connect(&format!("ws://{}/room/r", server.local_addr())).unwrap();
    let text = "x".repeat(64 * KIB);
    while metric(&server.metrics(), "slow_consumers_total") == 0 {
        server.room("r").send(text.as_str());
    }
    while stalled.recv().is_ok_and(|message| message.as_ref().is_some_and(Message::is_text)) {}
    let (code, reason) = stalled.closed().unwrap();
    assert_eq!((code, reason), (1013, "slow consumer: it is too far behind"));
}
