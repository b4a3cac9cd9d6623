//! Probes at the door: who only asks whether the server lives, is ready, or what it counts, is answered also where everybody
//! else is refused.

use super::request::{Request, Response};
use super::respond::{encode, run};
use super::router::Router;
use crate::limits::{Limits, PROBE_SHARE};
use crate::metrics::Metrics;
use crate::net::proxy::{PROXY_START, proxy_rest};
use crate::wire::http::parse_head;
use http::Method;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Bytes;

/// The pages that a router has marked, and what they said last.
pub(crate) struct Probes {
    router: Arc<Router>,
    limits: Limits,
    metrics: Arc<Metrics>,
    /// By path.
    kept: HashMap<String, Kept>,
}

/// An answer that is given again until then: whoever asks without end gets a bounded share of the time.
struct Kept {
    response: Response,
    until: Instant,
}

/// What a refused client's request is, as far as it has come.
pub(crate) enum Asked {
    /// It may still become a probe.
    Unclear,
    /// A probe, and its answer.
    Probe(Vec<u8>),
    Else,
}

impl Probes {
    pub(crate) fn new(router: Arc<Router>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { router, limits, metrics, kept: HashMap::new() }
    }

    /// What the beginning of a connection asks for. `proxied`: a header of the PROXY protocol comes first.
    pub(crate) fn ask(&mut self, input: &[u8], proxied: bool, peer: SocketAddr) -> Asked {
        let mut input = input;
        if proxied {
            let Some((start, rest)) = input.split_first_chunk::<PROXY_START>() else { return Asked::Unclear };
            let Some(size) = proxy_rest(start) else { return Asked::Else };
            let Some(rest) = rest.get(size..) else { return Asked::Unclear };
            input = rest;
        }
        let head = match parse_head(input, &self.limits) {
            Ok(Some((head, _))) => head,
            Ok(None) => return Asked::Unclear,
            Err(_) => return Asked::Else,
        };
        self.answer(head, peer).map_or(Asked::Else, Asked::Probe)
    }

    fn answer(&mut self, head: http::Request<()>, peer: SocketAddr) -> Option<Vec<u8>> {
        let responder = self.router.probe(&head)?;
        let (head_only, path) = (head.method() == Method::HEAD, head.uri().path().to_string());
        let began = Instant::now();
        let kept = self.kept.get(&path).filter(|kept| began < kept.until).map(|kept| kept.response.clone());
        let response = kept.unwrap_or_else(|| {
            let request = Request { head, body: Bytes::new(), params: Vec::new(), peer };
            let response = run(&self.metrics, &request, responder);
            let now = Instant::now();
            let until = now + (now - began) * PROBE_SHARE;
            self.kept.insert(path, Kept { response: response.clone(), until });
            response
        });
        let status = response.inner.status();
        if status.is_client_error() || status.is_server_error() {
            self.metrics.refused.add(status.as_u16(), 1);
        }
        Some(encode(*response.inner, head_only))
    }
}
