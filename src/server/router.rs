//! Which path leads where: literal segments and `{parameters}`; on one path plain HTTP, a WebSocket, or both.

use super::identity::{Denied, Identity};
use super::request::{Request, Response, check_name};
use super::websocket::WebSocket;
use crate::error::{Error, Result};
use crate::metrics::RouteMetrics;
use crate::wire::body::Body;
use crate::wire::handshake::wants_upgrade;
use crate::wire::http::Refusal;
use crate::wire::percent::{decode_segment, normalize};
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use tungstenite::Message;

/// Runs on the connection's thread; returning ends the connection.
pub(crate) type Handler = Arc<dyn Fn(WebSocket) -> Result<()> + Send + Sync>;
/// Answers one plain request, on the connection's thread.
pub(crate) type Responder = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// Lets a handshake pass, or answers it.
pub(crate) type Admit = Arc<dyn Fn(&Request) -> Result<(), Response> + Send + Sync>;

/// Lets somebody who is known pass, or says why not.
pub(crate) type Authorize = Arc<dyn Fn(&Request, &Identity) -> Result<(), Denied> + Send + Sync>;

/// Lets a message pass, or answers it.
pub(crate) type Check = Arc<dyn Fn(&Request, &Message) -> Result<(), Message> + Send + Sync>;

/// Names and decoded values of a path's parameters.
pub(crate) type Params = Vec<(String, String)>;

#[derive(Default)]
pub(crate) struct Router {
    routes: Vec<Route>,
    subtree: Option<Subtree>,
}

/// A path with all that is below it, in one hand.
pub(crate) struct Subtree {
    path: String,
    pub(crate) gate: Gate,
    pub(crate) responder: Responder,
    /// The answer when the body is none.
    pub(crate) refuse: fn(Refusal) -> Response,
}

/// By the head alone: the body that is to be read, or the answer without it.
pub(crate) type Gate = Box<dyn Fn(&Request) -> Result<Body, Response> + Send + Sync>;

/// What one path answers.
#[derive(Default)]
pub(crate) struct Route {
    pattern: String,
    segments: Vec<Segment>,
    pub(crate) websocket: Option<Handler>,
    /// Who may have the WebSocket, by the request alone.
    pub(crate) admit: Option<Admit>,
    /// The same by who it is.
    pub(crate) authorize: Option<Authorize>,
    /// What may be said on it.
    pub(crate) check: Option<Check>,
    /// What is counted of its WebSocket.
    pub(crate) metrics: Arc<RouteMetrics>,
    /// What its WebSocket speaks, whatever else the server agrees to: `switchboard.v1`, or nothing of its own.
    pub(crate) subprotocol: Option<&'static str>,
    http: Vec<(Method, Responder)>,
    /// What it answers to GET is answered also to who would be refused: for those who watch the server.
    is_probe: bool,
}

#[derive(Debug, PartialEq)]
enum Segment {
    Literal(String),
    Param(String),
}

impl Router {
    /// The route of this pattern, made if there is none yet.
    pub(crate) fn route(&mut self, pattern: &str) -> Result<&mut Route> {
        if let Some(at) = self.routes.iter().position(|route| route.pattern == pattern) {
            return Ok(&mut self.routes[at]);
        }
        let segments = parse(pattern)?;
        let metrics = Arc::new(RouteMetrics { pattern: pattern.into(), ..RouteMetrics::default() });
        self.routes.push(Route { pattern: pattern.into(), segments, metrics, ..Route::default() });
        // Literal segments win over parameters, whatever the order of the calls was.
        self.routes
            .sort_by_key(|route| route.segments.iter().filter(|s| matches!(s, Segment::Param(_))).count());
        self.route(pattern)
    }

    /// Of the routes that have a WebSocket.
    pub(crate) fn metrics(&self) -> Vec<Arc<RouteMetrics>> {
        let routes = self.routes.iter().filter(|route| route.websocket.is_some());
        routes.map(|route| route.metrics.clone()).collect()
    }

    /// Puts everything at this path and below it into one hand, whatever routes there are besides.
    #[cfg_attr(not(all(feature = "auth", feature = "protocol")), allow(dead_code, reason = "nobody asks"))]
    pub(crate) fn set_subtree(
        &mut self,
        path: &str,
        gate: Gate,
        responder: Responder,
        refuse: fn(Refusal) -> Response,
    ) -> Result<()> {
        let is_plain = |segment: &Segment| matches!(segment, Segment::Literal(text) if !text.is_empty());
        if !parse(path)?.iter().all(is_plain) {
            return Err(Error::Config(format!("the path `{path}` must be whole segments, as `/api`")));
        }
        self.subtree = Some(Subtree { path: path.into(), gate, responder, refuse });
        Ok(())
    }

