//! Rooms and users: a chat with `/join ROOM`, `/leave`, `/to NICK TEXT`; anything else goes to the present room.
//!
//! Run it: `cargo run --example commands`, then connect two clients, one to `ws://127.0.0.1:9527/commands/ann`, one to
//! `/commands/bob`.

mod common;

use switchboard::{Builder, Result, WebSocket};

/// Adds the chat.
pub fn mount(builder: Builder) -> Builder {
    builder.route("/commands/{nick}", chat)
}

fn chat(mut ws: WebSocket) -> Result<()> {
    let nick = ws.param("nick").to_string();
    ws.identify(&own(&nick))?; // from now on `user(…)` reaches this connection
    let mut room = enter(&ws, &nick, "lobby").ok();
    // However the connection ends, what follows the loop is done. The rooms are left in any case.
    while let Ok(Some(message)) = ws.recv() {
        let Ok(text) = message.to_text() else { continue };
        match text.split_once(' ').unwrap_or((text, "")) {
            ("/join", name) => match enter(&ws, &nick, name) {
                Ok(joined) => {
                    if let Some(old) = room.replace(joined).filter(|old| old != name) {
                        exit(&ws, &nick, &old)?;
                    }
                }
                Err(error) => ws.send(error.to_string())?, // the name cannot be used
            },
            ("/leave", _) => match room.take() {
                Some(old) => exit(&ws, &nick, &old)?,
                None => ws.send("you are in no room")?,
            },
            ("/to", rest) => {
                let (to, text) = rest.split_once(' ').unwrap_or((rest, ""));
                ws.user(&own(to)).send_or(format!("{nick} to you: {text}"), format!("{to} is not here"));
            }
            _ => match &room {
                Some(name) => drop(ws.room(&own(name)).send(format!("{nick}: {text}"))), // to the sender too
                None => ws.send("you are in no room: /join ROOM")?,
            },
        }
    }
    room.map_or(Ok(()), |name| exit(&ws, &nick, &name))
}

fn enter(ws: &WebSocket, nick: &str, name: &str) -> Result<String> {
    ws.join(&own(name))?.send(format!("* {nick} is in {name}"));
    Ok(name.to_string())
}

fn exit(ws: &WebSocket, nick: &str, name: &str) -> Result<()> {
    ws.room(&own(name)).send(format!("* {nick} has left {name}")); // still a member: hears it too
    ws.leave(&own(name))
}

/// Rooms and users are known to the whole server: a prefix keeps these apart from those of other paths.
fn own(name: &str) -> String {
    format!("commands:{name}")
}

fn main() -> Result<()> {
    common::serve(mount)
}
