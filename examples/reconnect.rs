//! A client that comes back: when the server restarts or the network fails, it connects again, after a random wait that grows,
//! and says again what the server must know.
//!
//! Run it: `cargo run --example echo`, in another terminal `cargo run --example reconnect`, then end the first with Ctrl-C,
//! start it again, and watch. Or with a URL: `cargo run --example reconnect -- ws://127.0.0.1:9527/echo`. Enter stops it.

use std::{env, io, thread};
use switchboard::{Client, Incoming, Result};

#[allow(clippy::print_stdout, reason = "tells what happens")]
fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or("ws://127.0.0.1:9527/echo".into());
    let mut line = Client::builder().reconnecting(&url);

    let stopper = line.stopper();
    thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        stopper.stop(); // ends a wait, too
    });
    // `None`: stopped, or the server has ended it with 1000. An error: what no further try would mend, as a wrong path.
    while let Some(incoming) = line.recv()? {
        match incoming {
            Incoming::Connected => {
                println!("connected");
                line.send("here I am")?; // a new connection: the server knows nothing of the old one
            }
            Incoming::Message(message) => println!("received: {message}"),
            Incoming::Lost { why, retry_in } => {
                println!("{why}; next try in {:.1} s", retry_in.as_secs_f64());
            }
        }
    }
    Ok(())
}
