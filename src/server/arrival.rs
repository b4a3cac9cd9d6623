//! Where a client comes from and whether it may in: address, rates, counts, and who it is.

use super::front::Stop;
use super::identity::{Denied, Identity, Refuse};
use super::quotas::{Place, Quotas};
use super::request::{Request, check_name};
use super::router::Route;
use super::shared::Shared;
use crate::net::proxy::{Network, PROXY_START, forwarded_for, proxy_rest, proxy_source};
use crate::net::stream::Stream;
use crate::wire::http::Refusal;
use http::{StatusCode, header};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Finds out who a client is, from the request that opens its WebSocket.
pub(crate) type Authenticator = Box<dyn Fn(&Request) -> Result<Identity, Denied> + Send + Sync>;

/// Whose word is taken for a client's address.
#[derive(Default)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<Network>,
    /// They begin each connection with a header of the PROXY protocol.
    pub(crate) protocol: bool,
}

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a connection from there begins with a header of the PROXY protocol.
    pub(crate) fn announce(&self, address: IpAddr) -> bool {
        self.protocol && self.trust(address)
    }
}

/// A client whose address is known, and its place among those from there.
pub(crate) struct Arrival {
    pub(crate) peer: SocketAddr,
    pub(crate) place: Option<Place>,
    /// The request's head will tell the client's address.
    is_proxy: bool,
}

impl Arrival {
    /// Before anything is read but a PROXY header.
    pub(crate) fn new(shared: &Shared, stream: &Stream, deadline: Instant) -> Result<Self, Stop> {
        let (peer, proxies) = (stream.peer(), &shared.proxies);
        let is_proxy = proxies.trust(peer.ip());
        let mut arrival = Self { peer, place: None, is_proxy: is_proxy && !proxies.protocol };
        if proxies.announce(peer.ip()) {
            arrival.peer = read_proxy_header(stream, deadline)?.unwrap_or(peer);
        }
        if !arrival.is_proxy {
            arrival.place = place(shared, arrival.peer.ip())?;
        }
        Ok(arrival)
    }

    /// A proxy's client is known by the head of its request.
    pub(crate) fn learn(&mut self, shared: &Shared, head: &http::Request<()>) -> Result<(), Stop> {
        if self.is_proxy {
            let client = forwarded_for(head.headers(), self.peer.ip(), &shared.proxies.trusted);
            self.peer.set_ip(client);
            self.place = place(shared, client)?;
        }
        Ok(())
    }

    /// Whether there are more from this address than may be.
    pub(crate) fn check(&self, quotas: &Quotas) -> Result<(), Denied> {
        match (&self.place, quotas.per_address) {
            (Some(place), Some(most)) if most < place.open => {
                let most = most.to_string();
                Err(Denied::too_many(format!("too many connections from your address: {most} are allowed")))
            }
            _ => Ok(()),
        }
    }
}

/// Who opens a WebSocket, and its place among the user's. Lets somebody else in for nobody.
pub(crate) fn welcome(
    shared: &Shared,
    route: &Route,
    request: &Request,
    arrival: &Arrival,
) -> Result<(Identity, Option<Place>), Denied> {
    let quotas = shared.quotas();
    arrival.check(&quotas)?;
    let identity = match &shared.authenticate {
        Some(authenticate) => asked(shared, request, "authenticator", || authenticate(request))?,
        None => Identity::default(),
    };
    if let Some(name) = identity.name() {
        check_name(name, shared.limits.name).map_err(|error| Denied::forbidden(error.to_string()))?;
    }
    if let Some(authorize) = &route.authorize {
        asked(shared, request, "authorizer", || authorize(request, &identity))?;
    }
    let Some(name) = identity.name() else { return Ok((identity, None)) };
    let place = shared.visitors.of_user(name);
    match (&place, quotas.per_user) {
        (Some(place), Some(most)) if most < place.open => {
            Err(Denied::too_many(format!("too many connections of this user: {most} are allowed")))
        }
        _ => Ok((identity, place)),
    }
}

/// What the program says; when it panics, nobody is let in.
fn asked<T>(
    shared: &Shared,
    request: &Request,
    who: &str,
    ask: impl FnOnce() -> Result<T, Denied>,
) -> Result<T, Denied> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        shared.metrics.panics.add(1);
        log::error!("{}: the {who} panicked", request.peer());
        Err(Denied::forbidden(format!("the {who} failed")))
    })
}

impl Denied {
    /// The answer to the handshake, where refusals are HTTP.
    pub(crate) fn http(&self, refuse: Refuse) -> Result<(), Stop> {
        if refuse == Refuse::Close {
            return Ok(());
        }
        let refusal = Refusal::new(self.status, self.reason.clone());
        Err(Stop::Refused(match self.status {
            // RFC 6750 §3
            StatusCode::UNAUTHORIZED => refusal.with(header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::TOO_MANY_REQUESTS => refusal.with(header::RETRY_AFTER, "5"),
            _ => refusal,
        }))
    }
}

/// A place for one more from this address, if anybody counts them.
fn place(shared: &Shared, address: IpAddr) -> Result<Option<Place>, Stop> {
    let quotas = shared.quotas();
    if quotas.per_address.is_none() && quotas.connects.is_none() {
        return Ok(None);
    }
    let place = shared.visitors.from_address(address, quotas.connects, Instant::now()).map_err(|wait| {
        too_many("too many new connections from your address; wait as Retry-After says", wait)
    })?;
    // Those that only hold connections, and never ask for anything that could be refused in better style.
    match quotas.per_address {
        Some(most) if most.saturating_mul(2) < place.open => {
            Err(too_many("too many connections from your address; close some", Duration::from_secs(5)))
        }
        _ => Ok(Some(place)),
    }
}

fn too_many(reason: &'static str, wait: Duration) -> Stop {
    let seconds = (wait.as_secs() + 1).to_string();
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason);
    Stop::Refused(match header::HeaderValue::try_from(seconds) {
        Ok(seconds) => refusal.with(header::RETRY_AFTER, seconds),
        Err(_) => refusal,
    })
}

/// The client's address from a PROXY header, of which no byte more is read: what follows may be TLS.
fn read_proxy_header(stream: &Stream, deadline: Instant) -> Result<Option<SocketAddr>, Stop> {
    let wrong = |reason: &str| Stop::Refused(Refusal::new(StatusCode::BAD_REQUEST, reason.to_string()));
    let mut start = [0; PROXY_START];
    read_exactly(stream, &mut start, deadline)?;
    let reason = "a proxy's connection must begin with a PROXY header, version 2: let the proxy send it";
    let mut rest = vec![0; proxy_rest(&start).ok_or_else(|| wrong(reason))?];
    read_exactly(stream, &mut rest, deadline)?;
    proxy_source(&start, &rest).map_err(wrong)
}

fn read_exactly(stream: &Stream, mut buffer: &mut [u8], deadline: Instant) -> Result<(), Stop> {
    while !buffer.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        match stream.read(buffer, left) {
            Ok(read @ 1..) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {}
            _ => return Err(Stop::Gone),
        }
    }
    Ok(())
}
