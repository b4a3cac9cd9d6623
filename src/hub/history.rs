//! What was said lately in one room: its epoch, its offsets, its keys, and how much of it is kept.
//!
//! An *epoch* is one life of a room's history; within it each message has the offset after the one before.

use super::engine::{Name, Publish, Stored};
use super::protocol::Since;
use super::rules::RoomRules;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a message that is kept costs besides its text.
pub(super) const OVERHEAD: usize = 256;

/// The present moment, for timers and for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix_ms: u64,
}

#[derive(Clone)]
pub(crate) struct History {
    epoch: Arc<str>,
    /// The newest message's.
    offset: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    keys: HashMap<Arc<str>, u64>,
}

#[derive(Clone)]
struct Kept {
    message: Stored,
    at: Instant,
    key: Option<Arc<str>>,
}

/// A message in the history of a room.
pub(crate) struct Place {
    pub(crate) room: Name,
    epoch: Arc<str>,
    offset: u64,
}

/// How a publishing went.
pub(crate) enum Published {
    New(Stored),
    /// The key was seen before.
    Before {
        offset: u64,
    },
    TooLarge,
}

/// What a history was asked for, and what there was.
pub(crate) struct Page<'a> {
    pub(crate) elements: Vec<&'a str>,
    pub(crate) more: bool,
}

impl Kept {
    fn size(&self) -> usize {
        self.message.element.len() + OVERHEAD
    }
}

impl History {
    pub(crate) fn new(epoch: &str) -> Self {
        Self::at(epoch, 0)
    }

    /// One whose newest message had this offset, and of which nothing is kept.
    pub(crate) fn at(epoch: &str, offset: u64) -> Self {
        Self { epoch: epoch.into(), offset, kept: VecDeque::new(), bytes: 0, keys: HashMap::new() }
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(crate) fn epoch_name(&self) -> Arc<str> {
        self.epoch.clone()
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Messages, and their bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Stored> {
        self.kept.iter().map(|kept| &kept.message)
    }

    /// The next message, unless its key was seen before.
    pub(crate) fn publish(&mut self, now: Now, publish: &Publish) -> Published {
        self.trim(now.instant, &publish.rules);
        let key = publish.scoped_key();
        if let Some(offset) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return Published::Before { offset: *offset };
        }
        let message = publish.stored(self.offset + 1);
        if publish.rules.bytes < message.element.len() {
            return Published::TooLarge;
        }
        self.push(now.instant, message.clone(), key);
        self.trim(now.instant, &publish.rules);
        Published::New(message)
    }

    /// A message that has its offset already: it must be the next one.
    pub(crate) fn adopt(&mut self, now: Now, message: Stored, key: Option<Arc<str>>) {
        let age = Duration::from_millis(now.unix_ms.saturating_sub(message.time));
        let at = now.instant.checked_sub(age).unwrap_or(now.instant);
        self.push(at, message, key);
    }

    fn push(&mut self, at: Instant, message: Stored, key: Option<Arc<str>>) {
        self.offset = message.offset;
        if let Some(key) = &key {
            self.keys.insert(key.clone(), message.offset);
        }
        let kept = Kept { message, at, key };
        self.bytes += kept.size();
        self.kept.push_back(kept);
    }

    /// Forgets what is too old or too much.
    pub(crate) fn trim(&mut self, now: Instant, rules: &RoomRules) {
        while let Some(oldest) = self.kept.front() {
            let too_much =
                rules.messages < self.kept.len() || rules.bytes < self.bytes - self.kept.len() * OVERHEAD;
            if !too_much && now.saturating_duration_since(oldest.at) < rules.age {
                return;
            }
            self.drop_oldest();
        }
    }

    /// Forgets the oldest message if it is that one.
    pub(crate) fn drop_if_oldest(&mut self, place: &Place) {
        if self.is_of(place) && self.oldest() == Some(place.offset) {
            self.drop_oldest();
        }
    }

    /// The offset of the oldest message that is kept.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.kept.front().map(|oldest| oldest.message.offset)
    }

