//! What the program has asked for and has no answer to, in order: waiting to be sent, or in flight.

use super::text::{Ask, Refusal};
use crate::error::Error;
use std::collections::BTreeMap;
use std::time::Instant;

/// Requests that may be without an answer, and their bytes: what is kept while there is no connection. One alone may be larger.
const REQUESTS_MAX: usize = 1024;
const BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By id, which rises: so in the order in which they were asked.
    waiting: BTreeMap<u64, Request>,
    bytes: usize,
    /// How many are in flight, and their bytes.
    in_flight: (usize, usize),
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    deadline: Instant,
    in_flight: bool,
    /// Why it has to be sent again.
    refusal: Option<Refusal>,
}

impl Request {
    /// It is too late.
    pub(super) fn expired(self) -> Error {
        self.refusal.map_or(Error::Timeout, Refusal::into_error)
    }
}

impl Requests {
    pub(super) fn has_room(&self, ask: &Ask) -> bool {
        let fits = self.waiting.len() < REQUESTS_MAX && self.bytes + ask.size() <= BYTES_MAX;
        fits || self.waiting.is_empty()
    }

    /// Sent to the server, and not answered.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        self.in_flight
    }

    pub(super) fn push(&mut self, id: u64, ask: Ask, deadline: Instant) {
        self.bytes += ask.size();
        self.waiting.insert(id, Request { ask, deadline, in_flight: false, refusal: None });
    }

    /// The next to be sent.
    pub(super) fn next(&self) -> Option<(u64, &Ask)> {
        let (id, request) = self.waiting.iter().find(|(_, request)| !request.in_flight)?;
        Some((*id, &request.ask))
    }

    pub(super) fn sent(&mut self, id: u64) {
        if let Some(request) = self.waiting.get_mut(&id).filter(|request| !request.in_flight) {
            request.in_flight = true;
            self.in_flight.0 += 1;
            self.in_flight.1 += request.ask.size();
        }
    }

    fn landed(&mut self, id: u64) {
        if let Some(request) = self.waiting.get_mut(&id).filter(|request| request.in_flight) {
            request.in_flight = false;
            self.in_flight.0 -= 1;
            self.in_flight.1 -= request.ask.size();
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Request> {
        self.landed(id);
        let request = self.waiting.remove(&id)?;
        self.bytes -= request.ask.size();
        Some(request)
    }

    /// It was not carried out, and is to be sent again; before those that were asked later.
    pub(super) fn refused(&mut self, id: u64, refusal: Refusal) {
        self.landed(id);
        if let Some(request) = self.waiting.get_mut(&id) {
            request.refusal = Some(refusal);
        }
    }

    /// The connection is gone: all are to be sent again, but for those that were in flight and are not to be done twice.
    /// These are given, with their answers.
    pub(super) fn lost(&mut self) -> Vec<(u64, Option<Error>)> {
        let mut ended = Vec::new();
        let ids: Vec<u64> = self.waiting.keys().copied().collect();
        for id in ids {
            match &self.waiting[&id] {
                Request { ask: Ask::Direct { .. }, in_flight: true, .. } => {
                    ended.push((id, Some(Error::Closed)));
                }
                // With the connection we have left all rooms.
                Request { ask: Ask::Leave { .. }, .. } => ended.push((id, None)),
                _ => self.landed(id),
            }
        }
        for (id, _) in &ended {
            self.remove(*id);
        }
        ended
    }

    /// Those whose time is up.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(u64, Error)> {
        let mut expired = Vec::new();
        // All have about the same time, so the first to be asked are the first to expire.
        while let Some((id, _)) =
            self.waiting.first_key_value().filter(|(_, request)| request.deadline <= now)
        {
            let id = *id;
            expired.extend(self.remove(id).map(|request| (id, request.expired())));
        }
        expired
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, request)| request.deadline)
    }

    /// All of them, when the session is over.
    pub(super) fn take(&mut self) -> Vec<u64> {
        std::mem::take(self).waiting.into_keys().collect()
    }
}
