//! Whose pages may connect: a browser tells in `Origin` which site's page opens a WebSocket, and leaves the decision to the
//! server. `/cors` takes two sites; others are let in and closed with 1008, so that their pages can read why.
//!
//! Run it: `cargo run --example cors`, then connect to `ws://127.0.0.1:9527/cors` with `Origin: https://example.com`.

mod common;

use switchboard::{Builder, Origins, Result, WebSocket};

const ALLOWED: [&str; 2] = ["https://example.com", "https://sub.example.com"];

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/cors", cors)
}

fn cors(mut ws: WebSocket) -> Result<()> {
    // Whole strings are compared: `https://example.com.evil.test` begins like a good one, too.
    if !ws.request().header("origin").is_some_and(|origin| ALLOWED.contains(&origin)) {
        ws.close(1008, "不允许的源");
        return Ok(());
    }
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    // Without this, pages of other sites than the server's own are refused with 403 before any handler is asked.
    common::serve(|builder| mount(builder.origins(Origins::Any)))
}
