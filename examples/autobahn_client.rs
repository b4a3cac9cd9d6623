//! Echoes every case of an Autobahn fuzzing server: the client's side of the protocol suite.
//!
//! Run: `cargo run --release --example autobahn_client -- ws://127.0.0.1:9001`

use switchboard::{Client, Limits, Result};

fn main() -> Result<()> {
    let url = std::env::args().nth(1).expect("usage: autobahn_client ws://HOST:PORT");
    let message = 32 << 20;
    let limits = Limits { message, outbox: 2 * message, hub_queue: 2 * message, ..Limits::default() };
    let connect = |path: &str| Client::builder().limits(limits.clone()).connect(&format!("{url}/{path}"));

    let count = connect("getCaseCount")?.recv()?.expect("the number of cases");
    let count: u32 = count.to_text().ok().and_then(|text| text.parse().ok()).expect("a number");
    for case in 1..=count {
        let mut client = connect(&format!("runCase?case={case}&agent=switchboard"))?;
        while let Ok(Some(message)) = client.recv() {
            if client.send(message).is_err() {
                break;
            }
        }
    }
    connect("updateReports?agent=switchboard")?.recv()?;
    Ok(())
}
