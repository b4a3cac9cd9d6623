//! Fewer, larger messages: `/batch` sends back what it got, joined by newlines into one message, when 10 wait or 0.1 s after
//! the first.
//!
//! Run it: `cargo run --example batch`, then connect to `ws://127.0.0.1:9527/batch` and send a few messages quickly.

mod common;

use std::time::{Duration, Instant};
use switchboard::{Builder, Result, WebSocket};

const MOST: usize = 10;
const LONGEST: Duration = Duration::from_millis(100);

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/batch", batch)
}

fn batch(mut ws: WebSocket) -> Result<()> {
    while let Some(first) = ws.recv()? {
        let mut lines = vec![first.to_string()];
        let until = Instant::now() + LONGEST;
        while lines.len() < MOST {
            // `None`: the time is up, or the connection has ended.
            match ws.recv_timeout(until.saturating_duration_since(Instant::now()))? {
                Some(message) => lines.push(message.to_string()),
                None => break,
            }
        }
        ws.send(lines.join("\n"))?;
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
