//! What clients of `switchboard.v1` ask for, carried out one after another.

use super::protocol::{Ask, Fault, Json, Since, Text, error, quote};
use super::topic::{Now, Published, Topic};
use super::topics::Topics;
use super::{ConnectionId, Deliver, Name};

/// A text, or nothing when the connection is gone; or why not.
type Reply = Result<Option<String>, (Fault, String)>;

impl<L: Clone> Topics<L> {
    pub(super) fn ask(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        ask: Ask,
        out: &mut impl Deliver<L>,
    ) {
        if !self.clients.contains_key(&id) {
            return;
        }
        let reply = match ask {
            Ask::Join { room, since, history } => {
                self.join(now, id, tag, &room, since.as_ref(), history, out)
            }
            Ask::Leave { room } => self.leave(id, tag, &room, out),
            Ask::Publish { room, data, key } => {
                let from = self.clients[&id].user.clone();
                self.publish_from(now, id, &from, tag, &room, &data, key.as_deref(), out)
            }
            Ask::Direct { to, data } => self.direct(now, id, tag, &to, &data, out),
            Ask::Members { room } => self.of_member(id, &room, out, |topic| topic.members(tag, &room)),
            Ask::History { room, before, after, limit } => {
                let most = self.rules.of(&room).messages;
                self.trim(&room, now.instant);
                self.of_member(id, &room, out, |topic| {
                    let page = topic.history(before, after, limit.unwrap_or(most).min(most));
                    let text = Text::new("history", tag).string("room", &room).raw("epoch", topic.epoch());
                    text.list("messages", page.elements.into_iter()).bool("more", page.more).end()
                })
            }
            Ask::Ping => Ok(Some(Text::new("pong", tag).number("time", now.unix_ms).end())),
        };
        match reply {
            // Without an `id` only errors are replied.
            Ok(reply) => {
                if let Some(text) = reply.filter(|_| tag.is_some()) {
                    self.say(id, &text, out);
                }
            }
            Err((fault, message)) => self.say(id, &error(tag, &fault, &message), out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    fn join(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        room: &Name,
        since: Option<&Since>,
        history: Option<usize>,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let most = self.rules.rooms;
        let Some(client) = self.clients.get_mut(&id) else { return Ok(None) };
        let is_member = client.rooms.contains(room);
        if !is_member && most <= client.rooms.len() {
            let message =
                format!("a connection may be in {most} rooms at once; leave one before joining another");
            return Err((Fault::TooManyRooms, message));
        }
        let (user, line, compressed) = (client.user.clone(), client.line.clone(), client.compressed);
        if !is_member {
            client.rooms.push(room.clone());
        }
        self.trim(room, now.instant);
        let topic = self.topic(room, now.instant);
        // What was said before is in the reply, if it was asked for.
        topic.room.deliver(out);
        if !is_member {
            let is_new = topic.enter(&user);
            topic.room.join(id, line, compressed, None);
            if is_new {
                self.announce(room, &user, "join", Some(id), out);
                self.topics.get_mut(room).into_iter().for_each(|topic| topic.room.deliver(out));
            }
        }
        Ok(self.topics.get(room).map(|topic| topic.joined(tag, room, since, history)))
    }

    fn leave(
        &mut self,
        id: ConnectionId,
        tag: Option<&Json>,
        room: &Name,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(None) };
        if !client.rooms.contains(room) {
            return Err(not_member(room));
        }
        client.rooms.retain(|other| other != room);
        let user = client.user.clone();
        self.remove(id, &user, room, None, out);
        Ok(Some(Text::new("left", tag).string("room", room).end()))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    fn publish_from(
        &mut self,
        now: Now,
        id: ConnectionId,
        from: &Name,
        tag: Option<&Json>,
        room: &Name,
        data: &str,
        key: Option<&str>,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let is_member = self.topics.get(room).is_some_and(|topic| topic.has(id));
        if self.rules.of(room).members_publish && !is_member {
            return Err(not_member(room));
        }
        let offset = self.publish(now, room, Some(from), data, key, out)?;
        Ok(self.topics.get(room).map(|topic| topic.published(tag, room, offset)))
    }

    /// The message's offset, once it is in the history.
    pub(super) fn publish(
        &mut self,
        now: Now,
        room: &Name,
        from: Option<&str>,
        data: &str,
        key: Option<&str>,
        out: &mut impl Deliver<L>,
    ) -> Result<u64, (Fault, String)> {
        let rules = self.rules.of(room).clone();
        let topic = self.topic(room, now.instant);
        let before = topic.kept();
        let published = topic.publish(now, room, from, data, key, &rules);
        let after = topic.kept();
        self.count(before, after);
        match published {
            Published::Before { offset } => Ok(offset),
            Published::TooLarge => {
                self.drop_if_void(room);
                let message =
                    format!("the room keeps {} bytes, and this is more; send less at once", rules.bytes);
                Err((Fault::TooLarge, message))
            }
            Published::New { offset, text } => {
                self.order.push_back((room.clone(), offset));
                self.send(room, &text, None, out);
                self.make_room();
                Ok(offset)
            }
        }
    }

    fn direct(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        to: &Name,
        data: &str,
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let from = self.clients.get(&id).map(|client| client.user.clone());
        let connections = self.deliver_direct(now, from.as_deref(), to, data, out);
        if connections == 0 {
            return Err((Fault::NoSuchUser, "this user is not connected".into()));
        }
        let text = Text::new("sent", tag).string("to", to);
        Ok(Some(text.number("connections", connections as u64).end()))
    }

    /// To all connections of a user; how many there are.
    pub(super) fn deliver_direct(
        &mut self,
        now: Now,
        from: Option<&str>,
        to: &Name,
        data: &str,
        out: &mut impl Deliver<L>,
    ) -> usize {
        let Some(ids) = self.people.get(to) else { return 0 };
        let from = from.map_or("null".into(), quote);
        let text = Text::new("direct", None).raw("from", &from).raw("data", data);
        let frames = out.encode(&text.number("time", now.unix_ms).end());
        for client in ids.iter().filter_map(|id| self.clients.get(id)) {
            out.deliver(&client.line, frames.fit(client.compressed));
        }
        ids.len()
    }

    fn of_member(
        &mut self,
        id: ConnectionId,
        room: &Name,
        out: &mut impl Deliver<L>,
        text: impl FnOnce(&Topic<L>) -> String,
    ) -> Reply {
        let topic =
            self.topics.get_mut(room).filter(|topic| topic.has(id)).ok_or_else(|| not_member(room))?;
        // What the reply counts as said has been delivered.
        topic.room.deliver(out);
        Ok(Some(text(topic)))
    }
}

fn not_member(room: &str) -> (Fault, String) {
    (Fault::NotMember, format!("join the room `{room}` first"))
}
