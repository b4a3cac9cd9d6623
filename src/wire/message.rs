//! Fragments joined to a message: UTF-8 checked while it arrives, size and number of fragments capped before anything
//! is allocated. RFC 6455 §5.4, §5.6, §8.1.
//!
//! Knows nothing of frame headers or of control frames, which may come between the fragments (`session`).

use super::deflate::Inflate;
use super::frame::Violation;
use tungstenite::protocol::frame::Utf8Bytes;
use tungstenite::{Bytes, Message};

/// A message on its way in.
pub(crate) struct Assembler {
    max_bytes: usize,
    max_fragments: usize,
    /// There when permessage-deflate was agreed on.
    inflate: Option<Box<dyn Inflate>>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    payload: Payload,
    /// Bytes the frames so far have announced, arrived or not.
    announced: usize,
    fragments: usize,
}

#[derive(Debug)]
enum Payload {
    Text(Utf8),
    Binary(Vec<u8>),
    /// Inflated when it is complete: until then nobody's decompressor is needed.
    Compressed(Format, Vec<u8>),
}

/// What a data frame says of the message that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Assembler {
    pub(crate) fn new(max_bytes: usize, max_fragments: usize, inflate: Option<Box<dyn Inflate>>) -> Self {
        Self { max_bytes, max_fragments, inflate, open: None }
    }

    pub(crate) fn takes_compressed(&self) -> bool {
        self.inflate.is_some()
    }

    /// A text or binary frame of `length` bytes begins a message.
    pub(crate) fn begin(&mut self, kind: Kind, length: u64) -> Result<(), Violation> {
        if self.open.is_some() {
            return Err(Violation::protocol("a new message began inside a fragmented one"));
        }
        let payload = match kind {
            Kind { compressed: true, format } => Payload::Compressed(format, Vec::new()),
            Kind { format: Format::Text, .. } => Payload::Text(Utf8::default()),
            Kind { format: Format::Binary, .. } => Payload::Binary(Vec::new()),
        };
        self.open = Some(Open { payload, announced: 0, fragments: 0 });
        self.fragment(length)
    }

    /// A continuation frame of `length` bytes.
    pub(crate) fn proceed(&mut self, length: u64) -> Result<(), Violation> {
        if self.open.is_none() {
            return Err(Violation::protocol("a continuation frame without a message to continue"));
        }
        self.fragment(length)
    }

    fn fragment(&mut self, length: u64) -> Result<(), Violation> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.fragments += 1;
        if open.fragments > self.max_fragments {
            return Err(Violation::too_big("the message has too many fragments"));
        }
        let max = match open.payload {
            Payload::Compressed(..) => max_compressed(self.max_bytes),
            Payload::Text(_) | Payload::Binary(_) => self.max_bytes,
        };
        match usize::try_from(length).ok().and_then(|length| open.announced.checked_add(length)) {
            Some(announced) if announced <= max => open.announced = announced,
            _ => return Err(Violation::too_big("the message is larger than the limit")),
        }
        Ok(())
    }

    /// Unmasked bytes of the present fragment.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        match &mut self.open {
            Some(Open { payload: Payload::Text(text), .. }) => text.push(bytes),
            Some(Open { payload: Payload::Binary(bin) | Payload::Compressed(_, bin), .. }) => {
                bin.extend_from_slice(bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The final fragment is complete.
    pub(crate) fn finish(&mut self) -> Result<Option<Message>, Violation> {
        Ok(match self.open.take().map(|open| open.payload) {
            Some(Payload::Text(text)) => Some(Message::Text(text.finish()?.into())),
            Some(Payload::Binary(binary)) => Some(Message::Binary(Bytes::from(binary))),
            Some(Payload::Compressed(format, compressed)) => Some(self.inflate(format, &compressed)?),
            None => None,
        })
    }

    /// The usual case, a message in one frame that is here completely, in one copy.
    pub(crate) fn whole(&mut self, kind: Kind, payload: &[u8]) -> Result<Message, Violation> {
        if self.open.is_some() {
            return Err(Violation::protocol("a new message began inside a fragmented one"));
        }
        if kind.compressed && payload.len() <= max_compressed(self.max_bytes) {
            return self.inflate(kind.format, payload);
        }
        if payload.len() > self.max_bytes {
            return Err(Violation::too_big("the message is larger than the limit"));
        }
        match kind.format {
            Format::Binary => Ok(Message::Binary(Bytes::copy_from_slice(payload))),
            Format::Text => match str::from_utf8(payload) {
                Ok(text) => Ok(Message::Text(Utf8Bytes::from(text))),
                Err(_) => Err(NOT_UTF8),
            },
        }
    }

    fn inflate(&mut self, format: Format, compressed: &[u8]) -> Result<Message, Violation> {
        let inflate = self.inflate.as_mut().ok_or(Violation::protocol("compression was not agreed on"))?;
        let payload = inflate.inflate(compressed, self.max_bytes)?;
        match format {
            Format::Binary => Ok(Message::Binary(payload.into())),
            Format::Text => match String::from_utf8(payload) {
                Ok(text) => Ok(Message::Text(text.into())),
                Err(_) => Err(NOT_UTF8),
            },
        }
    }
}

/// Bytes that a compressed message may have: what cannot be compressed grows a little.
fn max_compressed(max_bytes: usize) -> usize {
    max_bytes.saturating_add(max_bytes / 64 + 64)
}

const NOT_UTF8: Violation = Violation::not_utf8("the text is not UTF-8");

/// UTF-8 that arrives in pieces cut anywhere. A text is refused at its first wrong byte, not at its end.
#[derive(Debug, Default)]
struct Utf8 {
    text: String,
    /// The beginning of a character whose rest has not come yet.
    cut: [u8; 4],
    cut_len: usize,
}

impl Utf8 {
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while self.cut_len > 0 && !bytes.is_empty() {
            self.cut[self.cut_len] = bytes[0];
            self.cut_len += 1;
            bytes = &bytes[1..];
            match str::from_utf8(&self.cut[..self.cut_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_len = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NOT_UTF8),
            }
        }
        match str::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(error) if error.error_len().is_none() => {
                let (good, rest) = bytes.split_at(error.valid_up_to());
                self.text.push_str(str::from_utf8(good).map_err(|_| NOT_UTF8)?);
                self.cut[..rest.len()].copy_from_slice(rest);
                self.cut_len = rest.len();
            }
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }

    fn finish(self) -> Result<String, Violation> {
        if self.cut_len > 0 { Err(NOT_UTF8) } else { Ok(self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::soup_tests::{Soup, soup};
    use super::*;
    use proptest::prelude::*;
    use tungstenite::protocol::frame::coding::CloseCode;

    const TEXT: Kind = Kind { format: Format::Text, compressed: false };
    const BINARY: Kind = Kind { format: Format::Binary, compressed: false };

    #[test]
    fn text_cut_at_every_byte_is_joined() {
        let text = "aé服务器🦀z";
        for size in 1..text.len() {
            let mut utf8 = Utf8::default();
            text.as_bytes().chunks(size).for_each(|chunk| utf8.push(chunk).unwrap());
            assert_eq!(utf8.finish().unwrap(), text, "chunks of {size}");
        }
    }

    #[test]
    fn bad_utf8_is_refused_at_its_first_byte() {
        // The Autobahn cases 6.4.*: the text goes wrong long before its end.
        let mut bad = "κόσμε".as_bytes().to_vec();
        let at = bad.len();
        bad.extend_from_slice(b"\xf4\x90\x80\x80edited");
        let mut utf8 = Utf8::default();
        for (i, byte) in bad.iter().enumerate() {
            match utf8.push(&[*byte]) {
                Ok(()) => assert!(i <= at, "accepted byte {i}"),
                Err(violation) => {
                    assert_eq!((i, violation.code), (at + 1, CloseCode::Invalid));
                    return;
                }
            }
        }
        panic!("never refused");
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_refused() {
        let mut utf8 = Utf8::default();
        utf8.push("é".as_bytes().split_at(1).0).unwrap();
        assert_eq!(utf8.finish(), Err(NOT_UTF8));
    }

    #[test]
    fn size_is_refused_when_announced() {
        let mut assembler = Assembler::new(10, 100, None);
        assembler.begin(BINARY, 6).unwrap();
        assembler.proceed(4).unwrap();
        assert_eq!(assembler.proceed(1).unwrap_err().code, CloseCode::Size);
        assert_eq!(Assembler::new(10, 9, None).begin(TEXT, u64::MAX).unwrap_err().code, CloseCode::Size);
        assert_eq!(assembler.open.unwrap().payload_len(), 0);
    }

    impl Open {
        fn payload_len(&self) -> usize {
            match &self.payload {
                Payload::Text(text) => text.text.capacity(),
                Payload::Binary(binary) | Payload::Compressed(_, binary) => binary.capacity(),
            }
        }
    }

    #[test]
    fn fragments_are_counted() {
        let mut assembler = Assembler::new(10, 3, None);
        assembler.begin(TEXT, 0).unwrap();
        assembler.proceed(0).unwrap();
        assembler.proceed(0).unwrap();
        assert_eq!(assembler.proceed(0).unwrap_err().code, CloseCode::Size);
    }

    #[test]
    fn fragments_out_of_place_are_refused() {
        let mut assembler = Assembler::new(10, 3, None);
        assert_eq!(assembler.proceed(1).unwrap_err().code, CloseCode::Protocol);
        assembler.begin(TEXT, 1).unwrap();
        assert_eq!(assembler.begin(TEXT, 1).unwrap_err().code, CloseCode::Protocol);
        assert_eq!(assembler.whole(TEXT, b"x").unwrap_err().code, CloseCode::Protocol);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// UTF-8 in pieces is what it is as a whole; what is not is refused no later than at the end.
        #[test]
        fn text_in_pieces_is_judged_as_a_whole(Soup(bytes) in soup("aé服务器🦀z\u{10ffff}"), size in 1usize..9) {
            let mut utf8 = Utf8::default();
            let joined = bytes.chunks(size).try_for_each(|chunk| utf8.push(chunk)).and_then(|()| utf8.finish());
            prop_assert_eq!(joined.ok(), String::from_utf8(bytes).ok());
        }
    }
}
