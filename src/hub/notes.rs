//! What hubs tell each other through an engine: the first byte says what the rest is.

use tungstenite::Bytes;

const FRAMES: u8 = 0;
const TEXT: u8 = 1;

/// A note, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note<'a> {
    /// WebSocket frames as a server sends them, for plain connections.
    Frames(Bytes),
    /// A text for connections of `switchboard.v1`.
    Text(&'a str),
}

pub(super) fn frames(frames: &Bytes) -> Bytes {
    [&[FRAMES], &frames[..]].concat().into()
}

pub(super) fn text(text: &str) -> Bytes {
    [&[TEXT], text.as_bytes()].concat().into()
}

/// `None`: of another version of this program.
pub(super) fn read(note: &Bytes) -> Option<Note<'_>> {
    match *note.first()? {
        FRAMES => Some(Note::Frames(note.slice(1..))),
        TEXT => Some(Note::Text(str::from_utf8(&note[1..]).ok()?)),
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
        for foreign in [&b""[..], b"\x01\xff", b"\x07later"] {
            assert_eq!(read(&Bytes::copy_from_slice(foreign)), None);
        }
    }
}
