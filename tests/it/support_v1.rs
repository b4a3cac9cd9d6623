//! A client of `switchboard.v1` that waits for one thing at a time.

use crate::support::Program;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use switchboard::Client;

const LONG: Duration = Duration::from_secs(60);

/// A client that speaks the protocol.
pub(crate) struct Speaker {
    pub(crate) client: Client,
    pub(crate) id: u64,
    /// What came while a reply was awaited.
    pub(crate) kept: Vec<Value>,
}

impl Speaker {
    pub(crate) fn connect(program: &Program, query: &str) -> Self {
        let client = Client::builder().subprotocol("switchboard.v1");
        let client = client.connect(&format!("ws://{}/ws{query}", program.address)).unwrap();
        assert_eq!(client.subprotocol(), Some("switchboard.v1"));
        Self { client, id: 0, kept: Vec::new() }
    }

    /// By an address that is no program's own, as a proxy's; `None`: nobody is there who serves.
    pub(crate) fn at(address: SocketAddr, user: &str) -> Option<(Self, Value)> {
        let client = Client::connect(&format!("ws://{address}/ws?user={user}")).ok()?;
        let mut speaker = Self { client, id: 0, kept: Vec::new() };
        let welcome = speaker.next();
        Some((speaker, welcome))
    }

    /// Connected and welcomed.
    pub(crate) fn open(program: &Program, user: &str) -> Self {
        let mut speaker = Self::connect(program, &format!("?user={user}"));
        let welcome = speaker.next();
        assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!(user)));
        speaker
    }

    pub(crate) fn next(&mut self) -> Value {
        match self.kept.is_empty() {
            false => self.kept.remove(0),
            true => self.read(),
        }
    }

    pub(crate) fn read(&mut self) -> Value {
        let message = self.client.recv_timeout(LONG).unwrap().expect("a message");
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// The next of that type; others are passed over.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let text = self.next();
            if text["type"] == kind {
                return text;
            }
        }
    }

    /// Asks, and gives the reply.
    pub(crate) fn ask(&mut self, mut request: Value) -> Value {
        self.id += 1;
        request["id"] = self.id.into();
        self.client.send(request.to_string()).unwrap();
        loop {
            let text = self.read();
            if text["id"] == self.id {
                return text;
            }
            self.kept.push(text);
        }
    }
}
