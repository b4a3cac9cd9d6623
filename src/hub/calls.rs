//! What the program asks of the hub, and is answered: publishing without a connection, messages to a user or to
//! everybody, the end of a user's connections, and how things stand.
//!
//! An answer may come later than the turn that brought the call; whoever asked is called back with it.

use super::protocol::{Fault, Json, Text};
use super::topic::{Now, Topic};
use super::topics::Topics;
use super::{ConnectionId, Deliver, Frames, Hub, Name};
use std::collections::BTreeSet;
use std::fmt;
use tungstenite::Bytes;

/// One question.
#[derive(Debug)]
pub(crate) enum Call {
    /// A message that is nobody's, to a room.
    Publish {
        room: Name,
        data: Json,
        key: Option<String>,
        answer: Answer<Place>,
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
        answer: Answer<Option<(Standing, Members)>>,
    },
    Totals {
        answer: Answer<Totals>,
    },
}

/// Called once with what was asked for, or why not. Must not block.
pub(crate) struct Answer<T>(Box<AnswerFn<T>>);

type AnswerFn<T> = dyn FnOnce(Result<T, (Fault, String)>) + Send;

/// Where a message lies in its room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: Json,
    pub(crate) offset: u64,
}

/// How a room stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) room: Name,
    pub(crate) users: usize,
    pub(crate) connections: usize,
    /// The newest message's.
    pub(crate) place: Place,
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
    pub(crate) fn new(answer: impl FnOnce(Result<T, (Fault, String)>) + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    pub(super) fn give(self, result: Result<T, (Fault, String)>) {
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
            Self::Rooms { .. } | Self::Room { .. } | Self::Totals { .. } => 0,
        }
    }
}

impl<L: Clone> Hub<L> {
    pub(super) fn call(&mut self, now: Now, call: Call, out: &mut impl Deliver<L>) {
        match call {
            Call::Publish { room, data, key, answer } => {
                self.topics.publish_for(now, &room, &data, key.as_deref(), answer, out);
            }
            Call::Broadcast { protocol, plain, answer } => {
                answer.give(Ok(self.broadcast_by_kind(&protocol, &plain, out)));
            }
            Call::Direct { to, data, answer } => {
                answer.give(Ok(self.topics.deliver_direct(now, None, &to, &data, out)));
            }
            Call::Kick { user, reason, frame, answer } => {
                answer.give(Ok(self.kick(now, &user, &reason, &frame, out)));
            }
            Call::Rooms { answer } => {
                let standings = self.topics.topics.iter().map(|(room, topic)| standing(room, topic));
                answer.give(Ok(standings.collect()));
            }
            Call::Room { room, answer } => {
                let found = self.topics.topics.get(&room).map(|topic| {
                    let members = topic.users().map(|(user, connections)| (user.clone(), connections));
                    (standing(&room, topic), members.collect())
                });
                answer.give(Ok(found));
            }
            Call::Totals { answer } => {
                let (users, rooms) = (self.topics.people.len(), self.topics.topics.len());
                answer.give(Ok(Totals { connections: self.connections.len(), users, rooms }));
            }
        }
    }

    /// Clients of `switchboard.v1` get it when they are in a room, all others in any case.
    fn broadcast_by_kind(&mut self, protocol: &Frames, plain: &Frames, out: &mut impl Deliver<L>) -> usize {
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
    fn kick(
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
}

impl<L: Clone> Topics<L> {
    fn publish_for(
        &mut self,
        now: Now,
        room: &Name,
        data: &str,
        key: Option<&str>,
        answer: Answer<Place>,
        out: &mut impl Deliver<L>,
    ) {
        // Before: a history that may keep nothing is gone with its message.
        let epoch: Json = self.topic(room, now.instant).epoch().into();
        let published = self.publish(now, room, None, data, key, out);
        answer.give(published.map(|offset| Place { epoch, offset }));
    }
}

fn standing<L>(room: &Name, topic: &Topic<L>) -> Standing {
    let place = Place { epoch: topic.epoch().into(), offset: topic.offset() };
    let connections = topic.users().map(|(_, connections)| connections).sum();
    Standing { room: room.clone(), users: topic.users().len(), connections, place }
}

#[cfg(test)]
mod tests;
