//! One handler for two paths: a function that returns a closure. `/echo-cn` and `/received` answer each in their words.
//!
//! Run it: `cargo run --example replies`, then connect to `ws://127.0.0.1:9527/echo-cn` and send something.

mod common;

use switchboard::{Builder, Result, WebSocket};

/// Adds the two paths.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/echo-cn", reply("收到消息: ")).route("/received", reply("Server received: "))
}

fn reply(words: &'static str) -> impl Fn(WebSocket) -> Result<()> {
    move |mut ws| {
        while let Some(message) = ws.recv()? {
            ws.send(format!("{words}{message}"))?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
