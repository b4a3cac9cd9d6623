//! permessage-deflate: what is agreed on, and messages to compressed messages and back. RFC 7692.
//!
//! Always without context takeover in both directions: no compressor's state lives between messages, so a broadcast is
//! compressed once and the same bytes serve every connection that agreed.

use super::frame::Violation;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

/// Largest LZ77 window, as a power of two, and the default. RFC 7692 §7.1.2.
pub(crate) const WINDOW_BITS: u8 = 15;
/// zlib cannot compress with a window of 256 bytes; an offer that asks for it is declined.
const WINDOW_BITS_MIN: u8 = 9;
const NAME: &str = "permessage-deflate";

/// What both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Window that we may use, as a power of two.
    pub(crate) our_window_bits: u8,
}

/// Undoes the compression of one message. [`Violation`]: it is broken, or larger than `max` bytes.
pub(crate) trait Inflate: Send {
    fn inflate(&mut self, compressed: &[u8], max: usize) -> Result<Vec<u8>, Violation>;
}

/// One extension with its parameters, as offered or answered. RFC 6455 §9.1.
struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

/// Parameters of permessage-deflate. RFC 7692 §7.1.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: given without a value, which only a client may.
    client_max_window_bits: Option<Option<u8>>,
}

/// The first of a client's offers that we can keep, and our answer to it.
pub(crate) fn accept_offer(headers: &HeaderMap) -> Option<(Agreement, String)> {
    extensions(headers).filter(|offer| offer.name == NAME).find_map(|offer| {
        let offer = Parameters::parse(&offer.parameters)?;
        let our_window_bits = offer.server_max_window_bits.unwrap_or(WINDOW_BITS);
        if our_window_bits < WINDOW_BITS_MIN {
            return None;
        }
        let mut answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = offer.server_max_window_bits {
            answer.push_str(&format!("; server_max_window_bits={bits}"));
        }
        Some((Agreement { our_window_bits }, answer))
    })
}

/// What a client of ours offers.
pub(crate) fn offer() -> &'static str {
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
}

/// What a server made of [`offer`]: `Ok(None)` when it declined. An answer to something else must end the connection.
/// RFC 7692 §7.1
pub(crate) fn read_answer(headers: &HeaderMap) -> Result<Option<Agreement>, &'static str> {
    if headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().any(|line| line.to_str().is_err()) {
        return Err("the server's extensions are malformed");
    }
    let mut answers = extensions(headers);
    let Some(answer) = answers.next() else { return Ok(None) };
    if answer.name != NAME || answers.next().is_some() {
        return Err("the server answered an extension that was not offered");
    }
    let parameters =
        Parameters::parse(&answer.parameters).ok_or("the server's permessage-deflate is malformed")?;
    if !parameters.server_no_context_takeover {
        return Err("the server wants to keep its compression context, which was not offered");
    }
    let our_window_bits = match parameters.client_max_window_bits {
        None => WINDOW_BITS,
        Some(Some(bits)) if WINDOW_BITS_MIN <= bits => bits,
        Some(_) => return Err("the server wants a compression window that cannot be"),
    };
    Ok(Some(Agreement { our_window_bits }))
}

fn extensions(headers: &HeaderMap) -> impl Iterator<Item = Extension<'_>> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter(|element| !element.trim().is_empty()).map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (part, None),
        });
        Extension { name, parameters: parameters.collect() }
    })
}

impl Parameters {
    /// `None`: unknown, repeated, or with a value that is not allowed; then the offer is to be declined. RFC 7692 §7.1
    fn parse(parameters: &[(&str, Option<&str>)]) -> Option<Self> {
        let mut parsed = Self::default();
        for (at, (name, value)) in parameters.iter().enumerate() {
            if parameters[..at].iter().any(|(other, _)| other == name) {
                return None;
            }
            match (*name, value) {
                ("server_no_context_takeover", None) => parsed.server_no_context_takeover = true,
                ("client_no_context_takeover", None) => parsed.client_no_context_takeover = true,
                ("server_max_window_bits", Some(bits)) => {
                    parsed.server_max_window_bits = Some(window_bits(bits)?);
                }
                ("client_max_window_bits", Some(bits)) => {
                    parsed.client_max_window_bits = Some(Some(window_bits(bits)?));
                }
                ("client_max_window_bits", None) => parsed.client_max_window_bits = Some(None),
                _ => return None,
            }
        }
        Some(parsed)
    }
}

/// "a decimal integer value without leading zeroes between 8 to 15, inclusive", quoted or not. RFC 7692 §7.1.2.
fn window_bits(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let bits: u8 = digits.parse().ok()?;
    (!digits.starts_with(['0', '+']) && (8..=WINDOW_BITS).contains(&bits)).then_some(bits)
}

#[cfg(feature = "deflate")]
pub(crate) use zlib::{Deflater, Inflater};

#[cfg(feature = "deflate")]
mod zlib {
    use super::{Inflate, Violation, WINDOW_BITS};
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
    use tungstenite::protocol::frame::coding::CloseCode;

