//! What the program asks of the hub, and is answered: publishing without a connection, messages to a user or to
//! everybody, the end of a user's connections, and how things stand.
//!
//! An answer may come later than the turn that brought the call; whoever asked is called back with it.

use super::engine::{Address, Order, Publish, Receipt};
use super::history::Now;
use super::outside::Asker;
use super::protocol::{Json, Text};
use super::requests::Wrong;
use super::topic::{Topic, Waiter};
use super::topics::Topics;
use super::{ConnectionId, Deliver, Frames, Hub, Name, notes};
use std::collections::BTreeSet;
use std::fmt;
use tungstenite::Bytes;

/// One question.
#[cfg_attr(not(feature = "auth"), allow(dead_code, reason = "some are asked by the server API only"))]
#[derive(Debug)]
pub(crate) enum Call {
    /// A message that is nobody's, to a room.
    Publish {
        room: Name,
        data: Json,
        key: Option<String>,
        answer: Answer<Receipt>,
    },
    /// To every connection, in the way of its kind; how many there are.
    Broadcast {
        protocol: Frames,
        plain: Frames,
        answer: Answer<usize>,
    },
    /// A message that is nobody's, to all connections of a user; how many there are.
    Direct {
        to: Name,
        data: Json,
        answer: Answer<usize>,
    },
    /// The end of all connections of a user; how many there were.
    Kick {
        user: Name,
        reason: String,
        frame: Bytes,
        answer: Answer<usize>,
    },
    Rooms {
        answer: Answer<Vec<Standing>>,
    },
    /// One room and who is in it; `None`: there is no such room.
    Room {
        room: Name,
        answer: Answer<Seen>,
    },
    Totals {
        answer: Answer<Totals>,
    },
    /// Whether everything is answered that the connection has asked before: it is told when that is so, or never when the
    /// connection has ended.
    Settle {
        id: ConnectionId,
        answer: Answer<()>,
    },
}

/// Called once with what was asked for, or why not. Must not block.
pub(crate) struct Answer<T>(Box<AnswerFn<T>>);

type AnswerFn<T> = dyn FnOnce(Result<T, Wrong>) + Send;

/// How a room stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) room: Name,
    pub(crate) users: usize,
    pub(crate) connections: usize,
    /// The newest message's.
    pub(crate) place: Receipt,
}

/// Who is in a room, with how many connections.
pub(crate) type Members = Vec<(Name, usize)>;

/// How much there is: of connections all, of users and rooms those of `switchboard.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) rooms: usize,
}

impl<T> Answer<T> {
    pub(crate) fn new(answer: impl FnOnce(Result<T, Wrong>) + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    pub(super) fn give(self, result: Result<T, Wrong>) {
        (self.0)(result);
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Call {
    /// Bytes of payload that it keeps in memory.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Publish { data, .. } | Self::Direct { data, .. } => data.len(),
            Self::Broadcast { protocol, plain, .. } => protocol.len() + plain.len(),
            Self::Kick { reason, .. } => reason.len(),
            Self::Rooms { .. } | Self::Room { .. } | Self::Totals { .. } | Self::Settle { .. } => 0,
        }
    }
}

impl<L: Clone> Hub<L> {
    pub(super) fn call(&mut self, now: Now, call: Call, out: &mut impl Deliver<L>) {
        match call {
            Call::Publish { room, data, key, answer } => {
                self.topics.publish_for(now, room, (data, key), answer, out);
            }
            Call::Broadcast { protocol, plain, answer } => {
                if self.topics.is_shared() {
                    // All or nobody: who tries again would tell some of them twice.
                    if let Err(wrong) = self.topics.is_reachable() {
                        return answer.give(Err(wrong));
                    }
                    let note = notes::announce(&protocol.plain, &plain.plain);
                    out.order(Order::Tell { ticket: None, to: Address::Everyone, note });
                }
                answer.give(Ok(self.broadcast_by_kind(&protocol, &plain, out)));
            }
            Call::Direct { to, data, answer } => {
                let text = match self.topics.direct_text(now, None, &data) {
                    Ok(text) => text,
                    Err(wrong) => return answer.give(Err(wrong)),
                };
                if self.topics.is_shared() {
                    self.topics.direct_outside(&to, &text, Asker::Call(answer), out);
                } else {
                    answer.give(Ok(self.topics.say_to_user(&to, &text, out)));
                }
            }
            Call::Kick { user, reason, frame, answer } => {
                let here = self.kick(now, &user, &reason, &frame, out);
                if self.topics.is_shared() {
                    self.kick_elsewhere(&user, notes::kick(&user, &reason, &frame), here, answer, out);
                } else {
                    answer.give(Ok(here));
                }
            }
            Call::Rooms { answer } => {
                let known = self.topics.topics.iter().filter(|(_, topic)| topic.waiters.is_none());
                answer.give(Ok(known.map(|(room, topic)| standing(room, topic)).collect()));
            }
            Call::Room { room, answer } => self.topics.look(now, &room, answer, out),
            Call::Settle { id, answer } => self.topics.settle(id, answer, out),
            Call::Totals { answer } => {
                let (users, rooms) = (self.topics.people.len(), self.topics.topics.len());
                answer.give(Ok(Totals { connections: self.connections.len(), users, rooms }));
            }
        }
    }

