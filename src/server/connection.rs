//! One client's WebSocket connection on the server, from the 101 to the end of TCP: runs the handler, and closes as the
//! handler ended. The link does the protocol.

use super::hub_line::HubLine;
use super::identity::Identity;
use super::quotas::Place;
use super::request::Request;
use super::router::{Check, Handler};
use super::shared::{Registered, Shared};
use super::websocket::WebSocket;
use crate::error::{Error, Result};
use crate::hub::{Command, ConnectionId, Name};
use crate::metrics::RouteMetrics;
use crate::net::codecs::SharedInflate;
use crate::net::link::Link;
use crate::net::meter::Meter;
use crate::net::outbox::Outbox;
use crate::net::stream::Stream;
use crate::sender::{data_of, send_message};
use crate::wire::deflate::Inflate;
use crate::wire::frame::Role;
use crate::wire::handshake::Agreed;
use crate::wire::session::Session;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Arc<HubLine>,
    pub(crate) request: Arc<Request>,
    pub(crate) subprotocol: Option<String>,
    pub(crate) identity: Identity,
    pub(crate) link: Link,
    check: Option<Check>,
    counted: Arc<RouteMetrics>,
    protocol: bool,
    in_hub: bool,
    _places: [Option<Place>; 2],
    _registered: Registered,
}

/// How a connection begins: what the front has found out.
pub(crate) struct Opening {
    pub(crate) stream: Arc<Stream>,
    pub(crate) registered: Registered,
    pub(crate) request: Request,
    pub(crate) agreed: Agreed,
    pub(crate) identity: Identity,
    /// Its places among those from the same address and of the same user.
    pub(crate) places: [Option<Place>; 2],
    pub(crate) check: Option<Check>,
    /// Whether it is to speak `switchboard.v1`.
    pub(crate) protocol: bool,
    /// The 101.
    pub(crate) switch: Vec<u8>,
    /// Bytes that came behind the request.
    pub(crate) leftover: Vec<u8>,
    /// Where its route counts.
    pub(crate) counted: Arc<RouteMetrics>,
}

/// Where a handler's [`WebSocket`] leaves its connection when it is dropped, so that the close code can tell how the
/// handler ended.
pub(crate) enum Slot {
    Lent,
    Back(Box<Connection>),
    /// The handler is over, but has given its socket away: whoever drops it closes the connection.
    Abandoned,
}

/// How a connection is closed whose handler failed.
pub(crate) const FAILED: (CloseCode, &str) = (CloseCode::Error, "handler failed");

/// Opens the connection to close it with 1008 and the reason at once. The hub does not hear of it: what is sent to
/// everybody is not for whoever was not let in.
#[inline(never)]
pub(crate) fn turn_away(shared: &Arc<Shared>, opening: Opening, reason: &str) {
    log::debug!("{}: turned away from {}", opening.request.peer(), opening.request.path());
    Connection::open(shared, opening).finish(CloseCode::Policy, reason);
}

/// Runs the handler for a connection that has just been upgraded, and then ends the connection. Not inlined, whatever features
/// there are: the caller's frame lies below the handler's for as long as the connection lives.
#[inline(never)]
pub(crate) fn run(shared: &Arc<Shared>, opening: Opening, handler: &Handler) {
    let mut connection = Box::new(Connection::open(shared, opening));
    connection.enter_hub();
    let (peer, path) = (connection.link.outbox.stream().peer(), connection.request.path().to_string());
    log::debug!("{peer}: open {path}");
    let slot = Arc::new(Mutex::new(Slot::Lent));
    let outbox = connection.link.outbox.clone();
    let websocket = WebSocket::new(connection, slot.clone());
    let result = catch_unwind(AssertUnwindSafe(|| handler(websocket)));
    let (code, reason) = match &result {
        Ok(Ok(()) | Err(Error::Closed | Error::Stopped)) |
        // The peer did it, and has been told by a Close frame already.
        Ok(Err(Error::Violation(..) | Error::Silent)) => (CloseCode::Normal, ""),
        Ok(Err(Error::Quota(reason))) => (CloseCode::Policy, reason.as_str()),
        Ok(Err(error)) => {
            log::warn!("{peer}: the handler of {path} failed: {error}");
            FAILED
        }
        Err(_) => {
            shared.metrics.panics.add(1);
            log::error!("{peer}: the handler of {path} panicked");
            FAILED
        }
    };
    let back = std::mem::replace(&mut *slot.lock(), Slot::Abandoned);
    match back {
        Slot::Back(mut connection) => connection.finish(code, reason),
        // Given away: the client learns now that it is connected.
        Slot::Lent | Slot::Abandoned => outbox.flush(),
    }
}

