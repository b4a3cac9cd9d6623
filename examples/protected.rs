//! A rate limit for each connection: a bucket of 100 tokens that fills up again in 60 s. Each message to `/protected` takes
//! one; a message without a token closes the connection with 1008.
//!
//! Run it: `cargo run --example protected`, then connect to `ws://127.0.0.1:9527/protected`.

mod common;

use std::time::Instant;
use switchboard::{Builder, Result, WebSocket};

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/protected", protected)
}

fn protected(mut ws: WebSocket) -> Result<()> {
    let mut bucket = Bucket::full(100.0, 60.0);
    while let Some(message) = ws.recv()? {
        if !bucket.take() {
            ws.close(1008, "发送消息过于频繁");
            return Ok(());
        }
        ws.send(message)?;
    }
    Ok(())
}

/// A token bucket: bursts of `size` are fine, in the long run `size` in `seconds`.
struct Bucket {
    size: f64,
    seconds: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn full(size: f64, seconds: f64) -> Self {
        Self { size, seconds, tokens: size, filled: Instant::now() }
    }

    /// Takes a token, if there is one. No timer: what has dripped in since the last look is worked out now.
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let dripped = (now - self.filled).as_secs_f64() * self.size / self.seconds;
        self.tokens = self.size.min(self.tokens + dripped);
        self.filled = now;
        let is_there = 1.0 <= self.tokens;
        self.tokens -= if is_there { 1.0 } else { 0.0 };
        is_there
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