    /// Whether the message is still kept.
    pub(crate) fn keeps(&self, place: &Place) -> bool {
        self.is_of(place) && self.oldest().is_some_and(|oldest| oldest <= place.offset)
    }

    /// Not by the epoch's name: a room that is opened again goes on in its epoch, and what was forgotten with it has the same
    /// offsets.
    fn is_of(&self, place: &Place) -> bool {
        Arc::ptr_eq(&self.epoch, &place.epoch)
    }

    /// Of the newest message.
    pub(crate) fn place(&self, room: &Name) -> Place {
        self.place_of(room, self.offset)
    }

    /// Of all messages, with the time by which they came in: a clock that was set back does not change their order.
    #[cfg_attr(not(feature = "store"), allow(dead_code, reason = "only what is on disk is restored"))]
    pub(crate) fn places(&self, room: &Name) -> impl Iterator<Item = (u64, Place)> {
        self.messages().scan(0, |latest, message| {
            *latest = message.time.max(*latest);
            Some((*latest, self.place_of(room, message.offset)))
        })
    }

    fn place_of(&self, room: &Name, offset: u64) -> Place {
        Place { room: room.clone(), epoch: self.epoch_name(), offset }
    }

    /// Whether this very message is kept.
    pub(crate) fn has(&self, message: &Stored) -> bool {
        let at = self.oldest().and_then(|oldest| message.offset.checked_sub(oldest));
        let kept = at.and_then(|at| self.kept.get(usize::try_from(at).ok()?));
        kept.is_some_and(|kept| kept.message == *message)
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.kept.pop_front() else { return };
        self.bytes -= oldest.size();
        if let Some(key) = oldest.key {
            self.keys.remove(&key);
        }
    }

    /// All messages after that one; nothing when they are not all kept, or are more than so many bytes.
    pub(crate) fn after(&self, since: &Since, bytes: usize) -> Option<Vec<&str>> {
        let oldest = self.oldest().unwrap_or(self.offset + 1);
        let is_whole =
            since.epoch == *self.epoch && since.offset <= self.offset && oldest <= since.offset + 1;
        let skip = is_whole.then(|| (since.offset + 1 - oldest) as usize)?;
        let elements: Vec<&str> = self.kept.iter().skip(skip).map(|kept| &*kept.message.element).collect();
        (elements.iter().map(|element| element.len() + 1).sum::<usize>() <= bytes).then_some(elements)
    }

    /// At most so many of the newest, in so many bytes, oldest first.
    pub(crate) fn newest(&self, count: usize, bytes: usize) -> Vec<&str> {
        let newest = self.kept.iter().rev().take(count).map(|kept| &*kept.message.element);
        let mut elements = fitting(newest, bytes);
        elements.reverse();
        elements
    }

    /// Exclusive bounds; ascending. With `after` the oldest that follow, otherwise the newest; at most so many, in so many bytes.
    pub(crate) fn page(
        &self,
        before: Option<u64>,
        after: Option<u64>,
        limit: usize,
        bytes: usize,
    ) -> Page<'_> {
        let within = |message: &&Stored| {
            before.is_none_or(|before| message.offset < before)
                && after.is_none_or(|after| after < message.offset)
        };
        let found: Vec<&str> = self.messages().filter(within).map(|message| &*message.element).collect();
        let mut elements = match after {
            Some(_) => fitting(found.iter().copied().take(limit), bytes),
            None => fitting(found.iter().rev().copied().take(limit), bytes),
        };
        if after.is_none() {
            elements.reverse();
        }
        Page { more: elements.len() < found.len(), elements }
    }
}

/// From the first on, as many as are so many bytes; one at least, so that there is an end to asking.
fn fitting<'a>(elements: impl Iterator<Item = &'a str>, bytes: usize) -> Vec<&'a str> {
    let mut sum = 0;
    let fits = |(at, element): &(usize, &str)| {
        // With a comma.
        sum += element.len() + 1;
        *at == 0 || sum <= bytes
    };
    elements.enumerate().take_while(fits).map(|(_, element)| element).collect()
}
