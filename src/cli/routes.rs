//! What `serve` has at which path. A program that embeds the library writes the same.

use super::{direct, pages};
use switchboard::{Builder, Denied, Identity, Message, Request, Result, Room, Server, WebSocket};

/// The name by which rights call the room of everybody at `/conn_ws`.
const LOBBY: &str = "lobby";

/// A connection's way through the program.
type Handler = fn(WebSocket) -> Result<()>;

/// Whether somebody who is known may in.
type Authorize = fn(&Request, &Identity) -> Result<(), Denied>;

/// The paths at which messages are passed on as they are, what does it, and for whom.
pub(crate) const RELAYS: [(&str, Handler, Authorize); 6] = [
    ("/echo", echo, |_, _| Ok(())),
    ("/conn_ws", |ws| relay(ws, "group", "", LOBBY, Room::send), |_, identity| may_join(identity, LOBBY)),
    ("/conn_ws/{nick}", direct::chat, direct::authorize),
    ("/chat/{room}", |ws| relay_param(ws, "chat", Room::send_others), may_join_param),
    ("/room/{room}", |ws| relay_param(ws, "room", Room::send), may_join_param),
    ("/room/{room}/", |ws| relay_param(ws, "room", Room::send), may_join_param),
];

/// `authenticated`: everybody who gets in is known.
pub(crate) fn all(authenticated: bool) -> Builder {
    let others = pages::add(Server::builder()).health().protocol("/ws");
    RELAYS.into_iter().fold(others, |builder, (path, handler, authorize)| {
        let builder = builder.route(path, handler);
        if authenticated { builder.authorize(path, authorize) } else { builder }
    })
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

fn may_join_param(request: &Request, identity: &Identity) -> Result<(), Denied> {
    may_join(identity, request.param("room"))
}

fn may_join(identity: &Identity, room: &str) -> Result<(), Denied> {
    match identity.reads(room) {
        true => Ok(()),
        false => Err(forbidden(&format!("you may not join {room}"))),
    }
}

/// For who is known, but may not.
pub(super) fn forbidden(reason: &str) -> Denied {
    Denied::forbidden(format!("forbidden: {reason}"))
}

/// Rooms of different kinds are different rooms, whatever their names.
fn room_name(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// A message as text that browsers' `JSON.parse` takes.
pub(super) fn json(value: &serde_json::Value) -> Message {
    Message::text(value.to_string())
}
