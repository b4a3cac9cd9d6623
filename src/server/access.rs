//! Who may come, from where, and how much one may do: the builder's options about clients.

use super::builder::Builder;
use super::identity::{Denied, Identity, Refuse};
use super::quotas::Quotas;
use super::request::{Request, Response};
#[cfg(doc)]
use super::websocket::WebSocket;
use crate::net::proxy::Network;
use crate::wire::handshake::Origins;
use std::sync::Arc;
use tungstenite::Message;

impl Builder {
    /// Asks `check` before a WebSocket at this path is opened: `Err` is what the client is answered instead.
    /// Runs on the connection's thread after the handshake itself was found right, and may block; a panic is
    /// answered 500. Plain requests are not asked.
    ///
    /// A browser's script is not shown such an answer, only that there is no connection (1006); a handler
    /// that closes with 1008 can say why.
    ///
    /// ```
    /// use switchboard::{Client, Error, Response, Server};
    ///
    /// let server = Server::builder()
    ///     .route("/staff", |mut ws| ws.send("welcome"))
    ///     .admit("/staff", |request| match request.header("authorization") {
    ///         Some("Bearer secret-token") => Ok(()),
    ///         _ => Err(Response::text("who are you?\n").with_status(401)),
    ///     });
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// assert!(matches!(server.connect("/staff"), Err(Error::Refused { status: 401, .. })));
    /// # let url = format!("ws://{}/staff", server.local_addr());
    /// let mut ann = Client::builder().header("authorization", "Bearer secret-token").connect(&url)?;
    /// assert_eq!(ann.recv()?, Some("welcome".into()));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn admit(
        self,
        path: &str,
        check: impl Fn(&Request) -> Result<(), Response> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.admit = Some(Arc::new(check)))
    }

    /// How much one client may do.
    #[must_use]
    pub fn quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// Asks `authenticate` who opens a WebSocket, on whatever path, once the handshake is found right; plain HTTP is not
    /// asked. Runs on the connection's thread and may block; a panic lets nobody in.
    ///
    /// A user that has a name can be reached by it ([`Handle::user`](super::Handle::user)) without
    /// [`WebSocket::identify`]. A token comes by a header, in the query, or, as pages in a browser can set no header, in an
    /// offered subprotocol `bearer.TOKEN`: [`Request::token`] looks in all three. The feature
    /// `auth` has closures that check lists of tokens, and signed tokens (JWT).
    ///
    /// ```
    /// use switchboard::{Denied, Identity, Server};
    ///
    /// # fn main() -> switchboard::Result<()> {
    /// let server = Server::builder()
    ///     .authenticate(|request| match request.token().as_deref() {
    ///         Some("ann's token") => Ok(Identity::user("ann")),
    ///         Some(_) => Err(Denied::unauthorized("this token is not known")),
    ///         None => Err(Denied::unauthorized("a token is needed")),
    ///     })
    ///     .route("/", |mut ws| ws.send(format!("hello {}", ws.identity().name().unwrap_or("stranger"))))
    ///     .bind("127.0.0.1:0")?
    ///     .start()?;
    /// let mut client = server.connect("/?token=ann's%20token")?;
    /// assert_eq!(client.recv()?.unwrap().to_text().unwrap(), "hello ann");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn authenticate(
        mut self,
        authenticate: impl Fn(&Request) -> Result<Identity, Denied> + Send + Sync + 'static,
    ) -> Self {
        self.authenticate = Some(Box::new(authenticate));
        self
    }

    /// Asks `authorize` whether somebody may have the WebSocket at this path, once it is known who that is
    /// ([`Builder::authenticate`]; without that, an [`Identity`] without a name). [`Builder::refuse`] says how the client is
    /// told. Runs on the connection's thread and may block; a panic lets nobody in.
    ///
    /// ```
    /// use switchboard::{Denied, Error, Identity, Refuse, Server};
    ///
    /// let server = Server::builder()
    ///     .authenticate(|_| Ok(Identity::user("ann").may_read(["tea"])))
    ///     .route("/room/{room}", |mut ws| ws.send("welcome"))
    ///     .authorize("/room/{room}", |request, identity| match identity.reads(request.param("room")) {
    ///         true => Ok(()),
    ///         false => Err(Denied::forbidden("this room is not yours")),
    ///     })
    ///     .refuse(Refuse::Http);
    /// # let server = server.bind("127.0.0.1:0")?.start()?;
    /// assert_eq!(server.connect("/room/tea")?.recv()?, Some("welcome".into()));
    /// assert!(matches!(server.connect("/room/coffee"), Err(Error::Refused { status: 403, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn authorize(
        self,
        path: &str,
        authorize: impl Fn(&Request, &Identity) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.authorize = Some(Arc::new(authorize)))
    }

    /// How clients are told that they may not in. Default: [`Refuse::Close`].
    #[must_use]
    pub fn refuse(self, refuse: Refuse) -> Self {
        Self { refuse, ..self }
    }

    /// Takes these proxies' word for who a client is: the last address in `X-Forwarded-For` that is none of them. Default:
    /// nobody's, as anybody can write that header.
    #[must_use]
    pub fn trust_proxies(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.proxies.trusted = networks.into_iter().collect();
        self
    }

    /// The trusted proxies begin each connection with a header of the PROXY protocol, version 2; a connection of theirs
    /// without one is refused. `X-Forwarded-For` is not looked at then. Default: no.
    #[must_use]
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.proxies.protocol = on;
        self
    }

    /// Asks `check` about every message that comes on a WebSocket at this path, before the handler is given it: `Err` is sent
    /// back instead, and the handler sees nothing. Runs on the connection's thread.
    ///
    /// ```
    /// use switchboard::{Message, Server};
    ///
    /// let builder = Server::builder().route("/log", |mut ws| ws.recv().map(drop)).check("/log", |_, message| match message {
    ///     Message::Text(text) if text.len() <= 1000 => Ok(()),
    ///     _ => Err(Message::text("send a text of at most 1000 bytes")),
    /// });
    /// ```
    #[must_use]
    pub fn check(
        self,
        path: &str,
        check: impl Fn(&Request, &Message) -> Result<(), Message> + Send + Sync + 'static,
    ) -> Self {
        self.change(path, |route| route.check = Some(Arc::new(check)))
    }

    /// Which pages may connect. Default: those of the same host, and whoever is no browser. RFC 6455 §10.2
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.policy.origins = origins;
        self
    }

    /// Refuses clients that send no `Origin` with 403. Default: no. It keeps out what is no browser only as long as that does
    /// not write the header, as any program can: authentication is something else.
    #[must_use]
    pub fn require_origin(mut self, on: bool) -> Self {
        self.policy.require_origin = on;
        self
    }
}
