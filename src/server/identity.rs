//! Who a client is: what an authenticator finds out, or why it lets nobody in.

use crate::metrics::DenialReason;
use http::StatusCode;
use std::sync::Arc;

/// Who a connection is, and what it may do. Made by an authenticator ([`Builder::authenticate`](crate::Builder::authenticate)),
/// asked for by handlers ([`WebSocket::identity`](crate::WebSocket::identity)).
///
/// ```
/// use switchboard::Identity;
///
/// let ann = Identity::user("ann").may_read(["tea", "team-*"]).may_write(["tea"]);
/// assert_eq!(ann.name(), Some("ann"));
/// assert!(ann.reads("team-red") && !ann.writes("team-red") && !ann.reads("coffee"));
/// assert!(Identity::default().reads("coffee"), "nothing said, everything allowed");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    name: Option<Arc<str>>,
    read: Option<Arc<[String]>>,
    write: Option<Arc<[String]>>,
}

impl Identity {
    /// A user with a name, who may read and write in every room.
    pub fn user(name: &str) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Only these rooms may be joined; a `*` at the end stands for any rest.
    #[must_use]
    pub fn may_read<S: Into<String>>(self, rooms: impl IntoIterator<Item = S>) -> Self {
        Self { read: Some(rooms.into_iter().map(Into::into).collect()), ..self }
    }

    /// Only to these rooms may be sent; a `*` at the end stands for any rest.
    #[must_use]
    pub fn may_write<S: Into<String>>(self, rooms: impl IntoIterator<Item = S>) -> Self {
        Self { write: Some(rooms.into_iter().map(Into::into).collect()), ..self }
    }

    /// The user's name; `None` for somebody unknown.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether this room may be joined.
    pub fn reads(&self, room: &str) -> bool {
        matches(self.read.as_deref(), room)
    }

    /// Whether to this room may be sent.
    pub fn writes(&self, room: &str) -> bool {
        matches(self.write.as_deref(), room)
    }
}

fn matches(patterns: Option<&[String]>, room: &str) -> bool {
    patterns.is_none_or(|patterns| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => room.starts_with(start),
            None => room == pattern,
        })
    })
}

/// Why an authenticator does not let a client in. The reason is told to the client: at most 123 bytes of it, and no secret.
///
/// ```
/// use switchboard::{Denied, Identity, Request};
///
/// fn authenticate(request: &Request) -> Result<Identity, Denied> {
///     match request.token().as_deref() {
///         Some("secret") => Ok(Identity::user("ann")),
///         Some(_) => Err(Denied::forbidden("this token is not for this server")),
///         None => Err(Denied::unauthorized("a token is needed")),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

impl Denied {
    /// It did not prove who it is: 401 where refusals are HTTP.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, reason: reason.into() }
    }

    /// It may not, whoever it is: 403 where refusals are HTTP.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }

    /// How it is counted.
    pub(crate) fn kind(&self) -> DenialReason {
        match self.status {
            StatusCode::UNAUTHORIZED => DenialReason::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => DenialReason::TooMany,
            _ => DenialReason::Forbidden,
        }
    }

    /// It has too many connections: 429 where refusals are HTTP.
    pub(crate) fn too_many(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, reason: reason.into() }
    }
}

/// How a client is told that it may not in.
///
/// ```
/// use switchboard::{Denied, Error, Refuse, Server};
///
/// let server = Server::builder()
///     .route("/", |mut ws| ws.recv().map(drop))
///     .authenticate(|_| Err(Denied::unauthorized("a token is needed")))
///     .refuse(Refuse::Http)
///     .bind("127.0.0.1:0")?
///     .start()?;
/// assert!(matches!(server.connect("/"), Err(Error::Refused { status: 401, .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refuse {
    /// The WebSocket is opened and closed at once with 1008 and the reason. The default: a page in a browser is shown
    /// nothing of a handshake that failed.
    #[default]
    Close,
    /// The handshake is answered 401, 403 or 429.
    Http,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_whole_names_or_beginnings() {
        for (patterns, room, expected) in [
            (&["tea"][..], "tea", true),
            (&["tea"], "team", false),
            (&["tea*"], "tea", true),
            (&["tea*"], "team", true),
            (&["*"], "anything", true),
            (&["a", "b*"], "bc", true),
            (&[], "tea", false),
            (&["t*a"], "tea", false),
        ] {
            let identity = Identity::user("ann").may_read(patterns.iter().copied());
            assert_eq!(identity.reads(room), expected, "{patterns:?} {room}");
            assert!(identity.writes(room));
        }
    }
}
