//! What a client asked for and what it is answered, in plain HTTP terms.

use crate::error::{Error, Result};
use crate::wire::handshake::{BEARER, Origins, check_origin};
use crate::wire::http::{Refusal, list_elements};
use crate::wire::percent::decode_segment;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::fmt;
use std::net::SocketAddr;
use tungstenite::Bytes;

/// An HTTP request: a plain one, or the one that opened a WebSocket
/// ([`WebSocket::request`](crate::WebSocket::request)).
///
/// ```
/// # let server = switchboard::Server::builder().route("/hello/{name}", |mut ws| {
/// let request = ws.request();
/// let name = request.param("name").to_string();
/// match request.query("lang").as_deref() {
///     Some("zh") => ws.send(format!("你好，{name}")),
///     _ => ws.send(format!("hello, {name}")),
/// }
/// # });
/// # let server = server.bind("127.0.0.1:0")?.start()?;
/// assert_eq!(server.connect("/hello/ann")?.recv()?, Some("hello, ann".into()));
/// assert_eq!(server.connect("/hello/王芳?lang=zh")?.recv()?, Some("你好，王芳".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Request {
    pub(super) head: http::Request<()>,
    pub(super) body: Bytes,
    pub(super) params: Vec<(String, String)>,
    pub(super) peer: SocketAddr,
}

impl Request {
    /// The method; can be compared with a text: `request.method() == "GET"`.
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The path, still percent-encoded, without the query; of all the ways to write it the shortest: what can stand in a path as
    /// it is, is not encoded (RFC 3986 §6.2.2).
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// The part of the path that stood for `{name}` in the route, percent-decoded; empty when the route has
    /// none such.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(param, _)| param == name).map_or("", |(_, value)| value)
    }

    /// The first value of `name` in the query, percent-decoded (`+` is a blank); empty for a name without a
    /// value. `None` also for one whose decoding is not UTF-8.
    pub fn query(&self, name: &str) -> Option<String> {
        self.try_query(name)?.ok()
    }

    /// The same; `Err`: it is there, but cannot be decoded.
    pub(crate) fn try_query(&self, name: &str) -> Option<std::result::Result<String, Refusal>> {
        let query = self.head.uri().query()?;
        let decode = |text: &str| decode_segment(&text.replace('+', " "));
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key).ok()? == name).then(|| decode(value))
        })
    }

    /// The first header field of that name, if it is visible ASCII. Names are compared without regard to
    /// case. Who the client is, it can say here; whether that is true is for the program to find out.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// All header fields, at most [`Limits::headers`](crate::Limits::headers) of them.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// A token that the client brought: by `Authorization: Bearer TOKEN`, by an offered subprotocol `bearer.TOKEN`, or in the
    /// query as `token=TOKEN`; the first of these. None with several `Authorization`: whoever came before may have looked at
    /// another of them.
    pub fn token(&self) -> Option<String> {
        if self.has_several_authorizations() {
            return None;
        }
        let offered = || {
            let mut offers = list_elements(self.headers(), &header::SEC_WEBSOCKET_PROTOCOL);
            let token = offers.find_map(|offer| offer.strip_prefix(BEARER.as_bytes()))?;
            str::from_utf8(token).ok().map(String::from)
        };
        self.bearer().map(String::from).or_else(offered).or_else(|| self.query("token"))
    }

    /// The token of `Authorization: Bearer TOKEN`. RFC 6750 §2.1
    pub(crate) fn bearer(&self) -> Option<&str> {
        if self.has_several_authorizations() {
            return None;
        }
        let (scheme, token) = self.header("authorization")?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    fn has_several_authorizations(&self) -> bool {
        1 < self.headers().get_all(header::AUTHORIZATION).iter().count()
    }

    /// The body of a plain request, at most [`Limits::body`](crate::Limits::body) bytes; empty for a
    /// WebSocket's.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The client's address and port, or those of the proxy before it.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Origins {
    /// Whether the page that the request came from may connect; `true` for a request without `Origin`. For a
    /// rule of one path ([`Builder::admit`](crate::Builder::admit)), beside the server's own, which is asked
    /// first.
    ///
    /// ```
    /// use switchboard::{Client, Origins, Response, Server};
    ///
    /// let ours = Origins::List(vec!["https://example.com".into()]);
    /// let server = Server::builder()
    ///     .origins(Origins::Any)
    ///     .route("/public", |_| Ok(()))
    ///     .route("/staff", |_| Ok(()))
    ///     .admit("/staff", move |request| match ours.allow(request) {
    ///         true => Ok(()),
    ///         false => Err(Response::text("not from that page\n").with_status(403)),
    ///     });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// # let url = format!("ws://{}", server.local_addr());
    /// # let connect = |path: &str, page| {
    /// #     Client::builder().header("origin", page).connect(&format!("{url}{path}"))
    /// # };
    /// assert!(connect("/public", "https://elsewhere.example").is_ok());
    /// assert!(connect("/staff", "https://elsewhere.example").is_err());
    /// assert!(connect("/staff", "https://example.com").is_ok());
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    pub fn allow(&self, request: &Request) -> bool {
        check_origin(request.headers(), self).is_ok()
    }
}

