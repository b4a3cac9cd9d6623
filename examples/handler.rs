//! A connection lives as long as its handler: `/handler` answers in a loop, `/handler-once` answers once and returns.
//!
//! Run it: `cargo run --example handler`, then connect to `ws://127.0.0.1:9527/handler` and send something.

mod common;

use common::Clock;
use switchboard::{Builder, Message, Result, WebSocket};

/// Adds the two handlers.
pub fn mount(builder: Builder) -> Builder {
    // What handlers share is owned by the closures that call them.
    let clock = Clock::local();
    let same = clock.clone();
    builder
        .route("/handler", move |ws| handler(ws, &clock))
        .route("/handler-once", move |ws| handler_once(ws, &same))
}

fn handler(mut ws: WebSocket, clock: &Clock) -> Result<()> {
    while let Some(message) = ws.recv()? {
        ws.send(answer(&message, clock))?;
    }
    Ok(())
}

fn handler_once(mut ws: WebSocket, clock: &Clock) -> Result<()> {
    if let Some(message) = ws.recv()? {
        ws.send(answer(&message, clock))?;
    }
    Ok(()) // the handler is over, so the connection is closed: 1000
}

fn answer(message: &Message, clock: &Clock) -> String {
    format!("Data received as \"{message}\".  time: {}", clock.now())
}

fn main() -> Result<()> {
    common::serve(mount)
}
