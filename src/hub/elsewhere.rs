//! Who is in a room at other servers, as an engine tells it, and what others are told of here.

use super::Deliver;
use super::engine::{Member, Name, Order};
use super::history::Now;
use super::topics::Topics;
use std::collections::HashSet;

impl<L: Clone> Topics<L> {
    /// Who is in the room at other servers: these, and nobody else.
    pub(super) fn meet(&mut self, now: Now, room: &Name, members: &[Member], out: &mut impl Deliver<L>) {
        let known = self.topics.get(room).map(|topic| topic.strangers(None)).unwrap_or_default();
        for member in members {
            self.elsewhere(now, room, member, false, out);
        }
        // A set, as there may be thousands of both.
        let listed: HashSet<(&Name, &Name)> =
            members.iter().map(|member| (&member.node, &member.user)).collect();
        for member in known.into_iter().filter(|known| !listed.contains(&(&known.node, &known.user))) {
            self.elsewhere(now, room, &Member { connections: 0, ..member }, false, out);
        }
    }

    pub(super) fn elsewhere(
        &mut self,
        now: Now,
        room: &Name,
        member: &Member,
        left: bool,
        out: &mut impl Deliver<L>,
    ) {
        let until = (!left).then(|| now.instant + self.rules.of(room).grace);
        let Some(topic) = self.topics.get_mut(room) else { return };
        let change = topic.elsewhere(member, until);
        self.changed(room, &member.user, change, None, out);
        self.drop_if_void(room, out);
    }

    pub(super) fn gone_node(&mut self, now: Now, node: &str, out: &mut impl Deliver<L>) {
        let rooms: Vec<Name> = self.topics.keys().cloned().collect();
        for room in rooms {
            let gone = self.topics.get(&room).map(|topic| topic.strangers(Some(node))).unwrap_or_default();
            for member in gone {
                self.elsewhere(now, &room, &Member { connections: 0, ..member }, false, out);
            }
        }
    }

    /// Other servers are told how often the user is in the room here.
    pub(super) fn tell_presence(&mut self, room: &Name, user: &Name, left: bool, out: &mut impl Deliver<L>) {
        if self.is_shared() {
            let connections = self.topics.get(room).map_or(0, |topic| topic.connections(user));
            out.order(Order::Presence { room: room.clone(), user: user.clone(), connections, left });
        }
    }
}