/// Without headers and query, which may hold tokens, and without the body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("method", self.method()).field("path", &self.path()).field("peer", &self.peer);
        shown.finish_non_exhaustive()
    }
}

/// The answer to a plain HTTP request. The connection ends with it: one request each.
///
/// ```
/// use switchboard::{Response, Server};
///
/// let server = Server::builder().get("/users/{name}", |request| match request.param("name") {
///     "ann" => Response::json(r#"{"name":"ann"}"#).with_header("cache-control", "no-store"),
///     _ => Response::text("no such user\n").with_status(404),
/// });
/// # let server = server.bind("127.0.0.1:0")?.start()?;
/// # use std::io::Write;
/// # let get = |path: &str| -> std::io::Result<String> {
/// #     let mut socket = std::net::TcpStream::connect(server.local_addr())?;
/// #     write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
/// #     std::io::read_to_string(socket)
/// # };
/// assert!(get("/users/ann")?.contains("\r\nCache-Control: no-store\r\n"));
/// assert!(get("/users/bob")?.starts_with("HTTP/1.1 404 Not Found\r\n"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    /// Boxed, so that it is small in a `Result`.
    pub(super) inner: Box<http::Response<Bytes>>,
}

impl Response {
    /// 200 with a body of this media type, as `image/svg+xml`.
    ///
    /// # Panics
    /// When the media type is not visible ASCII.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut inner = Box::new(http::Response::new(body.into()));
        inner.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { inner }
    }

    /// 200 with plain text in UTF-8.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new("text/plain; charset=utf-8", body)
    }

    /// 200 with an HTML page in UTF-8.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// 200 with JSON, which is text already: nothing is serialized.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new("application/json", body)
    }

    /// The same with another status. A number that is no status (below 100 or above 999) becomes 500.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        *self.inner.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self
    }

    /// The same with a header field set, in place of one of that name. A name or value that HTTP does not
    /// allow is left out, with an error in the log; `Content-Length` is always the body's.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        match (header::HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.inner.headers_mut().insert(name, value);
            }
            _ => log::error!("the header field `{name}` is not allowed in HTTP and was left out"),
        }
        self
    }
}

/// Whether `name` may name a room or a user: 1 to `max` bytes, no control characters.
pub(crate) fn check_name(name: &str, max: usize) -> Result<()> {
    let problem = if name.is_empty() {
        "it is empty".to_string()
    } else if max < name.len() {
        format!("it has {} bytes", name.len())
    } else if name.chars().any(char::is_control) {
        "it contains a control character".to_string()
    } else {
        return Ok(());
    };
    Err(Error::Name(format!(
        "this name cannot be used: {problem}; names have 1 to {max} bytes of UTF-8 and no control characters"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_128_bytes_and_no_controls() {
        for good in ["a", "大厅", "a b", "a/b", &"x".repeat(128)] {
            assert!(check_name(good, 128).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{7f}", "\u{85}", "\0", &"x".repeat(129), &"厅".repeat(43)] {
            assert!(check_name(bad, 128).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let head = http::Request::builder().uri("/p?a=1&b=x%20y+z&b=2&%C3%A9=%E4%B8%AD&flag&bad=%zz");
        let request = Request {
            head: head.body(()).unwrap(),
            body: Bytes::new(),
            params: vec![("room".into(), "r".into())],
            peer: ([127, 0, 0, 1], 1).into(),
        };
        let query = |name| request.query(name);
        assert_eq!(query("a").as_deref(), Some("1"));
        assert_eq!(query("b").as_deref(), Some("x y z"));
        assert_eq!(query("é").as_deref(), Some("中"));
        assert_eq!(query("flag").as_deref(), Some(""));
        assert_eq!((query("bad"), query("none")), (None, None));
        assert!(
            request.try_query("bad").is_some_and(|value| value.is_err())
                && request.try_query("none").is_none()
        );
        assert_eq!(format!("{request:?}"), r#"Request { method: GET, path: "/p", peer: 127.0.0.1:1, .. }"#);
        assert_eq!((request.param("room"), request.param("none")), ("r", ""));
    }
}
