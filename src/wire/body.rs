//! A request's body: so many bytes, or chunks. RFC 9112 §6, §7.1
//!
//! Owns where a body ends, and refuses what others may read otherwise: a proxy and this server must agree about where it
//! ends. Chunk extensions and trailers are read over, as they may be (§7.1.1, §7.1.2), and are bounded like a head.

use super::http::Refusal;
use crate::limits::Limits;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, StatusCode, Version};
use tungstenite::Bytes;

/// Digits of a chunk's size, leading zeros included. No 16 of them are too large for a `u64`.
const DIGITS: u8 = 16;

/// The body of one request, while it arrives.
#[derive(Debug)]
pub(crate) struct Body {
    phase: Phase,
    data: Vec<u8>,
    /// Bytes that it may have.
    most: usize,
    /// Bytes and fields that what is read over may have, each of the two kinds.
    head: usize,
    headers: usize,
    /// Bytes of all chunks' extensions.
    extensions: usize,
    trailers: Vec<u8>,
}

/// What comes next. Of a chunk: `SIZE[;extension] CR LF DATA CR LF`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// So many bytes, and nothing after them.
    Rest(usize),
    Size {
        digits: u8,
        size: u64,
    },
    /// Behind a blank: an extension.
    Blank(u64),
    Extension(u64),
    /// The LF behind the size.
    SizeEnd(u64),
    Data(usize),
    /// The CR, then the LF behind the data.
    DataEnd(&'static [u8]),
    Trailers,
}

const SIZE: Phase = Phase::Size { digits: 0, size: 0 };

impl Body {
    /// The body that a head announces, of `most` bytes at most. RFC 9112 §6.3
    pub(crate) fn new(request: &Request<()>, most: usize, limits: &Limits) -> Result<Self, Refusal> {
        let headers = request.headers();
        let phase = match (headers.contains_key(TRANSFER_ENCODING), headers.contains_key(CONTENT_LENGTH)) {
            // "Ought to be handled as an error", for it may be an attempt at request smuggling.
            (true, true) => {
                return Err(bad("both Content-Length and Transfer-Encoding: send one of them alone"));
            }
            (true, false) => {
                check_coding(request)?;
                SIZE
            }
            (false, _) => Phase::Rest(content_length(headers, most)?),
        };
        Ok(Self { phase, most, head: limits.head, headers: limits.headers, ..Self::none() })
    }

    /// Without a byte.
    pub(crate) fn none() -> Self {
        let (data, trailers) = (Vec::new(), Vec::new());
        Self { phase: Phase::Rest(0), data, most: 0, head: 0, headers: 0, extensions: 0, trailers }
    }

