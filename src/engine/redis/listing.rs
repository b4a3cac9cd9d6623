//! The rooms that there are in a Redis, for people to see: over a connection of its own, so that nobody who publishes waits.
//!
//! Redis has no list of them, which each message would have to be entered in; all keys are gone through (SCAN). That costs Redis
//! time in small portions.

use super::Line;
use super::access::{ask, misplaced, silence};
use super::batch::{Batch, Script, Scripts};
use super::foreign::is_of_room;
use super::replies::{list, listed, name, number};
use crate::engine::{Listed, Name};
use ::redis::{Connection, RedisResult, Value, cmd};
use std::collections::BTreeSet;
use std::time::Instant;

/// Keys that Redis looks at for one answer.
const PORTION: usize = 1000;
/// Rooms that are looked at together.
const TOGETHER: usize = 500;

/// The first `most` behind `after`, by name. Nothing is begun after `deadline`.
pub(super) fn rooms(line: &Line, after: &str, most: usize, deadline: Instant) -> RedisResult<Vec<Listed>> {
    let mut connection = line.access.connect("switchboard-listing")?;
    let scripts = Scripts::load(&mut connection)?;
    let (mut rooms, mut after) = (Vec::new(), Name::from(after));
    loop {
        let wanted = most - rooms.len();
        let found = find(&mut connection, line, (&after, wanted), deadline)?;
        for names in found.chunks(TOGETHER) {
            in_time(deadline)?;
            look(&mut connection, line, &scripts, names, &mut rooms)?;
        }
        // Of those that were found some may have nothing to show.
        match found.last() {
            Some(last) if found.len() == wanted && rooms.len() < most => after = last.clone(),
            _ => return Ok(rooms),
        }
    }
}

fn look(
    connection: &mut Connection,
    line: &Line,
    scripts: &Scripts,
    names: &[Name],
    rooms: &mut Vec<Listed>,
) -> RedisResult<()> {
    let (mut batch, mut failed) = (Batch::default(), Ok(()));
    for room in names {
        let keys = [line.names.head(room), line.names.servers_in(room)];
        let mut command = scripts.call(Script::Look, &keys.each_ref().map(String::as_str));
        batch.add(command.arg(line.names.users_at(room)), room);
    }
    batch.run(connection, |room, answer| match answer.and_then(|value| listed(room, value)) {
        Ok(listed) => rooms.extend(listed),
        // Something else is there; whoever uses the room is told.
        Err(error) if is_of_room(&error) => log::debug!("the room {room} is not listed: {error}"),
        Err(error) => failed = Err(error),
    })?;
    failed
}

/// Names of rooms that have a head, in order.
fn find(
    connection: &mut Connection,
    line: &Line,
    (after, most): (&str, usize),
    deadline: Instant,
) -> RedisResult<Vec<Name>> {
    let (mut found, mut cursor) = (BTreeSet::new(), 0);
    let pattern = line.names.all_heads();
    loop {
        in_time(deadline)?;
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PORTION);
        let [next, keys]: [Value; 2] = list(ask(connection, &scan)?)?.try_into().map_err(|_| misplaced())?;
        for key in list(keys)? {
            // What is no text is none of ours.
            let Ok(key) = name(key) else { continue };
            let room = line.names.room_of_head(&key).filter(|room| after < *room);
            found.extend(room.map(Name::from));
            if most < found.len() {
                found.pop_last();
            }
        }
        cursor = number(&next)?;
        if cursor == 0 {
            return Ok(found.into_iter().collect());
        }
    }
}

fn in_time(deadline: Instant) -> RedisResult<()> {
    if Instant::now() < deadline { Ok(()) } else { Err(silence()) }
}
