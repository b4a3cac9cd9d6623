//! What `serve` has at which path. A program that embeds the library writes the same.

use super::{direct, pages};
use switchboard::{Builder, Message, Result, Room, Server, WebSocket};

/// The name by which rights call the room of everybody at `/conn_ws`.
const LOBBY: &str = "lobby";

/// A connection's way through the program. `true`: everybody who gets in is known.
type Handler = fn(WebSocket, bool) -> Result<()>;

/// The paths at which messages are passed on as they are, and what does it.
pub(crate) const RELAYS: [(&str, Handler); 6] = [
    ("/echo", |ws, _| echo(ws)),
    ("/conn_ws", |ws, _| relay(ws, "group", "", LOBBY, Room::send)),
    ("/conn_ws/{nick}", direct::chat),
    ("/chat/{room}", |ws, _| relay_param(ws, "chat", Room::send_others)),
    ("/room/{room}", |ws, _| relay_param(ws, "room", Room::send)),
    ("/room/{room}/", |ws, _| relay_param(ws, "room", Room::send)),
];

/// `authenticated`: everybody who gets in is known.
pub(crate) fn all(authenticated: bool) -> Builder {
    let others = pages::add(Server::builder()).health().protocol("/ws");
    RELAYS
        .into_iter()
        .fold(others, |builder, (path, handler)| builder.route(path, move |ws| handler(ws, authenticated)))
}

/// Every message comes back.
fn echo(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

type Send = fn(&Room, Message) -> bool;

fn relay_param(ws: WebSocket, kind: &str, send: Send) -> Result<()> {
    let room = ws.param("room").to_string();
    relay(ws, kind, &room, &room, send)
}

/// Every message goes to the members of the room. Who may read it may join; who may not write in it is told so, and stays.
fn relay(mut ws: WebSocket, kind: &str, name: &str, right: &str, send: Send) -> Result<()> {
    if !ws.identity().reads(right) {
        return turn_away(ws, &format!("you may not join {right}"));
    }
    let may_write = ws.identity().writes(right);
    let room = ws.join(&room_name(kind, name))?;
    while let Some(message) = ws.recv()? {
        if may_write {
            send(&room, message);
        } else {
            ws.send(direct::error("forbidden", &format!("you may not write in {right}")))?;
        }
    }
    Ok(())
}

/// For who is known, but may not.
pub(super) fn turn_away(mut ws: WebSocket, reason: &str) -> Result<()> {
    ws.close(1008, &format!("forbidden: {reason}"));
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