impl Connection {
    #[inline(never)]
    fn open(shared: &Arc<Shared>, opening: Opening) -> Self {
        let Opening {
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
        } = opening;
        counted.handshakes.add(1);
        counted.open.add(1);
        let outbox = Outbox::new(
            stream,
            &shared.limits,
            shared.slow_lane.clone(),
            shared.metrics.clone(),
            shared.codecs.clone(),
            agreed.deflate,
            Role::Server,
        );
        let inflate =
            agreed.deflate.map(|_| Box::new(SharedInflate(shared.codecs.clone())) as Box<dyn Inflate>);
        let outbox = Arc::new(outbox);
        outbox.greet(switch);
        registered.open(&outbox);
        let hub = Arc::new(HubLine::new(shared.clone(), ConnectionId(registered.id)));
        let (quotas, now) = (shared.quotas(), Instant::now());
        let meter = Meter::new(quotas.messages, quotas.bytes, now);
        let session = Session::new(Role::Server, &shared.limits, inflate, now);
        let (metrics, close_deadline) = (shared.metrics.clone(), shared.limits.close_deadline);
        Self {
            shared: shared.clone(),
            hub,
            request: Arc::new(request),
            subprotocol: agreed.subprotocol,
            identity,
            link: Link::new(outbox, session, meter, metrics, close_deadline, leftover),
            check,
            counted,
            protocol,
            in_hub: false,
            _places: places,
            _registered: registered,
        }
    }

    fn enter_hub(&mut self) {
        let (hub, line) = (&self.hub, self.link.outbox.clone());
        let (compressed, protocol) = (line.takes_compressed(), self.protocol);
        let owner = self.identity.name().map(Name::from);
        self.in_hub = hub.send(Command::Connect { id: hub.id, line, compressed, owner, protocol }).is_ok();
    }

    /// The next message; blocks until there is one, or `until`. `None`: the connection is closed, or it is time.
    pub(crate) fn receive(&mut self, until: Option<Instant>) -> Result<Option<Message>> {
        loop {
            let Some(message) = self.link.receive(until, || self.hub.flush())? else { return Ok(None) };
            self.hub.set_more(self.link.has_more());
            let Some(check) = &self.check else { return Ok(Some(message)) };
            let Err(answer) = check(&self.request, &message) else { return Ok(Some(message)) };
            self.shared.metrics.invalid.add(1);
            self.refuse(&answer, until.is_some())?;
            // A client that sends nothing right must not hold up who waits for something right.
            if !self.link.has_more() && until.is_some_and(|until| until <= Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// Answers a message that did not pass. Whoever waits for a time only does not wait for a client that does not read: the
    /// answer is lost then.
    fn refuse(&self, answer: &Message, at_once: bool) -> Result<()> {
        let sent = match at_once {
            true => data_of(answer).and_then(|(opcode, payload)| self.link.outbox.try_send(opcode, payload)),
            false => send_message(&self.link.outbox, answer, self.link.has_more()),
        };
        match sent {
            // What the client sent before its own Close can still be received.
            Err(Error::Closed | Error::Full) => Ok(()),
            sent => sent,
        }
    }

    /// The handler is over: leaves the rooms, then the closing handshake. Takes the close deadline at most.
    pub(crate) fn finish(&mut self, code: CloseCode, reason: &str) {
        self.leave_hub();
        self.link.finish(code, reason);
    }

    fn leave_hub(&mut self) {
        if std::mem::take(&mut self.in_hub) {
            // A stopped hub has forgotten everybody.
            let _ = self.hub.send(Command::Disconnect { id: self.hub.id });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave_hub();
        if self.link.outbox.is_abandoned() {
            log::info!("{}: cut as a slow consumer", self.link.outbox.stream().peer());
        }
        // What was said first, by either side.
        let ours = self.link.outbox.close_code();
        let code = ours.or_else(|| Some(self.link.closed()?.0)).unwrap_or(CloseCode::Abnormal.into());
        self.shared.metrics.disconnects.add(code, 1);
        self.link.outbox.cut();
        if let Some(reason) = self.link.outbox.unclean() {
            self.shared.metrics.unclean.add(reason, 1);
        }
        self.counted.open.sub(1);
    }
}
