//! The client's opening handshake: the request, and what the answer must be. RFC 6455 §4.1.

use super::deflate;
use super::handshake::Agreed;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
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
    /// Path and query.
    resource: String,
}

/// What the client asks for beside the connection itself.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) compression: bool,
}

/// What a server said in place of 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// Another status, with the start of its body and the seconds of its `Retry-After`.
    Status { status: u16, retry_after: Option<u64> },
    /// An answer that no WebSocket server gives.
    Wrong(String),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{url}` {what}; write ws://HOST[:PORT]/PATH or wss://…");
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is no URL ({error})")))?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(wrong("has another scheme")),
        };
        if url.contains('#') {
            return Err(wrong("has a fragment"));
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("has no host, or a user name in it"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_string();
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(wrong("has no port between 0 and 65535"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let resource = uri.path_and_query().map_or("/", |path| path.as_str());
        let resource = if resource.starts_with('/') { resource.into() } else { format!("/{resource}") };
        Ok(Self { tls, host, port, authority: authority.to_string(), resource })
    }
}

impl Target {
    /// Path and query, as a server is asked for them.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }
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
    let mut fields = vec![httparse::EMPTY_HEADER; max_headers];
    let mut response = httparse::Response::new(&mut fields);
    let size = match response.parse(&answer[..answer.len().min(max_head)]) {
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
            headers.append(name, value);
        }
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if response.code != Some(101) {
        let retry_after = text(&header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        return Err(Declined::Status { status: response.code.unwrap_or(0), retry_after });
    }
    let has_token = |name: &HeaderName, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if !has_token(&header::UPGRADE, "websocket") || !has_token(&header::CONNECTION, "upgrade") {
        return Err(Declined::Wrong("the answer is 101 but does not upgrade to a WebSocket".into()));
    }
    if text(&header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Declined::Wrong("the answer's Sec-WebSocket-Accept is not for our key".into()));
    }
    let subprotocol = text(&header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned);
    if subprotocol.as_ref().is_some_and(|chosen| !wish.subprotocols.contains(chosen)) {
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
    use super::*;

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
        for url in [
            "localhost:9527",
            "ftp://x/",
            "ws://",
            "ws:///x",
            "ws://u:p@h/",
            "ws://h/#f",
            "",
            "ws://h:99999/",
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
            Err(Declined::Status { status: 503, retry_after: Some(7) })
        );
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
}
