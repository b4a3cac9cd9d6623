//! Rooms of `switchboard.v1` that an engine keeps: what is asked of it, who waits for the answers, and what it tells.
//!
//! The hub never waits: answers come as notices, and whoever they are for is remembered by ticket.

use super::engine::{Address, Name, Notice, Order, Publish, Receipt, Stored, Ticket};
use super::history::{History, Now};
use super::protocol::{Fault, Json, quote};
use super::requests::{Wrong, sent, too_large};
use super::topic::{Waiter, published};
use super::topics::Topics;
use super::{ConnectionId, Deliver, notes};
use std::collections::HashMap;
use std::marker::PhantomData;
use tungstenite::Bytes;

/// What a message that is kept has besides its data and its sender's name.
const FIELDS: usize = 80;

const UNREACHABLE: &str = "what the server keeps cannot be reached for now; try again";

pub(super) struct Outside {
    /// Other servers have the same rooms.
    pub(super) is_shared: bool,
    /// Why the engine cannot be reached.
    pub(super) deaf: Option<String>,
    last: Ticket,
    pub(super) awaited: HashMap<Ticket, Awaited>,
}

/// Who asked.
pub(super) enum Asker<T> {
    Client {
        id: ConnectionId,
        tag: Option<Json>,
    },
    #[cfg(feature = "protocol")]
    Call(super::calls::Answer<T>),
    /// It is gone.
    Nobody(PhantomData<T>),
}

/// What happens with an answer.
pub(super) enum Awaited {
    Publish {
        asker: Asker<Receipt>,
        room: Name,
    },
    /// So many connections here got it already.
    Direct {
        asker: Asker<usize>,
        to: Name,
        here: usize,
    },
    /// These frames go to the connection when nobody anywhere got what it sent.
    Otherwise {
        id: ConnectionId,
        frames: Bytes,
    },
}

impl Outside {
    pub(super) fn new(is_shared: bool) -> Self {
        let deaf = Some("rooms cannot be reached yet".into());
        Self { is_shared, deaf, last: 0, awaited: HashMap::new() }
    }

    fn ticket(&mut self, awaited: Awaited) -> Ticket {
        self.last += 1;
        self.awaited.insert(self.last, awaited);
        self.last
    }
}

impl<L: Clone> Topics<L> {
    /// Whether what is said now would be kept. Why not is for operators: it may name what clients need not know.
    pub(super) fn is_reachable(&self) -> Result<(), Wrong> {
        match self.outside.as_ref().and_then(|outside| outside.deaf.as_ref()) {
            Some(_) => Err((Fault::Unavailable, UNREACHABLE.into())),
            None => Ok(()),
        }
    }

    pub(super) fn publish_outside(
        &mut self,
        publish: Publish,
        asker: Asker<Receipt>,
        out: &mut impl Deliver<L>,
    ) {
        self.publishes += 1;
        let from = publish.from.as_ref().map_or(0, |from| quote(from).len());
        let size = publish.data.len() + from + FIELDS;
        let possible = self.is_reachable().and_then(|()| match publish.rules.bytes < size {
            true => Err(too_large(publish.rules.bytes)),
            false => self.check_told(&publish),
        });
        if let Err(wrong) = possible {
            return self.refuse(asker, wrong, out);
        }
        self.begin(&asker, false);
        if let Some(outside) = &mut self.outside {
            let ticket = outside.ticket(Awaited::Publish { asker, room: publish.room.clone() });
            out.order(Order::Publish { ticket, publish });
        }
    }

    /// To all connections of the user, here and at other servers.
    pub(super) fn direct_outside(
        &mut self,
        to: &Name,
        text: &str,
        asker: Asker<usize>,
        out: &mut impl Deliver<L>,
    ) {
        if let Err(wrong) = self.is_reachable() {
            return self.refuse(asker, wrong, out);
        }
        let here = self.say_to_user(to, text, out);
        self.tell_user(to, notes::text(text), here, asker, out);
    }

    /// To the user's connections at other servers; so many here have it already.
    pub(super) fn tell_user(
        &mut self,
        to: &Name,
        note: Bytes,
        here: usize,
        asker: Asker<usize>,
        out: &mut impl Deliver<L>,
    ) {
        self.begin(&asker, true);
        if let Some(outside) = &mut self.outside {
            let ticket = Some(outside.ticket(Awaited::Direct { asker, to: to.clone(), here }));
            out.order(Order::Tell { ticket, to: Address::User(to.clone()), note });
        }
    }

    fn begin<T>(&mut self, asker: &Asker<T>, stands: bool) {
        if let Asker::Client { id, .. } = asker {
            self.await_answer(*id, stands);
        }
    }

