//! Messages with a shape: `/validated` takes JSON objects with a string `type` and a string `content` of at most 1000
//! characters. Anything else is answered with what is wrong, and the connection goes on.
//!
//! Run it: `cargo run --example validated`, then connect to `ws://127.0.0.1:9527/validated` and send
//! `{"type": "chat", "content": "你好"}`, which is good and has no answer, or something else.

mod common;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Map, Value};
use switchboard::{Builder, Message, Result, WebSocket};

/// The schema is a type: both fields are required, others allowed. (For schemas that are data: the feature `schema`.)
#[derive(Deserialize)]
struct Note {
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "content", deserialize_with = "at_most_1000_characters")]
    _content: String,
}

fn at_most_1000_characters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.chars().count() {
        ..=1000 => Ok(text),
        more => Err(D::Error::custom(format!("`content` has {more} characters, 1000 are allowed"))),
    }
}

fn parse(message: Message) -> serde_json::Result<Note> {
    // First an object: serde would also take an array of the fields for the struct.
    let object: Map<String, Value> = serde_json::from_slice(&message.into_data())?;
    serde_json::from_value(Value::Object(object))
}

/// Adds the path.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/validated", validated)
}

fn validated(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        match parse(message) {
            Ok(_note) => {} // here the program would do something with it
            Err(error) => ws.send(format!("无效消息: {error}"))?,
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    common::serve(mount)
}