    /// Clients of `switchboard.v1` get it when they are in a room, all others in any case.
    pub(super) fn broadcast_by_kind(
        &mut self,
        protocol: &Frames,
        plain: &Frames,
        out: &mut impl Deliver<L>,
    ) -> usize {
        self.end_turn(out);
        let clients = &self.topics.clients;
        let is_in_room = |id| clients.get(id).is_some_and(|client| !client.rooms.is_empty());
        let mut reached = 0;
        for (id, to) in self.connections.iter().filter(|(_, to)| !to.told_to_close) {
            let frames = match to.protocol {
                false => plain,
                true if is_in_room(id) => protocol,
                true => continue,
            };
            out.deliver(&to.line, frames.fit(to.compressed));
            reached += 1;
        }
        reached
    }

    /// A user is who a client of `switchboard.v1` is, and who a connection has proved to be. What a handler calls its
    /// connection otherwise is its own affair.
    pub(super) fn kick(
        &mut self,
        now: Now,
        user: &Name,
        reason: &str,
        frame: &Bytes,
        out: &mut impl Deliver<L>,
    ) -> usize {
        self.end_turn(out);
        let clients = self.topics.people.get(user).into_iter().flatten().copied();
        // The owner is looked for among all: a rare request is not worth an index that each connection keeps.
        let owned = self.connections.iter().filter(|(_, connection)| connection.owner.as_ref() == Some(user));
        let all: BTreeSet<ConnectionId> = clients.chain(owned.map(|(id, _)| *id)).collect();
        let told = out.encode(&Text::new("kicked", None).string("reason", reason).end());
        let mut kicked = 0;
        for id in all {
            let Some(to) = self.connections.get_mut(&id).filter(|to| !to.told_to_close) else { continue };
            if self.topics.clients.contains_key(&id) {
                out.deliver(&to.line, told.fit(to.compressed));
            }
            out.close(&to.line, frame);
            to.told_to_close = true;
            // It gets nothing more, and is no member any longer.
            self.topics.gone(now, id, out);
            kicked += 1;
        }
        kicked
    }

    fn kick_elsewhere(
        &mut self,
        user: &Name,
        note: Bytes,
        here: usize,
        answer: Answer<usize>,
        out: &mut impl Deliver<L>,
    ) {
        if let Err(wrong) = self.topics.is_reachable() {
            return answer.give(Err(wrong));
        }
        // The first finds and counts those of `switchboard.v1`; only the second comes to servers where the user has no other
        // than plain ones.
        self.topics.tell_user(user, note.clone(), here, Asker::Call(answer), out);
        out.order(Order::Tell { ticket: None, to: Address::Everyone, note });
    }
}

impl<L: Clone> Topics<L> {
    fn publish_for(
        &mut self,
        now: Now,
        room: Name,
        (data, key): (Json, Option<String>),
        answer: Answer<Receipt>,
        out: &mut impl Deliver<L>,
    ) {
        let rules = self.rules.of(&room).clone();
        let publish = Publish { room, from: None, data, key, time: now.unix_ms, rules };
        if self.outside.is_some() {
            return self.publish_outside(publish, Asker::Call(answer), out);
        }
        answer.give(self.publish_here(now, &publish, out));
    }

    /// A room and who is in it. One that is kept elsewhere is looked at there.
    fn look(&mut self, now: Now, room: &Name, answer: Answer<Seen>, out: &mut impl Deliver<L>) {
        if self.outside.is_some() && !self.topics.contains_key(room) {
            if let Err(wrong) = self.is_reachable() {
                return answer.give(Err(wrong));
            }
            self.topic(room, now.instant, out);
        }
        match self.topics.get_mut(room).map(|topic| &mut topic.waiters) {
            Some(Some(waiters)) => waiters.push(Waiter::Look(answer)),
            _ => answer.give(Ok(self.seen(room))),
        }
    }

    /// A room that has anything to show.
    pub(super) fn seen(&self, room: &Name) -> Seen {
        let topic = self.topics.get(room)?;
        let members: Members = topic.users().map(|(user, connections)| (user.clone(), connections)).collect();
        (0 < topic.history.offset() || !members.is_empty()).then(|| (standing(room, topic), members))
    }
}

/// A room and its members, if there is one.
pub(crate) type Seen = Option<(Standing, Members)>;

fn standing<L>(room: &Name, topic: &Topic<L>) -> Standing {
    let place = Receipt { epoch: topic.history.epoch_name(), offset: topic.history.offset() };
    let connections = topic.users().map(|(_, connections)| connections).sum();
    Standing { room: room.clone(), users: topic.users().len(), connections, place }
}

#[cfg(test)]
mod tests;
