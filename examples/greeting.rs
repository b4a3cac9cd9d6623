//! The server may speak first, and either side may close: `/room/{room}/` greets, then listens; the word `关闭` makes the
//! server close. A plain GET of the same path is the page to it.
//!
//! Run it: `cargo run --example greeting`, then open http://127.0.0.1:9527/room/123/ in a browser.

mod common;

use switchboard::{Builder, Message, Response, Result, WebSocket};

const PAGE: &str = include_str!("pages/greeting.html");

/// Adds the path, and its page.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/room/{room}/", greeting).get("/room/{room}/", |_| Response::html(PAGE))
}

fn greeting(mut ws: WebSocket) -> Result<()> {
    ws.send("来了呀客官")?;
    while let Some(message) = ws.recv()? {
        if message == Message::text("关闭") {
            break; // the handler returns, so the server closes: 1000
        }
    }
    Ok(()) // `None`: the client has closed
}

fn main() -> Result<()> {
    common::serve(mount)
}
