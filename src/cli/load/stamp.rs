//! What a message says of itself: of which run it is, who sent it, its number, and when it was to be sent.

/// A message's mark, at the start of its payload in plain letters, so that it passes as text, in JSON, and as binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Messages of other runs are not ours to judge.
    pub(super) run: u32,
    pub(super) sender: u32,
    pub(super) kind: Kind,
    /// From 0, rising by one for each sender.
    pub(super) sequence: u64,
    /// Nanoseconds since the run's base.
    pub(super) sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Finds out who is in the room; is not counted.
    Probe,
    Message,
}

/// Bytes of a stamp: its kind, and four numbers in hex.
pub(super) const STAMP: usize = 1 + 8 + 8 + 16 + 16;

impl Stamp {
    /// A payload of `size` bytes, at least [`STAMP`].
    pub(super) fn payload(&self, size: usize) -> String {
        let kind = if self.kind == Kind::Probe { 'p' } else { 'm' };
        let Self { run, sender, sequence, sent, .. } = self;
        let mut text = String::with_capacity(size);
        text.push_str(&format!("{kind}{run:08x}{sender:08x}{sequence:016x}{sent:016x}"));
        while text.len() < size {
            let room = size - text.len();
            text.push_str(&PADDING[..room.min(PADDING.len())]);
        }
        text
    }

    /// `None`: no payload of ours. `Some(Err)`: it was, but something happened to it on its way.
    pub(super) fn read(payload: &[u8], size: usize) -> Option<Result<Self, Damaged>> {
        let (head, mut rest) = payload.split_at_checked(STAMP)?;
        let kind = match head[0] {
            b'p' => Kind::Probe,
            b'm' => Kind::Message,
            _ => return None,
        };
        let number = |from: usize, to: usize| hex(&head[from..to]);
        let stamp = Self {
            run: number(1, 9)? as u32,
            sender: number(9, 17)? as u32,
            kind,
            sequence: number(17, 33)?,
            sent: number(33, 49)?,
        };
        if payload.len() != size {
            return Some(Err(Damaged { run: stamp.run }));
        }
        while !rest.is_empty() {
            let (part, further) = rest.split_at(rest.len().min(PADDING.len()));
            if part != &PADDING.as_bytes()[..part.len()] {
                return Some(Err(Damaged { run: stamp.run }));
            }
            rest = further;
        }
        Some(Ok(stamp))
    }
}

/// A payload with another length or other contents than it was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged {
    pub(super) run: u32,
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// What payloads are filled up with, over and over. JSON needs no escapes for it.
const PADDING: &str =
    "The operator plugs Ann through to line 9527, where Bob waits in the lobby; and so on. ";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMPED: Stamp =
        Stamp { run: 0xdead_beef, sender: 7, kind: Kind::Message, sequence: 41, sent: 1 << 40 };

    #[test]
    fn what_is_not_ours_is_passed_over_and_what_is_changed_is_found() {
        let good = STAMPED.payload(300);
        let damaged = Some(Err(Damaged { run: STAMPED.run }));
        for (payload, read) in [
            (good.clone(), Some(Ok(STAMPED))),
            (format!("{good}x"), damaged),
            (good[..299].to_string(), damaged),
            (good.replace("lobby", "hobby"), damaged),
            (good.replacen("dead", "DEAD", 1), None),
            ("hello".into(), None),
            ("x".repeat(300), None),
            (String::new(), None),
        ] {
            assert_eq!(Stamp::read(payload.as_bytes(), 300), read, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(run: u32, sender: u32, sequence: u64, sent: u64, probe: bool, size in STAMP..500) {
            let kind = if probe { Kind::Probe } else { Kind::Message };
            let stamp = Stamp { run, sender, kind, sequence, sent };
            let payload = stamp.payload(size);
            prop_assert_eq!(payload.len(), size);
            prop_assert_eq!(Stamp::read(payload.as_bytes(), size), Some(Ok(stamp)));
        }
    }
}