    fn refuse<T>(&mut self, asker: Asker<T>, wrong: Wrong, out: &mut impl Deliver<L>) {
        match asker {
            Asker::Client { id, tag } => self.reply_in_line(id, tag.as_ref(), Err(wrong), out),
            #[cfg(feature = "protocol")]
            Asker::Call(answer) => answer.give(Err(wrong)),
            Asker::Nobody(_) => {}
        }
    }

    /// Gives the answer, in the words of whoever asked.
    fn resolve<T>(
        &mut self,
        now: Now,
        asker: Asker<T>,
        result: Result<T, String>,
        text: impl FnOnce(Option<&Json>, T) -> Result<String, Wrong>,
        out: &mut impl Deliver<L>,
    ) {
        let result = result.map_err(|why| (Fault::Unavailable, format!("{why}; try again")));
        match asker {
            Asker::Client { id, tag } => {
                let reply = result.and_then(|value| text(tag.as_ref(), value)).map(Some);
                self.reply(id, tag.as_ref(), reply, out);
                self.answered(now, id, out);
            }
            #[cfg(feature = "protocol")]
            Asker::Call(answer) => answer.give(result),
            Asker::Nobody(_) => {}
        }
    }

    /// A ticket for what is sent to a nick: `frames` go to the connection if nobody anywhere has it.
    pub(super) fn otherwise(&mut self, id: ConnectionId, frames: Bytes) -> Option<Ticket> {
        self.outside.as_mut().map(|outside| outside.ticket(Awaited::Otherwise { id, frames }))
    }

    /// What an engine tells, but for notes. Frames that one connection is to get.
    pub(super) fn notice(
        &mut self,
        now: Now,
        notice: Notice,
        out: &mut impl Deliver<L>,
    ) -> Option<(ConnectionId, Bytes)> {
        match notice {
            Notice::Published { ticket, result } => self.published(now, ticket, result, out),
            Notice::Message { room, epoch, message } => {
                self.heard(now, &room, &epoch, message, out);
                self.go_on(now, &room, false, out);
            }
            Notice::State { room, epoch, offset, messages, members } => {
                self.state(now, &room, (&epoch, offset), messages, out);
                self.meet(now, &room, &members, out);
                self.admit(now, &room, out);
                self.go_on(now, &room, false, out);
            }
            Notice::Unavailable { room } => {
                // What comes next, if anything does, is a reason to ask again.
                self.topics.get_mut(&room).into_iter().for_each(|topic| topic.asked_again = false);
                self.turn_away(
                    now,
                    &room,
                    "what the server keeps of this room cannot be read for now; try again",
                    out,
                );
                self.go_on(now, &room, true, out);
            }
            Notice::Told { ticket, result } => return self.told(now, ticket, result, out),
            Notice::Presence { room, member, left } => self.elsewhere(now, &room, &member, left, out),
            Notice::Gone { node } => self.gone_node(now, &node, out),
            Notice::Deaf { why } => self.deaf(now, &why, out),
            Notice::Hearing => {
                self.outside.iter_mut().for_each(|outside| outside.deaf = None);
            }
            Notice::Note { .. } => {}
        }
        None
    }

    fn published(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<Receipt, String>,
        out: &mut impl Deliver<L>,
    ) {
        let awaited = self.outside.as_mut().and_then(|outside| outside.awaited.remove(&ticket));
        if let Some(Awaited::Publish { asker, room }) = awaited {
            self.acknowledged += u64::from(result.is_ok());
            if let (Asker::Client { id, .. }, Ok(at)) = (&asker, &result) {
                self.await_message(*id, &room, at);
            }
            let text = |tag: Option<&Json>, at: Receipt| Ok(published(tag, &room, &at.epoch, at.offset));
            self.resolve(now, asker, result, text, out);
        }
    }

    fn told(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<usize, String>,
        out: &mut impl Deliver<L>,
    ) -> Option<(ConnectionId, Bytes)> {
        match self.outside.as_mut()?.awaited.remove(&ticket)? {
            Awaited::Otherwise { id, frames } => return (result == Ok(0)).then_some((id, frames)),
            Awaited::Direct { asker, to, here } => {
                let all = result.map(|elsewhere| here + elsewhere);
                self.resolve(now, asker, all, |tag, connections| sent(tag, &to, connections), out);
            }
            Awaited::Publish { .. } => {}
        }
        None
    }

    /// Something was said in a room that is open here.
    fn heard(&mut self, now: Now, room: &Name, epoch: &Name, message: Stored, out: &mut impl Deliver<L>) {
        let Some(topic) = self.topics.get_mut(room).filter(|topic| topic.waiters.is_none()) else { return };
        let is_same = topic.history.epoch() == &**epoch;
        if is_same && message.offset <= topic.history.offset() {
            return;
        }
        if is_same && message.offset == topic.history.offset() + 1 {
            topic.asked_again = false;
            self.take_in(now, room, message, true, out);
        } else if !std::mem::replace(&mut topic.asked_again, true) {
            // Something was missed.
            out.order(Order::Open { room: room.clone(), rules: self.rules.of(room).clone() });
        }
    }

