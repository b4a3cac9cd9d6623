//! HTTP/1.1 as far as a WebSocket server needs it: a bounded request head in, one response out (RFC 9112).
//!
//! Owns the syntax of heads and responses, and [`Refusal`], the answer to whatever cannot be served; bodies are
//! `body`'s. Must not know paths, methods, WebSocket, or when bytes come and go. There is no keep-alive, hence
//! no room for request smuggling: one request per connection, and each response closes it (RFC 9112 §9.6)
//! unless it says otherwise.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tungstenite::Bytes;

use crate::limits::Limits;

/// First byte of a TLS handshake record (RFC 8446 §5.1). No HTTP method can begin with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Longest target that `http::Uri` takes.
const LONGEST_TARGET: usize = (u16::MAX - 1) as usize;

/// Why a request is refused before any upgrade: an HTTP status and what to change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), headers: Vec::new() }
    }

    /// Adds a header field. A value that no field may hold is left out: refusing must not fail.
    pub(crate) fn with(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    /// The reason as plain text, to be read in a browser or a terminal.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.reason + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

fn bad_request(reason: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

/// Reads a request head from the start of `buf`, which may hold any part of it.
///
/// `Ok(None)`: incomplete. `Ok(Some((request, n)))`: the head is `buf[..n]`, the rest belongs to the body or
/// to frames. What can no longer become a request is refused at once, without waiting for the rest. The Host
/// field of the request is there (HTTP/1.1), is well-formed or empty, and agrees with the target.
pub(crate) fn parse_head(buf: &[u8], limits: &Limits) -> Result<Option<(Request<()>, usize)>, Refusal> {
    if buf.first() == Some(&TLS_HANDSHAKE) {
        return Err(bad_request(
            "this port speaks plain HTTP, and the client began with TLS: \
             use http:// or ws:// instead of https:// or wss://",
        ));
    }
    let head = &buf[..buf.len().min(limits.head)];
    // On the heap, for connections have small stacks. No head has more fields than bytes.
    let mut fields = vec![httparse::EMPTY_HEADER; limits.headers.min(head.len())];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) => Ok(Some((build_request(&parsed)?, length))),
        Ok(httparse::Status::Partial) if head.len() < limits.head => Ok(None),
        Ok(httparse::Status::Partial) => Err(too_large(head, limits)),
        Err(error) => Err(malformed(error, head, limits)),
    }
}

fn build_request(parsed: &httparse::Request<'_, '_>) -> Result<Request<()>, Refusal> {
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(malformed_request_line());
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| malformed_request_line())?;
    *request.uri_mut() = parse_target(target)?;
    *request.version_mut() = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| malformed_field_name())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| malformed_field_value())?;
        request
            .headers_mut()
            .try_append(name, value)
            .map_err(|_| too_many_fields(request.headers().len()))?;
    }
    settle_host(&mut request)?;
    Ok(request)
}

/// Origin-form and absolute-form are for servers like this one (RFC 9112 §3.2.1, §3.2.2). Authority-form is
/// for CONNECT and asterisk-form for a whole server: neither names a path.
fn parse_target(target: &str) -> Result<Uri, Refusal> {
    if !target.is_ascii() {
        return Err(unencoded_target());
    }
    if target.contains('#') {
        // RFC 9112 §3.2: a target has no fragment. `Uri` would cut it off silently.
        return Err(bad_request("the request target holds a '#': leave the fragment out, or write %23"));
    }
    if LONGEST_TARGET < target.len() {
        let reason = format!("the request target is longer than {LONGEST_TARGET} bytes: use a shorter one");
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, reason));
    }
    if target.starts_with('/') {
        return target.parse().map_err(|_| unencoded_target());
    }
    let uri = target.parse::<Uri>().ok().filter(|uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        is_http && uri.authority().is_some_and(|a| split_authority(a.as_str()).is_some())
    });
    uri.ok_or_else(|| bad_request("the request target names no path here: write /path, or http://host/path"))
}

