//! Rooms: each message to `/chat/{room}` goes, unchanged, to the others in the room. And admission for one path: pages of
//! other sites than the allowed ones are refused with 403 before there is a WebSocket.
//!
//! Run it: `cargo run --example rooms`, then connect two clients to `ws://127.0.0.1:9527/chat/lobby`.

mod common;

use switchboard::{Builder, Origins, Response, Result, WebSocket};

const ALLOWED: [&str; 2] = ["https://example.com", "https://sub.example.com"];

/// Adds the rooms.
pub fn mount(builder: Builder) -> Builder {
    // Pages of these sites and of the server's own; clients that are no browser send no `Origin`, and may come.
    let origins = Origins::List(ALLOWED.map(String::from).into());
    builder.route("/chat/{room}", chat).admit("/chat/{room}", move |request| match origins.allow(request) {
        true => Ok(()),
        false => Err(Response::text("Forbidden\n").with_status(403)),
    })
}

fn chat(mut ws: WebSocket) -> Result<()> {
    // Rooms are known to the whole server: a prefix keeps these apart from those of other paths.
    let room = ws.join(&format!("chat:{}", ws.param("room")))?;
    while let Some(message) = ws.recv()? {
        room.send_others(message);
    }
    Ok(())
}

fn main() -> Result<()> {
    // The path decides, in place of the server.
    common::serve(|builder| mount(builder.origins(Origins::Any)))
}
