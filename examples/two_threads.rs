//! One connection, three threads: two send, one receives, without a lock around the client.
//!
//! Run it beside `cargo run --example echo`: `cargo run --example two_threads`, or with the URL of an echo elsewhere:
//! `cargo run --example two_threads -- ws://127.0.0.1:9527/echo`.

use std::{env, thread};
use switchboard::{Client, Error, Message, Result, Sender};

const EACH: usize = 1000;

#[allow(clippy::print_stdout, reason = "tells how it went")]
fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or("ws://127.0.0.1:9527/echo".into());
    let mut client = Client::connect(&url)?;

    let threads = ["left", "right"].map(|name| {
        let sender = client.sender(); // for the same connection; costs nothing to clone
        thread::spawn(move || send_all(&sender, name))
    });
    let (mut left, mut right) = (0, 0);
    while left + right < 2 * EACH {
        let Some(message) = client.recv()? else { return Err(Error::Closed) };
        // The two are mixed somehow, but each is in its own order.
        if message == Message::text(format!("left {left}")) {
            left += 1;
        } else if message == Message::text(format!("right {right}")) {
            right += 1;
        } else {
            return Err(Error::other(format!("out of order: {message}")));
        }
    }
    for thread in threads {
        thread.join().expect("sending does not panic")?;
    }
    println!("{left} messages of one thread and {right} of the other came back, each in order");
    Ok(()) // dropping the client closes with 1000
}

fn send_all(sender: &Sender, name: &str) -> Result<()> {
    (0..EACH).try_for_each(|number| sender.send(format!("{name} {number}")))
}
