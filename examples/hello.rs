//! One port for plain HTTP and WebSocket, even one path: `/hello` is a page to a browser and a greeting to a WebSocket.
//!
//! Run it: `cargo run --example hello`, then `curl http://127.0.0.1:9527/hello-http`, and connect to
//! `ws://127.0.0.1:9527/hello`.

mod common;

use switchboard::{Builder, Response, Result, WebSocket};

/// Adds the plain answer and the greeting.
pub fn mount(builder: Builder) -> Builder {
    let http = |_: &_| Response::text("Hello, HTTP");
    builder.get("/hello-http", http).get("/hello", http).route("/hello", greet)
}

fn greet(mut ws: WebSocket) -> Result<()> {
    ws.send("Hello, WebSocket") // then the handler is over: 1000
}

fn main() -> Result<()> {
    common::serve(mount)
}