/// RFC 9112 §3.2: without Host (HTTP/1.1), with several, or with an invalid one, a request is answered 400.
fn settle_host(request: &mut Request<()>) -> Result<(), Refusal> {
    let mut lines = request.headers().get_all(HOST).iter();
    let (host, another) = (lines.next(), lines.next());
    if another.is_some() {
        return Err(bad_request("the request has more than one Host header: send exactly one"));
    }
    match host {
        None if Version::HTTP_11 <= request.version() => {
            return Err(bad_request(
                "the request has no Host header: HTTP/1.1 needs one, such as Host: 127.0.0.1",
            ));
        }
        // Empty is valid: the client's URI has no authority (RFC 9110 §7.2).
        Some(host) if !host.is_empty() && host.to_str().ok().and_then(split_authority).is_none() => {
            return Err(bad_request("the Host header is malformed: write Host: name or Host: name:port"));
        }
        _ => {}
    }
    // RFC 9112 §3.2.2: an absolute target overrides Host. An authority is always a valid field value.
    let target =
        request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(target) = target {
        request.headers_mut().insert(HOST, target);
    }
    Ok(())
}

/// Splits `host[:port]` (RFC 3986 §3.2.2, §3.2.3); brackets stay with an IPv6 address. `None` if it is
/// malformed, or has userinfo, which no request may carry (RFC 9110 §4.2.4).
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end_of_host);
    let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b);
    let is_valid_host = match host.strip_prefix('[').and_then(|literal| literal.strip_suffix(']')) {
        Some(literal) => !literal.is_empty() && literal.bytes().all(|b| b == b':' || is_host_byte(&b)),
        None => !host.is_empty() && host.as_bytes().iter().all(is_host_byte),
    };
    if !is_valid_host {
        return None;
    }
    match port.strip_prefix(':') {
        None if !port.is_empty() => None,
        None | Some("") => Some((host, None)),
        // `parse` alone would take "+80".
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

fn too_large(head: &[u8], limits: &Limits) -> Refusal {
    let rest = skip_blank_lines(head);
    if rest.is_empty() {
        return bad_request("the client sends blank lines only: send an HTTP request");
    }
    if rest.contains(&b'\n') {
        let reason = format!("the request head is over {} bytes: send fewer or shorter headers", limits.head);
        return Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason);
    }
    let reason = format!("the request line alone fills {} bytes: use a shorter URL", limits.head);
    Refusal::new(StatusCode::URI_TOO_LONG, reason)
}

fn malformed(error: httparse::Error, head: &[u8], limits: &Limits) -> Refusal {
    let line = skip_blank_lines(head).split(|b| *b == b'\n').next().unwrap_or_default();
    let mut parts = line.splitn(3, |b| *b == b' ').skip(1);
    let (target, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match error {
        httparse::Error::TooManyHeaders => too_many_fields(limits.headers),
        httparse::Error::HeaderName => malformed_field_name(),
        httparse::Error::HeaderValue => malformed_field_value(),
        httparse::Error::NewLine => bad_request(
            "a line of the request head is not ended properly: \
             end each with CR LF, and the request line with HTTP/1.1",
        ),
        // Also what begins HTTP/2 with prior knowledge: "PRI * HTTP/2.0" (RFC 9113 §3.4).
        httparse::Error::Version if is_http_version(version) => Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "this server speaks HTTP/1.1 only: let the client use it (curl --http1.1)",
        ),
        httparse::Error::Token if !target.is_ascii() => unencoded_target(),
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            malformed_request_line()
        }
    }
}

