//! The first server: a handler is a plain function that receives, sends, and returns. It has a thread of its own and may
//! block.
//!
//! Run it: `cargo run --example echo`, or with an address: `cargo run --example echo -- --bind 127.0.0.1:0`.
//! Then connect any WebSocket client to `/echo`. Ctrl-C ends it.

use switchboard::{Builder, Result, Server, WebSocket};

/// Adds what this example shows to a server; the others have such a function too.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/echo", echo)
}

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
    let address = std::env::args().skip_while(|argument| argument != "--bind").nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:9527");
    let server = mount(Server::builder()).bind(address)?.start()?; // returns at once
    println!("listening on http://{}", server.local_addr());
    loop {
        std::thread::park(); // the server has its own threads; dropping `server` would stop it
    }
}
