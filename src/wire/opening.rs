//! The client's opening handshake: the request, and what the answer must be. RFC 6455 §4.1.

use super::deflate;
use super::handshake::{Agreed, has_token};
use super::http::split_authority;
use super::percent::percent_encoded;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use std::ops::Range;
use tungstenite::handshake::derive_accept_key;

/// Where a client is to connect: a `ws://` or `wss://` URL, taken apart. RFC 6455 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    /// A name or an address; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as the URL has them.
    authority: String,
    /// Path and query, percent-encoded.
    resource: String,
}

/// What the client asks for beside the connection itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) compression: bool,
}

/// What a server said in place of 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// Another status, with the seconds of its `Retry-After`, and where in the answer a text for people lies.
    Status { status: u16, retry_after: Option<u64>, text: Range<usize> },
    /// An answer that no WebSocket server gives.
    Wrong(String),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        // The query stays out: it may hold a token.
        let shown = url.split_once('?').map_or(url, |(shown, _)| shown);
        let wrong = |what: &str| format!("`{shown}` {what}; write ws://HOST[:PORT]/PATH or wss://…");
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is no URL ({error})")))?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(wrong("has another scheme")),
        };
        if url.contains('#') {
            return Err(wrong("has a fragment"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        let (host, port) = split_authority(authority.as_str())
            .ok_or_else(|| wrong("has a user name, or a host or port that cannot be"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let resource = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if resource.starts_with('/') { "" } else { "/" };
        let resource = format!("{slash}{}", percent_encoded(resource));
        Ok(Self { tls, host, port, authority: authority.to_string(), resource })
    }

    /// Path and query, as a server is asked for them.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }
}

/// Characters of a refusal's text that are told, and bytes of it that are looked at for them.
const REASON_MAX: usize = 300;
const REASON_BYTES: usize = 4 * (REASON_MAX + 1);

/// What a refusal says, as one line. It may be anything, and ends up in logs and on terminals.
pub(crate) fn reason(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let line = words.join(" ");
    let rest = if line.chars().count() <= REASON_MAX { "" } else { "…" };
    line.chars().map(shown).take(REASON_MAX).collect::<String>() + rest
}

/// The request's head. `key`: 16 random bytes as base64.
pub(crate) fn request(target: &Target, wish: &Wish, key: &str) -> Vec<u8> {
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n",
        target.resource, target.authority
    )
    .into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    if !wish.subprotocols.is_empty() {
        field("Sec-WebSocket-Protocol", wish.subprotocols.join(", ").as_bytes());
    }
    if wish.compression {
        field("Sec-WebSocket-Extensions", deflate::offer().as_bytes());
    }
    for (name, value) in &wish.headers {
        field(name.as_str(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Reads the answer. `Ok(None)`: incomplete. Otherwise what was agreed on and the length of the head.
pub(crate) fn read_answer(
    answer: &[u8],
    wish: &Wish,
    key: &str,
    max_head: usize,
    max_headers: usize,
) -> Result<Option<(Agreed, usize)>, Declined> {
    let head = &answer[..answer.len().min(max_head)];
    // No head has more fields than bytes.
    let mut fields = vec![httparse::EMPTY_HEADER; max_headers.min(head.len())];
    let mut response = httparse::Response::new(&mut fields);
    let size = match response.parse(head) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if answer.len() < max_head => return Ok(None),
        Ok(httparse::Status::Partial) => {
            return Err(Declined::Wrong("the answer's head is too large".into()));
        }
        Err(error) => return Err(Declined::Wrong(format!("the answer is no HTTP response ({error})"))),
    };
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
        {
            headers
                .try_append(name, value)
                .map_err(|_| Declined::Wrong("the answer has too many header fields".into()))?;
        }
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if response.code != Some(101) {
        let retry_after = text(&header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        let is_text = text(&header::CONTENT_TYPE).is_some_and(|kind| {
            ["text/plain", "application/json"].iter().any(|text| kind.to_ascii_lowercase().starts_with(text))
        });
        let length = text(&header::CONTENT_LENGTH).filter(|_| is_text).and_then(|length| length.parse().ok());
        let text = size..size + length.unwrap_or(0).min(REASON_BYTES);
        return Err(Declined::Status { status: response.code.unwrap_or(0), retry_after, text });
    }
    if !has_token(&headers, &header::UPGRADE, "websocket")
        || !has_token(&headers, &header::CONNECTION, "upgrade")
    {
        return Err(Declined::Wrong("the answer is 101 but does not upgrade to a WebSocket".into()));
    }
    if text(&header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Declined::Wrong("the answer's Sec-WebSocket-Accept is not for our key".into()));
    }
    let subprotocol = text(&header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned);
    let is_offered = subprotocol.as_ref().is_some_and(|chosen| wish.subprotocols.contains(chosen));
    if headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) && !is_offered {
        return Err(Declined::Wrong("the server chose a subprotocol that was not offered".into()));
    }
    let deflate = deflate::read_answer(&headers).map_err(|what| Declined::Wrong(what.into()))?;
    if deflate.is_some() && !wish.compression {
        return Err(Declined::Wrong("the server wants to compress, which was not offered".into()));
    }
    Ok(Some((Agreed { subprotocol, deflate }, size)))
}

#[cfg(test)]
mod tests {
    use super::super::handshake::{Policy, accept};
    use super::super::http::parse_head;
    use super::super::percent::normalize;
    use super::super::soup_tests::{Soup, soup, spoiled};
    use super::*;
    use crate::limits::Limits;
    use proptest::prelude::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn wish() -> Wish {
        Wish { headers: Vec::new(), subprotocols: vec!["chat".into(), "v1".into()], compression: true }
    }

    fn answer(text: &str) -> Result<Option<(Agreed, usize)>, Declined> {
        read_answer(text.as_bytes(), &wish(), KEY, 8192, 64)
    }

    #[test]
    fn urls_are_taken_apart() {
        let check = |url: &str, tls, host: &str, port, authority: &str, resource: &str| {
            let (host, authority, resource) = (host.into(), authority.into(), resource.into());
            assert_eq!(Target::parse(url), Ok(Target { tls, host, port, authority, resource }), "{url}");
        };
        check("ws://localhost:9527/echo?a=b", false, "localhost", 9527, "localhost:9527", "/echo?a=b");
        check("wss://example.com", true, "example.com", 443, "example.com", "/");
        check("ws://[::1]:8080/x", false, "::1", 8080, "[::1]:8080", "/x");
        check("ws://127.0.0.1?q", false, "127.0.0.1", 80, "127.0.0.1", "/?q");
        check("ws://h/大/%20?é", false, "h", 80, "h", "/%E5%A4%A7/%20?%C3%A9");
        for url in [
            "localhost:9527",
            "ftp://x/",
            "ws://",
            "ws:///x",
            "ws://u:p@h/",
            "ws://h/#f",
            "",
            "ws://h:99999/",
            "ws://[::1],:80/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_request_is_what_the_rfc_asks_for() {
        let mut wish = wish();
        wish.headers.push((header::AUTHORIZATION, HeaderValue::from_static("Bearer x")));
        let head = request(&Target::parse("ws://h:1/p?q").unwrap(), &wish, KEY);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "GET /p?q HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, v1\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits\r\nauthorization: Bearer x\r\n\r\n"
        );
    }

    #[test]
    fn a_good_answer_is_taken() {
        let (agreed, size) = answer(&format!("{GOOD}\r\n\u{1}")).unwrap().unwrap();
        assert_eq!((agreed, size), (Agreed::default(), GOOD.len() + 2));
        let (agreed, _) = answer(&format!("{GOOD}Sec-WebSocket-Protocol: v1\r\n\r\n")).unwrap().unwrap();
        assert_eq!(agreed.subprotocol.as_deref(), Some("v1"));
        for cut in 0..GOOD.len() {
            assert_eq!(answer(&GOOD[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn other_answers_are_told_apart() {
        assert_eq!(
            answer("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n"),
            Err(Declined::Status { status: 503, retry_after: Some(7), text: 37..37 })
        );
        for (fields, length) in [
            ("Content-Type: text/plain\r\nContent-Length: 7\r\n", 7),
            ("content-type: TEXT/PLAIN; charset=utf-8\r\nContent-Length: 99999999999999999999\r\n", 0),
            ("Content-Type: application/json\r\nContent-Length: 18446744073709551615\r\n", REASON_BYTES),
            ("Content-Type: text/plain\r\n", 0),
            ("Content-Type: text/html\r\nContent-Length: 7\r\n", 0),
        ] {
            match answer(&format!("HTTP/1.1 400 x\r\n{fields}\r\nit says")) {
                Err(Declined::Status { text, .. }) => {
                    assert_eq!((text.start, text.len()), (18 + fields.len(), length), "{fields}");
                }
                other => panic!("{other:?}"),
            }
        }
        for wrong in [
            "HTTP/1.1 101 x\r\n\r\n".to_string(),
            format!("{}\r\n", GOOD.replace("s3pP", "S3PP")),
            format!("{}\r\n", GOOD.replace("WebSocket", "h2c")),
            format!("{GOOD}Sec-WebSocket-Protocol: other\r\n\r\n"),
            format!("{GOOD}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "SSH-2.0-OpenSSH\r\n".into(),
            format!("HTTP/1.1 101 x\r\nA: {}\r\n\r\n", "x".repeat(9000)),
        ] {
            assert!(matches!(answer(&wrong), Err(Declined::Wrong(_))), "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_one_line_without_anything_that_acts() {
        for (text, expected) in
            [(&b" a\r\n b\t\n"[..], "a b"), (b"\x1b[2J", "\u{fffd}[2J"), (b"\xff", "\u{fffd}"), (b"", "")]
        {
            assert_eq!(reason(text), expected);
        }
        assert_eq!(reason("大".repeat(300).as_bytes()), "大".repeat(300));
        assert_eq!(reason("大".repeat(301).as_bytes()), "大".repeat(300) + "…");
    }

    #[test]
    fn limits_as_large_as_can_be_are_no_allocation() {
        let fields: String = (0..40_000).map(|n| format!("A{n}: b\r\n")).collect();
        let answer = format!("{GOOD}{fields}\r\n");
        let read = read_answer(answer.as_bytes(), &wish(), KEY, usize::MAX, usize::MAX);
        assert_eq!(read, Err(Declined::Wrong("the answer has too many header fields".into())));
        let (_, size) = read_answer(format!("{GOOD}\r\n").as_bytes(), &wish(), KEY, usize::MAX, usize::MAX)
            .unwrap()
            .unwrap();
        assert_eq!(size, GOOD.len() + 2);
    }

    fn full_answer() -> String {
        format!(
            "{GOOD}Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Extensions: permessage-deflate; \
             server_no_context_takeover; client_max_window_bits=10\r\nRetry-After: 7\r\n\r\n\u{1}x"
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A server's answer, good or not: what is taken from it was offered, and it is read no further than its end.
        #[test]
        fn answers_are_taken_or_told(
            Soup(answer) in prop_oneof![
                soup(full_answer()),
                spoiled(full_answer().replace("101", "503")),
            ],
            max_head in prop_oneof![Just(8192usize), 256usize..400],
            max_headers in prop_oneof![Just(64usize), 4usize..9],
        ) {
            let read = |bytes: &[u8]| read_answer(bytes, &wish(), KEY, max_head, max_headers);
            match read(&answer) {
                Ok(None) => prop_assert!(answer.len() < max_head),
                Ok(Some((agreed, size))) => {
                    prop_assert!(size <= answer.len().min(max_head));
                    let head = answer[..size].to_ascii_lowercase();
                    let has = |text: &str| head.windows(text.len()).any(|part| part == text.as_bytes());
                    prop_assert!(has(&derive_accept_key(KEY.as_bytes()).to_ascii_lowercase()));
                    prop_assert!(agreed.subprotocol.iter().all(|chosen| wish().subprotocols.contains(chosen)));
                    prop_assert!(agreed.deflate.is_none_or(|agreed| (9..=15).contains(&agreed.our_window_bits)));
                    // Nothing that the server believes to be agreed on is passed over.
                    prop_assert_eq!(agreed.subprotocol.is_some(), has("\nsec-websocket-protocol:"));
                    let extension = has("\nsec-websocket-extensions:") && has("permessage");
                    prop_assert_eq!(agreed.deflate.is_some(), extension);
                    for cut in 0..size {
                        prop_assert_eq!(read(&answer[..cut]), Ok(None), "cut at {}", cut);
                    }
                }
                Err(Declined::Status { status, .. }) => prop_assert!(status != 101 && status < 1000),
                Err(Declined::Wrong(what)) => prop_assert!(!what.is_empty() && what.len() < 200),
            }
        }

        /// Whatever the URL, it is refused, or the request is one that a server understands, and asks for that path.
        #[test]
        fn urls_are_refused_or_make_a_good_request(
            Soup(url) in prop_oneof![
                soup("wss://example.com:9527/a%20b/c;d?e=f&g"),
                spoiled("ws://[fe80::1]:80/r\u{e4}ume?\u{5927}"),
                "[a-z]{0,5}:?/{0,3}.{0,40}".prop_map(|url| Soup(url.into())),
            ],
        ) {
            let url = String::from_utf8_lossy(&url);
            match Target::parse(&url) {
                Ok(target) => {
                    prop_assert!(!target.host.is_empty() && !target.host.starts_with('['));
                    let head = request(&target, &wish(), KEY);
                    let (parsed, size) = parse_head(&head, &Limits::default()).unwrap().unwrap();
                    prop_assert_eq!((size, parsed.headers().len()), (head.len(), 7));
                    let path = parsed.uri().path_and_query().unwrap().as_str();
                    prop_assert_eq!(path, normalize(&target.resource));
                    let policy = Policy { subprotocols: vec!["v1".into()], ..Policy::default() };
                    let agreed = accept(&parsed, &policy).unwrap().agreed;
                    prop_assert_eq!(agreed.subprotocol.as_deref(), Some("v1"));
                }
                Err(what) => prop_assert!(what.contains("ws://HOST")),
            }
        }
    }
}
