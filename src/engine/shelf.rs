//! Histories of any number of rooms, bounded all together: what an engine has in memory. Pure.

use super::{Listed, Name, Publish, Receipt, RoomRules, Stored};
use crate::hub::Now;
use crate::hub::history::{History, Place, Published};
use std::collections::{HashMap, VecDeque};

pub(super) struct Shelf {
    /// What no other life of this engine has; with a count it makes epochs.
    name: String,
    epochs: u64,
    /// Bytes that may be kept in all.
    bytes: usize,
    rooms: HashMap<Name, Kept>,
    /// Everything that was published, oldest first; entries whose message is gone are passed over.
    order: VecDeque<Place>,
    /// Messages and bytes that are kept.
    kept: (usize, usize),
}

struct Kept {
    history: History,
    rules: RoomRules,
}

/// How a publishing went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    New(Receipt, Stored),
    /// The key was seen before.
    Before(Receipt),
    Refused(String),
}

/// The first so many, by name.
pub(super) fn first(mut rooms: Vec<Listed>, most: usize) -> Vec<Listed> {
    rooms.sort_by(|one, other| one.room.cmp(&other.room));
    rooms.truncate(most);
    rooms
}

impl Shelf {
    pub(super) fn new(name: &str, bytes: usize) -> Self {
        Self {
            name: name.into(),
            epochs: 0,
            bytes,
            rooms: HashMap::new(),
            order: VecDeque::new(),
            kept: (0, 0),
        }
    }

    pub(super) fn publish(&mut self, now: Now, publish: &Publish) -> Put {
        let kept = self.room(&publish.room, &publish.rules);
        let before = kept.history.kept();
        let published = kept.history.publish(now, publish);
        let (after, epoch) = (kept.history.kept(), kept.history.epoch_name());
        let place = kept.history.place(&publish.room);
        self.count(before, after);
        match published {
            Published::New(message) => {
                self.order.push_back(place);
                self.make_room();
                Put::New(Receipt { epoch, offset: message.offset }, message)
            }
            Published::Before { offset } => Put::Before(Receipt { epoch, offset }),
            Published::TooLarge => {
                Put::Refused(format!("the room keeps {} bytes, and this is more", publish.rules.bytes))
            }
        }
    }

    /// The history, without what is too old; one that begins, if there is none.
    pub(super) fn open(&mut self, now: Now, room: &Name, rules: &RoomRules) -> &History {
        let kept = self.room(room, rules);
        kept.rules = rules.clone();
        let before = kept.history.kept();
        kept.history.trim(now.instant, rules);
        let after = kept.history.kept();
        self.count(before, after);
        &self.room(room, rules).history
    }

    /// A history from before; [`Shelf::restored`] is to be called after the last one.
    pub(super) fn restore(&mut self, now: Now, room: Name, mut history: History, rules: RoomRules) {
        history.trim(now.instant, &rules);
        self.count((0, 0), history.kept());
        self.rooms.insert(room, Kept { history, rules });
    }

    /// All that was restored, oldest first.
    pub(super) fn restored(&mut self) {
        let of = |(room, kept): (&Name, &Kept)| -> Vec<(u64, Place)> { kept.history.places(room).collect() };
        let mut all: Vec<(u64, Place)> = self.rooms.iter().flat_map(of).collect();
        // Stable: a room's messages stay in the order of their offsets.
        all.sort_by_key(|(time, _)| *time);
        self.order = all.into_iter().map(|(_, place)| place).collect();
        self.make_room();
    }

    pub(super) fn get(&self, room: &str) -> Option<(&History, &RoomRules)> {
        self.rooms.get(room).map(|kept| (&kept.history, &kept.rules))
    }

    /// Rooms in which something was said, of those behind `after`.
    pub(super) fn list(&self, after: &str) -> Vec<Listed> {
        let known = self.rooms.iter().filter(|(room, kept)| after < &***room && 0 < kept.history.offset());
        let listed = |(room, kept): (&Name, &Kept)| Listed {
            room: room.clone(),
            epoch: kept.history.epoch_name(),
            offset: kept.history.offset(),
            users: 0,
            connections: 0,
        };
        known.map(listed).collect()
    }

    /// Forgets what is too old; in which rooms there was some.
    pub(super) fn trim(&mut self, now: Now) -> Vec<Name> {
        let mut trimmed = Vec::new();
        for (room, kept) in &mut self.rooms {
            let before = kept.history.kept();
            kept.history.trim(now.instant, &kept.rules);
            let after = kept.history.kept();
            if before != after {
                trimmed.push(room.clone());
            }
            self.kept = (self.kept.0 + after.0 - before.0, self.kept.1 + after.1 - before.1);
        }
        trimmed
    }

    /// Forgets rooms of which nothing is kept, unless somebody needs them; which.
    pub(super) fn forget_empty(&mut self, is_needed: impl Fn(&Name) -> bool) -> Vec<Name> {
        let empty = self.rooms.iter().filter(|(room, kept)| kept.history.is_empty() && !is_needed(room));
        let empty: Vec<Name> = empty.map(|(room, _)| room.clone()).collect();
        empty.iter().for_each(|room| drop(self.rooms.remove(room)));
        empty
    }

    fn room(&mut self, room: &Name, rules: &RoomRules) -> &mut Kept {
        let (name, epochs) = (&self.name, &mut self.epochs);
        self.rooms.entry(room.clone()).or_insert_with(|| {
            *epochs += 1;
            Kept { history: History::new(&format!("{name}-{epochs:x}")), rules: rules.clone() }
        })
    }

    fn count(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.kept = (self.kept.0 + after.0 - before.0, self.kept.1 + after.1 - before.1);
    }

    /// Forgets the oldest messages of all while there are too many bytes.
    fn make_room(&mut self) {
        while self.bytes < self.kept.1 {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(kept) = self.rooms.get_mut(&oldest.room) else { continue };
            let before = kept.history.kept();
            kept.history.drop_if_oldest(&oldest);
            let after = kept.history.kept();
            self.count(before, after);
        }
        if 2 * self.kept.0 + 1024 < self.order.len() {
            let rooms = &self.rooms;
            self.order.retain(|place| rooms.get(&place.room).is_some_and(|kept| kept.history.keeps(place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn publish(room: &str, time: u64) -> Publish {
        let (room, rules) = (room.into(), RoomRules::default());
        Publish { room, from: None, data: "1".into(), key: None, time, rules }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_change_what_is_forgotten_first() {
        let now = Now { instant: Instant::now(), unix_ms: 1000 };
        let mut shelf = Shelf::new("n", 1400);
        for (room, times) in [("a", [900, 100, 110]), ("b", [905, 910, 920])] {
            let mut history = History::new("e");
            (1..).zip(times).for_each(|(n, time)| history.adopt(now, publish(room, time).stored(n), None));
            shelf.restore(now, room.into(), history, RoomRules::default());
        }
        let kept = |shelf: &Shelf| ["a", "b"].map(|room| shelf.get(room).unwrap().0.kept().0);
        shelf.restored();
        // Room for some four messages.
        assert_eq!(kept(&shelf), [1, 3]);
        for n in 1..10 {
            shelf.publish(now, &publish("b", 1000 + n));
            assert!(shelf.kept.1 <= 1400);
        }
        assert_eq!(kept(&shelf), [0, 4]);
    }
}