    /// In whose hand a path is, when it is no route's.
    pub(crate) fn subtree(&self, path: &str) -> Option<&Subtree> {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.subtree.as_ref().filter(|tree| path.strip_prefix(&tree.path[..]).is_some_and(is_below))
    }

    /// Who answers this request, if it is for a probe, and whole: with no body, it holds no connection up.
    pub(crate) fn probe(&self, head: &http::Request<()>) -> Option<&Responder> {
        let (headers, path) = (head.headers(), head.uri().path());
        let route = self.routes.iter().find(|route| route.is_probe && route.pattern == path)?;
        let is_get = [Method::GET, Method::HEAD].contains(head.method());
        let has_body =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|h| headers.contains_key(h));
        let is_websocket = route.websocket.is_some() && wants_upgrade(head);
        let is_probe = is_get && !has_body && !is_websocket && self.subtree(path).is_none();
        if is_probe { route.responder(&Method::GET) } else { None }
    }

    /// The route of a path and its decoded parameters; 404 when there is none, 400 for a parameter that is no name.
    pub(crate) fn find(&self, path: &str, name_max: usize) -> Result<(&Route, Params), Refusal> {
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let Some(route) = self.routes.iter().find(|route| route.matches(&parts)) else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}")));
        };
        let mut params = Vec::new();
        for (segment, part) in route.segments.iter().zip(&parts) {
            if let Segment::Param(name) = segment {
                let value = decode_segment(part)?;
                check_name(&value, name_max)
                    .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("{name}: {error}")))?;
                params.push((name.clone(), value));
            }
        }
        Ok((route, params))
    }
}

impl Route {
    fn matches(&self, parts: &[&str]) -> bool {
        self.segments.len() == parts.len()
            && self.segments.iter().zip(parts).all(|(segment, part)| match segment {
                Segment::Literal(literal) => literal == part,
                Segment::Param(_) => true,
            })
    }

    pub(crate) fn set_http(&mut self, method: Method, responder: Responder) {
        self.is_probe &= method != Method::GET;
        self.http.retain(|(other, _)| *other != method);
        self.http.push((method, responder));
    }

    /// Until another one takes its place. It must not block.
    pub(crate) fn set_probe(&mut self, responder: Responder) {
        self.set_http(Method::GET, responder);
        self.is_probe = true;
    }

    /// Who answers a plain request with this method. A GET route answers HEAD too.
    pub(crate) fn responder(&self, method: &Method) -> Option<&Responder> {
        let find = |method: &Method| self.http.iter().find(|(known, _)| known == method);
        let found = find(method).or_else(|| if *method == Method::HEAD { find(&Method::GET) } else { None });
        found.map(|(_, responder)| responder)
    }

    /// 405, with the methods that are allowed here. RFC 9110 §15.5.6.
    pub(crate) fn method_not_allowed(&self, method: &Method) -> Refusal {
        let mut allowed: Vec<&str> = self.http.iter().map(|(method, _)| method.as_str()).collect();
        if self.websocket.is_some() && !allowed.contains(&"GET") {
            allowed.insert(0, "GET");
        }
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        let reason = format!("{method} is not possible here; this path takes {allowed}");
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, reason);
        match HeaderValue::try_from(allowed) {
            Ok(value) => refusal.with(header::ALLOW, value),
            Err(_) => refusal,
        }
    }
}

fn parse(pattern: &str) -> Result<Vec<Segment>> {
    let wrong = |what: &str| Error::Config(format!("the route `{pattern}` {what}"));
    let path = pattern.strip_prefix('/').ok_or_else(|| wrong("must start with `/`, as `/chat/{room}`"))?;
    let mut names = Vec::new();
    path.split('/')
        .map(|segment| match segment.strip_prefix('{').map(|rest| rest.strip_suffix('}')) {
            Some(Some(name)) if names.contains(&name) => {
                Err(wrong(&format!("has the parameter `{name}` twice")))
            }
            Some(Some(name)) if !name.is_empty() && !name.contains(['{', '}']) => {
                names.push(name);
                Ok(Segment::Param(name.into()))
            }
            Some(_) => Err(wrong("must have whole segments as parameters, as `/chat/{room}`")),
            None => check_literal(segment).map_err(wrong).map(|()| Segment::Literal(normalize(segment))),
        })
        .collect()
}

