//! A member that gets only what it asked for: `/filtered?word=news` hears of the room what contains the word, `/filtered`
//! everything.
//!
//! Run it: `cargo run --example filter`, then connect to `ws://127.0.0.1:9527/filtered?word=news`, and to `/filtered`.

mod common;

use switchboard::{Builder, Result, WebSocket};

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/filtered", filtered)
}

fn filtered(mut ws: WebSocket) -> Result<()> {
    let word = ws.request().query("word").unwrap_or_default();
    // Asked by the hub for each message, so it must be quick. It may also give another message than it got.
    let view = move |message: switchboard::Message| {
        let wanted = message.to_text().is_ok_and(|text| text.contains(&word));
        wanted.then_some(message)
    };
    let room = ws.join_with("filtered", view)?;
    while let Some(message) = ws.recv()? {
        room.send(message);
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
