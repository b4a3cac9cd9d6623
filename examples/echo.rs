//! A handler is a plain function: receive, send, return. It has a thread of its own and may block.
//!
//! Run it: `cargo run --example echo`, or with an address: `cargo run --example echo -- 127.0.0.1:0`.
//! Then connect any WebSocket client to `/echo`. Ctrl-C ends it.

use switchboard::{Result, Server, WebSocket};

/// Runs once for each connection.
fn echo(mut ws: WebSocket) -> Result<()> {
    // `None`: the connection has ended. `?`: the peer broke the protocol or went silent, and was told so.
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(()) // closes with 1000; an error closes with 1011
}

#[allow(clippy::print_stdout, reason = "says where it listens")]
fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into());
    let server = Server::builder().route("/echo", echo).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    loop {
        std::thread::park(); // the server has its own threads; dropping `server` would stop it
    }
}
