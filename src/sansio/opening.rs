//! The opening handshake of either end, as far as it has come. RFC 6455 §4

use super::Event;
use crate::limits::Limits;
use crate::wire::handshake::{Agreed, Origins, Policy, accept, encode_switch};
use crate::wire::http::{Refusal, encode_response, parse_head};
use crate::wire::opening::{Declined, Wish, read_answer, reason};
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Opening {
    pub(super) since: Instant,
    input: Vec<u8>,
    /// A client's request.
    asked: Option<Asked>,
}

/// What a client has sent.
pub(super) struct Asked {
    pub(super) wish: Arc<Wish>,
    pub(super) key: String,
    pub(super) path: String,
}

/// What a handshake that is done came to.
pub(super) struct Opened {
    pub(super) agreed: Agreed,
    pub(super) path: String,
    /// What came behind it.
    pub(super) rest: Vec<u8>,
}

impl Opening {
    /// `asked`: a client's request, which is on its way.
    pub(super) fn new(asked: Option<Asked>, now: Instant) -> Self {
        Self { since: now, input: Vec::new(), asked }
    }

    /// Takes bytes of the peer's. `None`: more are needed. A server's answer goes to `out`.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<Option<Opened>, Event> {
        self.input.extend_from_slice(bytes);
        match &self.asked {
            Some(asked) => answered(&mut self.input, asked, limits),
            None => requested(&mut self.input, limits, out),
        }
    }
}

/// A server's part: the 101 or the refusal.
fn requested(input: &mut Vec<u8>, limits: &Limits, out: &mut Vec<u8>) -> Result<Option<Opened>, Event> {
    let policy = Policy { origins: Origins::Any, compression: false, ..Policy::default() };
    let accepted = parse_head(input, limits).and_then(|parsed| {
        let Some((request, size)) = parsed else { return Ok(None) };
        let accepted = accept(&request, &policy)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_string();
        Ok(Some((accepted, path, size)))
    });
    match accepted {
        Ok(None) => Ok(None),
        Ok(Some((accepted, path, size))) => {
            out.extend(encode_switch(&accepted.response));
            Ok(Some(Opened { agreed: accepted.agreed, path, rest: input.split_off(size) }))
        }
        Err(refusal) => Err(refuse(refusal, out)),
    }
}

fn refuse(refusal: Refusal, out: &mut Vec<u8>) -> Event {
    let (code, reason) = (refusal.status.as_u16(), refusal.reason.to_string());
    out.extend_from_slice(&encode_response(&refusal.into_response(), false));
    Event::Failed { code, reason }
}

/// A client's part: what its request was answered with.
fn answered(input: &mut Vec<u8>, asked: &Asked, limits: &Limits) -> Result<Option<Opened>, Event> {
    match read_answer(input, &asked.wish, &asked.key, limits.head, limits.headers) {
        Ok(None) => Ok(None),
        Ok(Some((agreed, size))) => {
            Ok(Some(Opened { agreed, path: asked.path.clone(), rest: input.split_off(size) }))
        }
        Err(Declined::Status { status, text, .. }) => {
            // As far as it has come with the head.
            let said = input.get(text.start..text.end.min(input.len())).map(reason).unwrap_or_default();
            let reason = if said.is_empty() { "the server refuses".into() } else { said };
            Err(Event::Failed { code: status, reason })
        }
        Err(Declined::Wrong(reason)) => Err(Event::Failed { code: 0, reason }),
    }
}
