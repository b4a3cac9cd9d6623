//! A server inside a program that has a main loop of its own, and no async: the loop sends the time to everybody.
//!
//! Run it: `cargo run --example embed`, then open the address that it prints in a browser. Enter (or the end of stdin) stops it.

mod common;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{io, thread};
use switchboard::{Drain, Response, Result, Server, WebSocket};

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>The time</title><h1>connecting…</h1>
<script>
  const ws = new WebSocket(location.href.replace(/^http/, 'ws'))
  ws.onmessage = ({ data }) => document.querySelector('h1').textContent = data
  ws.onclose = ({ code, reason }) => document.querySelector('h1').textContent = `closed: ${code} ${reason}`
</script>"#;

/// Clients only listen here. What they send is received all the same: a client that is not read cannot say goodbye.
fn listener(mut ws: WebSocket) -> Result<()> {
    while ws.recv()?.is_some() {}
    Ok(())
}

#[allow(clippy::print_stdout, reason = "says where it listens")]
fn main() -> Result<()> {
    let clock = common::Clock::local();
    let server = Server::builder()
        .get("/", |_| Response::html(PAGE)) // one path, plain HTTP and WebSocket
        .route("/", listener)
        .bind(&common::option("--bind", "127.0.0.1:9527")?)?
        .start()?; // returns at once
    println!("listening on http://{}", server.local_addr());

    let (stop, stopped) = channel::<()>();
    thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        drop(stop);
    });
    // The program's own loop: here a clock, elsewhere a game, a GUI, a measurement.
    while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        server.broadcast(clock.now()); // never blocks
    }
    let report = server.shutdown(Drain::within(Duration::from_secs(3)));
    println!("{} connections were open, {} were cut", report.open, report.cut);
    Ok(())
}
