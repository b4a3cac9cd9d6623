//! What servers say to each other on Redis' channels, read. Pure; the scripts write most of it.
//!
//! A letter, then fields, with a line feed between them. The last one may hold anything; no other can hold a line feed, as
//! names have no control characters.

use super::names::read_listener;
use crate::engine::{Address, Member, Name, Stored};
use tungstenite::Bytes;

/// Something heard on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something was said in the channel's room.
    Message { epoch: Name, message: Stored },
    /// A user's connections in the channel's room have changed.
    Presence { member: Member, left: bool },
    /// All users in the channel's room at a server.
    Users { node: Name, users: Vec<(Name, usize)> },
    /// What was asked before this mark is answered.
    Mark(u64),
    /// There is something to do.
    Wake,
    /// To one of this server's users.
    Note { to: Address, note: Bytes },
    /// From that server, to whom the channel is for.
    Others { node: Name, note: Bytes },
    /// The server is alive.
    Beat { node: Name },
    /// The server ends.
    Bye { node: Name },
}

/// `None`: of another version of this program.
pub(super) fn read(payload: Vec<u8>) -> Option<Heard> {
    let payload = Bytes::from(payload);
    let kind = *payload.first()?;
    let mut fields = Fields(match payload.get(1) {
        Some(b'\n') => payload.slice(2..),
        None => Bytes::new(),
        Some(_) => return None,
    });
    Some(match kind {
        b'm' => {
            let epoch = fields.name()?;
            let (offset, time) = (fields.number()?, fields.number()?);
            Heard::Message { epoch, message: Stored { offset, time, element: fields.rest()? } }
        }
        b'p' => {
            let (node, connections) = (fields.name()?, fields.number()? as usize);
            let left = fields.number()? == 1;
            Heard::Presence { member: Member { node, user: fields.rest()?, connections }, left }
        }
        b'a' => {
            let lines = str::from_utf8(&fields.0).ok()?;
            let (node, users) = lines.split_once('\n').unwrap_or((lines, ""));
            let user = |line: &str| {
                let (connections, user) = line.split_once(' ')?;
                Some((user.into(), connections.parse().ok()?))
            };
            Heard::Users { node: node.into(), users: users.lines().map(user).collect::<Option<_>>()? }
        }
        b'k' => Heard::Mark(fields.number()?),
        b'w' => Heard::Wake,
        b'n' => Heard::Note { to: read_listener(&fields.name()?)?, note: fields.0 },
        b'o' => Heard::Others { node: fields.name()?, note: fields.0 },
        b'b' => Heard::Beat { node: fields.name()? },
        b'g' => Heard::Bye { node: fields.name()? },
        _ => return None,
    })
}

/// What [`Heard::Wake`] is read from.
pub(super) const WAKE: &[u8] = b"w";

/// For [`Heard::Note`].
pub(super) fn note(listener: &str, note: &[u8]) -> Vec<u8> {
    [b"n\n", listener.as_bytes(), b"\n", note].concat()
}

/// For [`Heard::Others`].
pub(super) fn to_others(node: &str, note: &[u8]) -> Vec<u8> {
    [b"o\n", node.as_bytes(), b"\n", note].concat()
}

/// Fields that have not been read yet.
struct Fields(Bytes);

impl Fields {
    fn field(&mut self) -> Bytes {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let field = self.0.split_to(end);
        // The line feed, if there is one.
        let _ = self.0.split_to(self.0.len().min(1));
        field
    }

    fn name(&mut self) -> Option<Name> {
        str::from_utf8(&self.field()).ok().map(Name::from)
    }

    fn number(&mut self) -> Option<u64> {
        str::from_utf8(&self.field()).ok()?.parse().ok()
    }

    fn rest(&self) -> Option<Name> {
        str::from_utf8(&self.0).ok().map(Name::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_said_is_read() {
        let node: Name = "n1".into();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let stored = Stored { offset: 7, time: 9, element: "{\"data\":\"a\\n\"}\n".into() };
        let member = Member { node: node.clone(), user: "ann lee".into(), connections: 2 };
        for (payload, heard) in [
            (
                &b"m\ne-1\n7\n9\n{\"data\":\"a\\n\"}\n"[..],
                Heard::Message { epoch: "e-1".into(), message: stored },
            ),
            (b"p\nn1\n2\n1\nann lee", Heard::Presence { member, left: true }),
            (b"a\nn1", Heard::Users { node: node.clone(), users: Vec::new() }),
            (
                b"a\nn1\n2 ann lee\n1 bob",
                Heard::Users { node: node.clone(), users: vec![("ann lee".into(), 2), ("bob".into(), 1)] },
            ),
            (b"k\n12", Heard::Mark(12)),
            (WAKE, Heard::Wake),
            (
                &note("user:ann", b"\0\n\n"),
                Heard::Note { to: Address::User("ann".into()), note: bytes("\0\n\n") },
            ),
            (&to_others("n1", b"hey"), Heard::Others { node: node.clone(), note: bytes("hey") }),
            (b"b\nn1", Heard::Beat { node: node.clone() }),
            (b"g\nn1", Heard::Bye { node }),
        ] {
            assert_eq!(read(payload.to_vec()), Some(heard), "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for foreign in [
            &b""[..],
            b"z\n1",
            b"mm\n",
            b"m\ne\nx\n9\n{}",
            b"k\n",
            b"n\nelse:x\n",
            b"m\ne\n1\n1\n\xff",
            b"a\nn\nx y",
        ] {
            assert_eq!(read(foreign.to_vec()), None, "{}", foreign.escape_ascii());
        }
    }
}
