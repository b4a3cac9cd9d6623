//! `switchboard.v1` as the load speaks it: a request for each thing it wants, and what is of interest in what comes.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The id of `join`; a publish has its number plus one.
pub(super) const JOIN: u64 = 0;

pub(super) fn join(room: &str) -> String {
    format!(r#"{{"type":"join","id":{JOIN},"room":{}}}"#, quoted(room))
}

/// `data` needs no escapes.
pub(super) fn publish(room: &str, sequence: u64, data: &str) -> String {
    format!(r#"{{"type":"publish","id":{},"room":{},"data":"{data}"}}"#, sequence + 1, quoted(room))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Joined {
        epoch: Cow<'a, str>,
        offset: u64,
    },
    /// The publish of that number is acknowledged.
    Published {
        sequence: u64,
        offset: u64,
    },
    Message {
        epoch: Cow<'a, str>,
        offset: u64,
        data: &'a str,
    },
    /// `join` was answered with an error.
    Unjoined {
        code: Cow<'a, str>,
    },
    /// A request was answered with an error; `None`: no publish of ours.
    Refused {
        sequence: Option<u64>,
        code: Cow<'a, str>,
    },
    /// The server cannot say which messages are missing.
    Gap,
    /// Nothing that matters here.
    Other,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow)]
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// `None`: this is not `switchboard.v1`.
pub(super) fn read(text: &str) -> Option<Said<'_>> {
    let text: Text<'_> = serde_json::from_str(text).ok()?;
    Some(match &*text.kind {
        "joined" => Said::Joined { epoch: text.epoch?, offset: text.offset? },
        "published" => Said::Published { sequence: text.id?.checked_sub(1)?, offset: text.offset? },
        "message" => {
            let data = text.data?.get();
            // What is no plain string was sent by somebody else.
            let data = data.strip_prefix('"').and_then(|data| data.strip_suffix('"')).unwrap_or_default();
            Said::Message { epoch: text.epoch?, offset: text.offset?, data }
        }
        "error" if text.id == Some(JOIN) => Said::Unjoined { code: text.code? },
        "error" => Said::Refused { sequence: text.id.and_then(|id| id.checked_sub(1)), code: text.code? },
        "gap" => Said::Gap,
        _ => Said::Other,
    })
}

/// The offsets that one member has seen: they must rise by exactly one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    epoch: String,
    last: u64,
}

impl Offsets {
    pub(super) fn new(epoch: &str, last: u64) -> Self {
        Self { epoch: epoch.into(), last }
    }

    /// Whether this is the offset that follows. Counts on from it in any case.
    pub(super) fn follow(&mut self, epoch: &str, offset: u64) -> bool {
        let is_next = self.epoch == epoch && offset == self.last + 1;
        if self.epoch != epoch {
            self.epoch = epoch.into();
        }
        self.last = offset;
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json() {
        for text in [join("a \"b\""), publish("大厅", 41, "m00 x")] {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
        assert_eq!(publish("r", 41, "x"), r#"{"type":"publish","id":42,"room":"r","data":"x"}"#);
    }

    #[test]
    fn what_the_server_says() {
        let epoch = || Cow::from("e");
        for (text, said) in [
            (
                r#"{"type":"joined","id":0,"room":"r","epoch":"e","offset":7,"recovered":false,"messages":[],"members":[]}"#,
                Some(Said::Joined { epoch: epoch(), offset: 7 }),
            ),
            (
                r#"{"type":"published","id":42,"room":"r","epoch":"e","offset":8}"#,
                Some(Said::Published { sequence: 41, offset: 8 }),
            ),
            (
                r#"{"type":"message","room":"r","epoch":"e","offset":8,"from":"guest-1","data":"m00 x","time":1}"#,
                Some(Said::Message { epoch: epoch(), offset: 8, data: "m00 x" }),
            ),
            (
                r#"{"type":"message","room":"r","epoch":"e","offset":9,"from":null,"data":{"a":1},"time":1}"#,
                Some(Said::Message { epoch: epoch(), offset: 9, data: "" }),
            ),
            (
                r#"{"type":"error","id":42,"code":"rate_limited","message":"…"}"#,
                Some(Said::Refused { sequence: Some(41), code: "rate_limited".into() }),
            ),
            (
                r#"{"type":"error","id":0,"code":"forbidden","message":"…"}"#,
                Some(Said::Unjoined { code: "forbidden".into() }),
            ),
            (
                r#"{"type":"error","code":"bad_json","message":"…"}"#,
                Some(Said::Refused { sequence: None, code: "bad_json".into() }),
            ),
            (r#"{"type":"gap","room":"r","epoch":"e","offset":8}"#, Some(Said::Gap)),
            (r#"{"type":"presence","room":"r","user":"a\nb"}"#, Some(Said::Other)),
            (r#"{"type":"published","id":0,"offset":8}"#, None),
            (r#"{"type":"message","offset":8}"#, None),
            ("m00 x", None),
        ] {
            assert_eq!(read(text), said, "{text}");
        }
    }

    #[test]
    fn offsets_rise_by_exactly_one() {
        let mut offsets = Offsets::new("e", 7);
        let seen = [("e", 8), ("e", 9), ("e", 9), ("e", 11), ("e", 12), ("f", 13), ("f", 14), ("f", 13)];
        let good = seen.map(|(epoch, offset)| offsets.follow(epoch, offset));
        assert_eq!(good, [true, true, false, false, true, false, true, false]);
    }
}