/// What others' routers take for a parameter would be a path that nobody asks for.
fn check_literal(segment: &str) -> std::result::Result<(), &'static str> {
    if segment.contains(['{', '}']) {
        return Err("must have whole segments as parameters, as `/chat/{room}`");
    }
    if segment.contains(['?', '#']) {
        return Err("is a path only: `?` and `#` end it");
    }
    if segment.contains(char::is_whitespace) {
        return Err("has a space: write `%20`");
    }
    if segment.starts_with(':') {
        return Err("has no parameter: one is written `{name}`, in place of `:name`");
    }
    if segment.contains('*') {
        return Err("has a `*`, and there is no wildcard: `{name}` stands for any one segment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(patterns: &[&str]) -> Router {
        let mut router = Router::default();
        for pattern in patterns {
            router.route(pattern).unwrap();
        }
        router
    }

    #[test]
    fn paths_find_their_routes() {
        let router = router(&[
            "/",
            "/聊天",
            "/c/{nick}",
            "/c",
            "/c/all",
            "/room/{room}",
            "/room/{room}/",
            "/{a}/x/{b}",
        ]);
        for (path, pattern, params) in [
            ("/", "/", &[][..]),
            ("/c", "/c", &[]),
            ("/c/all", "/c/all", &[]),
            ("/c/ann", "/c/{nick}", &["ann"]),
            ("/room/%E5%A4%A7%E5%8E%85", "/room/{room}", &["大厅"]),
            ("/room/a%2Fb/", "/room/{room}/", &["a/b"]),
            ("/1/x/2", "/{a}/x/{b}", &["1", "2"]),
            ("/%E8%81%8A%E5%A4%A9", "/聊天", &[]),
        ] {
            let Ok((route, found)) = router.find(path, 128) else { panic!("{path} is not found") };
            assert_eq!(route.pattern, pattern);
            assert_eq!(found.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), params);
        }
        for (path, status) in [
            ("/d", 404),
            ("/c/", 400),
            ("/c/a/b", 404),
            ("//", 404),
            ("/room/%00", 400),
            ("/room/%zz", 400),
            ("/room/%ff", 400),
        ] {
            let refusal = router.find(path, 128).err().unwrap();
            assert_eq!(refusal.status, status, "{path}");
        }
    }

    #[test]
    fn a_subtree_is_a_path_and_all_below_it() {
        let mut router = router(&["/api/own"]);
        let set = |router: &mut Router, path| {
            let refuse = |refusal: Refusal| Response::text(refusal.reason);
            router.set_subtree(path, Box::new(|_| Ok(Body::none())), Arc::new(|_| Response::text("")), refuse)
        };
        assert!(router.subtree("/api").is_none());
        for wrong in ["api", "/", "/api/", "/a/{b}", "/a?b"] {
            assert!(set(&mut router, wrong).is_err(), "{wrong}");
        }
        set(&mut router, "/api").unwrap();
        for (path, is_in) in [
            ("/api", true),
            ("/api/", true),
            ("/api/own", true),
            ("/api//x", true),
            ("/apis", false),
            ("/", false),
        ] {
            assert_eq!(router.subtree(path).is_some(), is_in, "{path}");
        }
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for (pattern, why) in [
            ("chat", "start with `/`"),
            ("", "start with `/`"),
            ("/a{b}", "whole segments"),
            ("/{}", "whole segments"),
            ("/{a", "whole segments"),
            ("/{a}{b}", "whole segments"),
            ("/a?b", "a path only"),
            ("/a b", "`%20`"),
            ("/room/:id", "`{name}`, in place"),
            ("/room/*", "no wildcard"),
            ("/{a}/{a}", "`a` twice"),
        ] {
            let error = Router::default().route(pattern).map(drop).unwrap_err().to_string();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }

    #[test]
    fn methods_are_told_apart() {
        let mut router = Router::default();
        let route = router.route("/both").unwrap();
        route.websocket = Some(Arc::new(|_| Ok(())));
        let refusal = route.method_not_allowed(&Method::POST);
        assert_eq!(refusal.headers, [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))]);
        route.set_http(Method::GET, Arc::new(|_| Response::text("")));
        assert!(route.responder(&Method::HEAD).is_some() && route.responder(&Method::PUT).is_none());
    }
}
