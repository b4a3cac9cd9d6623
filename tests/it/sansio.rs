//! The protocol without a socket, over real ones: what an `Endpoint` asks for, and that it is the client's protocol in full.

use crate::support::{connect, serve};
use crate::tls::{Authority, Files};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;
use switchboard::sansio::{Endpoint, Event, Protocol};
use switchboard::{Builder, Client, Limits, Message, Result, WebSocket};

/// The simplest driver: one connection, blocking.
struct Driver {
    protocol: Protocol,
    stream: TcpStream,
    events: Vec<Event>,
    read: usize,
}

impl Driver {
    fn new(endpoint: &Endpoint, address: SocketAddr) -> Self {
        let protocol = endpoint.protocol(Instant::now()).unwrap();
        Self { protocol, stream: connect(address), events: Vec::new(), read: 0 }
    }

    fn next(&mut self) -> Event {
        let mut buffer = [0; 1000];
        while self.events.is_empty() {
            self.stream.write_all(&self.protocol.output()).unwrap();
            let size = self.stream.read(&mut buffer).unwrap();
            assert_ne!(size, 0, "the server ended it");
            self.read += size;
            self.events = self.protocol.receive(&buffer[..size], Instant::now());
        }
        self.events.remove(0)
    }

    /// To the end of the handshake, a message there and back, and the closing handshake.
    fn check_echo(&mut self, message: &Message) {
        assert_eq!(self.next(), Event::Opened { path: "/echo".into() });
        self.protocol.send(message.clone()).unwrap();
        assert_eq!(self.next(), Event::Message(message.clone()));
        self.protocol.close(1000, "", Instant::now());
        assert_eq!(self.next(), Event::Closed { code: 1000, reason: String::new() });
        self.stream.write_all(&self.protocol.output()).unwrap();
        assert!(self.protocol.is_over());
    }
}

/// Sends back what comes; first, the header that was asked with.
fn routes(builder: Builder) -> Builder {
    let echo = |mut ws: WebSocket| -> Result<()> {
        while let Some(message) = ws.recv()? {
            ws.send(message)?;
        }
        Ok(())
    };
    let header = |mut ws: WebSocket| {
        let said = ws.request().header("x-said").unwrap_or_default().to_string();
        ws.send(said)
    };
    builder.subprotocols(["chat.v1"]).route("/echo", echo).route("/header", header)
}

#[test]
fn what_the_builder_says_is_asked_for() {
    let server = serve(Limits::default(), routes);
    let builder = Client::builder().header("x-said", "hello").subprotocol("chat.v1").compression(false);
    let endpoint = builder.endpoint(&format!("ws://{}/header", server.local_addr())).unwrap();
    assert_eq!((endpoint.host(), endpoint.port()), ("127.0.0.1", server.local_addr().port()));
    let mut driver = Driver::new(&endpoint, server.local_addr());
    assert_eq!(driver.next(), Event::Opened { path: "/header".into() });
    assert_eq!((driver.protocol.subprotocol(), driver.protocol.is_compressed()), (Some("chat.v1"), false));
    assert_eq!(driver.next(), Event::Message("hello".into()));
    for (wrong, url) in [(Client::builder(), "http:/x"), (Client::builder().header("a b", ""), "ws://h/")] {
        assert!(wrong.endpoint(url).is_err(), "{url}");
    }
}

#[test]
fn many_connections_share_their_compressors() {
    let server = serve(Limits::default(), routes);
    let address = server.local_addr();
    let endpoint = Client::builder().endpoint(&format!("ws://{address}/echo")).unwrap();
    let message = Message::text("compress me ".repeat(1000));
    let mut drivers: Vec<Driver> = (0..3).map(|_| Driver::new(&endpoint, address)).collect();
    for driver in &mut drivers {
        driver.check_echo(&message);
        assert!(driver.protocol.is_compressed() && driver.read < 2000, "{} bytes were read", driver.read);
    }
}

#[test]
fn tls_is_in_the_bytes() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server = serve(Limits::default(), |builder| routes(builder).tls(&files.read().unwrap()));
    let (address, url) = (server.local_addr(), format!("wss://{}/echo", server.local_addr()));
    let endpoint = Client::builder().roots(authority.root()).endpoint(&url).unwrap();
    // More than one record, and more than rustls takes at once; and nothing that compresses.
    let noise: Vec<u8> = (0u32..100_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for message in [Message::text("hello"), Message::Binary(noise.into())] {
        Driver::new(&endpoint, address).check_echo(&message);
    }
    let mut stranger = Driver::new(&Client::builder().endpoint(&url).unwrap(), address);
    let Event::Failed { code: 0, reason } = stranger.next() else { panic!("nobody vouches for it") };
    assert!(reason.starts_with("TLS: "), "{reason}");
    assert!(stranger.protocol.is_over() && !stranger.protocol.output().is_empty(), "an alert says so");
}
