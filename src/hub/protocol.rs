//! What `switchboard.v1` asks of the hub, and the texts that the hub sends: plain values in, JSON out.
//!
//! The JSON that clients send is read elsewhere, on their own threads; here it is only written.

use super::Name;
use std::fmt::Write;
use std::sync::Arc;

/// A value as JSON text, for example `"a"` or `{"b":1}`: passed on, never looked into.
pub(crate) type Json = Arc<str>;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Join {
        room: Name,
        since: Option<Since>,
        history: Option<usize>,
    },
    Leave {
        room: Name,
    },
    Publish {
        room: Name,
        data: Json,
        key: Option<String>,
    },
    Direct {
        to: Name,
        data: Json,
    },
    Members {
        room: Name,
    },
    History {
        room: Name,
        before: Option<u64>,
        after: Option<u64>,
        limit: Option<usize>,
    },
    Ping,
    /// What cannot be carried out, and why: the error has its place among the replies.
    Refused(Fault, String),
}

impl Ask {
    /// Bytes of payload that it keeps in memory.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Publish { data, .. } | Self::Direct { data, .. } => data.len(),
            Self::Refused(_, why) => why.len(),
            _ => 0,
        }
    }
}

/// What a client has seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    BadJson,
    BadRequest,
    UnknownType,
    NotMember,
    NoSuchUser,
    TooManyRooms,
    TooLarge,
    RateLimited,
    Forbidden,
    Unavailable,
    /// The data does not fit the room's schema; the JSON pointer (RFC 6901) to what in it does not.
    #[cfg(feature = "schema")]
    InvalidData {
        path: String,
    },
}

impl Fault {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::NotMember => "not_member",
            Self::NoSuchUser => "no_such_user",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            #[cfg(feature = "schema")]
            Self::InvalidData { .. } => "invalid_data",
        }
    }

    /// Where in what was sent it lies, if that is known.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "schema")]
            Self::InvalidData { path } => Some(path),
            _ => None,
        }
    }
}

/// A text under way: `{"type":…` and then field by field.
pub(crate) struct Text(String);

impl Text {
    /// `id`: that of the request, when this replies to one.
    pub(crate) fn new(kind: &str, id: Option<&Json>) -> Self {
        let text = Self(format!("{{\"type\":\"{kind}\""));
        match id {
            Some(id) => text.raw("id", id),
            None => text,
        }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A field whose value is JSON already.
    pub(crate) fn raw(mut self, name: &str, json: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, ",\"{name}\":{json}");
        self
    }

    pub(crate) fn string(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.0, ",\"{name}\":");
        quote_into(&mut self.0, value);
        self
    }

    pub(crate) fn number(self, name: &str, value: u64) -> Self {
        self.raw(name, &value.to_string())
    }

    pub(crate) fn bool(self, name: &str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// A list of JSON texts.
    pub(crate) fn list<'a>(mut self, name: &str, elements: impl Iterator<Item = &'a str>) -> Self {
        let _ = write!(self.0, ",\"{name}\":[");
        for (at, element) in elements.enumerate() {
            if 0 < at {
                self.0.push(',');
            }
            self.0.push_str(element);
        }
        self.0.push(']');
        self
    }

    /// The fields of a JSON object behind these, and the end.
    pub(crate) fn fields(mut self, object: &str) -> String {
        self.0.push(',');
        self.0.push_str(object.strip_prefix('{').unwrap_or(object));
        self.0
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(crate) fn error(id: Option<&Json>, fault: &Fault, message: &str) -> String {
    let text = Text::new("error", id).string("code", fault.code()).string("message", message);
    match fault.path() {
        Some(path) => text.string("path", path).end(),
        None => text.end(),
    }
}

/// A string as JSON. RFC 8259 §7
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quote_into(&mut quoted, text);
    quoted
}

fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_json() {
        let id: Json = "\"x\"".into();
        let text = Text::new("t", Some(&id)).string("s", "a\"b\\c\n\u{1f}大").number("n", 7).bool("b", true);
        let text = text.list("l", ["1", "{}"].into_iter()).list("e", [].into_iter()).raw("r", "null").end();
        assert_eq!(
            text,
            r#"{"type":"t","id":"x","s":"a\"b\\c\u000a\u001f大","n":7,"b":true,"l":[1,{}],"e":[],"r":null}"#
        );
    }
}
