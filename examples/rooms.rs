//! Rooms and users: a chat with `/join ROOM`, `/leave`, `/to NICK TEXT`; anything else goes to the present room.
//!
//! Run it: `cargo run --example rooms`, or with an address: `cargo run --example rooms -- 127.0.0.1:0`.
//! Then connect two WebSocket clients, one to `/chat/ann`, one to `/chat/bob`. Ctrl-C ends it.

use switchboard::{Result, Server, WebSocket};

fn chat(mut ws: WebSocket) -> Result<()> {
    let nick = ws.param("nick").to_string();
    ws.identify(&nick)?; // from now on `user(nick)` reaches this connection
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
                ws.user(to).send_or(format!("{nick} to you: {text}"), format!("{to} is not here"));
            }
            _ => match &room {
                Some(name) => drop(ws.room(name).send(format!("{nick}: {text}"))), // to the sender too
                None => ws.send("you are in no room: /join ROOM")?,
            },
        }
    }
    room.map_or(Ok(()), |name| exit(&ws, &nick, &name))
}

fn enter(ws: &WebSocket, nick: &str, name: &str) -> Result<String> {
    ws.join(name)?.send(format!("* {nick} is in {name}"));
    Ok(name.to_string())
}

fn exit(ws: &WebSocket, nick: &str, name: &str) -> Result<()> {
    ws.room(name).send(format!("* {nick} has left {name}")); // still a member: hears it too
    ws.leave(name)
}

#[allow(clippy::print_stdout, reason = "says where it listens")]
fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into());
    let server = Server::builder().route("/chat/{nick}", chat).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    loop {
        std::thread::park();
    }
}
