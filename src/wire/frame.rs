//! One WebSocket frame: header rules, masking, close payloads, and what a peer can do wrong. RFC 6455 §5 and §7.4.
//!
//! Knows nothing of messages (fragments joined: `message`) or of what was said before (`session`).

use std::io::Cursor;
use tungstenite::Bytes;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{FrameHeader, Utf8Bytes};

/// Longest payload of a control frame, in bytes. RFC 6455 §5.5.
pub(crate) const CONTROL_MAX: usize = 125;
/// Longest reason in a Close frame: a control payload less the two bytes of the code.
pub(crate) const REASON_MAX: usize = CONTROL_MAX - 2;
/// Longest frame header: 2 bytes, 8 of extended length, 4 of mask. RFC 6455 §5.2.
pub(crate) const HEADER_MAX: usize = 14;

/// Which end of the connection we are. Clients mask, servers must not. RFC 6455 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What the peer did wrong, as the Close frame will tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::Protocol, reason }
    }

    pub(crate) const fn not_utf8(reason: &'static str) -> Self {
        Self { code: CloseCode::Invalid, reason }
    }

    pub(crate) const fn too_big(reason: &'static str) -> Self {
        Self { code: CloseCode::Size, reason }
    }
}

/// The rules a frame header keeps whatever came before it. RFC 6455 §5.1, §5.2, §5.5. With permessage-deflate RSV1 is
/// allowed on the first frame of a message. RFC 7692 §6.
pub(crate) fn check_header(
    header: &FrameHeader,
    length: u64,
    role: Role,
    deflate: bool,
) -> Result<(), Violation> {
    let compressible = deflate && matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
    if (header.rsv1 && !compressible) || header.rsv2 || header.rsv3 {
        return Err(Violation::protocol("a reserved bit is set that no extension has agreed on"));
    }
    match (role, header.mask.is_some()) {
        (Role::Server, false) => return Err(Violation::protocol("a client's frames must be masked")),
        (Role::Client, true) => return Err(Violation::protocol("a server's frames must not be masked")),
        _ => {}
    }
    if length > i64::MAX as u64 {
        return Err(Violation::protocol("the highest bit of a frame's length must be 0"));
    }
    if let OpCode::Control(_) = header.opcode {
        if !header.is_final {
            return Err(Violation::protocol("a control frame must not be fragmented"));
        }
        if length > CONTROL_MAX as u64 {
            return Err(Violation::protocol("a control frame's payload is longer than 125 bytes"));
        }
    }
    Ok(())
}

/// Masks or unmasks `bytes`, the part of a payload that starts at `offset`. RFC 6455 §5.3.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut key = mask;
    key.rotate_left(offset % 4);
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// One final frame that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) opcode: OpCode,
    pub(crate) payload: &'a [u8],
    /// The payload is compressed: RSV1. RFC 7692 §6.
    pub(crate) compressed: bool,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(opcode: OpCode, payload: &'a [u8]) -> Self {
        Self { opcode, payload, compressed: false }
    }

    pub(crate) fn compressed(opcode: OpCode, payload: &'a [u8]) -> Self {
        Self { opcode, payload, compressed: true }
    }

    /// Appends the frame to `out`; masked when a key is given.
    pub(crate) fn encode_into(self, out: &mut Vec<u8>, mask: Option<[u8; 4]>) {
        let header =
            FrameHeader { opcode: self.opcode, rsv1: self.compressed, mask, ..FrameHeader::default() };
        // Writing into a Vec cannot fail.
        let _ = header.format(self.payload.len() as u64, out);
        let start = out.len();
        out.extend_from_slice(self.payload);
        if let Some(key) = mask {
            apply_mask(&mut out[start..], key, 0);
        }
    }

    /// The frame of a server, unmasked.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = Vec::with_capacity(self.payload.len() + HEADER_MAX - 4);
        self.encode_into(&mut out, None);
        Bytes::from(out)
    }
}

