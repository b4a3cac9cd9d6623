//! Bodies as they come in: good ones however they are torn, bad ones refused at their first wrong byte.

use super::super::http::parse_head;
use super::super::soup_tests::{Soup, soup};
use super::*;
use proptest::prelude::*;

/// What the bodies of these tests may have.
const MOST: usize = 40;
const LIMITS: fn() -> Limits = || Limits { head: 256, headers: 4, ..Limits::default() };

/// The body of a request with these fields.
fn announced(fields: &str, most: usize) -> Result<Body, Refusal> {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let (request, _) = parse_head(head.as_bytes(), &Limits::default()).expect("valid").expect("complete");
    Body::new(&request, most, &LIMITS())
}

fn chunked() -> Body {
    announced("Transfer-Encoding: chunked\r\n", MOST).expect("chunked")
}

/// All that comes of `wire` as one piece: the data once it is complete, and what is refused.
fn read(wire: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let mut body = chunked();
    Ok(body.push(wire)?.then(|| body.into_data().to_vec()))
}

#[test]
fn a_body_is_as_long_as_its_content_length() {
    let most = Limits::default().body;
    let table = [
        (String::new(), 0),
        ("Content-Length: 0\r\n".into(), 0),
        ("Content-Length: 0017\r\n".into(), 17),
        ("Content-Length: 17\r\nContent-Length: 17\r\n".into(), 17),
        ("Content-Length: 17, 17\r\n".into(), 17),
        (format!("Content-Length: {most}\r\n"), most),
    ];
    for (fields, length) in table {
        let mut body = announced(&fields, most).expect(&fields);
        if 0 < length {
            assert_eq!(body.push(b""), Ok(false), "{fields}");
            assert_eq!(body.push(&vec![b'x'; length - 1]), Ok(false), "{fields}");
        }
        assert_eq!(body.push(b"x, and what follows"), Ok(true), "{fields}");
        assert_eq!(body.into_data(), vec![b'x'; length], "{fields}");
    }
}