    /// What a sync flush ends with. The sender leaves it out, the receiver puts it back. RFC 7692 §7.2.1, §7.2.2.
    const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
    const BROKEN: Violation = Violation { code: CloseCode::Invalid, reason: "the compressed data is broken" };
    const TOO_BIG: Violation = Violation::too_big("the message is larger than the limit");
    /// What output grows by at least; much of it would let small messages take much memory.
    const STEP: usize = 4096;

    /// Compresses messages one after another. Some 380 KB: to be shared, not owned by each connection.
    pub(crate) struct Deflater {
        compress: Compress,
        pub(crate) window_bits: u8,
    }

    impl Deflater {
        pub(crate) fn new(window_bits: u8) -> Self {
            // The fastest level: it already saves most of what JSON wastes.
            let compress = Compress::new_with_window_bits(Compression::fast(), false, window_bits);
            Self { compress, window_bits }
        }

        /// The payload compressed, as it goes into a frame with RSV1.
        pub(crate) fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
            self.compress.reset();
            // "an empty DEFLATE block … is built as 0x00": zlib emits nothing for a second flush. RFC 7692 §7.2.3.6.
            if payload.is_empty() {
                return vec![0x00];
            }
            let mut out = Vec::with_capacity(payload.len() / 2 + 64);
            loop {
                let read = usize::try_from(self.compress.total_in()).unwrap_or(payload.len());
                // Compressing into memory cannot fail; what it could say is that nothing was left to do.
                let status = self.compress.compress_vec(&payload[read..], &mut out, FlushCompress::Sync);
                let all_read = self.compress.total_in() as usize == payload.len();
                if status.is_err() || (all_read && out.len() < out.capacity()) {
                    break;
                }
                out.reserve(STEP);
            }
            if out.ends_with(&TAIL) {
                out.truncate(out.len() - TAIL.len());
            }
            out
        }
    }

    /// Undoes compression, message by message. Some 48 KB: to be shared, too.
    pub(crate) struct Inflater {
        decompress: Decompress,
    }

    impl Inflater {
        pub(crate) fn new() -> Self {
            Self { decompress: Decompress::new_with_window_bits(false, WINDOW_BITS) }
        }

        fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), Violation> {
            loop {
                if out.len() == out.capacity() {
                    // One byte more than may be tells a message of exactly `max` from a larger one.
                    let room = max.saturating_add(1).saturating_sub(out.len());
                    out.reserve_exact(room.min(out.len().max(STEP)));
                }
                let before = self.decompress.total_in();
                let status = self.decompress.decompress_vec(input, out, FlushDecompress::Sync);
                let read = usize::try_from(self.decompress.total_in() - before).unwrap_or(input.len());
                input = &input[read..];
                if max < out.len() {
                    return Err(TOO_BIG);
                }
                match status.map_err(|_| BROKEN)? {
                    // A peer may end its block with BFINAL; what follows begins anew. RFC 7692 §7.2.3.4.
                    Status::StreamEnd => self.decompress.reset(false),
                    Status::Ok | Status::BufError => {}
                }
                if input.is_empty() && out.len() < out.capacity() {
                    return Ok(());
                }
                if status_is_stuck(read, out) {
                    return Err(BROKEN);
                }
            }
        }
    }

    /// Nothing was read although there was room to write.
    fn status_is_stuck(read: usize, out: &Vec<u8>) -> bool {
        read == 0 && out.len() < out.capacity()
    }

    impl Inflate for Inflater {
        fn inflate(&mut self, compressed: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
            self.decompress.reset(false);
            let expected = compressed.len().saturating_mul(4).clamp(64, STEP);
            let mut out = Vec::with_capacity(expected.min(max.saturating_add(1)));
            self.feed(compressed, &mut out, max)?;
            self.feed(&TAIL, &mut out, max)?;
            Ok(out)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "deflate")]
