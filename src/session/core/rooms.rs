//! The rooms that the program is in, and how far it has seen each of them.
//!
//! A message is taken when it is the next one; everything else is a reason to ask. A room that lies *behind*, after a reconnect,
//! a `gap` of the server or a hole in the offsets, is joined again with the last position. One that is *short* of messages, since
//! there was no room for them here, or more are missing than one answer holds, gets them page by page from its history.

use super::events::{Events, PAGE};
use super::text::{Ask, Joined};
use crate::session::{Event, History, Page, Position, RoomMessage};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Where the program is in each: the last message that was put into its queue.
    places: HashMap<String, Position>,
    /// Those that this connection is no member of yet.
    out: BTreeSet<String>,
    /// Those to be joined again, to learn where they are.
    behind: BTreeSet<String>,
    /// Those of whose messages there are more.
    short: BTreeSet<String>,
    /// Requests of our own that are not answered, by id.
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
        self.short.clear();
        self.out = self.places.keys().cloned().collect();
    }

    /// What to ask for next. Membership at once, messages only when there is room for them.
    pub(super) fn next(&self, events: &Events) -> Option<(String, Ask)> {
        let first = |rooms: &BTreeSet<String>| rooms.iter().find(|room| !self.is_asked(room)).cloned();
        let join = |room: String| {
            let since = self.places.get(&room).cloned();
            (room.clone(), Ask::Join { room, since, history: 0 })
        };
        let page = |room: String| {
            let after = self.places.get(&room).map(|place| place.offset);
            let query = History { after, limit: Some(PAGE), ..History::default() };
            (room.clone(), Ask::History { room, query })
        };
        let fetch = || first(&self.short).map(page).or_else(|| first(&self.behind).map(join));
        first(&self.out).map(join).or_else(|| events.is_roomy().then(fetch).flatten())
    }

    pub(super) fn ask(&mut self, room: String, id: u64) {
        self.asked.insert(id, room);
    }

    /// The room that was asked for by this request.
    pub(super) fn answered(&mut self, id: u64) -> Option<String> {
        self.asked.remove(&id)
    }

    pub(super) fn remove(&mut self, room: &str) {
        self.places.remove(room);
        self.out.remove(room);
        self.behind.remove(room);
        self.short.remove(room);
    }

    pub(super) fn fall_behind(&mut self, room: &str) {
        if self.has(room) {
            self.behind.insert(room.into());
        }
    }

    /// We are in. `since`: what the request carried.
    pub(super) fn joined(&mut self, joined: Joined, since: Option<Position>, events: &mut Events) {
        let Joined { room, at: end, recovered, messages, members, users } = joined;
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
        events.push(Event::Joined { room: room.clone(), at: end, recovered, members, users });
        let missed = start.offset.checked_sub(place.offset).filter(|_| same);
        if !is_whole && missed.is_some() && !messages.is_empty() {
            // Perhaps it was more than an answer holds.
            self.short.insert(room);
            return;
        }
        if !is_whole {
            *place = start;
            events.push(Event::Gap { room, missed });
        }
        messages.into_iter().for_each(|message| self.message(message, events));
    }

    /// A part of the history, next to where the program is, or not.
    pub(super) fn page(&mut self, room: &str, page: Page, events: &mut Events) {
        let Some(place) = self.places.get_mut(room) else { return };
        if events.is_full() {
            return; // to be asked for again
        }
        self.short.remove(room);
        let Some(first) = page.messages.first().filter(|_| page.epoch == place.epoch) else {
            self.behind.insert(room.into());
            return;
        };
        let missed = (first.at.offset - 1).saturating_sub(place.offset);
        if 0 < missed {
            place.offset += missed;
            events.push(Event::Gap { room: room.into(), missed: Some(missed) });
        }
        page.messages.into_iter().for_each(|message| self.message(message, events));
        if page.more {
            self.short.insert(room.into());
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
        if same && at.offset == place.offset + 1 {
            if events.is_full() {
                self.short.insert(room.clone());
            } else {
                place.offset = at.offset;
                events.push(Event::Message(message));
            }
        } else if !(self.is_asked(room) || same && self.short.contains(room)) {
            // Otherwise an answer that is under way holds it, or one that is still to be asked for.
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
