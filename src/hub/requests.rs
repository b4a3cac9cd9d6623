//! What clients of `switchboard.v1` ask for, carried out one after another.

use super::engine::{Name, Publish, Receipt};
use super::history::{Now, Published};
use super::outside::Asker;
use super::protocol::{Ask, Fault, Json, Text, error, quote};
use super::topic::{Joiner, Topic, Waiter, published};
use super::topics::Topics;
use super::{ConnectionId, Deliver};

/// A text; nothing when the connection is gone or the answer comes later; or why not.
type Reply = Result<Option<String>, Wrong>;

/// What clients take at once, if nobody has told them otherwise: a common default, and ours.
const TAKEN: usize = 1024 * 1024;
/// What the answer to a `join` has, at most, besides its room, its one message, and the data and sender of that: a tag, an
/// epoch, a user, the names of fields.
const AROUND: usize = 640;

pub(super) type Wrong = (Fault, String);

impl<L: Clone> Topics<L> {
    /// A request, behind those of the same connection that an engine has not answered yet.
    pub(super) fn ask(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        ask: Ask,
        out: &mut impl Deliver<L>,
    ) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.may_go(&ask) {
            self.carry_out(now, id, tag, ask, out);
        } else if let Err(wrong) = client.wait(tag.cloned(), ask) {
            self.reply(id, tag, Err(wrong), out);
        }
    }

    pub(super) fn carry_out(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        ask: Ask,
        out: &mut impl Deliver<L>,
    ) {
        let reply = match ask {
            Ask::Join { room, since, history } => {
                self.join(now, &room, Joiner { id, tag: tag.cloned(), since, history }, out)
            }
            Ask::Leave { room } => self.leave(id, tag, &room, out),
            Ask::Publish { room, data, key } => self.publish_from(now, id, tag, &room, (data, key), out),
            Ask::Direct { to, data } => self.direct(now, id, tag, &to, &data, out),
            Ask::Members { room } => {
                let (bytes, user) =
                    (self.rules.reply, self.clients.get(&id).map(|client| client.user.clone()));
                let user = user.unwrap_or_default();
                self.of_member(id, &room, out, |topic| topic.members(tag, (&room, &user), bytes))
            }
            Ask::History { room, before, after, limit } => {
                let most = self.rules.of(&room).messages;
                let limit = (limit.unwrap_or(most).min(most), self.rules.reply);
                self.trim(&room, now.instant);
                self.of_member(id, &room, out, |topic| topic.page(tag, &room, (before, after), limit))
            }
            Ask::Ping => {
                self.end_turn(out);
                Ok(Some(Text::new("pong", tag).number("time", now.unix_ms).end()))
            }
            Ask::Refused(fault, why) => Err((fault, why)),
        };
        self.reply_in_line(id, tag, reply, out);
    }

    /// An error waits for what an engine still owes the connection; all else comes in its place by itself.
    pub(super) fn reply_in_line(
        &mut self,
        id: ConnectionId,
        tag: Option<&Json>,
        reply: Reply,
        out: &mut impl Deliver<L>,
    ) {
        match (reply, self.clients.get_mut(&id)) {
            (Err((fault, why)), Some(client)) if 0 < client.unanswered => {
                client.wait_first(tag.cloned(), Ask::Refused(fault, why));
            }
            (reply, _) => self.reply(id, tag, reply, out),
        }
    }

    /// Without an `id` only errors are replied.
    pub(super) fn reply(
        &self,
        id: ConnectionId,
        tag: Option<&Json>,
        reply: Reply,
        out: &mut impl Deliver<L>,
    ) {
        match reply {
            Ok(reply) => {
                if let Some(text) = reply.filter(|_| tag.is_some()) {
                    self.say(id, &text, out);
                }
            }
            Err((fault, message)) => self.say(id, &error(tag, &fault, &message), out),
        }
    }

    fn join(&mut self, now: Now, room: &Name, joiner: Joiner, out: &mut impl Deliver<L>) -> Reply {
        let most = self.rules.rooms;
        let Some(client) = self.clients.get_mut(&joiner.id) else { return Ok(None) };
        if !client.rooms.contains(room) && most <= client.rooms.len() {
            let message =
                format!("a connection may be in {most} rooms at once; leave one before joining another");
            return Err((Fault::TooManyRooms, message));
        }
        self.is_reachable()?;
        self.trim(room, now.instant);
        let topic = self.topic(room, now.instant, out);
        if let Some(waiters) = &mut topic.waiters {
            let id = joiner.id;
            waiters.push(Waiter::Join(joiner));
            self.await_answer(id, true);
            return Ok(None);
        }
        Ok(self.join_open(room, &joiner, out))
    }

    /// Into a room of which is known what there is.
    pub(super) fn join_open(
        &mut self,
        room: &Name,
        joiner: &Joiner,
        out: &mut impl Deliver<L>,
    ) -> Option<String> {
        let client = self.clients.get_mut(&joiner.id)?;
        let is_member = client.rooms.contains(room);
        let (user, line, compressed) = (client.user.clone(), client.line.clone(), client.compressed);
        if !is_member {
            client.rooms.push(room.clone());
        }
        let topic = self.topics.get_mut(room)?;
        if is_member {
            // What the reply counts as said has been delivered.
            topic.room.deliver(out);
        } else {
            let change = topic.enter(&user);
            // What was said before is in the reply, if it was asked for.
            topic.room.join(joiner.id, line, compressed, None, out);
            self.changed(room, &user, change, Some(joiner.id), out);
            self.tell_presence(room, &user, false, out);
        }
        let topic = self.topics.get(room)?;
        Some(topic.joined(joiner, (room, &user), self.rules.reply))
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

    fn publish_from(
        &mut self,
        now: Now,
        id: ConnectionId,
        tag: Option<&Json>,
        room: &Name,
        (data, key): (Json, Option<String>),
        out: &mut impl Deliver<L>,
    ) -> Reply {
        let rules = self.rules.of(room).clone();
        let is_member = self.topics.get(room).is_some_and(|topic| topic.has(id));
        if rules.members_publish && !is_member {
            return Err(not_member(room));
        }
        let from = self.clients.get(&id).map(|client| client.user.clone());
        let publish = Publish { room: room.clone(), from, data, key, time: now.unix_ms, rules };
        if self.outside.is_some() {
            self.publish_outside(publish, Asker::Client { id, tag: tag.cloned() }, out);
            return Ok(None);
        }
        let at = self.publish_here(now, &publish, out)?;
        Ok(Some(published(tag, room, &at.epoch, at.offset)))
    }

    /// Whether members take what they are told of it, in the answer to a `join` too. Those who do not would leave, come back, and
    /// be told it again.
    pub(super) fn check_told(&self, publish: &Publish) -> Result<(), Wrong> {
        let names = publish.room.len() + publish.from.as_ref().map_or(0, |from| from.len());
        // A name of quotes is twice as long in JSON.
        self.check_size(publish.data.len() + 2 * names + AROUND)
    }

    fn check_size(&self, told: usize) -> Result<(), Wrong> {
        let most = self.rules.reply.max(TAKEN);
        if told <= most {
            return Ok(());
        }
        let reason = format!(
            "what others would be told is more than {most} bytes, which many do not take; send less at once"
        );
        Err((Fault::TooLarge, reason))
    }

    /// What the connections of a user are told, unless it is more than a message may be.
    pub(super) fn direct_text(&self, now: Now, from: Option<&str>, data: &str) -> Result<String, Wrong> {
        let text = direct(now, from, data);
        self.check_size(text.len()).map(|()| text)
    }

    /// Where the message is, once it is in the hub's own history.
    pub(super) fn publish_here(
        &mut self,
        now: Now,
        publish: &Publish,
        out: &mut impl Deliver<L>,
    ) -> Result<Receipt, Wrong> {
        self.publishes += 1;
        self.check_told(publish)?;
        let room = publish.room.clone();
        let topic = self.topic(&room, now.instant, out);
        let before = topic.history.kept();
        let published = topic.publish(now, publish);
        let (after, epoch) = (topic.history.kept(), topic.history.epoch_name());
        self.count(before, after);
        match published {
            Published::Before { offset } => {
                self.acknowledged += 1;
                Ok(Receipt { epoch, offset })
            }
            Published::TooLarge => {
                self.drop_if_void(&room, out);
                Err(too_large(publish.rules.bytes))
            }
            Published::New(message) => {
                if let Some(text) = self.topics.get(&room).map(|topic| topic.message(&room, &message)) {
                    self.send(&room, &text, None, out);
                }
                self.came_in(&room, out);
                self.acknowledged += 1;
                Ok(Receipt { epoch, offset: message.offset })
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
        let text = self.direct_text(now, from.as_deref(), data)?;
        if self.is_shared() {
            let asker = Asker::Client { id, tag: tag.cloned() };
            self.direct_outside(to, &text, asker, out);
            return Ok(None);
        }
        let connections = self.say_to_user(to, &text, out);
        sent(tag, to, connections).map(Some)
    }

    /// A text to all connections of a user here; how many there are.
    pub(super) fn say_to_user(&mut self, to: &Name, text: &str, out: &mut impl Deliver<L>) -> usize {
        // What was said before, in a room, is seen before.
        self.end_turn(out);
        let Some(ids) = self.people.get(to) else { return 0 };
        let frames = out.encode(text);
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

pub(super) fn too_large(bytes: usize) -> Wrong {
    (Fault::TooLarge, format!("the room keeps {bytes} bytes, and this is more; send less at once"))
}

/// What the connections of a user get.
fn direct(now: Now, from: Option<&str>, data: &str) -> String {
    let from = from.map_or("null".into(), quote);
    Text::new("direct", None).raw("from", &from).raw("data", data).number("time", now.unix_ms).end()
}

/// The answer to a `direct`.
pub(super) fn sent(tag: Option<&Json>, to: &str, connections: usize) -> Result<String, Wrong> {
    if connections == 0 {
        return Err((Fault::NoSuchUser, "this user is not connected".into()));
    }
    Ok(Text::new("sent", tag).string("to", to).number("connections", connections as u64).end())
}
