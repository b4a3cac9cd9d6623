//! The opening handshake as policy: who may turn an HTTP request into a WebSocket (RFC 6455 §4.2).
//!
//! Owns the checks of the client's handshake, the choice of a subprotocol, and the 101. Must not know paths,
//! users, or how bytes come and go; extensions are negotiated elsewhere, and none is ever echoed from here.

use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::deflate::{Agreement, accept_offer};
use super::http::{Refusal, list_elements, push_field, split_authority, status_line};
use super::origins::stands_for;

/// The version of the protocol, the only one since 2011 (RFC 6455 §4.1).
const VERSION: &str = "13";

/// What a token in an offer of a subprotocol begins with.
pub(crate) const BEARER: &str = "bearer.";

/// Which web pages may open a connection.
///
/// A browser tells in the `Origin` header whose page opens a WebSocket, and leaves the decision to the
/// server: without one, any page that a user visits could speak in the user's name (RFC 6455 §10.2). Clients
/// that are no browsers send no `Origin` and are always let in: they could send any. Refused pages are
/// answered 403.
///
/// ```
/// use switchboard::{Client, Error, Origins, Server};
///
/// let origins = Origins::List(vec!["https://example.com".into()]);
/// let server = Server::builder().origins(origins).route("/", |_| Ok(())).bind("127.0.0.1:0")?.start()?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let from = |page: &str| Client::builder().header("origin", page).connect(&url);
/// assert!(from("https://example.com").is_ok());
/// assert!(matches!(from("https://elsewhere.example"), Err(Error::Refused { status: 403, .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum Origins {
    /// Pages of the same host and port as the server's (as in the `Host` header), and clients that send no
    /// `Origin`.
    #[default]
    SameHost,
    /// Besides the above these pages, as browsers write them: `scheme://host`, with `:port` unless it is the
    /// scheme's own, and no slash at the end. `null` stands for pages without an origin, such as local files;
    /// `https://*.example.com` for all names below `example.com`, but not for that itself, and
    /// `*.example.com` for both `http` and `https`. [`Builder::bind`](crate::Builder::bind) fails with an entry
    /// that no browser could send.
    List(Vec<String>),
    /// Every page. For public data only, or where a token that no browser sends by itself proves who
    /// connects.
    Any,
}

/// What the server asks of a handshake.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) origins: Origins,
    /// Ours, most wanted first. The client's order decides all the same, as it does in other servers.
    pub(crate) subprotocols: Vec<String>,
    /// Whether clients must be pages.
    pub(crate) require_origin: bool,
    /// Whether to agree to permessage-deflate.
    pub(crate) compression: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            origins: Origins::SameHost,
            subprotocols: Vec::new(),
            require_origin: false,
            compression: cfg!(feature = "deflate"),
        }
    }
}

/// A handshake that succeeds once the response is sent.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) response: Response<()>,
    pub(crate) agreed: Agreed,
}

/// What both ends agreed on, beside the protocol itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) subprotocol: Option<String>,
    pub(crate) deflate: Option<Agreement>,
}

/// Whether the client asks for a WebSocket (an Upgrade header field with the token `websocket`): anything
/// else is plain HTTP.
pub(crate) fn wants_upgrade<T>(request: &Request<T>) -> bool {
    has_token(request.headers(), &UPGRADE, "websocket")
}

