//! Keys of a room under which is something else than this program has written: that room cannot be served, all others can.

use super::Line;
use super::access::ask;
use super::replies::{list, name};
use crate::engine::Name;
use ::redis::{Connection, ErrorKind, RedisError, Value, cmd};
use parking_lot::Mutex;
use std::collections::HashSet;

/// Rooms of which is remembered that it was said. Then it is said again.
const MOST: usize = 1000;

/// Rooms that were complained of, so that each is told once.
#[derive(Default)]
pub(super) struct Foreign(Mutex<HashSet<Name>>);

/// Whether the error is about what there is under a room's keys, and not about Redis.
pub(super) fn is_of_room(error: &RedisError) -> bool {
    // A script that meets another type, which Redis 6 tells in other words, or a value that it cannot reckon with.
    let detail = error.detail().unwrap_or_default();
    error.code() == Some("WRONGTYPE")
        || error.kind() == ErrorKind::UnexpectedReturnType
        || ["WRONGTYPE", "attempt to", "bad argument"].iter().any(|words| detail.contains(words))
}

impl Foreign {
    pub(super) fn is_good(&self, room: &Name) {
        self.0.lock().remove(room);
    }

    /// Says, once, what is wrong with a room and what to do.
    pub(super) fn complain(&self, line: &Line, connection: &mut Connection, room: &Name, error: &RedisError) {
        let mut rooms = self.0.lock();
        if MOST <= rooms.len() {
            rooms.clear();
        }
        let is_new = rooms.insert(room.clone());
        drop(rooms);
        if is_new {
            let (at, what) = (&line.access.address, found(line, connection, room, error));
            log::warn!("in Redis at {at} {what}; until then this room is unavailable, and no other");
        }
    }
}

/// The list of servers is what something else has written to: nothing can be served.
pub(super) fn servers(line: &Line) -> String {
    let (at, key) = (&line.access.address, line.names.servers());
    format!("in Redis at {at} something else has written to the key {key}; DEL {key}")
}

fn found(line: &Line, connection: &mut Connection, room: &Name, error: &RedisError) -> String {
    let names = &line.names;
    let mut keys = vec![
        (names.head(room), "hash"),
        (names.messages(room), "stream"),
        (names.servers_in(room), "set"),
        (names.users_here(room), "hash"),
    ];
    // Nothing, if that is what is wrong.
    let nodes = ask(connection, cmd("SMEMBERS").arg(names.servers_in(room))).and_then(list);
    let nodes = nodes.into_iter().flatten().filter_map(|node| name(node).ok());
    keys.extend(nodes.map(|node| (names.users_at(room) + &node, "hash")));
    for (key, expected) in keys {
        match ask(connection, cmd("TYPE").arg(&key)) {
            Ok(Value::SimpleString(found)) if found != expected && found != "none" => {
                return format!("the key {key} is a {found}, which something else has written; DEL {key}");
            }
            _ => {}
        }
    }
    let (head, messages) = (names.head(room), names.messages(room));
    let what = error.detail().unwrap_or(error.category());
    format!("something else has written to {head} or {messages} ({what:.120}); DEL {head} {messages}")
}
