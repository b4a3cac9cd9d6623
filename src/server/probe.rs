//! Whoever comes while all connections are in use. A few of them are heard, on threads of their own: probes are answered, as a
//! full server lives and can be measured, and everybody else is told to come later.

use super::arrival::Arrival;
use super::front::{self, Stop};
use super::request::{Request, Response};
use super::router::Params;
use super::shared::{Shared, Sockets};
use crate::limits::{DISMISSAL, KIB, LAST_REQUESTS};
use crate::net::stream::Stream;
use crate::wire::http::{Refusal, encode_response};
use http::{Method, StatusCode, header};
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Bytes;

/// What is read at most of whoever does not hang up.
const REST: usize = 64 * KIB;

/// Hears one connection and answers it.
pub(crate) fn serve(shared: &Arc<Shared>, stream: Arc<Stream>) {
    let registered = Sockets::register_beyond(shared, stream.clone());
    let deadline = Instant::now() + shared.limits.head_deadline.min(LAST_REQUESTS);
    let arrival = match Arrival::new(shared, &stream, deadline) {
        Ok(arrival) => arrival,
        Err(stop) => return front::dismiss(shared, stream, stop).unwrap_or_default(),
    };
    let mut input = Vec::new();
    let (answer, head_only) = match front::begin(shared, &stream, arrival, &mut input, deadline) {
        Ok((head, arrival)) => {
            registered.served();
            let head_only = head.method() == Method::HEAD;
            (answer(shared, head, &arrival), head_only)
        }
        Err(Stop::Gone) => return,
        Err(_) => (None, false),
    };
    let answer = answer.unwrap_or_else(|| {
        shared.note_over_budget(&stream);
        Response { inner: Box::new(all_in_use().into_response()) }
    });
    let deadline = Instant::now() + DISMISSAL;
    if stream.write_all(&encode_response(&answer.inner, head_only), deadline).is_ok() {
        front::see_off(&stream, deadline, REST);
    }
}

/// What a probe is answered; `None`: it is none.
fn answer(shared: &Arc<Shared>, head: http::Request<()>, arrival: &Arrival) -> Option<Response> {
    let router = shared.router.lock().clone()?;
    let (route, _) = router.find(head.uri().path(), shared.limits.name).ok()?;
    let responder = route.responder(head.method()).filter(|_| route.is_probe)?;
    let request = Request { head, body: Bytes::new(), params: Params::new(), peer: arrival.peer };
    Some(front::run(shared, &request, |request| responder(request)))
}

/// The refusal of everybody else.
pub(crate) fn all_in_use() -> Refusal {
    let reason = "all connections are in use; try again later";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason).with(header::RETRY_AFTER, "5")
}
