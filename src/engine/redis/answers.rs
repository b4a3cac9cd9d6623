//! What Redis answers to the publisher: what the hub is told for it, and what Redis has lost.

use super::commands::Then;
use super::desk::{Channel, told};
use super::foreign::is_of_room;
use super::{Line, replies};
use crate::engine::{Name, Notice};
use ::redis::{RedisError, RedisResult, Value};
use std::collections::BTreeSet;

/// What comes of the answers to one batch.
pub(super) struct Answers<'a> {
    line: &'a Line,
    pub(super) notices: Vec<Notice>,
    /// Of these, nothing is there any more.
    pub(super) lost_rooms: Vec<Channel>,
    /// Of these, it is not known who is there at this server.
    pub(super) lost_users: BTreeSet<Name>,
    pub(super) has_lost_listeners: bool,
    /// In these, something else was found than belongs there.
    pub(super) foreign: Vec<(Name, RedisError)>,
    /// Nothing more will come of the connection.
    pub(super) fatal: Option<RedisError>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(line: &'a Line) -> Self {
        Self {
            line,
            notices: Vec::new(),
            lost_rooms: Vec::new(),
            lost_users: BTreeSet::new(),
            has_lost_listeners: false,
            foreign: Vec::new(),
            fatal: None,
        }
    }

    pub(super) fn take(&mut self, then: Then, result: RedisResult<Value>) {
        if let Err(error) = &result
            && (matches!(then, Then::Beat) || ends_session(error))
        {
            self.fatal = Some(error.clone());
        }
        let is_lost = matches!(result, Ok(Value::Int(0)));
        match then {
            Then::Publish(ticket, room) => {
                let result = result.and_then(replies::receipt);
                let error = result.as_ref().err().filter(|error| is_of_room(error));
                self.foreign.extend(error.map(|error| (room, error.clone())));
                let result = self.explained(result);
                self.notices.push(Notice::Published { ticket, result });
            }
            Then::Tell(Some(ticket)) => {
                let result = self.explained(result.and_then(|value| replies::number(&value)));
                self.notices.push(told(ticket, result.map(|connections| connections as usize)));
            }
            Then::TellOthers { ticket, hears_itself } => {
                let result = self.explained(result.and_then(|value| replies::number(&value)));
                let others = |heard: u64| (heard as usize).saturating_sub(usize::from(hears_itself));
                self.notices.push(told(ticket, result.map(others)));
            }
            // Also when something else is there now: who is here is this server's own to say.
            Then::Presence(room) if is_lost || result.as_ref().is_err_and(is_of_room) => {
                self.lost_users.insert(room);
            }
            Then::Beat | Then::Listen if is_lost => self.has_lost_listeners = true,
            Then::Refresh(room) => match result.and_then(replies::list) {
                Ok(kept) => self.refreshed(room, &kept),
                Err(error) => self.log(&error),
            },
            Then::Tell(None) | Then::Presence(_) | Then::Beat | Then::Listen | Then::Nothing => {
                result.err().iter().for_each(|error| self.log(error));
            }
        }
    }

    /// Whether the room's head, and this server's users there, are still there.
    fn refreshed(&mut self, room: Name, kept: &[Value]) {
        let is_kept = |at: usize| kept.get(at) == Some(&Value::Int(1));
        if !is_kept(0) {
            self.lost_rooms.push(Channel::Room(room.clone()));
        }
        if !is_kept(1) && !self.line.desk.present(&room).is_empty() {
            self.lost_users.insert(room);
        }
    }

    /// An error in words that clients may read.
    fn explained<T>(&self, result: RedisResult<T>) -> Result<T, String> {
        result.map_err(|error| {
            self.log(&error);
            match (error.code(), error.detail()) {
                (Some("TOOLARGE"), Some(detail)) => detail.into(),
                _ => "nobody knows whether Redis has kept it".into(),
            }
        })
    }

    fn log(&self, error: &RedisError) {
        log::debug!("{}", self.line.access.why(error));
    }
}

/// Whether Redis says by this that nothing more will come of the connection.
fn ends_session(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH"))
}