    /// What there is of a room. Members get what they have not seen; when that has a hole, they are told.
    fn state(
        &mut self,
        now: Now,
        room: &Name,
        (epoch, offset): (&Name, u64),
        mut messages: Vec<Stored>,
        out: &mut impl Deliver<L>,
    ) {
        let Some(topic) = self.topics.get_mut(room) else { return };
        topic.asked_again = false;
        let is_open = topic.waiters.is_none();
        if is_open && topic.history.epoch() == &**epoch {
            messages.retain(|message| topic.history.offset() < message.offset);
        }
        let start = messages.first().map_or(offset, |first| first.offset - 1);
        let goes_on = topic.history.epoch() == &**epoch && start <= topic.history.offset();
        if is_open && goes_on {
            return messages.into_iter().for_each(|message| self.take_in(now, room, message, true, out));
        }
        // An engine that has begun a new epoch may still have what was said before: nobody is told it twice.
        let seen = messages.iter().rposition(|message| topic.history.has(message)).map_or(0, |at| at + 1);
        let before = topic.history.kept();
        topic.history = History::at(epoch, start);
        self.count(before, (0, 0));
        let new = messages.split_off(seen);
        messages.into_iter().for_each(|message| self.take_in(now, room, message, false, out));
        if is_open {
            self.tell_gap(room, out);
        }
        new.into_iter().for_each(|message| self.take_in(now, room, message, is_open, out));
    }

    fn tell_gap(&mut self, room: &Name, out: &mut impl Deliver<L>) {
        if let Some(text) = self.topics.get(room).map(|topic| topic.gap(room)) {
            self.send(room, &text, None, out);
        }
    }

    fn take_in(&mut self, now: Now, room: &Name, message: Stored, tell: bool, out: &mut impl Deliver<L>) {
        let Some(topic) = self.topics.get_mut(room) else { return };
        let text = topic.message(room, &message);
        let before = topic.history.kept();
        topic.history.adopt(now, message, None);
        topic.history.trim(now.instant, self.rules.of(room));
        let after = topic.history.kept();
        self.count(before, after);
        if tell {
            self.send(room, &text, None, out);
        }
        self.came_in(room, out);
    }

    /// Who waited for the room's state is let in.
    fn admit(&mut self, now: Now, room: &Name, out: &mut impl Deliver<L>) {
        let waiters = self.topics.get_mut(room).and_then(|topic| topic.waiters.take());
        let mut let_in = Vec::new();
        for waiter in waiters.into_iter().flatten() {
            match waiter {
                Waiter::Join(joiner) => {
                    let text = self.join_open(room, &joiner, out);
                    self.reply(joiner.id, joiner.tag.as_ref(), Ok(text), out);
                    let_in.push(joiner.id);
                }
                #[cfg(feature = "protocol")]
                Waiter::Look(answer) => answer.give(Ok(self.seen(room))),
            }
        }
        // Only now: one may leave at once, and the room must not end before the others are in it.
        let_in.into_iter().for_each(|id| self.answered(now, id, out));
        self.drop_if_void(room, out);
    }

    /// Who waits for the engine is told that it is not to be waited for.
    fn deaf(&mut self, now: Now, why: &str, out: &mut impl Deliver<L>) {
        let Some(outside) = &mut self.outside else { return };
        outside.deaf = Some(why.into());
        let rooms: Vec<Name> = self.topics.keys().cloned().collect();
        for room in &rooms {
            self.go_on(now, room, true, out);
            self.turn_away(now, room, UNREACHABLE, out);
        }
    }

    /// Who waits for the room's state is told that it is not to be waited for. A room that is open here already stays.
    fn turn_away(&mut self, now: Now, room: &Name, why: &str, out: &mut impl Deliver<L>) {
        let Some(waiters) = self.topics.get_mut(room).and_then(|topic| topic.waiters.take()) else { return };
        // Nobody is in it yet; whoever asks for it next asks the engine anew.
        self.topics.remove(room);
        out.order(Order::Close { room: room.clone() });
        for waiter in waiters {
            let wrong = (Fault::Unavailable, why.into());
            match waiter {
                Waiter::Join(joiner) => {
                    self.reply(joiner.id, joiner.tag.as_ref(), Err(wrong), out);
                    self.answered(now, joiner.id, out);
                }
                #[cfg(feature = "protocol")]
                Waiter::Look(answer) => answer.give(Err(wrong)),
            }
        }
    }
}
