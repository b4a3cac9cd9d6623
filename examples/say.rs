//! To everyone: a room that all connections of a path join. What one sends goes to all, the sender too, changed on the way.
//!
//! Run it: `cargo run --example say`, then connect two clients to `ws://127.0.0.1:9527/say`, or to `/group1`.

mod common;

use switchboard::{Builder, Message, Result, WebSocket};

/// Adds the two paths; each has a room of its own.
pub fn mount(builder: Builder) -> Builder {
    builder
        .route("/say", |ws| to_all(ws, "say", |text| format!("用户说: {text}")))
        .route("/group1", |ws| to_all(ws, "group1", |text| format!("{text}SB")))
}

fn to_all(mut ws: WebSocket, room: &str, change: impl Fn(&str) -> String) -> Result<()> {
    let room = ws.join(room)?; // left by itself when the connection ends
    while let Some(message) = ws.recv()? {
        match &message {
            Message::Text(text) => room.send(change(text)),
            _ => room.send(message),
        };
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
