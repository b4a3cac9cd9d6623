//! How a plain request ends: its answer, and the end of its connection. RFC 9112 §9.6

use super::front::Stop;
use super::refusals::Cause;
use super::request::{Request, Response};
use super::router::Responder;
use super::shared::Shared;
use crate::limits::{KIB, LAST_REQUESTS, LINGER_BYTES};
use crate::metrics::Metrics;
use crate::net::stream::Stream;
use crate::wire::http::{Refusal, encode_response};
use http::{HeaderValue, StatusCode, header};
use httpdate::fmt_http_date;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tungstenite::Bytes;

/// Hangs up on whoever is refused before it has said anything.
#[inline(never)]
pub(super) fn dismiss<T>(shared: &Shared, stream: Arc<Stream>, stop: Stop) -> Option<T> {
    let Stop::Refused(refusal) = stop else { return None };
    let is_probe_answered = refusal.status == StatusCode::TOO_MANY_REQUESTS;
    let cause = if is_probe_answered { Cause::TooMany(refusal) } else { Cause::Malformed(refusal) };
    if shared.speaks_tls() {
        // What TLS costs is not spent on it.
        let refusal = cause.refusal(&shared.metrics);
        log::debug!("{}: {} {}", stream.peer(), refusal.status, refusal.reason);
    } else {
        // Its PROXY header, if there is one, has been read.
        shared.refusals.refuse(stream, cause, false);
    }
    None
}

#[inline(never)]
pub(super) fn refuse<T>(shared: &Shared, stream: &Stream, stop: Stop, head_only: bool) -> Option<T> {
    let response = match stop {
        Stop::Refused(refusal) => {
            log::debug!("{}: {} {}", stream.peer(), refusal.status, refusal.reason);
            Response { inner: Box::new(refusal.into_response()) }
        }
        Stop::Answered(response) => response,
        Stop::Gone => return None,
    };
    respond(shared, stream, response, head_only);
    None
}

/// What a responder answers, also when it panics.
pub(super) fn run(metrics: &Metrics, request: &Request, responder: &Responder) -> Response {
    let response = catch_unwind(AssertUnwindSafe(|| responder(request)));
    response.unwrap_or_else(|_| failed(metrics, request))
}

/// The program's own code panicked.
pub(super) fn failed(metrics: &Metrics, request: &Request) -> Response {
    metrics.panics.add(1);
    log::error!("{}: the handler of {} panicked", request.peer(), request.path());
    Response::text("the handler failed\n").with_status(500)
}

/// Writes the answer and ends the connection in a way that lets the client read it.
pub(super) fn respond(shared: &Shared, stream: &Stream, response: Response, head_only: bool) {
    let status = response.inner.status();
    if status.is_client_error() || status.is_server_error() {
        shared.metrics.refused.add(status.as_u16(), 1);
    }
    let deadline = Instant::now() + shared.limits.write_deadline;
    // What was written is not kept for whoever stays.
    if stream.write_all(&encode(*response.inner, head_only), deadline).is_err() {
        return;
    }
    let mut patience = shared.limits.close_deadline;
    if shared.is_draining() {
        // Who stays cannot hold up the end.
        patience = patience.min(LAST_REQUESTS);
    }
    see_off(stream, Instant::now() + patience, LINGER_BYTES);
}

/// Ends the connection once the client has: unread input would make the kernel reset it, and the answer could be lost.
pub(super) fn see_off(stream: &Stream, deadline: Instant, most: usize) {
    stream.shutdown(Shutdown::Write);
    let mut buffer = vec![0; 16 * KIB];
    let mut taken = 0;
    while taken <= most {
        let left = deadline.saturating_duration_since(Instant::now());
        match stream.read(&mut buffer, left) {
            Ok(read @ 1..) if !left.is_zero() => taken += read,
            _ => return,
        }
    }
}

/// A refusal as it goes over the wire.
pub(super) fn encode_refusal(refusal: Refusal) -> Vec<u8> {
    encode(refusal.into_response(), false)
}

/// A response as it goes over the wire, with the time at which it was made (RFC 9110 §6.6.1), unless it says one itself.
pub(super) fn encode(mut response: http::Response<Bytes>, head_only: bool) -> Vec<u8> {
    if !response.status().is_informational() && !response.headers().contains_key(header::DATE) {
        // Some 0.1 µs, so it is not kept from one answer to the next.
        if let Ok(now) = HeaderValue::try_from(fmt_http_date(SystemTime::now())) {
            response.headers_mut().insert(header::DATE, now);
        }
    }
    encode_response(&response, head_only)
}
