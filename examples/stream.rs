//! A stream of data: `/stream` sends a sample at once and then each second. A plain GET of the same path is a page that draws
//! it.
//!
//! Run it: `cargo run --example stream`, then open http://127.0.0.1:9527/stream in a browser.

mod common;

use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use switchboard::{Builder, Response, Result, WebSocket};

const PAGE: &str = include_str!("pages/stream.html");
const SECOND: Duration = Duration::from_secs(1);

/// Adds the stream and its page.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/stream", stream).get("/stream", |_| Response::html(PAGE))
}

fn stream(mut ws: WebSocket) -> Result<()> {
    let mut next = Instant::now();
    while !ws.is_closed() {
        if next <= Instant::now() {
            ws.send(sample())?;
            next += SECOND; // counted from the last due time, so that delays do not add up
        }
        // The wait for the next second is spent receiving: what comes is ignored, but pings are answered and a client that
        // leaves is noticed.
        ws.recv_timeout(next.saturating_duration_since(Instant::now()))?;
    }
    Ok(())
}

/// Five measurements between 0 and 1: waves, each slower than the one before.
fn sample() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let values = [2.0, 3.0, 5.0, 8.0, 13.0].map(|slowness| 0.5 + 0.45 * (now.as_secs_f64() / slowness).sin());
    json!({"timestamp": now.as_secs(), "values": values}).to_string()
}

fn main() -> Result<()> {
    common::serve(mount)
}