fn is_http_version(version: &[u8]) -> bool {
    version.strip_prefix(b"HTTP/").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

/// RFC 9112 §2.2: a server ignores blank lines before a request line, and so does httparse.
fn skip_blank_lines(head: &[u8]) -> &[u8] {
    let blank = head.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    &head[blank..]
}

fn malformed_request_line() -> Refusal {
    bad_request("the request line is malformed: this port speaks HTTP, write it like GET /path HTTP/1.1")
}

fn malformed_field_name() -> Refusal {
    bad_request(
        "a header line is malformed: \
         write Name: value, without a blank before the name or the colon, on one line",
    )
}

fn malformed_field_value() -> Refusal {
    bad_request("a header value holds a control character: leave it out, and end each line with CR LF")
}

fn unencoded_target() -> Refusal {
    bad_request("the request target holds a character that no URL may hold: percent-encode it (é is %C3%A9)")
}

fn too_many_fields(most: usize) -> Refusal {
    let reason = format!("the request has more than {most} headers: send fewer");
    Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
}

/// Content-Length is always ours. Connection is ours unless the response has one: `close`, and besides it
/// `Upgrade` where the response has an Upgrade field, which must not go without (RFC 9110 §7.8).
pub(crate) fn encode_response(response: &Response<Bytes>, head_only: bool) -> Vec<u8> {
    let (status, headers, body) = (response.status(), response.headers(), response.body());
    let mut out = status_line(status);
    for (name, value) in headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH) {
        push_field(&mut out, name, value.as_bytes());
    }
    if !headers.contains_key(CONNECTION) {
        let options: &[u8] = if headers.contains_key(UPGRADE) { b"close, Upgrade" } else { b"close" };
        push_field(&mut out, &CONNECTION, options);
    }
    // RFC 9110 §8.6, §15.4.5: these have no body, and a Content-Length would speak of another response.
    let is_bodiless =
        status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_bodiless {
        push_field(&mut out, &CONTENT_LENGTH, body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if !is_bodiless && !head_only {
        out.extend_from_slice(body);
    }
    out
}

pub(super) fn status_line(status: StatusCode) -> Vec<u8> {
    format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).into_bytes()
}

/// Field names mean the same in any case (RFC 9110 §5.1), but simple clients look for the usual spelling, and
/// `HeaderName` holds lower case only.
pub(super) fn push_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for (position, word) in name.as_str().split('-').enumerate() {
        if 0 < position {
            out.push(b'-');
        }
        match word {
            "websocket" => out.extend_from_slice(b"WebSocket"),
            "www" => out.extend_from_slice(b"WWW"),
            "etag" => out.extend_from_slice(b"ETag"),
            _ => {
                let start = out.len();
                out.extend_from_slice(word.as_bytes());
                out[start..].iter_mut().take(1).for_each(u8::make_ascii_uppercase);
            }
        }
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Elements of a comma-separated field over all its lines; empty ones do not count (RFC 9110 §5.6.1.2).
pub(crate) fn list_elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// One path segment percent-decoded as UTF-8 (RFC 3986 §2.1). A `+` stays what it is: this is no form.
pub(crate) fn decode_segment(segment: &str) -> Result<String, Refusal> {
    let hex_digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            decoded.push(*first);
            rest = tail;
            continue;
        }
        let (Some(high), Some(low)) =
            (tail.first().copied().and_then(hex_digit), tail.get(1).copied().and_then(hex_digit))
        else {
            return Err(bad_request(
                "the path holds a '%' without two hexadecimal digits after it: write %25 for the sign itself",
            ));
        };
        decoded.push(high << 4 | low);
        rest = &tail[2..];
    }
    String::from_utf8(decoded).map_err(|_| {
        bad_request("the path is not UTF-8 after percent-decoding: encode it as UTF-8 (é is %C3%A9)")
    })
}

