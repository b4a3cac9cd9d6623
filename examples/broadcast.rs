//! A clock for everyone: each 30 s the server tells the time to all who are connected to `/broadcast`. One thread owns the
//! clock and the list of listeners; connections come to it as events, so nothing is shared and nothing locked.
//!
//! Run it: `cargo run --example broadcast -- --interval 3`, then connect to `ws://127.0.0.1:9527/broadcast`.

mod common;

use common::Clock;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};
use switchboard::{Builder, Event, Events, Message, Result, events};

/// Adds the path, and starts its clock.
pub fn mount(builder: Builder) -> Builder {
    let (handler, events) = events();
    let (clock, interval) = (Clock::local(), common::interval());
    thread::spawn(move || announce(&events, &clock, interval));
    builder.route("/broadcast", handler)
}

fn announce(events: &Events, clock: &Clock, interval: Duration) {
    let mut listeners = HashMap::new();
    let mut next = Instant::now() + interval;
    loop {
        match events.recv_until(next) {
            Some(Event::Connected(peer)) => drop(listeners.insert(peer.id(), peer)),
            Some(Event::Disconnected(peer, ..)) => drop(listeners.remove(&peer.id())),
            Some(Event::Message(..)) => {}           // not answered
            None if Instant::now() < next => return, // the server has ended
            None => {
                let text = format!("Broadcast: New user joined, now time is {}", clock.now());
                let message = Message::text(text); // its clones share the text
                for listener in listeners.values() {
                    listener.send(message.clone()); // never blocks
                }
                next += interval;
            }
        }
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
