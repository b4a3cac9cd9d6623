//! A chat that survives its server and its network: everything is there once and in order, whatever happens on the way.
//!
//! Run it: `cargo run`, in two other terminals `cargo run --example session`, and write lines. Then end the first with Ctrl-C,
//! write more, start it again, and watch. Or with a URL: `cargo run --example session -- ws://127.0.0.1:9527/ws?user=ann`.

use std::{env, io, thread};
use switchboard::session::{Event, Session};
use switchboard::{Error, Result};

#[allow(clippy::print_stdout, reason = "tells what happens")]
fn show(event: Event) {
    match event {
        Event::Message(message) => println!("{}: {}", message.from.unwrap_or_default(), message.data),
        Event::Presence { user, present, .. } => println!("{user} {}", if present { "came" } else { "left" }),
        Event::Joined { members, .. } => println!("{} here", members.len()),
        Event::Gap { .. } => println!("messages are missing here"),
        Event::Disconnected { why, retry_in } => println!("{why}; next try in {retry_in:?}"),
        _ => {}
    }
}

fn main() -> Result<()> {
    let session = Session::connect(&env::args().nth(1).unwrap_or("ws://127.0.0.1:9527/ws".into()))?;
    let room = session.join("lobby")?;
    thread::scope(|threads| {
        threads.spawn(|| session.events().for_each(show));
        let mut lines = io::stdin().lines();
        let published = lines.try_for_each(|line| room.publish(line?).map(drop)); // waits while there is no server
        session.close(); // ends the events
        published.map_err(Error::other)
    })
}
