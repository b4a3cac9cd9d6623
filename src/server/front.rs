//! The first thing on a connection: its request head. Leads to a page, a refusal, or the upgrade. RFC 9112, RFC 6455 §4.2.
//!
//! One request per TCP connection: answering with `Connection: close` leaves no room for request smuggling, and what stays
//! open here is WebSockets.

use super::arrival::{self, Arrival};
use super::connection::{self, Opening};
use super::identity::{Denied, Identity, Refuse};
use super::own::Serving;
use super::quotas::Place;
use super::request::{Request, Response};
use super::respond::{dismiss, failed, refuse, run};
use super::router::{Handler, Params, Route, Router, Subtree};
use super::shared::{Registered, Shared, Sockets};
use crate::limits::{KIB, LAST_REQUESTS};
use crate::net::stream::Stream;
use crate::wire::body::Body;
use crate::wire::handshake::{self, Agreed};
use crate::wire::http::{Refusal, parse_head};
use http::{Method, StatusCode, header};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Bytes;

/// What is read at once; a usual request fits.
const HEAD_READ: usize = KIB;

/// Why a request got no further.
pub(crate) enum Stop {
    Refused(Refusal),
    Answered(Response),
    /// The client went away, or the socket failed: nobody to answer.
    Gone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A client whose request's head is there.
struct Asked {
    stream: Arc<Stream>,
    registered: Registered,
    arrival: Arrival,
    head: http::Request<()>,
    /// What came behind the head.
    input: Vec<u8>,
    deadline: Instant,
}

type Welcome = Result<(Identity, Option<Place>), Denied>;

/// Serves one connection to its end.
///
/// What leads to the handler is not inlined: its stack would be the handler's for as long as the connection lives.
pub(crate) fn serve(shared: &Arc<Shared>, stream: Arc<Stream>) {
    let registered = Sockets::register(shared, stream.clone());
    let _serving = Serving::begin(shared, registered.id);
    if let Some((opening, handler)) = lead(shared, stream, registered) {
        connection::run(shared, opening, &handler);
    }
}

/// From the first byte to an open WebSocket and its handler. `None`: it was another request, and is answered.
#[inline(never)]
fn lead(shared: &Arc<Shared>, stream: Arc<Stream>, registered: Registered) -> Option<(Opening, Handler)> {
    let patience = shared.limits.head_deadline;
    // Whoever comes while the server is going away gets its answer, but cannot hold up the end by asking nothing.
    let patience = if shared.is_draining() { patience.min(LAST_REQUESTS) } else { patience };
    let deadline = Instant::now() + patience;
    let arrival = match Arrival::new(shared, &stream, deadline) {
        Ok(arrival) => arrival,
        Err(stop) => return dismiss(shared, stream, stop),
    };
    let mut input = Vec::new();
    let (head, arrival) = match begin(shared, &stream, arrival, &mut input, deadline) {
        Ok(begun) => begun,
        Err(stop) => return refuse(shared, &stream, stop, false),
    };
    registered.served();
    follow(shared, Asked { stream, registered, arrival, head, input, deadline })
}

/// To where the request leads. Not inlined: its frame would lie below the reading of the head, the deepest place there is.
#[inline(never)]
fn follow(shared: &Arc<Shared>, asked: Asked) -> Option<(Opening, Handler)> {
    let Asked { stream, registered, arrival, head, input, deadline } = asked;
    let head_only = head.method() == Method::HEAD;
    let router = shared.router.lock().clone()?;
    if let Some(tree) = router.subtree(head.uri().path()) {
        let request = Request { head, body: Bytes::new(), params: Params::new(), peer: arrival.peer };
        let stop = match check_plain(shared, &arrival) {
            Ok(()) => answer_tree(shared, &stream, tree, request, input, deadline),
            Err(stop) => stop,
        };
        return refuse(shared, &stream, stop, head_only);
    }
    let (route, params) = match find_route(&router, shared, &head) {
        Ok(found) => found,
        Err(refusal) => return refuse(shared, &stream, Stop::Refused(refusal), head_only),
    };
    let request = Request { head, body: Bytes::new(), params, peer: arrival.peer };
    // With another method it is asked for the rest of the path: RFC 9110 §7.8 lets a server pass over an upgrade.
    let is_handshake = *request.method() == Method::GET && handshake::wants_upgrade(&request.head);
    if let (Some(handler), true) = (&route.websocket, is_handshake) {
        return open(shared, stream, registered, request, arrival, (route, handler), input);
    }
    let is_probe = router.probe(&request.head).is_some();
    let stop = match if is_probe { Ok(()) } else { check_plain(shared, &arrival) } {
        Ok(()) => answer(shared, &stream, route, request, input, deadline),
        Err(stop) => stop,
    };
    refuse(shared, &stream, stop, head_only)
}

/// To the WebSocket, or to why not.
#[inline(never)]
fn open(
    shared: &Arc<Shared>,
    stream: Arc<Stream>,
    registered: Registered,
    request: Request,
    arrival: Arrival,
    (route, handler): (&Route, &Handler),
    leftover: Vec<u8>,
) -> Option<(Opening, Handler)> {
    let (agreed, switch, welcome) = match upgrade(shared, route, &request, &arrival) {
        Ok(upgraded) => upgraded,
        Err(stop) => return refuse(shared, &stream, stop, false),
    };
    let (denied, (identity, place)) = match welcome {
        Ok(welcome) => (None, welcome),
        Err(denied) => (Some(denied), Default::default()),
    };
    let places = [arrival.place, place];
    let (check, protocol) = (route.check.clone(), route.subprotocol.is_some());
    let counted = route.metrics.clone();
    let opening = Opening {
        stream,
        registered,
        request,
        agreed,
        identity,
        places,
        check,
        protocol,
        switch,
        leftover,
        counted,
    };
    match denied {
        None => Some((opening, handler.clone())),
        Some(denied) => {
            connection::turn_away(shared, opening, &denied.reason);
            None
        }
    }
}

/// TLS, and the request's head, by which a proxy's client is known.
#[inline(never)]
pub(super) fn begin(
    shared: &Shared,
    stream: &Arc<Stream>,
    mut arrival: Arrival,
    input: &mut Vec<u8>,
    deadline: Instant,
) -> Result<(http::Request<()>, Arrival), Stop> {
    #[cfg(feature = "tls")]
    if let Some(acceptor) = &shared.tls
        && !secure(stream, acceptor, deadline)
    {
        shared.metrics.tls_failures.add(1);
        return Err(Stop::Gone);
    }
    let head = read_head(shared, stream, input, deadline)?;
    let router = shared.router.lock().clone().ok_or(Stop::Gone)?;
    if router.probe(&head).is_none() {
        arrival.learn(shared, &head)?;
    }
    Ok((head, arrival))
}

/// The TLS handshake. `false`: it came to nothing, and whoever speaks plain HTTP has been told.
#[cfg(feature = "tls")]
#[inline(never)]
fn secure(stream: &Arc<Stream>, acceptor: &crate::net::acceptor::Acceptor, deadline: Instant) -> bool {
    use super::respond::{encode_refusal, see_off};
    use crate::limits::{DISMISSAL, DISMISSAL_BYTES};
    use crate::net::tls::HandshakeError;
    match acceptor.secure(stream, deadline) {
        Ok(()) => true,
        Err(HandshakeError::NotTls) => {
            let reason = "this port speaks TLS: use https:// or wss:// instead of http:// or ws://";
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, reason);
            let _ = stream.write_all(&encode_refusal(refusal), deadline);
            see_off(stream, deadline.min(Instant::now() + DISMISSAL), DISMISSAL_BYTES);
            false
        }
        Err(HandshakeError::Failed(error)) => {
            log::debug!("{}: TLS handshake: {error}", stream.peer());
            false
        }
    }
}