#[test]
fn bodies_of_unclear_or_excessive_length_are_refused() {
    let most = Limits::default().body;
    let table = [
        (format!("Content-Length: {}\r\n", most + 1), 413),
        (format!("Content-Length: {}\r\n", "9".repeat(4000)), 413),
        ("Content-Length:\r\n".into(), 400),
        ("Content-Length: +1\r\n".into(), 400),
        ("Content-Length: -1\r\n".into(), 400),
        ("Content-Length: 0x10\r\n".into(), 400),
        ("Content-Length: 1 2\r\n".into(), 400),
        ("Content-Length: 1,\r\n".into(), 400),
        ("Content-Length: 1, 2\r\n".into(), 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n".into(), 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n".into(), 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into(), 400),
        ("Content-Length: 1\r\nTransfer-Encoding: identity\r\n".into(), 400),
        ("Transfer-Encoding: identity\r\n".into(), 400),
        ("Transfer-Encoding: xchunked\r\n".into(), 400),
        ("Transfer-Encoding: chunked;a=b\r\n".into(), 400),
        ("Transfer-Encoding: \"chunked\"\r\n".into(), 400),
        ("Transfer-Encoding:\r\n".into(), 400),
        ("Transfer-Encoding: chunked, gzip\r\n".into(), 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".into(), 400),
        ("Transfer-Encoding: chunked, chunked\r\n".into(), 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into(), 400),
        ("Transfer-Encoding: gzip, chunked\r\n".into(), 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n".into(), 501),
    ];
    for (fields, status) in table {
        let refusal = announced(&fields, most).expect_err(&fields);
        assert_eq!(refusal.status.as_u16(), status, "{fields}");
    }
    let old = Request::builder().version(Version::HTTP_10).header("transfer-encoding", "chunked");
    let refusal = Body::new(&old.body(()).expect("valid"), most, &LIMITS()).expect_err("HTTP/1.0");
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
}

#[test]
fn chunked_is_a_word_in_any_case() {
    for coding in ["chunked", "Chunked", "CHUNKED", " chunked\t", ",chunked,"] {
        assert!(announced(&format!("Transfer-Encoding: {coding}\r\n"), 0).is_ok(), "{coding}");
    }
}

#[test]
fn chunks_are_one_body_however_they_are_torn() {
    let full = format!("28\r\n{}\r\n0\r\n\r\n", "y".repeat(MOST));
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(LIMITS().head));
    let trailer = format!("0\r\na:{}\r\n\r\n", "x".repeat(LIMITS().head - 6));
    let full_data = "y".repeat(MOST);
    let table: &[(&[u8], &str)] = &[
        (b"0\r\n\r\n", ""),
        (b"5\r\nhello\r\n0\r\n\r\n", "hello"),
        (b"5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n", "hello, world"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        (b"0000000000000005\r\nhello\r\n0000\r\n\r\n", "hello"),
        (b"8\r\n\r\n0\r\n\r\nx\r\n0\r\n\r\n", "\r\n0\r\n\r\nx"),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello"),
        (b"5 ; a=\"\\\" ;\xe9\" \t;;\r\nhello\r\n0\t;\r\n\r\n", "hello"),
        (b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n", "hello"),
        (full.as_bytes(), &full_data),
        (long.as_bytes(), "hello"),
        (trailer.as_bytes(), ""),
    ];
    for (wire, data) in table {
        let text = wire.escape_ascii();
        assert_eq!(read(wire), Ok(Some(data.as_bytes().into())), "{text}");
        for cut in 0..wire.len() {
            let (mut body, (first, second)) = (chunked(), wire.split_at(cut));
            assert_eq!(body.push(first), Ok(false), "{text} at {cut}");
            assert_eq!(body.push(second), Ok(true), "{text} at {cut}");
            assert_eq!(body.into_data(), data.as_bytes(), "{text} at {cut}");
        }
        let mut body = chunked();
        let pushed: Vec<_> = wire.iter().map(|byte| body.push(&[*byte])).collect();
        assert!(pushed[..wire.len() - 1].iter().all(|pushed| *pushed == Ok(false)), "{text} byte by byte");
        assert_eq!(pushed.last(), Some(&Ok(true)), "{text} byte by byte");
        assert_eq!(body.into_data(), data.as_bytes(), "{text} byte by byte");
        // What follows is something else's, and no part of it.
        assert_eq!(read(&[wire, &b"GET / HTTP/1.1\r\n"[..]].concat()), Ok(Some(data.as_bytes().into())));
    }
}

/// Each but for its last byte is the beginning of a good body.
#[test]
fn chunks_that_are_none_are_refused_at_the_first_wrong_byte() {
    let most = LIMITS().head;
    let over = format!("5;{}", "x".repeat(most + 1));
    let spread = format!("{}1;{}", format!("1;{}\r\nx\r\n", "y".repeat(most / 2)).repeat(2), "y");
    let trailers = format!("0\r\na: {}", "x".repeat(most - 3));
    let fields = format!("0\r\n{}", "a: b\r\n".repeat(LIMITS().headers + 1));
    let table: &[(&[u8], u16)] = &[
        (b"\r", 400),
        (b"\n", 400),
        (b";", 400),
        (b" ", 400),
        (b"g", 400),
        (b"-", 400),
        (b"+", 400),
        (b"0x", 400),
        (b"\"", 400),
        (b"\xef", 400),
        (b"\0", 400),
        (b"5\n", 400),
        (b"5\rh", 400),
        (b"5\r\r", 400),
        (b"5 \r", 400),
        (b"5 5", 400),
        (b"5,", 400),
        (b"5_", 400),
        (b"5;a\n", 400),
        (b"5;a\0", 400),
        (b"5;a\x7f", 400),
        (b"5;a\rb", 400),
        (b"00000000000000005", 400),
        (b"fffffffffffffffff", 400),
        (b"ffffffffffffffff\r\n", 413),
        (b"8000000000000000\r\n", 413),
        (b"29\r\n", 413),
        (b"27\r\n012345678901234567890123456789012345678\r\n2\r\n", 413),
        (b"5\r\nhellox", 400),
        (b"5\r\nhello\n", 400),
        (b"5\r\nhello\rx", 400),
        (b"5\r\nhello0", 400),
        (b"5\r\nhello\r\n\r", 400),
        (b"0\n", 400),
        (b"0\r\n\rx", 400),
        (b"0\r\n ", 400),
        (b"0\r\n:", 400),
        (b"0\r\na ", 400),
        (b"0\r\na\r", 400),
        (b"0\r\na: b\r\n ", 400),
        (b"0\r\na: \0", 400),
        (over.as_bytes(), 400),
        (spread.as_bytes(), 400),
        (trailers.as_bytes(), 431),
        (fields.as_bytes(), 431),
    ];
    for (wire, status) in table {
        let (good, text) = (&wire[..wire.len() - 1], wire.escape_ascii());
        assert_eq!(read(good), Ok(None), "{text}");
        for cut in 0..wire.len() {
            let (mut body, (first, second)) = (chunked(), wire.split_at(cut));
            assert_eq!(body.push(first), Ok(false), "{text} at {cut}");
            let refusal = body.push(second).expect_err(&format!("{text} at {cut}"));
            assert_eq!(refusal.status.as_u16(), *status, "{text} at {cut}: {}", refusal.reason);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However it is torn, the same comes of it; and never more than it may be.
    #[test]
    fn tearing_changes_nothing(
        Soup(bytes) in soup("5;a=\"b\"\r\nhello\r\n1e\r\n012345678901234567890123456789\r\n0\r\na: b\r\n\r\n"),
        size in 1usize..9,
    ) {
        let whole = read(&bytes);
        let mut body = chunked();
        let mut torn = Ok(None);
        for piece in bytes.chunks(size) {
            match body.push(piece) {
                Ok(false) => {}
                Ok(true) => { torn = Ok(Some(body.into_data().to_vec())); break }
                Err(refusal) => { torn = Err(refusal); break }
            }
        }
        prop_assert_eq!(&whole, &torn);
        if let Ok(Some(data)) = whole {
            prop_assert!(data.len() <= MOST);
        }
    }
}