#[cfg(test)]
mod tests {
    use super::super::soup_tests::{Soup, soup};
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &[u8]) -> Result<Option<(Request<()>, usize)>, Refusal> {
        parse_head(head, &Limits::default())
    }

    fn status_of(head: &[u8]) -> u16 {
        match parse(head) {
            Err(refusal) => refusal.status.as_u16(),
            other => panic!("{} should be refused: {other:?}", head.escape_ascii()),
        }
    }

    /// A request with these header lines in place of `Host: a`.
    #[test]
    fn a_head_is_taken_and_what_follows_is_left() {
        let head = b"GET /chat/x?user=a HTTP/1.1\r\nHost:127.0.0.1:9527\r\nX-Name: caf\xe9\r\nEmpty:\r\n\r\n";
        let mut buf = head.to_vec();
        buf.extend_from_slice(b"\x81\x80 a frame");
        let (request, length) = parse(&buf).expect("valid").expect("complete");
        assert_eq!(length, head.len());
        assert_eq!((request.method(), request.version()), (&Method::GET, Version::HTTP_11));
        assert_eq!((request.uri().path(), request.uri().query()), ("/chat/x", Some("user=a")));
        assert_eq!(request.headers()[HOST], "127.0.0.1:9527");
        assert_eq!(request.headers()["x-name"].as_bytes(), b"caf\xe9");
        assert_eq!(request.headers()["empty"], "");
    }

    #[test]
    fn any_part_of_a_valid_head_is_incomplete() {
        let head = b"\r\nDELETE http://a:80/b HTTP/1.1\r\nHost: a\r\nx: \t y \r\nlast: 1\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end]).expect("valid so far").map(|(_, n)| n), None, "{end} bytes");
        }
        assert!(parse(head).expect("valid").is_some());
    }

    #[test]
    fn valid_heads_are_taken() {
        let table: &[(&[u8], &str, &str)] = &[
            (b"GET / HTTP/1.0\r\n\r\n", "/", ""),
            (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "/", "a"),
            (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "/", ""),
            (b"GET / HTTP/1.1\nHost: a\n\n", "/", "a"), // RFC 9112 §2.2: a lone LF may end a line
            (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
            (b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "/pot", "a"),
            (b"get / HTTP/1.1\r\nhOST: a_b.example:1\r\n\r\n", "/", "a_b.example:1"),
            (b"GET //a/../b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "//a/../b", "[::1]:80"),
            (b"GET /%C3%A9%zz HTTP/1.1\r\nHost: a:\r\n\r\n", "/%C3%A9%zz", "a:"),
            // RFC 9112 §3.2.2: the target's authority replaces Host.
            (b"GET http://other:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "/x", "other:81"),
            (b"GET HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n", "/", "[::1]"),
        ];
        for (head, path, host) in table {
            let (request, length) = parse(head).expect("valid").expect("complete");
            assert_eq!((request.uri().path(), length), (*path, head.len()), "{}", head.escape_ascii());
            let actual = request.headers().get(HOST).map_or("", |host| host.to_str().expect("ASCII"));
            assert_eq!(actual, *host, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn malformed_heads_are_refused_with_the_reason() {
        let table: &[(&[u8], &str)] = &[
            (b"\x16\x03\x01\x02\x00", "use http:// or ws://"),
            (b"\x16", "use http:// or ws://"),
            (b"GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", "write /path"),
            (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
            (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "percent-encode"),
            (b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "percent-encode"),
            (b"GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", "percent-encode"),
            (b"GET / HTTP/1.1\r\n\r\n", "no Host"),
            (b"GET http://a/ HTTP/1.1\r\n\r\n", "no Host"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host"),
            (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "more than one Host"),
            (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "Host header is malformed"),
            (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "Host header is malformed"),
            (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host header is malformed"),
            (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "Host header is malformed"),
            (b"GET / HTTP/1.1\r\nHost: caf\xe9\r\n\r\n", "Host header is malformed"),
        ];
        for (head, reason) in table {
            let refusal = parse(head).expect_err("malformed");
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{}", head.escape_ascii());
            assert!(refusal.reason.contains(reason), "{}: {}", head.escape_ascii(), refusal.reason);
        }
    }

    #[test]
    fn garbage_is_refused_before_the_head_ends() {
        let table: &[(&[u8], &str)] = &[
            (b"\x00", "request line"),
            (b"\x81\x05hello", "request line"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "request line"),
            (b"hello\n", "request line"),
            (b"EHLO mail\r\n", "request line"),
            (b"GET /\r\n", "request line"),
            (b"GET  / HTTP/1.1\r\n", "request line"),
            (b" GET / HTTP/1.1\r\n", "request line"),
            (b"GET / http/1.1\r\n", "request line"),
            (b"GET /a b HTTP/1.1\r\n", "request line"),
            (b"GET /\x00 HTTP/1.1\r\n", "request line"),
            (b"GET /\x7f HTTP/1.1\r\n", "request line"),
            (b"GET / HTTP/1.1 \r\n", "not ended properly"),
            (b"GET / HTTP/1.1\rHost", "not ended properly"),
            (b"\rGET / HTTP/1.1", "not ended properly"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", "not ended properly"),
            (b"GET / HTTP/1.1\r\nHost : a", "without a blank"),
            (b"GET / HTTP/1.1\r\n Host: a", "without a blank"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\n 2", "on one line"), // obs-fold, RFC 9112 §5.2
            (b"GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\n\t2", "on one line"),
            (b"GET / HTTP/1.1\r\n: a", "header line"),
            (b"GET / HTTP/1.1\r\nno colon\r\n", "header line"),
            (b"GET / HTTP/1.1\r\nn\xc3\xa4me: a", "header line"),
            (b"GET / HTTP/1.1\r\nx\x00: a", "header line"),
            (b"GET / HTTP/1.1\r\nx: a\x00", "control character"),
            (b"GET / HTTP/1.1\r\nx: a\x01", "control character"),
            (b"GET / HTTP/1.1\r\nx: a\x7f", "control character"),
            (b"GET / HTTP/1.1\r\nx: \x1b", "control character"),
            (b"GET / HTTP/1.1\r\nx: a\rb", "control character"),
            (
                b"GET / HTTP/1.1\r\nx: a long value, for the parser looks at blocks\x7f\r\n",
                "control character",
            ),
        ];
        for (head, reason) in table {
            assert_eq!(status_of(head), 400, "{}", head.escape_ascii());
            let refusal = parse(head).expect_err("malformed");
            assert!(refusal.reason.contains(reason), "{}: {}", head.escape_ascii(), refusal.reason);
        }
    }

    #[test]
    fn other_versions_of_http_are_505() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for head in [preface.as_slice(), b"GET / HTTP/3", b"GET / HTTP/1.2\r\n", b"GET / HTTP/0.9\r\n"] {
            assert_eq!(status_of(head), 505, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_head_is_bounded_in_bytes() {
        let head_of = |length: usize| {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nx: ";
            format!("{start}{}\r\n\r\n", "y".repeat(length - start.len() - 4)).into_bytes()
        };
        let most = Limits::default().head;
        assert_eq!(parse(&head_of(most)).expect("fits").expect("complete").1, most);
        assert_eq!(status_of(&head_of(most + 1)), 431);
        assert_eq!(status_of(&head_of(most + 1)[..most]), 431);
        assert!(parse(&head_of(most + 1)[..most - 1]).expect("may still fit").is_none());

        let line = [b"GET /", vec![b'x'; most].as_slice(), b" HTTP/1.1\r\n"].concat();
        assert_eq!(status_of(&line), 414);
        assert!(parse(&line[..most - 1]).expect("may still fit").is_none());
        assert_eq!(status_of(&vec![b'A'; most]), 414);
        assert_eq!(status_of(&vec![b'\n'; most]), 400);

        let roomy = Limits { head: 1 << 20, ..Limits::default() };
        let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(LONGEST_TARGET));
        assert_eq!(
            parse_head(head.as_bytes(), &roomy).expect_err("too long").status,
            StatusCode::URI_TOO_LONG
        );
    }

    #[test]
    fn a_head_is_bounded_in_fields() {
        let head_of =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
        let most = Limits::default().headers;
        let (request, _) = parse(head_of(most).as_bytes()).expect("fits").expect("complete");
        assert_eq!(request.headers().len(), most);
        assert_eq!(status_of(head_of(most + 1).as_bytes()), 431);

        // More than a HeaderMap can hold.
        let roomy = Limits { head: 1 << 20, headers: usize::MAX, ..Limits::default() };
        let names: String = (0..40_000).map(|n| format!("x{n}: y\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{names}\r\n");
        assert_eq!(parse_head(head.as_bytes(), &roomy).expect_err("too many").status.as_u16(), 431);
    }

    #[test]
    fn responses_on_the_wire() {
        let response = |status: u16, fields: &[(&'static str, &[u8])], body: &'static str| {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            response.body(Bytes::from(body)).expect("valid")
        };
        let table: &[(Response<Bytes>, bool, &[u8])] = &[
            (
                response(200, &[], "ok"),
                false,
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            ),
            (
                response(200, &[], "ok"),
                true,
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
            ),
            (response(204, &[], "no"), false, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
            (
                response(304, &[("etag", b"\"1\"")], "no"),
                false,
                b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nConnection: close\r\n\r\n",
            ),
            (
                response(200, &[("content-length", b"99"), ("x-name", b"caf\xe9")], ""),
                false,
                b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                response(426, &[("upgrade", b"websocket"), ("sec-websocket-version", b"13")], ""),
                false,
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Connection: close, Upgrade\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                response(401, &[("www-authenticate", b"Bearer"), ("connection", b"keep-alive")], ""),
                false,
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nConnection: keep-alive\r\n\
                  Content-Length: 0\r\n\r\n",
            ),
            (
                response(799, &[], ""),
                false,
                b"HTTP/1.1 799 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
        ];
        for (response, head_only, wire) in table {
            let out = encode_response(response, *head_only);
            assert_eq!(out.escape_ascii().to_string(), wire.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_refusal_becomes_plain_text() {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "use GET")
            .with(http::header::ALLOW, "GET")
            .with(http::header::RETRY_AFTER, HeaderValue::from(5))
            .with(http::header::SERVER, "two\r\nlines");
        let out = encode_response(&refusal.into_response(), false);
        let expected = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
                        Allow: GET\r\nRetry-After: 5\r\nConnection: close\r\n\
                        Content-Length: 8\r\n\r\nuse GET\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn path_segments_are_percent_decoded() {
        let table = [
            ("", Some("")),
            ("a-b_c~d.e+f", Some("a-b_c~d.e+f")),
            ("%41%2f%2F%25", Some("A//%")),
            ("caf%C3%A9%00", Some("café\0")),
            ("%e6%97%a5本", Some("日本")),
            ("%", None),
            ("a%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%4é", None),
            ("%C3", None),
            ("%FF%FE", None),
        ];
        for (segment, decoded) in table {
            let actual = decode_segment(segment);
            assert_eq!(actual.as_deref().ok(), decoded, "{segment}");
            assert!(actual.is_ok() || actual.is_err_and(|refusal| refusal.status == StatusCode::BAD_REQUEST));
        }
    }

    #[test]
    fn authorities_are_split_into_host_and_port() {
        let table = [
            ("a", Some(("a", None))),
            ("a.example:80", Some(("a.example", Some(80)))),
            ("127.0.0.1:", Some(("127.0.0.1", None))),
            ("[::1]", Some(("[::1]", None))),
            ("[fe80::1%25eth0]:9527", Some(("[fe80::1%25eth0]", Some(9527)))),
            ("", None),
            (":80", None),
            ("::1", None),
            ("[]", None),
            ("[::1", None),
            ("[::1]80", None),
            ("a:+80", None),
            ("a:99999", None),
            ("a:80:81", None),
            ("a]:80", None),
            ("user@a", None),
            ("user:pw@a", None),
            ("a b", None),
            ("é", None),
        ];
        for (authority, parts) in table {
            assert_eq!(split_authority(authority), parts, "{authority}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// However a head comes in, it is taken when it is complete, and not refused before.
        #[test]
        fn heads_are_taken_whole_or_refused(
            Soup(bytes) in soup(
                "POST http://a:80/caf%C3%A9?user=a HTTP/1.1\r\nHost: [::1]:9527\r\nContent-Length: 2, 2\r\n\
                 Connection: keep-alive, Upgrade\r\nExpect: 100-continue\r\n\r\n{}",
            ),
        ) {
            let limits = Limits { head: 300, headers: 5, ..Limits::default() };
            match parse_head(&bytes, &limits) {
                Ok(None) => prop_assert!(bytes.len() < limits.head),
                Ok(Some((request, length))) => {
                    prop_assert!(length <= bytes.len().min(limits.head));
                    prop_assert!(request.headers().len() <= limits.headers);
                    for cut in 0..length {
                        prop_assert_eq!(parse_head(&bytes[..cut], &limits).map(|head| head.is_none()), Ok(true));
                    }
                }
                Err(refusal) => prop_assert!(refusal.status.is_client_error() || refusal.status == 505),
            }
        }

        #[test]
        fn percent_decoding_undoes_encoding_and_takes_anything(text in ".{0,30}", Soup(bytes) in soup("a%20b%C3%A9")) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode_segment(&encoded).unwrap(), text);
            if let Ok(decoded) = decode_segment(&String::from_utf8_lossy(&bytes)) {
                prop_assert!(decoded.len() <= 3 * bytes.len());
            }
        }

        #[test]
        fn an_authority_is_split_into_what_it_was_made_of(Soup(bytes) in soup("[fe80::1%25eth0]:9527")) {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((host, port)) = split_authority(&text) {
                prop_assert!(!host.is_empty() && text.starts_with(host));
                let rest = text[host.len()..].trim_start_matches(':').trim_start_matches('0');
                let digits = port.map(|port| port.to_string()).unwrap_or_default();
                prop_assert_eq!(rest, digits.trim_start_matches('0'));
            }
        }
    }
}