/// Reads until the head is complete. What lies behind it stays in `input`.
#[inline(never)]
fn read_head(
    shared: &Shared,
    stream: &Stream,
    input: &mut Vec<u8>,
    deadline: Instant,
) -> Result<http::Request<()>, Stop> {
    loop {
        if read_more(stream, input, deadline)? == 0 {
            return Err(Stop::Gone);
        }
        if let Some((head, size)) = parse_head(input, &shared.limits)? {
            input.drain(..size);
            return Ok(head);
        }
    }
}

/// One read; 408 when the deadline passes.
fn read_more(stream: &Stream, input: &mut Vec<u8>, deadline: Instant) -> Result<usize, Stop> {
    let late = || {
        let reason = "the request did not arrive in time; send it at once after connecting";
        Stop::Refused(Refusal::new(StatusCode::REQUEST_TIMEOUT, reason))
    };
    let have = input.len();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        input.resize(have + HEAD_READ, 0);
        let read = stream.read(&mut input[have..], left);
        input.truncate(have + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Stop::Gone),
        }
    }
}

fn find_route<'a>(
    router: &'a Router,
    shared: &Shared,
    head: &http::Request<()>,
) -> Result<(&'a Route, Params), Refusal> {
    // Before the path is looked at: a body too large is refused wherever it was meant to go.
    Body::new(head, shared.limits.body, &shared.limits)?;
    router.find(head.uri().path(), shared.limits.name)
}