/// Checks the client's handshake in the order of RFC 6455 §4.2.1 and makes the 101 of §4.2.2.
pub(crate) fn accept<T>(request: &Request<T>, policy: &Policy) -> Result<Accepted, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let reason = "a WebSocket is opened with GET: use a WebSocket client";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, reason).with(ALLOW, "GET"));
    }
    // Behind a handshake frames begin; a proxy that counts a body would see them begin elsewhere. RFC 9110 §7.8
    let announces_body = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if announces_body || headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad_request(
            "a WebSocket is opened without a body: leave Content-Length and Transfer-Encoding out",
        ));
    }
    if request.version() < Version::HTTP_11 {
        return Err(bad_request(
            "a WebSocket needs HTTP/1.1: let the client or the proxy use it (nginx: proxy_http_version 1.1)",
        ));
    }
    if only(headers, &HOST).is_none() {
        return Err(bad_request("a WebSocket needs one Host header: add Host: name:port"));
    }
    if !wants_upgrade(request) {
        return Err(upgrade_required(request));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad_request(
            "the Connection header lacks the token Upgrade: \
             send Connection: Upgrade, and let proxies pass it on",
        ));
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
        // RFC 6455 §4.2.2: the answer to another version names those that are understood.
        let reason = "the WebSocket version is missing, repeated or not ours: send Sec-WebSocket-Version: 13";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, reason)
            .with(UPGRADE, "websocket")
            .with(SEC_WEBSOCKET_VERSION, VERSION));
    }
    let Some(key) = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_valid_key(key)) else {
        return Err(bad_request(
            "the Sec-WebSocket-Key is missing, repeated or malformed: send one, 16 random bytes as base64",
        ));
    };
    if policy.require_origin && !headers.contains_key(ORIGIN) {
        let reason = "only web pages may connect here, and the request has no Origin header: add one";
        return Err(Refusal::new(StatusCode::FORBIDDEN, reason));
    }
    check_origin(headers, &policy.origins)?;
    let (subprotocol, token) = choose_subprotocol(headers, policy)?;
    let deflate = if policy.compression { accept_offer(headers) } else { None };
    let (deflate, extensions) = deflate.unzip();
    Ok(Accepted {
        response: switching_protocols(key, subprotocol.or(token), extensions.as_deref()),
        agreed: Agreed { subprotocol: subprotocol.map(str::to_owned), deflate },
    })
}

