//! Where clients connect and what they ask for, ready to be used many times.

use super::Protocol;
#[cfg(doc)]
use crate::client::ClientBuilder;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::net::codecs::Codecs;
use crate::net::sealed::{Config, Sealed};
use crate::wire::opening::{Target, Wish};
use std::sync::Arc;
use std::time::Instant;

/// Where clients connect and what they ask for: what [`ClientBuilder::endpoint`] gives. It makes the
/// [`Protocol`] of each connection, for a driver that has thousands in a few threads.
///
/// Headers, subprotocols, compression, certificates and limits are the builder's. For `wss://` TLS is part of
/// the protocol: the bytes in and out are records. All connections share a few compressors, and one memory of
/// TLS sessions to resume.
///
/// ```
/// use std::time::Instant;
/// use switchboard::{Client, Limits};
/// use switchboard::sansio::{Event, Protocol};
///
/// let endpoint = Client::builder().header("cookie", "a=b").endpoint("ws://localhost:9527/chat")?;
/// assert_eq!((endpoint.host(), endpoint.port()), ("localhost", 9527)); // whereto: the driver's affair
/// let now = Instant::now();
/// let mut clients = [endpoint.protocol(now)?, endpoint.protocol(now)?];
/// for client in &mut clients {
///     let mut server = Protocol::server(Limits::default(), now)?;
///     server.receive(&client.output(), now);
///     assert_eq!(client.receive(&server.output(), now), [Event::Opened { path: "/chat".into() }]);
/// }
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Endpoint {
    target: Target,
    wish: Arc<Wish>,
    limits: Limits,
    codecs: Option<Arc<Codecs>>,
    tls: Option<Config>,
}

impl Endpoint {
    pub(crate) fn new(target: Target, wish: Wish, limits: Limits, tls: Option<Config>) -> Self {
        // What is kept is for the moment of one message; drivers have few threads.
        let codecs = wish.compression.then(|| Arc::new(Codecs::new(limits.compress_from, 1)));
        Self { target, wish: Arc::new(wish), limits, codecs, tls }
    }

    /// The host of the URL: a name or an address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.target.host
    }

    /// The port of the URL, 80 or 443 if it has none.
    pub fn port(&self) -> u16 {
        self.target.port
    }

    /// A client's end of a new connection; its first bytes are in the output at once. `now` begins
    /// [`Limits::head_deadline`].
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is `wss://`, and its host is nothing that a certificate could be for.
    pub fn protocol(&self, now: Instant) -> Result<Protocol> {
        let mut protocol = Protocol::asking(&self.target, self.wish.clone(), self.limits.clone(), now);
        protocol.codecs = self.codecs.clone();
        if let Some(config) = &self.tls {
            let sealed = Sealed::connect(config, self.host())
                .map_err(|error| Error::Config(format!("TLS with {}: {error}", self.host())))?;
            protocol.tls = Some(Box::new(sealed));
        }
        Ok(protocol)
    }
}
