//! What came, and whether it should have.

use super::super::order::Arrival;
use super::super::plan::Drive;
use super::super::pool::Pool;
use super::super::shared::Stage;
use super::super::stamp::{Damaged, Kind, Stamp};
use super::v1::{self, Offsets, Said};
use super::{State, Traffic};
use std::time::Instant;
use switchboard::Message;

impl Traffic<'_> {
    pub(super) fn receive(&mut self, pool: &mut Pool, place: usize, message: &Message, now: Instant) {
        if self.members[place].state == State::Stalled
            && self.stage != Stage::Join
            && self.stage != Stage::Open
        {
            self.caught_up = now;
            return;
        }
        let is_text = message.is_text();
        match (&self.shared.plan.protocol, message) {
            (Some(_), Message::Text(text)) => match v1::read(text) {
                Some(said) => self.told(pool, place, said, now),
                None => self.tally.foreign += 1,
            },
            (Some(_), _) => self.tally.foreign += 1,
            (None, Message::Text(text)) => self.payload_came(place, text.as_bytes(), is_text, now),
            (None, Message::Binary(binary)) => self.payload_came(place, binary, is_text, now),
            (None, _) => {}
        }
    }

    fn told(&mut self, pool: &mut Pool, place: usize, said: Said<'_>, now: Instant) {
        match said {
            Said::Joined { epoch, offset } => {
                self.members[place].offsets = Some(Offsets::new(&epoch, offset));
                self.joined(place);
                if self.members[place].state == State::Stalled {
                    pool.pause(place);
                }
            }
            Said::Message { epoch, offset, data } => self.message_came(place, &epoch, offset, data, now),
            Said::Published { sequence, offset } => {
                let reply = self.senders.get_mut(place).and_then(|sender| sender.reply(sequence));
                // Twice, or unasked for.
                let Some(at) = reply else { return self.tally.broken.duplicated += 1 };
                self.arrived = now;
                self.lines.acknowledge(self.opener.connection(place), sequence);
                self.same_offset(place, sequence, offset);
                if self.is_measured(now) {
                    self.tally.acknowledged += 1;
                }
                if self.is_measured(at) {
                    self.tally.acknowledgement.add(now.saturating_duration_since(at));
                }
            }
            Said::Unjoined { code } => {
                self.outside(pool, place, &format!("`join` was refused: {}", word(&code)));
            }
            Said::Refused { sequence, code } => self.request_refused(place, sequence, &code, now),
            Said::Gap => self.tally.broken.offsets += 1,
            Said::Other => {}
        }
    }

    fn message_came(&mut self, place: usize, epoch: &str, offset: u64, data: &str, now: Instant) {
        let member = &mut self.members[place];
        if member.state != State::Inside {
            return;
        }
        let follows = member.offsets.as_mut().is_some_and(|offsets| offsets.follow(epoch, offset));
        self.tally.broken.offsets += u64::from(!follows);
        let own = self.payload_came_from(place, data.as_bytes(), now);
        if let Some(sequence) = own {
            self.same_offset(place, sequence, offset);
        }
    }

    fn same_offset(&mut self, place: usize, sequence: u64, offset: u64) {
        let is_same = self.senders[place].is_same_offset(sequence, offset);
        self.tally.broken.offsets += u64::from(!is_same);
    }

    fn request_refused(&mut self, place: usize, sequence: Option<u64>, code: &str, now: Instant) {
        self.tally.errors.add(&word(code), 1);
        let Some(sequence) = sequence else { return };
        let Some(sender) = self.senders.get_mut(place) else { return };
        if sender.reply(sequence).is_some() {
            self.arrived = now;
            let connection = self.opener.connection(place);
            self.lines.refuse(connection);
            self.settle(connection, self.receivers(place));
        }
    }

    fn payload_came(&mut self, place: usize, payload: &[u8], is_text: bool, now: Instant) {
        if is_text == self.shared.plan.binary {
            // Perhaps ours, and then the server has made another kind of it.
            let stamp = Stamp::read(payload, self.shared.plan.size);
            let is_ours = stamp.is_some_and(|stamp| run_of(&stamp) == self.shared.run);
            let count = if is_ours { &mut self.tally.broken.damaged } else { &mut self.tally.foreign };
            *count += 1;
            return;
        }
        self.payload_came_from(place, payload, now);
    }

    /// Judges a payload; gives its number if it is new, and the member's own.
    fn payload_came_from(&mut self, place: usize, payload: &[u8], now: Instant) -> Option<u64> {
        let read = Stamp::read(payload, self.shared.plan.size);
        let stamp = match read {
            Some(read) if run_of(&read) != self.shared.run => None,
            Some(Ok(stamp)) => Some(stamp),
            Some(Err(_)) => {
                self.tally.broken.damaged += 1;
                return None;
            }
            None => None,
        };
        let Some(stamp) = stamp else {
            self.tally.foreign += 1;
            return None;
        };
        let (connection, sender) = (self.opener.connection(place), stamp.sender as usize);
        let plan = &self.shared.plan;
        if stamp.kind == Kind::Probe {
            if plan.room_of(sender) == self.members[place].room {
                self.joined(place);
            } else {
                self.tally.broken.misdelivered += 1;
            }
            return None;
        }
        let is_known = sender < plan.senders && stamp.sequence < self.lines.sent(sender);
        if !is_known || !plan.hears(connection, sender) {
            self.tally.broken.misdelivered += 1;
            return None;
        }
        let is_new = self.delivered(place, &stamp, payload.len(), now);
        (is_new && sender == connection).then_some(stamp.sequence)
    }

    /// A message came to somebody whom it is for. `false`: once more.
    fn delivered(&mut self, place: usize, stamp: &Stamp, size: usize, now: Instant) -> bool {
        let (sender, member) = (stamp.sender as usize, &mut self.members[place]);
        let Some(order) = member.orders.get_mut(sender / self.shared.plan.rooms) else { return false };
        match order.arrive(stamp.sequence) {
            Arrival::InOrder | Arrival::Early => {}
            Arrival::Late => self.tally.broken.reordered += 1,
            Arrival::Again => {
                self.tally.broken.duplicated += 1;
                return false;
            }
        }
        self.arrived = now;
        self.delivered += 1;
        if self.is_measured(now) {
            self.tally.delivered += 1;
            self.tally.bytes += size as u64;
        }
        let due = self.shared.at(stamp.sent);
        if self.is_measured(due) {
            self.tally.delivery.add(now.saturating_duration_since(due));
        }
        self.settle(sender, 1);
        true
    }

    /// So many deliveries of the sender's are made; whoever drives it is told if it may go on.
    fn settle(&mut self, sender: usize, deliveries: u64) {
        self.lines.settle(sender, deliveries);
        let plan = &self.shared.plan;
        let Drive::Window(window) = plan.drive else { return };
        let receivers = self.lines.members(plan.room_of(sender)).saturating_sub(u64::from(plan.others_only));
        if !self.lines.may_send(sender, window, receivers) {
            return;
        }
        let thread = plan.thread_of(sender);
        if thread == self.thread {
            self.set_ready(sender / plan.threads);
        } else if self.lines.poke(thread) {
            self.shared.wake(thread);
        }
    }

    /// Whether that is within the time that is measured.
    pub(super) fn is_measured(&self, at: Instant) -> bool {
        let (start, end) = self.measured;
        start <= at && at < end
    }
}

/// What the server says, made fit for a terminal.
fn word(code: &str) -> String {
    code.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn run_of(read: &Result<Stamp, Damaged>) -> u32 {
    match read {
        Ok(stamp) => stamp.run,
        Err(damaged) => damaged.run,
    }
}
