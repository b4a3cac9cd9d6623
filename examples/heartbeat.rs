//! Is anybody there? On `/heartbeat` the server pings whoever was silent for 30 s, and closes with 1011 if nothing comes within
//! 5 s. A client that vanished without a word is found out, and the connection does not fall asleep in a proxy.
//!
//! Run it: `cargo run --example heartbeat -- --interval 3`, then connect to `ws://127.0.0.1:9527/heartbeat`.

mod common;

use std::time::Duration;
use switchboard::{Builder, Result, WebSocket};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    let interval = common::interval();
    builder.route("/heartbeat", move |ws| heartbeat(ws, interval))
}

fn heartbeat(mut ws: WebSocket, interval: Duration) -> Result<()> {
    ws.set_keepalive(interval, TIMEOUT);
    // Pings are sent, and pongs taken, while `recv` waits. No timer, no thread: a deadline of the wait.
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