    /// Takes what has come. `true`: that is all of it; whatever else is in `bytes` belongs to something else.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<bool, Refusal> {
        loop {
            match self.phase {
                Phase::Rest(left) => {
                    self.phase = Phase::Rest(left - self.take(&mut bytes, left));
                    return Ok(self.phase == Phase::Rest(0));
                }
                Phase::Data(left) if !bytes.is_empty() => {
                    self.phase = match left - self.take(&mut bytes, left) {
                        0 => Phase::DataEnd(b"\r\n"),
                        left => Phase::Data(left),
                    };
                }
                Phase::Trailers => return self.read_trailers(bytes),
                phase => {
                    let Some((byte, rest)) = bytes.split_first() else { return Ok(false) };
                    bytes = rest;
                    self.phase = self.step(phase, *byte)?;
                }
            }
        }
    }

    /// What has come.
    pub(crate) fn into_data(self) -> Bytes {
        self.data.into()
    }

    fn take(&mut self, bytes: &mut &[u8], most: usize) -> usize {
        let (part, rest) = bytes.split_at(most.min(bytes.len()));
        self.data.extend_from_slice(part);
        *bytes = rest;
        part.len()
    }

    /// One byte between the data of two chunks. Stricter than `httparse::parse_chunk_size`, which takes an empty size for 0, and
    /// a bare LF in an extension: some servers end the line there.
    fn step(&mut self, phase: Phase, byte: u8) -> Result<Phase, Refusal> {
        match (phase, byte) {
            (Phase::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < DIGITS => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Ok(Phase::Size { digits: digits + 1, size: size << 4 | digit })
            }
            (Phase::Size { digits: 1.., size } | Phase::Extension(size), b'\r') => Ok(Phase::SizeEnd(size)),
            (Phase::Size { digits: 1.., size } | Phase::Blank(size), b';') => Ok(Phase::Extension(size)),
            (Phase::Size { digits: 1.., size } | Phase::Blank(size), b' ' | b'\t') => {
                self.pass_over(Phase::Blank(size))
            }
            (Phase::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => self.pass_over(Phase::Extension(size)),
            (Phase::SizeEnd(0), b'\n') => Ok(Phase::Trailers),
            (Phase::SizeEnd(size), b'\n') => match usize::try_from(size) {
                Ok(size) if size <= self.most - self.data.len() => Ok(Phase::Data(size)),
                _ => Err(too_large(self.most)),
            },
            (Phase::DataEnd([b'\r', rest @ ..]), b'\r') => Ok(Phase::DataEnd(rest)),
            (Phase::DataEnd([b'\n']), b'\n') => Ok(SIZE),
            _ => Err(bad("a chunk of the body is malformed: \
                 write its size in hexadecimal, CR LF, as many bytes, CR LF, and a chunk of size 0 last")),
        }
    }

    fn pass_over(&mut self, next: Phase) -> Result<Phase, Refusal> {
        self.extensions += 1;
        match self.extensions <= self.head {
            true => Ok(next),
            false => Err(bad("the chunk extensions are too long: leave them out")),
        }
    }

    fn read_trailers(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let room = self.head - self.trailers.len();
        self.trailers.extend_from_slice(&bytes[..room.min(bytes.len())]);
        let mut fields = vec![httparse::EMPTY_HEADER; self.headers];
        match httparse::parse_headers(&self.trailers, &mut fields) {
            Ok(httparse::Status::Complete(_)) => Ok(true),
            Ok(httparse::Status::Partial) if self.trailers.len() < self.head => Ok(false),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Err(Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "there is too much behind the last chunk: send no trailers, nobody reads them",
            )),
            Err(_) => Err(bad("a trailer is malformed: write Name: value, and an empty line after the last")),
        }
    }
}

/// Whether the body is chunked and no more.
fn check_coding(request: &Request<()>) -> Result<(), Refusal> {
    if request.version() < Version::HTTP_11 {
        // RFC 9112 §6.1: its framing is faulty, for whoever was on the way may not have known of it.
        return Err(bad("HTTP/1.0 knows no Transfer-Encoding: send a Content-Length, or use HTTP/1.1"));
    }
    let codings = super::http::list_elements(request.headers(), &TRANSFER_ENCODING);
    let codings: Vec<bool> = codings.map(|coding| coding.eq_ignore_ascii_case(b"chunked")).collect();
    match codings[..] {
        [true] => Ok(()),
        // RFC 9112 §6.3: without `chunked` at the end the length is not known, and twice is once too often (§7.1).
        [.., false] | [] => Err(bad("Transfer-Encoding must end in chunked: send chunked alone")),
        [ref others @ .., true] if others.contains(&true) => {
            Err(bad("Transfer-Encoding has chunked more than once: send it once"))
        }
        // RFC 9112 §6.1
        [..] => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "no Transfer-Encoding is understood but chunked: send the body as it is",
        )),
    }
}

fn content_length(headers: &HeaderMap, most: usize) -> Result<usize, Refusal> {
    // A list of equal numbers is what some proxy made of repeated lines: valid, RFC 9110 §8.6.
    let mut length: Option<&[u8]> = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        for number in line.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
                return Err(bad("the Content-Length is no number: send the body's length in bytes"));
            }
            if length.is_some_and(|other| other != number) {
                return Err(bad("the request has two different Content-Lengths: send one"));
            }
            length = Some(number);
        }
    }
    // Digits too many for a usize are a length over any limit.
    let length = length.map_or(0, |digits| {
        digits.iter().fold(0_usize, |sum, b| sum.saturating_mul(10).saturating_add(usize::from(b - b'0')))
    });
    if length <= most { Ok(length) } else { Err(too_large(most)) }
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {most} bytes: send less at once"))
}

fn bad(reason: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