/// Head of the 101 as bytes.
pub(crate) fn encode_switch(response: &Response<()>) -> Vec<u8> {
    let mut out = status_line(response.status());
    for (name, value) in response.headers() {
        push_field(&mut out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The answer to a plain GET on a WebSocket path (RFC 9110 §15.5.22). Its body is for people: most of them
/// opened the path in a browser.
pub(crate) fn upgrade_required<T>(request: &Request<T>) -> Refusal {
    // The query stays out, for it may hold a token.
    let host = only(request.headers(), &HOST).and_then(plain);
    let host = host.filter(|host| split_authority(host).is_some()).unwrap_or("HOST");
    let path = plain(request.uri().path().as_bytes()).unwrap_or("/PATH");
    let reason = format!(
        "this path speaks WebSocket, and the request does not ask for one: connect with a WebSocket client\n\
         \n  in a web page:  new WebSocket(\"ws://{host}{path}\")\
         \n  in a terminal:  python -m websockets ws://{host}{path}\n\
         \nwss:// in place of ws:// behind TLS. If your client did ask, a proxy in between took it away:\
         \nlet it pass the Upgrade and Connection headers on."
    );
    Refusal::new(StatusCode::UPGRADE_REQUIRED, reason)
        .with(UPGRADE, "websocket")
        .with(SEC_WEBSOCKET_VERSION, VERSION)
}

/// What can be shown in a command to copy: nothing that a shell would read. A link can bring anyone here.
fn plain(text: &[u8]) -> Option<&str> {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%/:[]".contains(b);
    if text.iter().all(is_plain) { str::from_utf8(text).ok() } else { None }
}

fn switching_protocols(key: &[u8], subprotocol: Option<&str>, extensions: Option<&str>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    // Cannot panic: base64 is visible ASCII, as every field value may be.
    let proof = HeaderValue::try_from(derive_accept_key(key)).expect("base64 is a field value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
    if let Some(subprotocol) = subprotocol {
        // Cannot panic: an offer was checked to be a token, which is visible ASCII.
        let value = HeaderValue::from_str(subprotocol).expect("a token is a field value");
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    if let Some(value) = extensions.and_then(|extensions| HeaderValue::from_str(extensions).ok()) {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    response
}

/// RFC 6455 §4.2.1: the key is "a base64-encoded value that, when decoded, is 16 bytes in length". The 4 bits
/// that the last character has too many are not looked at: the key is a nonce, and never decoded.
fn is_valid_key(key: &[u8]) -> bool {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == 24 && key.strip_suffix(b"==").is_some_and(|digits| digits.iter().all(is_base64))
}

/// RFC 6455 §10.2.
pub(crate) fn check_origin(headers: &HeaderMap, policy: &Origins) -> Result<(), Refusal> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let Some(origin) = only(headers, &ORIGIN) else {
        let reason = "the request has more than one Origin header: let proxies in between add none";
        return Err(Refusal::new(StatusCode::FORBIDDEN, reason));
    };
    let is_listed = |list: &[String]| {
        str::from_utf8(origin).is_ok_and(|origin| list.iter().any(|entry| stands_for(entry, origin)))
    };
    let is_allowed = match policy {
        Origins::SameHost => is_same_host(headers, origin),
        Origins::List(list) => is_listed(list) || is_same_host(headers, origin),
        Origins::Any => true,
    };
    if is_allowed {
        return Ok(());
    }
    let origin = plain(origin).unwrap_or("ORIGIN");
    let reason = format!(
        "pages of the origin {origin} may not connect here: \
         start the server with --allow-origin {origin}, or open the page from the server's own address"
    );
    Err(Refusal::new(StatusCode::FORBIDDEN, reason))
}

/// Compares host and port of an origin (RFC 6454 §6.2) with the Host field. A proxy may have ended TLS on the
/// way, so the scheme of both is the origin's, and with it the port that is not written.
fn is_same_host(headers: &HeaderMap, origin: &[u8]) -> bool {
    let host = only(headers, &HOST).and_then(|host| str::from_utf8(host).ok());
    let origin = str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
    let (Some(host), Some((scheme, authority))) = (host, origin) else {
        return false;
    };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let (Some((ours, our_port)), Some((theirs, their_port))) =
        (split_authority(host), split_authority(authority))
    else {
        return false;
    };
    ours.eq_ignore_ascii_case(theirs)
        && our_port.unwrap_or(default_port) == their_port.unwrap_or(default_port)
}

/// The first of the client's offers, "ordered by preference" (RFC 6455 §4.1), that is also ours. `None` is no
/// error: the client decides whether it goes on without (§4.2.2). Beside it an offer that carries a token: none to speak, but
/// browsers fail a connection that agrees to none of their offers, whether a token is asked for or not.
fn choose_subprotocol<'a>(
    headers: &'a HeaderMap,
    policy: &Policy,
) -> Result<(Option<&'a str>, Option<&'a str>), Refusal> {
    let (mut chosen, mut token) = (None, None);
    for offer in list_elements(headers, &SEC_WEBSOCKET_PROTOCOL) {
        // It is not repeated, for it may be a token.
        let Some(offer) = str::from_utf8(offer).ok().filter(|offer| is_token(offer)) else {
            return Err(bad_request(
                "an offered subprotocol is malformed: use letters, digits, and !#$%&'*+-.^_`|~ \
                 (a token in one: base64url without padding)",
            ));
        };
        // Names are compared exactly: browsers fail a connection whose answer differs in case.
        if chosen.is_none() && policy.subprotocols.iter().any(|name| name == offer) {
            chosen = Some(offer);
        } else if offer.starts_with(BEARER) {
            token = Some(offer);
        }
    }
    Ok((chosen, token))
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether a token is in any line of a comma-separated field, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list_elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The value of a field that must be there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Some(value.as_bytes().trim_ascii()),
        _ => None,
    }
}

fn bad_request(reason: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::super::http::{encode_response, parse_head};
    use super::super::percent::decode_segment;
    use super::*;
    use crate::limits::Limits;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The handshake of RFC 6455 §1.3 with some fields replaced: `None` removes one, several values repeat
    /// it.
    fn request_with(changes: &[(&str, &[&str])]) -> Request<()> {
        let mut fields = vec![
            ("host", vec!["example.com"]),
            ("upgrade", vec!["websocket"]),
            ("connection", vec!["Upgrade"]),
            ("sec-websocket-key", vec![KEY]),
            ("sec-websocket-version", vec!["13"]),
        ];
        for (name, values) in changes {
            fields.retain(|(other, _)| other != name);
            fields.push((name, values.to_vec()));
        }
        let mut request = Request::builder().uri("/echo");
        for (name, values) in fields {
            for value in values {
                request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).expect("valid"));
            }
        }
        request.body(()).expect("valid")
    }

    fn policy(origins: Origins) -> Policy {
        Policy {
            origins,
            subprotocols: vec!["switchboard.v1".into(), "chat".into()],
            require_origin: false,
            compression: false,
        }
    }

    /// 101 if accepted.
    fn status_of(request: &Request<()>, origins: Origins) -> u16 {
        match accept(request, &policy(origins)) {
            Ok(accepted) => accepted.response.status().as_u16(),
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[test]
    fn the_accept_key_proves_the_key() {
        let table = [
            (KEY, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), // RFC 6455 §1.3
            ("wDqumtseNBJdhkihL6PW7w==", "0FFP+2nmNIf/h+4BP36k9uzrYGk="),
            ("sN9cRrP/n9NdMgdcy2VJFQ==", "fFBooB7FAkLlXgRSz0BT3v4hq5s="),
            ("mnwFxiOlctXFN/DeMt1Amg==", "oRjiwsm8ZS/eLqIQ6p82z1wgGHE="),
        ];
        for (key, proof) in table {
            let request = request_with(&[("sec-websocket-key", &[key])]);
            let accepted = accept(&request, &Policy::default()).expect("valid");
            assert_eq!(accepted.response.headers()[SEC_WEBSOCKET_ACCEPT], proof);
        }
    }

    #[test]
    fn the_switch_on_the_wire_names_the_subprotocol_and_no_extension() {
        let request = request_with(&[
            ("sec-websocket-protocol", &["switchboard.v1"]),
            ("sec-websocket-extensions", &["permessage-deflate, x-unknown"]),
        ]);
        let accepted = accept(&request, &policy(Origins::SameHost)).expect("valid");
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                        Sec-WebSocket-Protocol: switchboard.v1\r\n\r\n";
        assert_eq!(String::from_utf8(encode_switch(&accepted.response)).expect("ASCII"), expected);
    }

    #[test]
    fn handshakes_are_checked_field_by_field() {
        let table: &[(&str, &[&str], u16)] = &[
            ("host", &[], 400),
            ("host", &["example.com", "example.com"], 400),
            ("connection", &[], 400),
            ("connection", &["keep-alive"], 400),
            ("connection", &["keep-upgrade"], 400),
            ("connection", &["keep-alive, UPGRADE"], 101),
            ("connection", &["keep-alive", "x ,upgrade,"], 101),
            ("upgrade", &[], 426),
            ("upgrade", &["h2c"], 426),
            ("upgrade", &["websocket2"], 426),
            ("upgrade", &["h2c, WebSocket"], 101),
            ("upgrade", &["h2c", "WEBSOCKET"], 101),
            ("sec-websocket-version", &[], 426),
            ("sec-websocket-version", &["8"], 426),
            ("sec-websocket-version", &["013"], 426),
            ("sec-websocket-version", &["13, 8"], 426),
            ("sec-websocket-version", &["13", "13"], 426),
            ("sec-websocket-key", &[], 400),
            ("sec-websocket-key", &[KEY, KEY], 400),
            ("sec-websocket-key", &[""], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=="], 101),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="], 101), // bits too many, of no meaning
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQE="], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=A"], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j===="], 400),
            ("sec-websocket-key", &["dGhl_HNhbXBsZSBub25jZQ=="], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSBub25jZQ=="], 400),
        ];
        for (name, values, status) in table {
            assert_eq!(
                status_of(&request_with(&[(name, values)]), Origins::SameHost),
                *status,
                "{name}: {values:?}"
            );
        }
    }

    #[test]
    fn a_handshake_has_no_body_that_could_be_taken_for_frames() {
        let table: &[(&str, &[&str], u16)] = &[
            ("content-length", &["0"], 101),
            ("content-length", &["5"], 400),
            ("content-length", &["0", "5"], 400),
            ("content-length", &["0, 5"], 400),
            ("content-length", &["x"], 400),
            ("transfer-encoding", &["chunked"], 400),
            ("transfer-encoding", &["identity"], 400),
        ];
        for (name, values, status) in table {
            let request = request_with(&[(name, values)]);
            assert_eq!(status_of(&request, Origins::SameHost), *status, "{name}: {values:?}");
        }
    }

    #[test]
    fn other_methods_are_told_the_right_one() {
        for method in [Method::POST, Method::HEAD, Method::CONNECT] {
            let mut request = request_with(&[]);
            *request.method_mut() = method;
            let refusal = accept(&request, &Policy::default()).expect_err("not GET");
            assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(refusal.headers, [(ALLOW, HeaderValue::from_static("GET"))]);
        }
    }

    #[test]
    fn http_1_0_is_refused() {
        let mut request = request_with(&[]);
        *request.version_mut() = Version::HTTP_10;
        assert_eq!(status_of(&request, Origins::SameHost), 400);
    }

    #[test]
    fn another_version_is_told_ours() {
        let request = request_with(&[("sec-websocket-version", &["8"])]);
        let refusal = accept(&request, &Policy::default()).expect_err("version 8");
        let head = encode_response(&refusal.into_response(), true);
        let head = String::from_utf8(head).expect("ASCII");
        for line in
            ["Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Connection: close, Upgrade\r\n"]
        {
            assert!(head.contains(line), "{head}");
        }
    }

    #[test]
    fn only_the_token_websocket_wants_an_upgrade() {
        let table: &[(&[&str], bool)] =
            &[(&[], false), (&["h2c"], false), (&["websocket"], true), (&["a,,b", "c, WebSocket"], true)];
        for (values, wanted) in table {
            assert_eq!(wants_upgrade(&request_with(&[("upgrade", values)])), *wanted, "{values:?}");
        }
    }

    #[test]
    fn pages_of_the_same_host_may_connect() {
        let table = [
            ("example.com", "http://example.com", 101),
            ("example.com", "https://example.com", 101),
            ("EXAMPLE.com", "http://example.COM:80", 101),
            ("example.com:443", "https://example.com", 101),
            ("example.com", "https://example.com:443", 101),
            ("example.com:80", "https://example.com", 403),
            ("example.com:9527", "http://example.com:9527", 101),
            ("example.com:9527", "http://example.com", 403),
            ("example.com", "http://example.com:9527", 403),
            ("[::1]:9527", "http://[::1]:9527", 101),
            ("[::1]:9527", "http://[::2]:9527", 403),
            ("127.0.0.1:9527", "http://localhost:9527", 403),
            ("example.com", "http://example.com.evil.com", 403),
            ("example.com", "http://sub.example.com", 403),
            ("example.com", "http://evil@example.com", 403),
            ("evil@example.com", "http://example.com", 403),
            ("example.com", "http://example.com/path", 403),
            ("example.com", "http://example.com http://evil.com", 403),
            ("example.com", "chrome-extension://example.com", 403),
            ("example.com", "example.com", 403),
            ("example.com", "null", 403),
            ("example.com", "", 403),
            ("example.com", "http://", 403),
            ("", "http://", 403),
            ("example.com", "http://caf\u{e9}", 403),
        ];
        for (host, origin, status) in table {
            let request = request_with(&[("host", &[host]), ("origin", &[origin])]);
            assert_eq!(status_of(&request, Origins::SameHost), status, "{origin} at {host}");
            assert_eq!(status_of(&request, Origins::Any), 101, "{origin} at {host}");
        }
    }

    #[test]
    fn listed_pages_and_clients_without_origin_may_connect() {
        let list = || {
            Origins::List(vec![
                "https://app.example:8443".into(),
                "null".into(),
                "https://*.wild.example".into(),
            ])
        };
        let table: &[(&[&str], u16)] = &[
            (&[], 101),
            (&["https://app.example:8443"], 101),
            (&["https://APP.example:8443"], 101),
            (&["https://app.example"], 403),
            (&["http://app.example:8443"], 403),
            (&["null"], 101),
            (&["http://example.com"], 101),
            (&["https://evil.example"], 403),
            (&["null", "null"], 403),
            (&["https://a.wild.example"], 101),
            (&["https://wild.example"], 403),
            (&["https://a.wild.example\u{e9}"], 403),
        ];
        for (origin, status) in table {
            assert_eq!(status_of(&request_with(&[("origin", origin)]), list()), *status, "{origin:?}");
        }
    }

    #[test]
    fn a_refused_page_is_told_its_origin_and_the_option() {
        let request = request_with(&[("origin", &["https://evil.example"])]);
        let refusal = accept(&request, &Policy::default()).expect_err("another host");
        assert!(refusal.reason.contains("--allow-origin https://evil.example"), "{}", refusal.reason);
        for trap in ["https://a.example;reboot", "https://$(reboot)", "https://a.example' reboot", "a b"] {
            let request = request_with(&[("origin", &[trap])]);
            let refusal = accept(&request, &Policy::default()).expect_err("another host");
            assert!(refusal.reason.contains("--allow-origin ORIGIN"), "{}", refusal.reason);
            assert!(!refusal.reason.contains(trap), "{}", refusal.reason);
        }
    }

    #[test]
    fn a_token_that_is_no_subprotocol_is_not_repeated() {
        // Base64 has `/` and `=`, which no subprotocol may have; and a refusal goes into the log.
        let request = request_with(&[("sec-websocket-protocol", &["chat, bearer.c2Vj/cmV0=="])]);
        let refusal = accept(&request, &Policy::default()).expect_err("malformed");
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        assert!(!refusal.reason.contains("c2Vj"), "{}", refusal.reason);
    }

    #[test]
    fn the_first_known_offer_of_the_client_is_chosen() {
        let table: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&[""], None),
            (&["unknown"], None),
            (&["Chat"], None),
            (&["chat"], Some("chat")),
            (&["chat, switchboard.v1"], Some("chat")),
            (&["x,,switchboard.v1 ,chat"], Some("switchboard.v1")),
            (&["x", "y, chat", "switchboard.v1"], Some("chat")),
        ];
        for (offers, chosen) in table {
            let request = request_with(&[("sec-websocket-protocol", offers)]);
            let accepted = accept(&request, &policy(Origins::SameHost)).expect("served in any case");
            assert_eq!(accepted.agreed.subprotocol.as_deref(), *chosen, "{offers:?}");
            let answered = accepted.response.headers().get(SEC_WEBSOCKET_PROTOCOL);
            assert_eq!(answered.map(|value| value.to_str().expect("ASCII")), *chosen, "{offers:?}");
        }
    }

    #[test]
    fn malformed_offers_are_refused() {
        for offers in ["chat two", "chat, a=b", "chat;q=1", "\"chat\"", "chat, caf\u{e9}", "chat\t two"] {
            let request = request_with(&[("sec-websocket-protocol", &[offers])]);
            assert_eq!(status_of(&request, Origins::SameHost), 400, "{offers}");
        }
    }

    #[test]
    fn a_malformed_token_is_not_told_to_anybody() {
        for offers in ["bearer.hush/hush", "bearer.a\"b, hush hush", "hush hush, bearer.a"] {
            let request = request_with(&[("sec-websocket-protocol", &[offers])]);
            let refusal = accept(&request, &Policy::default()).expect_err("malformed");
            assert!(!refusal.reason.contains("hush"), "{}", refusal.reason);
        }
    }

    #[test]
    fn clients_without_origin_may_be_kept_out() {
        let policy = Policy { require_origin: true, ..policy(Origins::SameHost) };
        for (origin, may) in
            [(&[][..], false), (&["http://example.com"], true), (&["https://a.example"], false)]
        {
            let refusal = accept(&request_with(&[("origin", origin)]), &policy).err();
            assert_eq!(
                refusal.map(|refusal| refusal.status),
                (!may).then_some(StatusCode::FORBIDDEN),
                "{origin:?}"
            );
        }
    }

    #[test]
    fn a_plain_get_is_told_how_to_connect() {
        let table = [
            ("/chat/a%20b?token=secret", "example.com:9527", "ws://example.com:9527/chat/a%20b"),
            ("/echo", "[::1]:9527", "ws://[::1]:9527/echo"),
            ("/echo;reboot", "example.com", "ws://example.com/PATH"),
            ("/echo", "$(reboot)", "ws://HOST/echo"),
            ("/echo", "", "ws://HOST/echo"),
        ];
        for (path, host, url) in table {
            let request = Request::get(path).header(HOST, host).body(()).expect("valid");
            let refusal = upgrade_required(&request);
            assert_eq!(refusal.status, StatusCode::UPGRADE_REQUIRED);
            assert!(refusal.reason.contains(&format!("new WebSocket(\"{url}\")\n")), "{}", refusal.reason);
            assert!(refusal.reason.contains(&format!("python -m websockets {url}\n")), "{}", refusal.reason);
            assert!(!refusal.reason.contains("secret"));
            let head = String::from_utf8(encode_response(&refusal.into_response(), true)).expect("ASCII");
            for line in
                ["Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Connection: close, Upgrade\r\n"]
            {
                assert!(head.contains(line), "{head}");
            }
        }
    }

    /// A linear congruential generator: the same soup in every run.
    struct Lcg(u64);

    impl Lcg {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).expect("31 bits") % bound
        }
    }

    fn mutate(seed: &[u8], random: &mut Lcg) -> Vec<u8> {
        const SPICE: [&[u8]; 12] = [
            b"\r\n",
            b"\0",
            b"\xff",
            b"%",
            b",",
            b": ",
            b"://",
            b"[",
            b"]:",
            b"@",
            b"\r\nHost: a",
            b"\r\nOrigin: x",
        ];
        let mut soup = seed.to_vec();
        for _ in 0..random.below(5) {
            let at = random.below(soup.len() + 1);
            match random.below(4) {
                0 if at < soup.len() => soup[at] = u8::try_from(random.below(256)).expect("a byte"),
                1 if at < soup.len() => drop(soup.remove(at)),
                2 => drop(soup.splice(at..at, SPICE[random.below(SPICE.len())].iter().copied())),
                _ => soup.truncate(soup.len() - random.below(soup.len() / 8 + 1)),
            }
        }
        soup
    }

    #[test]
    fn byte_soup_is_served_or_refused_but_never_panics() {
        let seeds: [&[u8]; 2] = [
            b"GET /chat/caf%C3%A9?user=a HTTP/1.1\r\nHost: [::1]:9527\r\nUpgrade: websocket\r\n\
              Connection: keep-alive, Upgrade\r\nOrigin: http://[::1]:9527\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Protocol: a, chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x80",
            b"POST http://a:80/api/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\
              Expect: 100-continue\r\n\r\n{}",
        ];
        let limits = Limits { head: 350, headers: 9, ..Limits::default() };
        let policy = policy(Origins::List(vec!["null".into()]));
        let (mut random, mut accepted, mut refused, mut partial) = (Lcg(9527), 0, 0, 0);
        for round in 0..40_000 {
            let soup = mutate(seeds[round % seeds.len()], &mut random);
            let outcome = match parse_head(&soup, &limits) {
                Ok(None) => {
                    assert!(soup.len() < limits.head);
                    partial += 1;
                    continue;
                }
                Ok(Some((request, length))) => {
                    assert!(length <= soup.len().min(limits.head));
                    let _ = Body::new(&request, limits.body, &limits);
                    request.uri().path().split('/').for_each(|segment| drop(decode_segment(segment)));
                    upgrade_required(&request).into_response();
                    accept(&request, &policy)
                }
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(switch) => {
                    accepted += 1;
                    assert!(encode_switch(&switch.response).ends_with(b"\r\n\r\n"));
                }
                Err(refusal) => {
                    refused += 1;
                    assert!(refusal.status.is_client_error() || refusal.status.is_server_error());
                    assert!(encode_response(&refusal.into_response(), false).ends_with(b"\n"));
                }
            }
        }
        assert!(
            1000 < accepted.min(refused).min(partial),
            "{accepted} {refused} {partial}: a one-sided soup"
        );
    }
}
