//! What hubs tell each other through an engine: the first byte says what the rest is.

use tungstenite::Bytes;

const FRAMES: u8 = 0;
const TEXT: u8 = 1;
const KICK: u8 = 2;
const ANNOUNCE: u8 = 3;

/// A note, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note<'a> {
    /// WebSocket frames as a server sends them, for plain connections.
    Frames(Bytes),
    /// A text for connections of `switchboard.v1`.
    Text(&'a str),
    /// The end of a user's connections: why, and their Close frame.
    Kick { user: &'a str, reason: &'a str, close: Bytes },
    /// Frames for clients of `switchboard.v1`, and for all others.
    Announce(Bytes, Bytes),
}

pub(super) fn frames(frames: &Bytes) -> Bytes {
    [&[FRAMES], &frames[..]].concat().into()
}

pub(super) fn text(text: &str) -> Bytes {
    [&[TEXT], text.as_bytes()].concat().into()
}

pub(super) fn kick(user: &str, reason: &str, close: &Bytes) -> Bytes {
    // Names hold no control character.
    two(KICK, close, format!("{user}\0{reason}").as_bytes())
}

pub(super) fn announce(protocol: &Bytes, plain: &Bytes) -> Bytes {
    two(ANNOUNCE, protocol, plain)
}

/// Two parts, the length of the first one before them.
fn two(kind: u8, first: &[u8], second: &[u8]) -> Bytes {
    [&[kind], &(first.len() as u32).to_be_bytes()[..], first, second].concat().into()
}

fn split(note: &Bytes) -> Option<(Bytes, Bytes)> {
    let length = u32::from_be_bytes(note.get(1..5)?.try_into().ok()?) as usize;
    let rest = note.slice(5..);
    (length <= rest.len()).then(|| (rest.slice(..length), rest.slice(length..)))
}

/// `None`: of another version of this program.
pub(super) fn read(note: &Bytes) -> Option<Note<'_>> {
    match *note.first()? {
        FRAMES => Some(Note::Frames(note.slice(1..))),
        TEXT => Some(Note::Text(str::from_utf8(&note[1..]).ok()?)),
        KICK => {
            let (close, text) = split(note)?;
            let text = str::from_utf8(&note[note.len() - text.len()..]).ok()?;
            let (user, reason) = text.split_once('\0')?;
            Some(Note::Kick { user, reason, close })
        }
        ANNOUNCE => split(note).map(|(protocol, plain)| Note::Announce(protocol, plain)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let frame = Bytes::from_static(b"\x81\x01a");
        assert_eq!(read(&frames(&frame)), Some(Note::Frames(frame)));
        assert_eq!(read(&text("{}")), Some(Note::Text("{}")));
        let close = Bytes::from_static(b"\x88\x02\x03\xf0");
        let told = kick("ann", "w\0y", &close);
        assert_eq!(read(&told), Some(Note::Kick { user: "ann", reason: "w\0y", close }));
        let (one, two) = (Bytes::from_static(b"one"), Bytes::new());
        assert_eq!(read(&announce(&one, &two)), Some(Note::Announce(one, two)));
        for foreign in
            [&b""[..], b"\x01\xff", b"\x02\0\0", b"\x02\0\0\0\0ann", b"\x03\xff\xff\xff\xffx", b"\x07later"]
        {
            assert_eq!(read(&Bytes::copy_from_slice(foreign)), None);
        }
    }
}