/// The frames that lie end to end in `frames`, as [`Outgoing::encode`] makes them: opcode and payload of each.
pub(crate) fn split(frames: &Bytes) -> impl Iterator<Item = (OpCode, Bytes)> {
    let mut rest = frames.clone();
    std::iter::from_fn(move || {
        let mut cursor = Cursor::new(&rest[..]);
        let (header, length) = FrameHeader::parse(&mut cursor).ok().flatten()?;
        let start = cursor.position() as usize;
        let end = start.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= rest.len())?;
        let frame = rest.split_to(end);
        Some((header.opcode, frame.slice(start..)))
    })
}

/// How many texts and how many binary messages lie end to end in `frames`, as [`Outgoing::encode`] makes them. Looks at nothing
/// but where each ends: it is done for every piece that is sent.
pub(crate) fn count(frames: &[u8]) -> [usize; 2] {
    let (mut counts, mut rest) = ([0; 2], frames);
    while let [first, second, behind @ ..] = rest {
        let (extended, length) = match second & 0x7f {
            126 => (2, behind.first_chunk().map_or(0, |length| u64::from(u16::from_be_bytes(*length)))),
            127 => (8, behind.first_chunk().map_or(0, |length| u64::from_be_bytes(*length))),
            short => (0, u64::from(short)),
        };
        match first & 0x0f {
            1 => counts[0] += 1,
            2 => counts[1] += 1,
            _ => {}
        }
        rest = behind.get((length as usize).saturating_add(extended)..).unwrap_or_default();
    }
    counts
}

/// The code in a Close frame, masked or not; 1005 when there is none. RFC 6455 §7.4.1
pub(crate) fn close_code(frame: &[u8]) -> u16 {
    let mut cursor = Cursor::new(frame);
    let mask = FrameHeader::parse(&mut cursor).ok().flatten().and_then(|(header, _)| header.mask);
    let code = frame.get(cursor.position() as usize..).and_then(<[u8]>::first_chunk::<2>);
    let Some(mut code) = code.copied() else { return CloseCode::Status.into() };
    apply_mask(&mut code, mask.unwrap_or_default(), 0);
    u16::from_be_bytes(code)
}

/// One final frame of a server, unmasked and not compressed.
pub(crate) fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    Outgoing::new(opcode, payload).encode()
}

/// A server's Close frame.
pub(crate) fn encode_close(code: CloseCode, reason: &str) -> Bytes {
    encode(OpCode::Control(Control::Close), &close_payload(code, reason))
}

/// Code and reason as a Close payload; a long reason is cut at a character's end. RFC 6455 §5.5.1.
pub(crate) fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    // 1005 stands for "no code was in the frame" and must never be in one. RFC 6455 §7.4.1.
    if code == CloseCode::Status {
        return Vec::new();
    }
    let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&u16::from(code).to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// `None`: no Close frame may hold it. RFC 6455 §7.4, and IANA's registry: `CloseCode` carries 1014 (bad gateway) as any other,
/// but takes it for none that is allowed.
pub(crate) fn valid_close_code(code: u16) -> Option<CloseCode> {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then(|| CloseCode::from(code))
}

/// What a Close payload says; `None` when it is empty. RFC 6455 §5.5.1, §7.4.
pub(crate) fn parse_close(payload: &[u8]) -> Result<Option<CloseFrame>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::protocol("a Close payload of one byte has half a code")),
        };
    };
    let Some(code) = valid_close_code(u16::from_be_bytes(*code)) else {
        return Err(Violation::protocol("this close code must not be sent"));
    };
    let reason = str::from_utf8(reason).map_err(|_| Violation::not_utf8("the close reason is not UTF-8"))?;
    Ok(Some(CloseFrame { code, reason: Utf8Bytes::from(reason) }))
}

/// Where the frame that holds byte `at` of `frames` ends; `frames` are whole frames, laid end to end.
///
/// For an outbox that must stop after a frame it has begun: what was cut in the middle would never be read.
pub(crate) fn end_of_frame(frames: &[u8], at: usize) -> usize {
    let mut start = 0;
    while start <= at {
        let mut cursor = Cursor::new(&frames[start..]);
        let Ok(Some((_, length))) = FrameHeader::parse(&mut cursor) else { return frames.len() };
        start = start.saturating_add(cursor.position() as usize).saturating_add(length as usize);
    }
    start.min(frames.len())
}

pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const BINARY: OpCode = OpCode::Data(Data::Binary);
pub(crate) const CLOSE: OpCode = OpCode::Control(Control::Close);
pub(crate) const PING: OpCode = OpCode::Control(Control::Ping);
pub(crate) const PONG: OpCode = OpCode::Control(Control::Pong);

#[cfg(test)]
mod tests {
    use super::super::soup_tests::{Soup, soup};
    use super::*;
    use proptest::prelude::*;

    fn header(change: impl FnOnce(&mut FrameHeader)) -> FrameHeader {
        let mut header = FrameHeader { opcode: TEXT, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
        change(&mut header);
        header
    }

    #[test]
    fn a_header_is_held_to_the_rules() {
        let check =
            |change: fn(&mut FrameHeader), length, role| check_header(&header(change), length, role, false);
        assert_eq!(check(|_| {}, 5, Role::Server), Ok(()));
        assert_eq!(check(|h| h.mask = None, 5, Role::Client), Ok(()));
        assert_eq!(check(|h| h.opcode = PING, 125, Role::Server), Ok(()));
        for (change, length, role) in [
            ((|h| h.rsv1 = true) as fn(&mut FrameHeader), 5, Role::Server),
            (|h| h.rsv2 = true, 5, Role::Server),
            (|h| h.rsv3 = true, 5, Role::Server),
            (|h| h.mask = None, 5, Role::Server),
            (|_| {}, 5, Role::Client),
            (|_| {}, 1 << 63, Role::Server),
            (|h| h.opcode = PING, 126, Role::Server),
            (|h| (h.opcode, h.is_final) = (PING, false), 5, Role::Server),
        ] {
            assert_eq!(check(change, length, role).unwrap_err().code, CloseCode::Protocol);
        }
    }

    #[test]
    fn rsv1_is_for_the_first_frame_of_a_compressed_message() {
        let check = |opcode| {
            let header = header(|h| (h.rsv1, h.opcode) = (true, opcode));
            check_header(&header, 5, Role::Server, true).is_ok()
        };
        assert!(check(TEXT) && check(BINARY));
        assert!(!check(PING) && !check(OpCode::Data(Data::Continue)));
    }

    #[test]
    fn messages_are_counted_by_kind() {
        assert_eq!(count(&[]), [0, 0]);
        let mut frames = Vec::new();
        for (opcode, length) in
            [(TEXT, 0), (BINARY, 125), (TEXT, 126), (PING, 5), (TEXT, 0xffff), (BINARY, 0x10000), (CLOSE, 2)]
        {
            Outgoing::new(opcode, &vec![1; length]).encode_into(&mut frames, None);
        }
        Outgoing::compressed(TEXT, b"abc").encode_into(&mut frames, None);
        assert_eq!(count(&frames), [4, 2]);
        // What is cut off in the middle is no reason to panic.
        for end in 0..frames.len().min(500) {
            count(&frames[..end]);
        }
        count(&[0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    /// Frames come from other servers, too: what is no frame must not end this one.
    #[test]
    fn what_only_looks_like_frames_is_taken_for_what_it_holds() {
        let good = encode(TEXT, b"abc");
        for bad in [&b"\x81"[..], b"\x81\x05abc", b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xffabc"] {
            let frames = Bytes::from([&good[..], bad].concat());
            let found: Vec<Bytes> = split(&frames).map(|(_, payload)| payload).collect();
            assert_eq!(found, [&b"abc"[..]], "{bad:02x?}");
            for at in 0..frames.len() {
                let end = if at < good.len() { good.len() } else { frames.len() };
                assert_eq!(end_of_frame(&frames, at), end, "{bad:02x?} at {at}");
            }
        }
    }

    #[test]
    fn a_close_frames_code_is_found() {
        for code in [1000, 1001, 1013, 4999] {
            let payload = close_payload(CloseCode::from(code), "reason");
            assert_eq!(close_code(&encode(CLOSE, &payload)), code);
            let mut masked = Vec::new();
            Outgoing::new(CLOSE, &payload).encode_into(&mut masked, Some([1, 2, 3, 4]));
            assert_eq!(close_code(&masked), code);
        }
        assert_eq!(close_code(&encode(CLOSE, &[])), 1005);
        assert_eq!(close_code(&[]), 1005);
    }

    #[test]
    fn masking_is_the_same_from_any_offset() {
        let plain: Vec<u8> = (0..97).collect();
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
        for cut in 0..plain.len() {
            let mut bytes = plain.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            apply_mask(head, key, 0);
            apply_mask(tail, key, cut);
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }

    #[test]
    fn frames_are_the_rfc_s_examples() {
        // RFC 6455 §5.7
        assert_eq!(&encode(TEXT, b"Hello")[..], b"\x81\x05Hello");
        let mut masked = Vec::new();
        Outgoing::new(TEXT, b"Hello").encode_into(&mut masked, Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(masked, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(&encode(BINARY, &[0; 256])[..4], b"\x82\x7e\x01\x00");
        assert_eq!(&encode(BINARY, &[0; 65536])[..10], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn headers_take_2_4_or_10_bytes() {
        for (length, size) in [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)] {
            assert_eq!(encode(TEXT, &vec![b'x'; length]).len() - length, size, "{length}");
        }
    }

    #[test]
    fn close_payloads_are_read_and_written() {
        assert_eq!(parse_close(b""), Ok(None));
        let normal = parse_close(b"\x03\xe8bye").unwrap().unwrap();
        assert_eq!((normal.code, normal.reason.as_str()), (CloseCode::Normal, "bye"));
        // 1014 is registered, though `CloseCode` has no name for it.
        assert_eq!(parse_close(b"\x03\xf6").unwrap().map(|said| said.code.into()), Some(1014_u16));
        for (payload, code) in [
            (&b"\x03"[..], CloseCode::Protocol),
            (b"\x03\xed", CloseCode::Protocol), // 1005 must not be sent
            (b"\x03\xee", CloseCode::Protocol), // 1006
            (b"\x00\x00", CloseCode::Protocol),
            (b"\x03\xec", CloseCode::Protocol), // 1004 is reserved
            (b"\x13\x88", CloseCode::Protocol), // 5000 is nobody's
            (b"\x03\xe8\xff", CloseCode::Invalid),
        ] {
            assert_eq!(parse_close(payload).unwrap_err().code, code, "{payload:x?}");
        }
        assert_eq!(&encode_close(CloseCode::Normal, "")[..], b"\x88\x02\x03\xe8");
        assert_eq!(&encode_close(CloseCode::Status, "unsaid")[..], b"\x88\x00");
    }

    #[test]
    fn codes_are_taken_that_are_defined_or_registered_or_private() {
        let taken = |code: &u16| parse_close(&code.to_be_bytes()).is_ok();
        let by_name = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
        assert!((0..=u16::MAX).filter(taken).eq(by_name.into_iter().chain(3000..=4999)));
        for code in (0..=u16::MAX).filter(taken) {
            assert_eq!(valid_close_code(code).map(u16::from), Some(code));
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let payload = close_payload(CloseCode::Policy, &"服".repeat(60));
        assert_eq!(payload.len(), 2 + 41 * 3);
        assert!(str::from_utf8(&payload[2..]).is_ok());
    }

    #[test]
    fn the_end_of_a_begun_frame_is_found() {
        let frames: Vec<u8> = [encode(TEXT, b"abc"), encode(TEXT, b""), encode(BINARY, &[7; 300])].concat();
        let ends = [5, 7, 311];
        for at in 0..frames.len() {
            let expected = *ends.iter().find(|end| at < **end).unwrap();
            assert_eq!(end_of_frame(&frames, at), expected, "at {at}");
        }
    }

    proptest! {
        /// A Close payload is refused, or says what it would be written as.
        #[test]
        fn any_close_payload_is_refused_or_read(
            Soup(payload) in prop_oneof![soup("\x0f\u{20}enough, 再见"), soup(b"\x03\xe8bye".to_vec())],
        ) {
            match parse_close(&payload[..payload.len().min(CONTROL_MAX)]) {
                Ok(None) => prop_assert!(payload.is_empty()),
                Ok(Some(said)) => {
                    prop_assert_eq!(close_payload(said.code, &said.reason), &payload[..payload.len().min(CONTROL_MAX)]);
                }
                Err(violation) => {
                    prop_assert!(matches!(violation.code, CloseCode::Protocol | CloseCode::Invalid));
                }
            }
        }
    }
}
