//! Text or binary: a message tells which it is. `/binary` wants the one and says so to whoever sends the other.
//!
//! Run it: `cargo run --example binary`, then connect to `ws://127.0.0.1:9527/binary`.

mod common;

use switchboard::{Builder, Message, Result, WebSocket};

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/binary", binary)
}

fn binary(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        match message {
            Message::Binary(_) => ws.send(Message::binary("Binary received"))?,
            _ => ws.send("请发送二进制数据")?,
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
