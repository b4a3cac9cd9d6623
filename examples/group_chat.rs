//! Group chat: each message to `/conn_ws` goes, unchanged, to everyone connected there, the sender too. `/` is its page.
//!
//! Run it: `cargo run --example group_chat`, then open http://127.0.0.1:9527/ in two windows.

mod common;

use switchboard::{Builder, Response, Result, WebSocket};

const PAGE: &str = include_str!("pages/group_chat.html");

/// Adds the chat and its page.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/conn_ws", chat).get("/", |_| Response::html(PAGE))
}

fn chat(mut ws: WebSocket) -> Result<()> {
    // No list of sockets, no lock: the hub knows the members. All see the same order; who leaves is forgotten, and who does
    // not read is cut (1013) without holding up the others.
    let room = ws.join("group_chat")?;
    while let Some(message) = ws.recv()? {
        room.send(message);
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
