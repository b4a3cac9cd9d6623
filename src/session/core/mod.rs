//! The session as a pure state machine: requests, texts and the time in; texts, answers and events out. It names no socket,
//! thread or clock.

mod denials;
mod events;
mod pace;
mod requests;
mod rooms;
#[cfg(test)]
mod tests;
mod text;

pub(super) use text::{Ask, Reply, Said};

use super::Event;
use crate::error::{Error, Result};
use crate::reconnect::{Backoff, is_final};
use denials::Denials;
use events::Events;
use pace::Pace;
use requests::Requests;
use rooms::Rooms;
use std::time::{Duration, Instant};
use text::Refusal;

/// How long it is tried to leave a room that the program knows nothing of.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// How a connection ended, or was not made.
#[derive(Debug)]
pub(super) enum Loss {
    /// With this code and reason.
    Closed(u16, String),
    Failed(Error),
    /// The program had no token to give.
    NoToken(Error),
}

/// Why a session is over.
#[derive(Debug)]
enum End {
    /// The program has closed it.
    Closed,
    Ended(String),
}

pub(super) struct Core {
    /// Before the ids of requests, it makes keys that nobody else has.
    nonce: String,
    random: fn() -> u32,
    end: Option<End>,
    /// Who we are, once the server has said so.
    user: Option<String>,
    /// The largest message that the server takes.
    largest: usize,
    reconnects: Backoff,
    denials: Denials,
    /// When the server said to come back.
    hint: Option<Duration>,
    /// Nothing is sent until then: the server has refused something for now, or would.
    held_until: Option<Instant>,
    refusals: Backoff,
    /// There while we are connected and welcomed.
    pace: Option<Pace>,
    last_id: u64,
    requests: Requests,
    rooms: Rooms,
    events: Events,
    answers: Vec<(u64, Result<Reply>)>,
}

impl Core {
    /// `renews`: each connection is made with a new token.
    pub(super) fn new(nonce: String, random: fn() -> u32, renews: bool) -> Self {
        Self {
            nonce,
            random,
            end: None,
            user: None,
            largest: usize::MAX,
            reconnects: Backoff::default(),
            denials: Denials::new(renews),
            hint: None,
            held_until: None,
            refusals: Backoff::default(),
            pace: None,
            last_id: 0,
            requests: Requests::default(),
            rooms: Rooms::default(),
            events: Events::default(),
            answers: Vec::new(),
        }
    }

