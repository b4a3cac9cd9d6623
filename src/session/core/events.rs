//! The events that wait for the program: bounded, whether it receives them or not.

use crate::session::Event;
use std::collections::VecDeque;

/// Events that may wait: a second of a very busy room.
const EVENTS_MAX: usize = 1024;
/// Messages that are fetched at once, when there is room for them.
pub(super) const PAGE: usize = EVENTS_MAX / 2;
/// Bytes that may wait, and what an event costs besides its text.
const BYTES_MAX: usize = 8 * 1024 * 1024;
const OVERHEAD: usize = 256;

/// What is dropped when it is full depends on what can be had again: messages and presence can (the room is then *short*, or *behind*),
/// direct messages and broadcasts cannot, and are counted.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    bytes: usize,
    /// Not to be had again; told once there is room.
    dropped: u64,
}

impl Events {
    pub(super) fn is_full(&self) -> bool {
        EVENTS_MAX <= self.waiting.len() || BYTES_MAX <= self.bytes
    }

    /// Whether it is worthwhile to fetch what did not fit.
    pub(super) fn is_roomy(&self) -> bool {
        self.waiting.len() <= EVENTS_MAX - PAGE && self.bytes <= BYTES_MAX / 2
    }

    /// For what comes seldom, or was asked about by [`Events::is_full`].
    pub(super) fn push(&mut self, event: Event) {
        self.tell_dropped();
        self.put(event);
    }

    /// For what is lost when there is no room.
    pub(super) fn push_or_drop(&mut self, event: Event) {
        if self.is_full() {
            self.dropped += 1;
        } else {
            self.push(event);
        }
    }

    /// Whether there is a connection. Of those that nobody receives the newest counts.
    pub(super) fn push_status(&mut self, event: Event) {
        let is_status = |event: &Event| matches!(event, Event::Connected { .. } | Event::Disconnected { .. });
        if self.is_full() && self.waiting.back().is_some_and(is_status) {
            self.unput_last();
        }
        self.put(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        if self.waiting.is_empty() {
            self.tell_dropped();
        }
        let event = self.waiting.pop_front()?;
        self.bytes -= cost(&event);
        Some(event)
    }

    fn tell_dropped(&mut self) {
        if 0 < self.dropped {
            let events = std::mem::take(&mut self.dropped);
            self.put(Event::Dropped { events });
        }
    }

    fn put(&mut self, event: Event) {
        self.bytes += cost(&event);
        self.waiting.push_back(event);
    }

    fn unput_last(&mut self) {
        if let Some(event) = self.waiting.pop_back() {
            self.bytes -= cost(&event);
        }
    }
}

fn cost(event: &Event) -> usize {
    let text = match event {
        Event::Message(message) => message.data.json().len(),
        Event::Direct { data, .. } | Event::Broadcast { data, .. } => data.json().len(),
        Event::Joined { members, .. } => members.iter().map(|member| 64 + member.user.len()).sum(),
        _ => 0,
    };
    OVERHEAD + text
}
