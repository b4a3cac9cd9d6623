//! One question, one answer: `/echo-once` sends one message back and closes; `/chatsocket` answers the first one always the
//! same. A plain GET, as from a browser's address bar, is answered 426: these paths speak WebSocket only.
//!
//! Run it: `cargo run --example once`, then connect to `ws://127.0.0.1:9527/echo-once` and send something.

mod common;

use switchboard::{Builder, Result, WebSocket};

/// Adds the two paths.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/echo-once", echo_once).route("/chatsocket", hello)
}

fn echo_once(mut ws: WebSocket) -> Result<()> {
    match ws.recv()? {
        Some(message) => ws.send(message),
        None => Ok(()), // gone without a question
    }
}

fn hello(mut ws: WebSocket) -> Result<()> {
    match ws.recv()? {
        Some(_) => ws.send("你好呀你好"),
        None => Ok(()),
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
