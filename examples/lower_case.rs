//! One service, two ways: `/lower_case` answers a plain `GET ?message=…`, and each message of a WebSocket.
//!
//! Run it: `cargo run --example lower_case`, then `curl 'http://127.0.0.1:9527/lower_case?message=HELLO'`, and connect to
//! `ws://127.0.0.1:9527/lower_case`.

mod common;

use switchboard::{Builder, Message, Request, Response, Result, WebSocket};

/// Adds the path, with an answer for either.
pub fn mount(builder: Builder) -> Builder {
    builder.get("/lower_case", over_http).route("/lower_case", over_websocket)
}

fn over_http(request: &Request) -> Response {
    match request.query("message") {
        Some(message) => Response::text(message.to_lowercase()),
        None => Response::text("say what: /lower_case?message=HELLO\n").with_status(400),
    }
}

fn over_websocket(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        match &message {
            Message::Text(text) => ws.send(text.to_lowercase())?,
            _ => ws.send(message)?, // bytes have no case
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
