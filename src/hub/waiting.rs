//! Requests of one connection that stand in line while an engine owes it an answer, so that they are carried out in order.
//! Only publishing goes on behind publishing. All else also waits until what was published has come in.

#[cfg(feature = "protocol")]
use super::calls::Answer;
use super::engine::{Name, Publish, Receipt};
use super::history::Now;
use super::outside::Asker;
use super::protocol::{Ask, Fault, Json};
use super::requests::Wrong;
use super::topics::{Client, Topics};
use super::{ConnectionId, Deliver};
use std::marker::PhantomData;
use std::mem::take;

/// Requests, and their bytes, that may stand in line for one connection.
const LINE: usize = 4096;
const LINE_BYTES: usize = 4 * 1024 * 1024;

impl<L> Client<L> {
    /// Whether nothing that was asked before stands in the way.
    pub(super) fn may_go(&self, ask: &Ask) -> bool {
        let overtakes = |ask: &Ask| !self.stands && matches!(ask, Ask::Publish { .. });
        self.waiting.is_empty() && (self.unanswered == 0 || overtakes(ask))
    }

    /// Before all others: it has been its turn already.
    pub(super) fn wait_first(&mut self, tag: Option<Json>, ask: Ask) {
        self.waiting_bytes += ask.size();
        self.waiting.push_front((tag, ask));
    }

    pub(super) fn wait(&mut self, tag: Option<Json>, ask: Ask) -> Result<(), Wrong> {
        let bytes = self.waiting_bytes + ask.size();
        if LINE <= self.waiting.len() || LINE_BYTES < bytes {
            let text = "too many requests wait for an answer; ask for less at once";
            return Err((Fault::Unavailable, text.into()));
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back((tag, ask));
        Ok(())
    }
}

impl<L: Clone> Topics<L> {
    pub(super) fn await_answer(&mut self, id: ConnectionId, stands: bool) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.unanswered += 1;
            client.stands |= stands;
        }
    }

    /// One answer has come: what stood behind it can go.
    pub(super) fn answered(&mut self, now: Now, id: ConnectionId, out: &mut impl Deliver<L>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.unanswered = client.unanswered.saturating_sub(1);
        client.stands &= 0 < client.unanswered;
        while let Some(client) = self.clients.get_mut(&id) {
            let Some((tag, ask)) = client.waiting.pop_front() else { break };
            if 0 < client.unanswered && (client.stands || !matches!(ask, Ask::Publish { .. })) {
                client.waiting.push_front((tag, ask));
                return;
            }
            client.waiting_bytes -= ask.size();
            self.carry_out(now, id, tag.as_ref(), ask, out);
        }
        #[cfg(feature = "protocol")]
        if let Some(answer) = self.clients.get_mut(&id).and_then(|client| client.settled.take()) {
            self.settle(id, answer, out);
        }
    }

    /// The room's copy here may come after the answer: what is asked next stands until what was published is in it, so that
    /// `history` has it, and who leaves has got it.
    pub(super) fn await_message(&mut self, id: ConnectionId, room: &Name, at: &Receipt) {
        let is_here = self.clients.contains_key(&id);
        if is_here && self.topics.get_mut(room).is_some_and(|topic| topic.await_message(at, id)) {
            self.await_answer(id, false);
        }
    }

    /// Who waited for messages of the room that are here now goes on; `at_all`: for whatever it was.
    pub(super) fn go_on(&mut self, now: Now, room: &Name, at_all: bool, out: &mut impl Deliver<L>) {
        let heard = self.topics.get_mut(room).map(|topic| topic.heard(at_all)).unwrap_or_default();
        if !heard.is_empty() {
            heard.into_iter().for_each(|id| self.answered(now, id, out));
            self.drop_if_void(room, out);
        }
    }

    /// Tells when everything that the connection has asked is answered, and what was said meanwhile is on its way.
    #[cfg(feature = "protocol")]
    pub(super) fn settle(&mut self, id: ConnectionId, answer: Answer<()>, out: &mut impl Deliver<L>) {
        match self.clients.get_mut(&id).filter(|client| 0 < client.unanswered) {
            Some(client) => client.settled = Some(answer),
            None => {
                self.end_turn(out);
                answer.give(Ok(()));
            }
        }
    }

    /// The connection has ended: what it said before that is said.
    pub(super) fn carry_out_last(&mut self, now: Now, client: &mut Client<L>, out: &mut impl Deliver<L>) {
        for (_, ask) in take(&mut client.waiting) {
            if let Ask::Publish { room, data, key } = ask {
                let rules = self.rules.of(&room).clone();
                if !rules.members_publish || client.rooms.contains(&room) {
                    let from = Some(client.user.clone());
                    let publish = Publish { room, from, data, key, time: now.unix_ms, rules };
                    self.publish_outside(publish, Asker::Nobody(PhantomData), out);
                }
            }
        }
    }
}