/// The 101, or why not; what was agreed on, and who it is if it may in.
#[inline(never)]
fn upgrade(
    shared: &Shared,
    route: &Route,
    request: &Request,
    arrival: &Arrival,
) -> Result<(Agreed, Vec<u8>, Welcome), Stop> {
    // Where the socket lives on, nobody is refused: whoever comes now is let in, and sent away with all others.
    if shared.is_draining() && !shared.hands_over {
        return Err(draining().into());
    }
    let mut policy = shared.policy.read().clone();
    if let Some(name) = route.subprotocol {
        Arc::make_mut(&mut policy).subprotocols.push(name.into());
    }
    let accepted =
        handshake::accept(&request.head, &policy).inspect_err(|refusal| shared.tell_refused_page(refusal))?;
    if let Some(admit) = &route.admit {
        let admitted = catch_unwind(AssertUnwindSafe(|| admit(request)));
        admitted.unwrap_or_else(|_| Err(failed(&shared.metrics, request))).map_err(Stop::Answered)?;
    }
    let welcome = arrival::welcome(shared, route, request, arrival);
    if let Err(denied) = &welcome {
        log::info!("{}: not let in at {}: {}", request.peer(), request.path(), denied.reason);
        shared.metrics.denied.add(denied.kind(), 1);
        denied.http(shared.refuse)?;
    }
    Ok((accepted.agreed, handshake::encode_switch(&accepted.response), welcome))
}

/// What a plain request is answered.
#[inline(never)]
fn answer(
    shared: &Shared,
    stream: &Stream,
    route: &Route,
    mut request: Request,
    input: Vec<u8>,
    deadline: Instant,
) -> Stop {
    let Some(responder) = route.responder(request.method()) else {
        let is_get = [Method::GET, Method::HEAD].contains(request.method());
        return match route.websocket {
            Some(_) if is_get => handshake::upgrade_required(&request.head).into(),
            _ => route.method_not_allowed(request.method()).into(),
        };
    };
    let body = Body::new(&request.head, shared.limits.body, &shared.limits).map_err(Stop::Refused);
    match body.and_then(|body| read_body(stream, &mut request, body, input, deadline)) {
        Ok(()) => Stop::Answered(run(&shared.metrics, &request, responder)),
        Err(stop) => stop,
    }
}

/// The same where one hand has all paths.
#[inline(never)]
fn answer_tree(
    shared: &Shared,
    stream: &Stream,
    tree: &Subtree,
    mut request: Request,
    input: Vec<u8>,
    deadline: Instant,
) -> Stop {
    let body = (tree.gate)(&request).map_err(Stop::Answered);
    match body.and_then(|body| read_body(stream, &mut request, body, input, deadline)) {
        Ok(()) => Stop::Answered(run(&shared.metrics, &request, &tree.responder)),
        Err(Stop::Refused(refusal)) => Stop::Answered((tree.refuse)(refusal)),
        Err(stop) => stop,
    }
}

/// Whether a plain request from there is answered.
fn check_plain(shared: &Shared, arrival: &Arrival) -> Result<(), Stop> {
    arrival.check(&shared.quotas()).or_else(|denied| denied.http(Refuse::Http))
}

/// The body, of which `input` is the beginning.
fn read_body(
    stream: &Stream,
    request: &mut Request,
    mut body: Body,
    mut input: Vec<u8>,
    deadline: Instant,
) -> Result<(), Stop> {
    let mut is_complete = body.push(&input)?;
    if !is_complete && request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", deadline).map_err(|_| Stop::Gone)?;
    }
    while !is_complete {
        input.clear();
        if read_more(stream, &mut input, deadline)? == 0 {
            return Err(Stop::Gone);
        }
        is_complete = body.push(&input)?;
    }
    request.body = body.into_data();
    Ok(())
}

/// What an upgrade is answered while the server is going away.
fn draining() -> Refusal {
    let reason = "the server is going away; try again in a moment";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason).with(header::RETRY_AFTER, "5")
}
