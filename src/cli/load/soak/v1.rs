//! `switchboard.v1` as the soak speaks it, and what its messages say of themselves.

use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;

/// The id of `join`; other requests have their number plus one.
pub(super) const JOIN: u64 = 0;

/// Where somebody is in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) epoch: String,
    pub(super) offset: u64,
}

pub(super) fn join(room: &str, since: Option<&Position>) -> String {
    let mut join = json!({"type": "join", "id": JOIN, "room": room});
    if let Some(Position { epoch, offset }) = since {
        join["since"] = json!({"epoch": epoch, "offset": offset});
    }
    join.to_string()
}

pub(super) fn publish(room: &str, sequence: u64, data: &str) -> String {
    json!({"type": "publish", "id": sequence + 1, "room": room, "key": format!("k{sequence}"), "data": data})
        .to_string()
}

pub(super) fn direct(to: &str, sequence: u64, data: &str) -> String {
    json!({"type": "direct", "id": sequence + 1, "to": to, "data": data}).to_string()
}

/// What the server says, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) id: Option<u64>,
    #[serde(borrow)]
    pub(super) epoch: Option<Cow<'a, str>>,
    pub(super) offset: Option<u64>,
    #[serde(borrow)]
    pub(super) data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) recovered: Option<bool>,
    #[serde(borrow, default)]
    pub(super) messages: Vec<Kept<'a>>,
    pub(super) connections: Option<u64>,
}

/// A message of a room's history.
#[derive(Debug, Deserialize)]
pub(super) struct Kept<'a> {
    pub(super) offset: u64,
    #[serde(borrow)]
    pub(super) data: Cow<'a, str>,
}

/// `None`: this is not what we understand.
pub(super) fn read(text: &str) -> Option<Said<'_>> {
    serde_json::from_str(text).ok()
}

/// A message's number among its sender's, and when it was to be sent, in nanoseconds since the run's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) sequence: u64,
    pub(super) sent: u64,
}

impl Mark {
    /// 64 bytes, like a short line of chat.
    pub(super) fn text(self, run: u32) -> String {
        format!("{:<64}", format!("{run:08x} {} {}", self.sequence, self.sent))
    }

    /// `None`: no message of this run.
    pub(super) fn read(text: &str, run: u32) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let is_ours = words.next() == Some(&format!("{run:08x}"));
        let mut number = || words.next()?.parse().ok();
        let mark = Self { sequence: number()?, sent: number()? };
        (is_ours && text.len() == 64).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { sequence: 17, sent: u64::MAX };
        let text = mark.text(0xbeef);
        assert_eq!((text.len(), Mark::read(&text, 0xbeef)), (64, Some(mark)));
        for text in ["", "0000beef 1", &mark.text(1), &text[..63], "0000beef 1 2", "0000beef x 2"] {
            assert_eq!(Mark::read(text, 0xbeef), None, "{text}");
        }
    }

    #[test]
    fn what_the_server_says() {
        let said = read(r#"{"type":"joined","id":0,"room":"r","epoch":"e","offset":2,"recovered":true,"messages":[{"offset":2,"from":"a","data":"x\n","time":1}],"members":[{"user":"a","connections":1}]}"#).unwrap();
        assert_eq!(
            (&*said.kind, said.id, said.offset, said.recovered),
            ("joined", Some(JOIN), Some(2), Some(true))
        );
        assert_eq!((said.messages[0].offset, &*said.messages[0].data), (2, "x\n"));
        let said = read(r#"{"type":"sent","id":4,"to":"b","connections":1}"#).unwrap();
        assert_eq!((&*said.kind, said.id, said.connections), ("sent", Some(4), Some(1)));
        assert!(read("m00").is_none());
    }
}
