//! Direct chat: `{"from_user":…,"to_user":…,"message":…}` to `/conn_ws/{nick}` goes to all connections of `to_user` and to
//! nobody else. `/single_chat` is its page.
//!
//! Run it: `cargo run --example direct_chat`, then open http://127.0.0.1:9527/single_chat in two windows.

mod common;

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{Builder, Message, Response, Result, WebSocket};

const PAGE: &str = include_str!("pages/single_chat.html");

/// Adds the chat and its page.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/conn_ws/{nick}", chat).get("/single_chat", |_| Response::html(PAGE))
}

fn chat(mut ws: WebSocket) -> Result<()> {
    let nick = ws.param("nick").to_string();
    ws.identify(&user(&nick))?; // from now on `user(nick)` reaches this connection, beside others of the same nick
    while let Some(message) = ws.recv()? {
        match address(&nick, &message) {
            Ok((to, text)) => {
                let nobody = error("no_such_user", &format!("nobody is connected as `{to}`"));
                ws.user(&user(&to)).send_or(text, nobody);
            }
            Err(error) => ws.send(error)?,
        }
    }
    Ok(())
}

/// Users are known to the whole server; these are apart from those of other paths.
fn user(nick: &str) -> String {
    format!("direct_chat:{nick}")
}

/// What must be there. Serde refuses a field that comes twice: one reader would believe the first, another the last.
#[derive(Deserialize)]
struct Direct {
    #[serde(default)]
    from_user: Value,
    to_user: String,
    #[serde(rename = "message")]
    _message: Value,
}

/// Whom it is for, and the text to deliver: byte for byte what was sent, unless it is in somebody else's name.
fn address(nick: &str, message: &Message) -> Result<(String, String), String> {
    const EXPECTED: &str = r#"send text: {"from_user":…,"to_user":…,"message":…}"#;
    let Message::Text(text) = message else { return Err(error("bad_request", EXPECTED)) };
    let value: Value = serde_json::from_str(text).map_err(|why| error("bad_json", &why.to_string()))?;
    let direct = serde_json::from_str::<Direct>(text);
    let (Value::Object(mut fields), Ok(direct)) = (value, direct) else {
        return Err(error("bad_request", EXPECTED));
    };
    if direct.from_user == nick {
        return Ok((direct.to_user, text.to_string()));
    }
    fields.insert("from_user".into(), nick.into());
    Ok((direct.to_user, Value::Object(fields).to_string()))
}

fn error(code: &str, message: &str) -> String {
    json!({"type": "error", "code": code, "message": message}).to_string()
}

fn main() -> Result<()> {
    common::serve(mount)
}