mod tests {
    use super::super::soup_tests::{Soup, soup, spoiled};
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;
    use tungstenite::protocol::frame::coding::CloseCode;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn offers_are_accepted_or_declined() {
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for (offer, bits, added) in [
            ("permessage-deflate", 15, ""),
            ("permessage-deflate; client_max_window_bits", 15, ""),
            ("permessage-deflate;client_max_window_bits=10", 15, ""),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, ""),
            ("permessage-deflate; server_max_window_bits=9", 9, "; server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=\"10\"", 10, "; server_max_window_bits=10"),
            (
                "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, permessage-deflate",
                15,
                "",
            ),
            (
                "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=15",
                15,
                "; server_max_window_bits=15",
            ),
        ] {
            let (agreement, answer) = accept_offer(&headers(&[offer])).unwrap_or_else(|| panic!("{offer}"));
            assert_eq!((agreement.our_window_bits, answer), (bits, format!("{plain}{added}")), "{offer}");
        }
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; what",
        ] {
            assert_eq!(accept_offer(&headers(&[offer])), None, "{offer}");
        }
        assert!(accept_offer(&headers(&["foo; bar", "permessage-deflate"])).is_some());
    }

    #[test]
    fn answers_are_held_to_the_offer() {
        let answer =
            |line| read_answer(&headers(&[line])).map(|agreed| agreed.map(|agreed| agreed.our_window_bits));
        assert_eq!(read_answer(&HeaderMap::new()), Ok(None));
        assert_eq!(answer("permessage-deflate; server_no_context_takeover"), Ok(Some(15)));
        assert_eq!(
            answer("permessage-deflate; server_no_context_takeover; client_max_window_bits=12"),
            Ok(Some(12))
        );
        for wrong in [
            "permessage-deflate",
            "permessage-foo",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover, permessage-deflate",
        ] {
            assert!(answer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_rfc_s_examples_are_understood() {
        // RFC 7692 §7.2.3: one block, a stored block, BFINAL, two blocks.
        for compressed in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(Inflater::new().inflate(compressed, 5).unwrap(), b"Hello", "{compressed:02x?}");
        }
        assert_eq!(Deflater::new(15).deflate(b"Hello"), b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        assert_eq!(Deflater::new(15).deflate(b""), b"\x00");
        assert_eq!(Inflater::new().inflate(b"\x00", 0).unwrap(), b"");
    }

    #[test]
    fn there_need_not_be_a_limit() {
        let message = vec![7; 100_000];
        let compressed = Deflater::new(15).deflate(&message);
        assert_eq!(Inflater::new().inflate(&compressed, usize::MAX).unwrap(), message);
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = Deflater::new(15).deflate(&vec![0; 20_000_000]);
        assert!(bomb.len() < 200_000);
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&bomb, 65_536).unwrap_err().code, CloseCode::Size);
        assert_eq!(inflater.inflate(&bomb, 19_999_999).unwrap_err().code, CloseCode::Size);
        assert_eq!(inflater.inflate(&bomb, 20_000_000).unwrap().len(), 20_000_000);
        let exact = inflater.inflate(&bomb, 20_000_000).unwrap();
        assert!(exact.capacity() <= 20_000_001, "{}", exact.capacity());
    }

    #[test]
    fn broken_data_is_refused_and_the_next_message_is_read() {
        let mut inflater = Inflater::new();
        for broken in [&b"\xff\xff\xff"[..], b"\x07"] {
            assert_eq!(inflater.inflate(broken, 100).unwrap_err().code, CloseCode::Invalid, "{broken:02x?}");
            assert_eq!(inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 100).unwrap(), b"Hello");
        }
    }

    proptest! {
        #[test]
        fn what_is_deflated_inflates_to_the_same(
            pieces in proptest::collection::vec((any::<u8>(), 1usize..2000), 0..40),
            bits in 9u8..=15,
        ) {
            let message: Vec<u8> =
                pieces.iter().flat_map(|(byte, count)| (0..*count).map(|n| byte.wrapping_add((n % 7) as u8))).collect();
            let mut deflater = Deflater::new(bits);
            let mut inflater = Inflater::new();
            for _ in 0..2 {
                let compressed = deflater.deflate(&message);
                prop_assert_eq!(&inflater.inflate(&compressed, message.len()).unwrap(), &message);
            }
        }

        #[test]
        fn random_bytes_never_panic_nor_grow(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(out) = Inflater::new().inflate(&bytes, 1000) {
                prop_assert!(out.len() <= 1000 && out.capacity() <= 4096);
            }
        }
    }

    proptest! {
        /// What was compressed well and then changed: refused, or some other message within the limit.
        #[test]
        fn spoiled_messages_are_refused_or_inflate_within_the_limit(
            Soup(bytes) in spoiled(Deflater::new(15).deflate(&b"again and again, and 0123456789 ".repeat(50))),
            max in 0usize..2000,
        ) {
            match Inflater::new().inflate(&bytes, max) {
                Ok(out) => prop_assert!(out.len() <= max && out.capacity() <= 4096),
                Err(violation) => prop_assert!(matches!(violation.code, CloseCode::Size | CloseCode::Invalid)),
            }
        }

        /// Whatever is offered, both ends come to agree on the same, or do not compress.
        #[test]
        fn offers_and_answers_of_any_kind(
            Soup(offer) in soup(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=10; client_max_window_bits, permessage-deflate; client_max_window_bits=\"9\"",
            ),
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&offer) {
                let mut map = HeaderMap::new();
                map.append(SEC_WEBSOCKET_EXTENSIONS, value);
                if let Some((agreement, answer)) = accept_offer(&map) {
                    prop_assert!((WINDOW_BITS_MIN..=WINDOW_BITS).contains(&agreement.our_window_bits));
                    let theirs = read_answer(&headers(&[answer.as_str()])).unwrap().unwrap();
                    prop_assert_eq!(theirs.our_window_bits, WINDOW_BITS);
                }
                if let Ok(Some(agreement)) = read_answer(&map) {
                    prop_assert!((WINDOW_BITS_MIN..=WINDOW_BITS).contains(&agreement.our_window_bits));
                }
            }
        }
    }
}
