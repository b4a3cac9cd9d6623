//! The callback style: a value for each connection, whose methods are called when it comes, says something, and goes. What is
//! sent to `/group2/{group}/` reaches all of the group, the sender too.
//!
//! Run it: `cargo run --example callbacks`, then connect two clients to `ws://127.0.0.1:9527/group2/a/`.

mod common;

use switchboard::{Builder, Callbacks, Message, Result, Room, WebSocket};

/// One connection.
#[derive(Default)]
struct Member {
    group: Option<Room>,
}

impl Callbacks for Member {
    fn connect(&mut self, ws: &mut WebSocket) -> Result<()> {
        self.group = Some(ws.join(&format!("group2:{}", ws.param("group")))?);
        Ok(())
    }

    fn receive(&mut self, _: &mut WebSocket, message: Message) -> Result<()> {
        if let Some(group) = &self.group {
            group.send(message);
        }
        Ok(())
    }

    /// Called however the connection ends. The group would be left without this, too: a place for what else is to be done.
    fn disconnect(&mut self, ws: &mut WebSocket) {
        if let Some(group) = self.group.take() {
            let _ = ws.leave(group.name());
        }
    }
}

/// Adds the groups.
pub fn mount(builder: Builder) -> Builder {
    builder.callbacks("/group2/{group}/", Member::default)
}

fn main() -> Result<()> {
    common::serve(mount)
}
