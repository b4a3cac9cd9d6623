//! Who may come in: `/auth` wants `Authorization: Bearer secret-token` in the opening request; the token is the last word,
//! whatever the scheme is called. Whoever has none is let in and closed with 1008, so that the client can read the reason.
//!
//! Run it: `cargo run --example auth`, then connect to `ws://127.0.0.1:9527/auth` with that header. Pages in a browser cannot
//! set it; they send a token as the first message, or in a cookie.

mod common;

use switchboard::{Builder, Request, Result, WebSocket};

/// In a real program it comes from the environment, and differs from user to user.
const TOKEN: &str = "secret-token";

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/auth", auth)
}

fn auth(mut ws: WebSocket) -> Result<()> {
    if !is_welcome(ws.request()) {
        ws.close(1008, "无效令牌");
        return Ok(());
    }
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

fn is_welcome(request: &Request) -> bool {
    let Some(token) = request.header("authorization").and_then(|value| value.split(' ').next_back()) else {
        return false;
    };
    // All bytes are compared, whichever differs first: how long it takes tells nothing about the token.
    let differences = token.bytes().zip(TOKEN.bytes()).fold(0, |found, (a, b)| found | (a ^ b));
    token.len() == TOKEN.len() && differences == 0
}

fn main() -> Result<()> {
    common::serve(mount)
}
