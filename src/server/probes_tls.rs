//! Whoever comes with TLS while all connections are in use. A few of them are heard, on threads of their own, as what they ask
//! for is known after a handshake only: probes are answered, and everybody else is told to come later.

use super::arrival::Arrival;
use super::front::{self, Stop};
use super::refusals::Cause;
use super::request::{Request, Response};
use super::respond::{dismiss, encode, run, see_off};
use super::router::Params;
use super::shared::{Shared, Sockets};
use crate::limits::{DISMISSAL, KIB, LAST_REQUESTS};
use crate::net::stream::Stream;
use http::Method;
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
        Err(stop) => return dismiss(shared, stream, stop).unwrap_or_default(),
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
        let refusal = Cause::Full.refusal(&shared.metrics);
        log::debug!("{}: {} {}", stream.peer(), refusal.status, refusal.reason);
        Response { inner: Box::new(refusal.into_response()) }
    });
    let deadline = Instant::now() + DISMISSAL;
    if stream.write_all(&encode(*answer.inner, head_only), deadline).is_ok() {
        see_off(&stream, deadline, REST);
    }
}

/// What a probe is answered; `None`: it is none.
fn answer(shared: &Arc<Shared>, head: http::Request<()>, arrival: &Arrival) -> Option<Response> {
    let router = shared.router.lock().clone()?;
    let responder = router.probe(&head)?;
    let request = Request { head, body: Bytes::new(), params: Params::new(), peer: arrival.peer };
    Some(run(&shared.metrics, &request, responder))
}
