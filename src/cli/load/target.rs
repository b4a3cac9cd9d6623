//! Where the load goes: an address of this machine, unless told otherwise; and a first connection that tries it out.

use super::super::reach::advice;
use super::idle::ping_interval;
use super::options::{Load, Mode};
use super::plan::{Plan, ROOM};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use switchboard::sansio::Endpoint;
use switchboard::{Client, ClientBuilder, Error, Limits, Result};

/// A client that pings only if the mode wants it to.
const NEVER: Duration = Duration::from_secs(48 * 60 * 60);

/// How long each of a name's addresses is tried.
const DIAL: Duration = Duration::from_secs(3);

pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// One for each room.
    pub(super) endpoints: Arc<Vec<Endpoint>>,
    /// Without its query, which may hold a token.
    pub(super) url: String,
    pub(super) is_compressed: bool,
}

impl Target {
    /// Resolves the URL, and connects to it once: what is wrong with all is told before thousands have failed. Blocks for some
    /// 10 s at most.
    ///
    /// # Errors
    /// [`Error::Config`] for what cannot be; otherwise what came of the connection. Both say what to do.
    pub(super) fn find(options: &Load, plan: &Plan) -> Result<Self> {
        let url = options.url.as_deref().unwrap_or_default();
        let builder = builder(options, plan)?;
        let endpoints = if url.contains(ROOM) { plan.rooms } else { 1 };
        let urls: Vec<String> = (0..endpoints).map(|room| url.replace(ROOM, &room.to_string())).collect();
        let endpoints = urls.iter().map(|url| builder.endpoint(url)).collect::<Result<Vec<_>>>()?;
        let (host, port) = (endpoints[0].host(), endpoints[0].port());
        let address = resolve(host, port, options.allow_remote)?;
        let scout = builder.connect(&urls[0]);
        let mut scout = scout.map_err(|error| Error::other(format!("{error}{}", advice(&error))))?;
        let is_compressed = scout.is_compressed();
        scout.close(1000, "");
        let url = url.split_once('?').map_or(url, |(url, _)| url).to_owned();
        Ok(Self { address, endpoints: Arc::new(endpoints), url, is_compressed })
    }
}

/// An address of this machine, unless others are allowed.
pub(super) fn resolve(host: &str, port: u16, allow_remote: bool) -> Result<SocketAddr> {
    let unknown =
        |error| Error::other(format!("`{host}` cannot be resolved: {error}; check the URL, or the network"));
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unknown)?.collect();
    // A name may have addresses where nobody listens, as `localhost` often has two.
    let listens = |address: &&SocketAddr| TcpStream::connect_timeout(address, DIAL).is_ok();
    let address = if 1 < addresses.len() { addresses.iter().find(listens) } else { None };
    let address = address.or(addresses.first()).copied();
    let address = address.ok_or_else(|| Error::Config(format!("`{host}` has no address; check the URL")))?;
    if !address.ip().to_canonical().is_loopback() && !allow_remote {
        return Err(Error::Config(format!(
            "{host} is not this machine: thousands of connections from one place are an attack to whoever has not asked for \
             them. With the leave of the server's owner: --allow-remote"
        )));
    }
    Ok(address)
}

fn builder(options: &Load, plan: &Plan) -> Result<ClientBuilder> {
    let defaults = Limits::default();
    let is_idle = plan.mode == Mode::Idle;
    let message = defaults.message.max(plan.size.saturating_mul(2));
    let limits = Limits {
        message,
        outbox: defaults.outbox.max(message),
        hub_queue: defaults.hub_queue.max(message),
        ping_interval: if is_idle { ping_interval(plan.duration) } else { NEVER },
        ping_timeout: plan.patience,
        ..defaults
    };
    let builder = options.reach.apply(Client::builder().limits(limits).compression(options.compress))?;
    Ok(if options.protocol { builder.subprotocol("switchboard.v1") } else { builder })
}
