//! The protocol without a socket: both ends in one thread, their bytes carried by hand and shown on the way.
//!
//! Run it: `cargo run --example sansio`. It needs no network.
//! The same `Protocol` goes over a serial line, a pipe, a simulated network, or a test that wants to see each byte.

use std::time::Instant;
use switchboard::sansio::{Event, Protocol};
use switchboard::{Limits, Message, Result};

/// Carries what one end has to say to the other, and shows it.
#[allow(clippy::print_stdout, reason = "shows the bytes")]
fn carry(who: &str, from: &mut Protocol, to: &mut Protocol) -> Vec<Event> {
    let bytes = from.output();
    match str::from_utf8(&bytes) {
        Ok(text) if text.contains("HTTP/1.1") => println!("{who} says:\n{text}"),
        _ => {
            let hex: Vec<String> = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            println!("{who} sends {} bytes: {}", bytes.len(), hex.join(" "));
        }
    }
    let events = to.receive(&bytes, Instant::now());
    events.iter().for_each(|event| println!("    -> {:.60}", format!("{event:?}")));
    events
}

fn main() -> Result<()> {
    let now = Instant::now();
    let mut client = Protocol::client("ws://example.com/chat", Limits::default(), now)?;
    let mut server = Protocol::server(Limits::default(), now)?;

    // The opening handshake: HTTP, for the only time.
    carry("client", &mut client, &mut server);
    carry("server", &mut server, &mut client);

    // 81: final frame, text. 85: masked, five bytes long; then the mask, then the text under the mask.
    client.send("Hello")?;
    for event in carry("client", &mut client, &mut server) {
        if let Event::Message(message) = event {
            server.send(message)?; // the echo, unmasked: 81 05 48 65 6c 6c 6f
        }
    }
    carry("server", &mut server, &mut client);

    // 126 and two bytes: the length of a payload from 126 to 65535 bytes.
    server.send(Message::binary(vec![0xff; 126]))?;
    carry("server", &mut server, &mut client);

    // The closing handshake: 88, a code of two bytes (03 e8 is 1000), a reason; and the answer.
    client.close(1000, "bye", now);
    carry("client", &mut client, &mut server);
    carry("server", &mut server, &mut client);
    assert!(client.is_over() && server.is_over());
    Ok(())
}