    /// A guest keeps the name that the server gave it: keys are known by user.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn is_here(&self) -> bool {
        self.pace.is_some()
    }

    /// Why nothing more will happen.
    pub(super) fn over(&self) -> Option<Error> {
        Some(match self.end.as_ref()? {
            End::Closed => Error::Closed,
            End::Ended(why) => Error::Ended(why.clone()),
        })
    }

    pub(super) fn has_room(&self, ask: &Ask) -> bool {
        self.requests.has_room(ask)
    }

    /// Takes a request, which is answered under the id that is given; by then at the latest, if somebody gives the time.
    pub(super) fn ask(&mut self, ask: Ask, deadline: Instant) -> u64 {
        let ask = match ask {
            // In a room that it is in, the program goes on where it is.
            Ask::Join { room, since, history } => {
                Ask::Join { since: self.rooms.position(&room).cloned().or(since), room, history }
            }
            ask => ask,
        };
        let id = self.new_id();
        if let Ask::Leave { room } = &ask {
            self.rooms.remove(room);
            if !self.is_here() {
                self.answers.push((id, Ok(Reply::Done)));
                return id;
            }
        }
        self.requests.push(id, ask, deadline);
        id
    }

    /// Nobody waits for this answer any longer.
    pub(super) fn give_up(&mut self, id: u64) {
        if let Some(request) = self.requests.remove(id) {
            self.answers.push((id, Err(request.expired())));
        }
    }

    /// Gives texts to be sent, in order, until `send` takes none or there is none that may leave now.
    pub(super) fn send(&mut self, now: Instant, mut send: impl FnMut(&str) -> bool) {
        self.release(now);
        let expired = self.requests.expire(now);
        self.answers.extend(expired.into_iter().map(|(id, error)| (id, Err(error))));
        while self.may_send() {
            let (id, own_room, text) = match (self.rooms.next(&self.events), self.requests.next()) {
                (Some((room, ask)), _) => {
                    let id = self.new_id();
                    (id, Some(room), ask.text(id, ""))
                }
                (None, Some((id, ask))) => (id, None, ask.text(id, &format!("{}-{id}", self.nonce))),
                (None, None) => return,
            };
            if self.largest < text.len() {
                let refusal = Refusal::too_large(text.len(), self.largest);
                match own_room {
                    Some(room) => self.lose_room(room, refusal),
                    None => {
                        self.requests.remove(id);
                        self.answers.push((id, Err(refusal.into_error())));
                    }
                }
            } else if let Some(Err(until)) = self.pace.as_mut().map(|pace| pace.take(text.len(), now)) {
                self.held_until = Some(until);
            } else if !send(&text) {
                return;
            } else if let Some(room) = own_room {
                self.rooms.ask(room, id);
            } else {
                self.requests.sent(id);
            }
        }
    }

    /// When there is something to be done without being asked: [`Core::send`]. While a text might be held up by the pace, also
    /// the end of that: it may be asked for by a thread that does not wait for its time.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let ready_at = self.pace.as_ref().and_then(Pace::ready_at).filter(|at| now < *at);
        self.held_until.into_iter().chain(ready_at).chain(self.requests.first_deadline()).min()
    }

    pub(super) fn answers(&mut self) -> impl Iterator<Item = (u64, Result<Reply>)> {
        self.answers.drain(..)
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The server has said something.
    pub(super) fn hear(&mut self, said: Said, now: Instant) {
        match said {
            Said::Welcome { user, message, rates } => {
                self.pace = Some(Pace::new(&rates, now));
                self.denials.welcome(now);
                self.welcome(user, message);
            }
            Said::GoingAway { after } => self.hint = Some(after),
            Said::Gap { room } => self.rooms.fall_behind(&room),
            Said::Refused { id, refusal } => self.refused(id, refusal, now),
            Said::Reply { id, reply } => {
                self.refusals = Backoff::default();
                match (self.rooms.answered(id), reply) {
                    (Some(room), Reply::History(page)) => self.rooms.page(&room, page, &mut self.events),
                    (_, reply) => {
                        let asked = self.requests.remove(id);
                        self.answers.extend(asked.map(|_| (id, Ok(reply))));
                    }
                }
            }
            Said::Joined { id, joined } => {
                self.refusals = Backoff::default();
                let id = id.unwrap_or_default();
                if let Some(room) = self.rooms.answered(id) {
                    if let Some(since) = self.rooms.position(&room).cloned() {
                        self.rooms.joined(joined, Some(since), &mut self.events);
                    }
                } else if let Some(request) = self.requests.remove(id) {
                    if let Ask::Join { since, .. } = request.ask {
                        self.rooms.joined(joined, since, &mut self.events);
                    }
                    self.answers.push((id, Ok(Reply::Done)));
                } else if !self.rooms.has(joined.room()) {
                    // It came too late: the program does not know that it is in.
                    let leave = Ask::Leave { room: joined.room().into() };
                    if self.has_room(&leave) {
                        self.ask(leave, now + LEAVE_PATIENCE);
                    }
                }
            }
            Said::Event(event) => self.happened(event),
        }
    }

    /// The connection has ended, or could not be made. When to try again; `None`: never, the session is over.
    pub(super) fn lost(&mut self, loss: Loss, now: Instant) -> Option<Instant> {
        self.pace = None;
        self.rooms.lost();
        for (id, error) in self.requests.lost() {
            self.answers.push((id, error.map_or(Ok(Reply::Done), Err)));
        }
        let hint = match &loss {
            Loss::Failed(Error::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        };
        let hint = hint.max(self.hint.take());
        let may_renew = self.denials.may_renew(&loss, now);
        let (why, may_return) = told(loss, may_renew);
        if self.end.is_some() {
            return None;
        }
        if !may_return {
            self.end(why);
            return None;
        }
        let wait = self.reconnects.next((self.random)(), hint);
        self.events.push_status(Event::Disconnected { why, retry_in: Some(wait) });
        Some(now + wait)
    }

    /// The program has had enough. What is not answered never will be.
    pub(super) fn close(&mut self) {
        if self.end.is_none() {
            self.end = Some(End::Closed);
            let ids = self.requests.take();
            self.answers.extend(ids.into_iter().map(|id| (id, Err(Error::Closed))));
        }
    }

    fn end(&mut self, why: String) {
        let ids = self.requests.take();
        self.answers.extend(ids.into_iter().map(|id| (id, Err(Error::Ended(why.clone())))));
        self.events.push_status(Event::Disconnected { why: why.clone(), retry_in: None });
        self.end = Some(End::Ended(why));
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Requests without an answer, and about their bytes.
    fn in_flight(&self) -> (usize, usize) {
        let (requests, bytes) = self.requests.in_flight();
        (requests + self.rooms.in_flight(), bytes)
    }

    fn may_send(&self) -> bool {
        let may_follow = self.pace.as_ref().is_some_and(|pace| pace.may_follow(self.in_flight()));
        may_follow && self.end.is_none() && self.held_until.is_none()
    }

    fn welcome(&mut self, user: String, message: usize) {
        self.largest = message;
        self.user = Some(user.clone());
        (self.reconnects, self.refusals) = (Backoff::default(), Backoff::default());
        self.held_until = None;
        self.events.push_status(Event::Connected { user });
    }

    fn refused(&mut self, id: u64, refusal: Refusal, now: Instant) {
        if refusal.is_passing() {
            self.hold(now);
            if self.rooms.answered(id).is_none() {
                self.requests.refused(id, refusal);
            }
        } else if let Some(room) = self.rooms.answered(id) {
            self.lose_room(room, refusal);
        } else if let Some(request) = self.requests.remove(id) {
            let is_left = matches!(request.ask, Ask::Leave { .. }) && refusal.code == "not_member";
            self.answers.push((id, if is_left { Ok(Reply::Done) } else { Err(refusal.into_error()) }));
        }
    }

    /// The server does not let us back in, or tell what was missed.
    fn lose_room(&mut self, room: String, refusal: Refusal) {
        self.rooms.remove(&room);
        self.events.push(Event::Kicked { room: Some(room), reason: refusal.message });
    }

    /// Waits before anything else is sent; once for all that is refused together.
    fn hold(&mut self, now: Instant) {
        self.release(now);
        if self.held_until.is_none() {
            self.held_until = Some(now + self.refusals.next((self.random)(), None));
        }
    }

    fn release(&mut self, now: Instant) {
        self.held_until = self.held_until.filter(|until| now < *until);
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.rooms.message(message, &mut self.events),
            Event::Presence { ref room, .. } => {
                let room = room.clone();
                self.rooms.presence(&room, event, &mut self.events);
            }
            Event::Kicked { room: Some(ref room), .. } => {
                if self.rooms.has(room) {
                    self.rooms.remove(room);
                    self.events.push(event);
                }
            }
            Event::Kicked { room: None, reason } if self.end.is_none() => {
                self.events.push(Event::Kicked { room: None, reason: reason.clone() });
                self.end(format!("the server has ended the session: {reason}"));
            }
            event => self.events.push_or_drop(event),
        }
    }
}

/// A loss for people to read, and whether another try may mend it; `may_renew`: it may, with another token.
fn told(loss: Loss, may_renew: bool) -> (String, bool) {
    match loss {
        // "Policy", and a normal end: what we want is not to be had, or done.
        Loss::Closed(code @ (1000 | 1008), reason) if !may_renew => {
            (format!("the server has ended the session ({code} {reason})"), false)
        }
        Loss::Closed(code, reason) => (format!("the connection has ended ({code} {reason})"), true),
        Loss::Failed(Error::Violation(1009, reason)) => {
            (format!("a message from the server was too large ({reason}): raise `Limits::message`"), false)
        }
        Loss::NoToken(error) => (format!("there is no token: {error}"), true),
        Loss::Failed(error) => {
            let is_final = match &error {
                Error::Config(_) => true,
                Error::Refused { status, .. } => is_final(*status),
                _ => false,
            };
            (error.to_string(), may_renew || !is_final)
        }
    }
}
