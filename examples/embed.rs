//! A server inside a program that has a main loop of its own, and no async: connections come to the loop as events, and each
//! second it tells everybody the time.
//!
//! Run it: `cargo run --example embed`, then open http://127.0.0.1:9527/ in a browser. Enter (or the end of stdin) stops it.

mod common;

use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};
use std::{io, thread};
use switchboard::{Drain, Event, Response, Result, Server, events};

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>The time</title><h1>connecting…</h1>
<script>
  const ws = new WebSocket(location.href.replace(/^http/, 'ws'))
  ws.onmessage = ({ data }) => document.querySelector('h1').textContent = data
  ws.onclose = ({ code, reason }) => document.querySelector('h1').textContent = `closed: ${code} ${reason}`
</script>"#;

#[allow(clippy::print_stdout, reason = "says where it listens")]
fn main() -> Result<()> {
    let (handler, events) = events();
    let server = Server::builder()
        .get("/", |_| Response::html(PAGE)) // one path, plain HTTP and WebSocket
        .route("/", handler)
        .bind(&common::address())?
        .start()?; // returns at once
    println!("listening on http://{}", server.local_addr());

    let (stop, stopped) = channel::<()>();
    thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        drop(stop);
    });
    // The program's own loop: here a clock, elsewhere a game, a GUI, a measurement. All state is its own.
    let clock = common::Clock::local();
    let mut visitors = 0;
    let mut next = Instant::now();
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        match events.recv_until(next) {
            Some(Event::Connected(_)) => visitors += 1,
            Some(Event::Message(visitor, text)) => drop(visitor.send(text)),
            Some(Event::Disconnected(..)) => visitors -= 1,
            None => {
                server.broadcast(format!("{} · {visitors} here", clock.now())); // never blocks
                next += Duration::from_secs(1);
            }
        }
    }
    let report = server.shutdown(Drain::within(Duration::from_secs(3)));
    println!("{} connections were open, {} were cut", report.open, report.cut);
    Ok(())
}
