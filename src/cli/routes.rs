//! What `serve` has at which path. A program that embeds the library writes the same.

use super::{direct, pages};
use switchboard::{Builder, Message, Result, Server, WebSocket};

pub(crate) fn all() -> Builder {
    pages::add(Server::builder())
        .health()
        .protocol("/ws")
        .route("/echo", echo)
        .route("/conn_ws", |ws| relay(ws, "group", ""))
        .route("/conn_ws/{nick}", direct::chat)
        .route("/chat/{room}", others)
        .route("/room/{room}", relay_param)
        .route("/room/{room}/", relay_param)
}

/// Every message comes back.
fn echo(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

/// Every message goes to all members of the room.
fn relay_param(ws: WebSocket) -> Result<()> {
    let room = ws.param("room").to_string();
    relay(ws, "room", &room)
}

fn relay(mut ws: WebSocket, kind: &str, name: &str) -> Result<()> {
    let room = ws.join(&room_name(kind, name))?;
    while let Some(message) = ws.recv()? {
        room.send(message);
    }
    Ok(())
}

/// Every message goes to the other members of the room.
fn others(mut ws: WebSocket) -> Result<()> {
    let room = ws.join(&room_name("chat", ws.param("room")))?;
    while let Some(message) = ws.recv()? {
        room.send_others(message);
    }
    Ok(())
}

/// Rooms of different kinds are different rooms, whatever their names.
fn room_name(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// A message as text that browsers' `JSON.parse` takes.
pub(super) fn json(value: &serde_json::Value) -> Message {
    Message::text(value.to_string())
}
