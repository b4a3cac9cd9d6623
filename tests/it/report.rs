//! What the report of a shutdown says of each way in which a connection can end.

use crate::support::{
    Client, LONG, PATIENCE, SHORT, connect, connect_narrow, echo, eventually, handshake, metric, relay,
    reset, serve,
};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;
use switchboard::{Drain, Limits, Report, Server};

const KIB: usize = 1024;

fn start(limits: &Limits) -> Server {
    let limits = Limits { send_buffer: 16 * KIB, ..limits.clone() };
    serve(limits, |builder| builder.health().route("/echo", echo).route("/room/{room}", relay))
}

/// A client that reads nothing, for whom something waits.
fn stalled(server: &Server) -> Client {
    let request = handshake(server.local_addr(), "/room/r", "");
    let mut client = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    client.settle();
    let text = "x".repeat(8 * KIB);
    while metric(&server.metrics(), "slow_lane_connections") == 0 {
        server.room("r").send(text.as_str());
    }
    client
}

/// Open, flushed, cut; and of the last why, and those that went away.
fn counts(report: &Report) -> ([usize; 3], [usize; 3]) {
    ([report.open, report.flushed, report.cut], [report.stalled, report.unanswered, report.gone])
}

fn said(server: &Server, reason: &str) -> u64 {
    metric(&server.metrics(), &format!("unclean_ends_total{{reason=\"{reason}\"}}"))
}

#[test]
fn who_took_all_and_answered_is_flushed() {
    let server = start(&Limits { close_deadline: LONG, ..Limits::default() });
    let mut client = Client::settled(server.local_addr(), "/echo");
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    client.expect_close(1001);
    client.send_close(1001);
    client.expect_end();
    let report = ending.join().unwrap();
    assert_eq!(counts(&report), ([1, 1, 0], [0, 0, 0]));
    assert!(report.to_string().starts_with("of 1 connection 1 took all that waited for them and ended, in "));
    assert_eq!(metric(&server.metrics(), "unclean_ends_total"), 0);
}

#[test]
fn who_takes_nothing_is_cut_though_there_were_time() {
    let limits = Limits { write_deadline: SHORT, close_deadline: SHORT, ..Limits::default() };
    let server = start(&limits);
    let _stalled = stalled(&server);
    let report = server.shutdown(Drain::within(PATIENCE));
    assert_eq!(counts(&report), ([1, 0, 1], [1, 0, 0]));
    assert!(report.to_string().ends_with("; 1 was cut before they had taken it"), "{report}");
    assert_eq!(said(&server, "stalled"), 1);
}

#[test]
fn who_takes_nothing_is_cut_at_the_deadline() {
    let server = start(&Limits { write_deadline: LONG, close_deadline: LONG, ..Limits::default() });
    let _stalled = stalled(&server);
    let report = server.shutdown(Drain::within(SHORT));
    assert_eq!(counts(&report), ([1, 0, 1], [1, 0, 0]));
}

#[test]
fn who_does_not_answer_the_close_frame_is_cut() {
    let early = (Limits { close_deadline: SHORT, ..Limits::default() }, PATIENCE);
    let late = (Limits { close_deadline: LONG, ..Limits::default() }, SHORT);
    for (limits, within) in [early, late] {
        let server = start(&limits);
        let _silent = Client::settled(server.local_addr(), "/echo");
        let report = server.shutdown(Drain::within(within));
        assert_eq!(counts(&report), ([1, 0, 1], [0, 1, 0]), "{within:?}");
        assert!(report.to_string().ends_with("; 1 was cut as they did not answer the Close frame"));
        assert_eq!(said(&server, "unanswered"), 1);
    }
}

#[test]
fn who_goes_away_before_it_has_taken_all_was_not_flushed() {
    let server = start(&Limits { write_deadline: LONG, close_deadline: LONG, ..Limits::default() });
    let stalled = stalled(&server);
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    eventually("it ends", || metric(&server.metrics(), "ready") == 0);
    reset(stalled.stream);
    let report = ending.join().unwrap();
    assert_eq!(counts(&report), ([1, 0, 0], [0, 0, 1]));
    assert!(report.to_string().ends_with("; 1 was gone before they had taken it"), "{report}");
}

#[test]
fn who_comes_meanwhile_is_not_counted() {
    let server = start(&Limits { close_deadline: LONG, ..Limits::default() });
    let mut last = Client::settled(server.local_addr(), "/echo");
    let handle = server.handle();
    let within = Duration::from_secs(3);
    let ending = thread::spawn(move || handle.shutdown(Drain::within(within)));
    last.expect_close(1001);
    // It is answered and does not hang up, so that its connection is cut as well.
    let mut late = connect(server.local_addr());
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    late.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(counts(&ending.join().unwrap()), ([1, 0, 1], [0, 1, 0]));
    drop(late);
}
