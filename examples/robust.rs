//! Errors that do not end the connection: what goes wrong with one message of `/robust` is answered, and the next is read.
//!
//! Run it: `cargo run --example robust`, then connect to `ws://127.0.0.1:9527/robust` and send JSON, or something else.

mod common;

use serde::de::IgnoredAny;
use switchboard::{Builder, Error, Message, Result, WebSocket};

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/robust", robust)
}

fn robust(mut ws: WebSocket) -> Result<()> {
    // `?` for what ends the connection, `match` for what does not.
    while let Some(message) = ws.recv()? {
        match handle(message) {
            Ok(answer) => ws.send(answer)?,
            Err(error) => ws.send(format!("错误: {error}"))?,
        }
    }
    Ok(())
}

/// What the program does with one message. It may fail.
fn handle(message: Message) -> Result<Message> {
    let data = message.clone().into_data();
    serde_json::from_slice::<IgnoredAny>(&data).map_err(Error::other)?;
    Ok(message)
}

fn main() -> Result<()> {
    common::serve(mount)
}
