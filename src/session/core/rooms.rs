//! The rooms that the program is in, and how far it has seen each of them.
//!
//! One idea serves every way of missing something: a room that is *behind* is asked for again with the last position, and the
//! answer is whole or says that it is not. A room is behind after a reconnect, a `gap` of the server, a hole in the offsets,
//! and when its messages did not fit into the program's queue.

use super::events::Events;
use super::text::{Ask, Joined};
use crate::session::{Event, Position, RoomMessage};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Where the program is in each: the last message that was put into its queue.
    places: HashMap<String, Position>,
    /// Those that this connection is no member of yet.
    out: BTreeSet<String>,
    /// Those of which something is to be had.
    behind: BTreeSet<String>,
    /// Requests to join again that are not answered, by id.
    asked: BTreeMap<u64, String>,
}

impl Rooms {
    pub(super) fn has(&self, room: &str) -> bool {
        self.places.contains_key(room)
    }

    pub(super) fn position(&self, room: &str) -> Option<&Position> {
        self.places.get(room)
    }

    /// Requests that are not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// The connection is gone, and all memberships with it.
    pub(super) fn lost(&mut self) {
        self.asked.clear();
        self.behind.clear();
        self.out = self.places.keys().cloned().collect();
    }

    /// What to ask for next. Membership at once, messages only when there is room for them.
    pub(super) fn next(&self, events: &Events) -> Option<Ask> {
        let room = self.out.iter().chain(self.behind.iter().filter(|_| events.is_roomy()));
        let room = room.into_iter().find(|room| !self.is_asked(room))?;
        let since = self.places.get(room).cloned();
        Some(Ask::Join { room: room.clone(), since, history: 0 })
    }

    pub(super) fn ask(&mut self, room: &str, id: u64) {
        self.asked.insert(id, room.into());
    }

    /// The room that was asked for by this request.
    pub(super) fn answered(&mut self, id: u64) -> Option<String> {
        self.asked.remove(&id)
    }

    pub(super) fn remove(&mut self, room: &str) {
        self.places.remove(room);
        self.out.remove(room);
        self.behind.remove(room);
    }

    pub(super) fn fall_behind(&mut self, room: &str) {
        if self.has(room) {
            self.behind.insert(room.into());
        }
    }

    /// We are in. `since`: what the request carried.
    pub(super) fn joined(&mut self, joined: Joined, since: Option<Position>, events: &mut Events) {
        let Joined { room, at: end, recovered, messages, members } = joined;
        self.out.remove(&room);
        self.behind.remove(&room);
        let first = messages.first().map_or(end.offset + 1, |message| message.at.offset);
        let start = Position { epoch: end.epoch.clone(), offset: first.saturating_sub(1) };
        let asked_for_more = self.has(&room) && since.is_none();
        let place = self.places.entry(room.clone()).or_insert_with(|| since.unwrap_or_else(|| start.clone()));
        // Offsets of an epoch have no holes: what begins next to the last one seen is whole, whatever was asked.
        let same = place.epoch == end.epoch;
        let is_whole = same && first <= place.offset + 1 && place.offset <= end.offset;
        if events.is_full() || (asked_for_more && !is_whole) {
            self.behind.insert(room);
            return;
        }
        events.push(Event::Joined { room: room.clone(), at: end, recovered, members });
        if !is_whole {
            let missed = start.offset.checked_sub(place.offset).filter(|_| same);
            *place = start;
            events.push(Event::Gap { room, missed });
        }
        for message in messages {
            self.message(message, events);
        }
    }

    /// A message of a room: taken when it is the next one.
    pub(super) fn message(&mut self, message: RoomMessage, events: &mut Events) {
        let Some(place) = self.places.get_mut(&message.room) else { return };
        let RoomMessage { room, at, .. } = &message;
        let same = place.epoch == at.epoch;
        if same && at.offset <= place.offset {
            return; // seen
        }
        if same && at.offset == place.offset + 1 && !events.is_full() {
            place.offset = at.offset;
            events.push(Event::Message(message));
        } else if !self.is_asked(room) {
            // An answer that is under way holds it.
            self.behind.insert(room.clone());
        }
    }

    pub(super) fn presence(&mut self, room: &str, event: Event, events: &mut Events) {
        if !self.has(room) {
            return;
        }
        if events.is_full() {
            // The next answer tells who is there.
            self.behind.insert(room.into());
        } else {
            events.push(event);
        }
    }

    fn is_asked(&self, room: &str) -> bool {
        self.asked.values().any(|asked| asked == room)
    }
}
