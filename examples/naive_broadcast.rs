//! Why there is a hub: the naive broadcast, a lock around all clients and a blocking send to each, lets one client that does
//! not read freeze everybody. Next to it the same with a room.
//!
//! Run it: `cargo run --example naive_broadcast`. It prints how long the healthy clients waited, either way.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use switchboard::{Builder, Client, Limits, Result, Sender, Server, WebSocket};

/// What the naive broadcast goes through, under a lock.
pub type Clients = Arc<Mutex<Vec<Sender>>>;

/// Adds `/naive` and `/room`; each greets when the client is one of those who are sent to.
pub fn mount(builder: Builder, clients: &Clients) -> Builder {
    let clients = clients.clone();
    builder.route("/naive", move |ws| naive(ws, &clients)).route("/room", room)
}

fn naive(mut ws: WebSocket, clients: &Clients) -> Result<()> {
    ws.send("welcome")?;
    clients.lock().unwrap_or_else(PoisonError::into_inner).push(ws.sender());
    while ws.recv()?.is_some() {}
    Ok(())
}

/// The naive way. While one client takes nothing, `send` blocks; those behind it get nothing, and nobody can come or go.
pub fn send_to_all(clients: &Clients, text: &str) {
    clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|client| client.send(text).is_ok());
}

/// The hub's way: `server.room("all").send(…)` never waits. A client that falls too far behind is cut, with 1013.
fn room(mut ws: WebSocket) -> Result<()> {
    ws.join("all")?;
    ws.send("welcome")?;
    while ws.recv()?.is_some() {}
    Ok(())
}

/// Three clients that read and one that does not; the longest that the three waited for a message.
fn longest_wait(url: &str, send: impl Fn(&str)) -> Result<Duration> {
    let connect = || Client::builder().compression(false).connect(url);
    let mut stalled = connect()?;
    stalled.recv()?; // the welcome, and then never again
    let (arrived, arrivals) = channel();
    for _ in 0..3 {
        let (mut healthy, arrived) = (connect()?, arrived.clone());
        healthy.recv()?;
        thread::spawn(move || healthy.for_each(|_| arrived.send(()).unwrap_or_default()));
    }
    let text = "x".repeat(64 * 1024);
    let rounds = (0..256).map(|_| {
        let start = Instant::now();
        send(&text);
        arrivals.iter().take(3).for_each(drop);
        start.elapsed()
    });
    Ok(rounds.max().unwrap_or_default())
}

#[allow(clippy::print_stdout, reason = "tells what was measured")]
fn main() -> Result<()> {
    let clients = Clients::default();
    // A server without this deadline would be frozen for as long as the stalled client likes.
    let limits = Limits { write_deadline: Duration::from_secs(3), ..Limits::default() };
    let server = mount(Server::builder().limits(limits), &clients).bind("127.0.0.1:0")?.start()?;
    let url = format!("ws://{}", server.local_addr());

    let waited = longest_wait(&format!("{url}/naive"), |text| send_to_all(&clients, text))?;
    println!("naive: {:7.1} ms", waited.as_secs_f64() * 1e3);
    let room = server.room("all");
    let waited = longest_wait(&format!("{url}/room"), |text| _ = room.send(text))?;
    println!("hub:   {:7.1} ms", waited.as_secs_f64() * 1e3);
    Ok(())
}
