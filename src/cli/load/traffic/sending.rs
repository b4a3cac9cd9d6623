//! What is sent, and when: at a rate, or as earlier messages arrive.

use super::super::options::Mode;
use super::super::plan::Drive;
use super::super::pool::Pool;
use super::super::stamp::{Kind, Stamp};
use super::{Traffic, v1};
use std::cmp::Reverse;
use std::mem::take;
use std::time::{Duration, Instant};
use switchboard::Message;

/// A sender whose socket is full is looked at again after this time.
const FULL: Duration = Duration::from_millis(1);
const NANOSECOND: Duration = Duration::from_nanos(1);
/// How often it is looked for senders that wait in vain.
const LOOK: Duration = Duration::from_millis(100);
/// The first wait between two probes; it doubles each time, up to the last.
const PROBE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

impl Traffic<'_> {
    /// Sends probes into the rooms. A handshake that is done does not say that the member is in its room already: what has
    /// reached it does. When to come back.
    pub(super) fn probe(&mut self, pool: &mut Pool, now: Instant) -> Instant {
        let plan = &self.shared.plan;
        if plan.mode == Mode::Echo || plan.protocol.is_some() {
            return now + LOOK;
        }
        let (last, pause) = self.probed.unwrap_or((self.shared.base, PROBE[0] / 2));
        if now < last + pause {
            return last + pause;
        }
        let pause = (pause * 2).min(PROBE[1]);
        self.probed = Some((now, pause));
        // Two in each room: where senders do not get their own messages, one would never hear anything.
        for place in 0..self.members.len() {
            let connection = self.opener.connection(place);
            if connection < 2 * plan.rooms && pool.is_open(place) && !plan.is_stalled(connection) {
                let payload = self.payload(connection, Kind::Probe, 0, now);
                pool.send(place, self.dress(payload));
                pool.flush(place);
            }
        }
        now + pause
    }

    /// The run begins.
    pub(super) fn start(&mut self) {
        self.looked = self.shared.begun();
        self.measured = self.shared.measured();
        match self.pace {
            None => self.all_ready(),
            Some(_) => {
                let due = (0..self.senders.len()).map(|place| Reverse((self.due_at(place), place)));
                self.due = due.collect();
            }
        }
    }

    /// Sends what may be sent now. When to come back.
    pub(super) fn go_on(&mut self, pool: &mut Pool, now: Instant, end: Instant) -> Instant {
        match self.shared.plan.drive {
            // A thread that comes late still sends all that was due before the end.
            Drive::Rate(_) => self.keep_pace(pool, now.min(end - NANOSECOND)),
            Drive::Window(_) if end <= now => end,
            Drive::Window(window) => {
                if self.lines.was_poked(self.thread) {
                    self.all_ready();
                }
                for place in take(&mut self.ready) {
                    self.senders[place].is_ready = false;
                    self.fill_window(pool, place, window, now);
                }
                if self.looked + LOOK <= now {
                    self.looked = now;
                    (0..self.senders.len()).for_each(|place| self.look_at(pool, place, window, now));
                }
                self.looked + LOOK
            }
        }
    }

    fn all_ready(&mut self) {
        (0..self.senders.len()).for_each(|place| self.set_ready(place));
    }

    pub(super) fn set_ready(&mut self, place: usize) {
        if !std::mem::replace(&mut self.senders[place].is_ready, true) {
            self.ready.push(place);
        }
    }

    /// When the next message of the sender at that place is due.
    fn due_at(&self, place: usize) -> Instant {
        let (sender, next) = (self.opener.connection(place), self.senders[place].next);
        let after = self.pace.map_or(Duration::ZERO, |pace| pace.due(sender, next));
        self.shared.begun() + after
    }

    fn keep_pace(&mut self, pool: &mut Pool, now: Instant) -> Instant {
        while let Some(Reverse((at, place))) = self.due.peek().copied() {
            if now < at {
                return at;
            }
            self.due.pop();
            if !pool.is_open(place) {
                continue;
            }
            if self.is_full(pool, place) {
                // It stays due: what waits here waits for its receivers too.
                self.due.push(Reverse((now + FULL, place)));
                continue;
            }
            // All that has become due leaves in one write.
            let mut due = self.due_at(place);
            while due <= now && self.send(pool, place, due) {
                due = self.due_at(place);
            }
            pool.flush(place);
            self.due.push(Reverse((due.max(now), place)));
        }
        now + LOOK
    }

    /// Sends as many as the window has room for.
    fn fill_window(&mut self, pool: &mut Pool, place: usize, window: u64, now: Instant) {
        let sender = self.opener.connection(place);
        let mut has_sent = false;
        while self.lines.may_send(sender, window, self.receivers(place)) && !self.is_full(pool, place) {
            let at = if has_sent { Instant::now() } else { now };
            if self.receivers(place) == 0 || !self.send(pool, place, at) {
                break;
            }
            has_sent = true;
        }
        if has_sent {
            pool.flush(place);
        }
    }

    /// A message that was lost would keep its sender waiting for ever.
    fn look_at(&mut self, pool: &mut Pool, place: usize, window: u64, now: Instant) {
        let sender = self.opener.connection(place);
        if self.lines.may_send(sender, window, self.receivers(place)) {
            return self.fill_window(pool, place, window, now);
        }
        if self.senders[place].is_stuck(self.lines.progress(sender), now) {
            self.tally.overdue += 1;
            self.lines.give_up(sender);
            self.fill_window(pool, place, window, now);
        }
    }

    /// Whether the sender at that place has to wait with its next message.
    fn is_full(&self, pool: &Pool, place: usize) -> bool {
        pool.is_full(place) || self.senders[place].is_full()
    }

    /// To how many a message of the sender at that place goes.
    pub(super) fn receivers(&self, place: usize) -> u64 {
        let own = u64::from(self.shared.plan.others_only);
        self.lines.members(self.members[place].room).saturating_sub(own)
    }

    /// Sends the next message, which was due at `at`. `false`: the connection has ended.
    fn send(&mut self, pool: &mut Pool, place: usize, at: Instant) -> bool {
        let sender = self.opener.connection(place);
        let sequence = self.senders[place].next;
        let payload = self.payload(sender, Kind::Message, sequence, at);
        let message = match &self.shared.plan.protocol {
            None => self.dress(payload),
            Some(_) => {
                let room = self.room_name(self.members[place].room);
                Message::text(v1::publish(&room, sequence, &payload))
            }
        };
        // Before it can arrive anywhere.
        self.lines.send(sender, self.receivers(place));
        if !pool.send(place, message) {
            self.lines.end(sender);
            return false;
        }
        self.senders[place].next += 1;
        if self.shared.plan.protocol.is_some() {
            self.senders[place].publish(sequence, at);
        }
        self.tally.sent += u64::from(self.is_measured(at));
        true
    }

    fn payload(&self, connection: usize, kind: Kind, sequence: u64, at: Instant) -> String {
        let (run, sent) = (self.shared.run, self.shared.nanos(at));
        Stamp { run, sender: connection as u32, kind, sequence, sent }.payload(self.shared.plan.size)
    }

    fn dress(&self, payload: String) -> Message {
        if self.shared.plan.binary { Message::binary(payload.into_bytes()) } else { Message::text(payload) }
    }

    pub(super) fn room_name(&self, room: usize) -> String {
        let plan = &self.shared.plan;
        let name = plan.protocol.as_deref().unwrap_or_default();
        if plan.rooms == 1 { name.into() } else { format!("{name}-{room}") }
    }

    /// Nothing is sent any more; what should have been sent by now is told.
    pub(super) fn stop_sending(&mut self, now: Instant) {
        self.ready.clear();
        self.due.clear();
        let Some(pace) = self.pace else { return };
        let (_, end) = self.measured;
        let ran = now.min(end).saturating_duration_since(self.shared.begun());
        for (place, sender) in self.senders.iter().enumerate() {
            let due = pace.count(self.opener.connection(place), ran);
            self.tally.unsent += due.saturating_sub(sender.next);
        }
    }
}
