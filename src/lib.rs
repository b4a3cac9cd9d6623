//! A real-time WebSocket server and library without async.
//!
//! Where to begin: [`Server`] and [`Builder`] (routes, start), [`WebSocket`] (a connection, in its handler), [`Handle`]
//! (rooms, users and everybody, from any thread), [`Client`], [`Session`](session/struct.Session.html) (a client of
//! `switchboard.v1`), [`Limits`], [`Error`]; and the [`guide`].
//!
//! A telephone switchboard: every caller has a line, one operator knows who is on which line and in which room, and
//! plugs messages through. Here every connection has a thread, and one hub thread knows users and rooms. What it has
//! for a connection waits in that connection's outbox, and a few shared writers send it. There is no async runtime
//! anywhere in the dependency tree.
//!
//! ```
//! use switchboard::{Result, Server, WebSocket};
//!
//! fn echo(mut ws: WebSocket) -> Result<()> {
//!     while let Some(message) = ws.recv()? {
//!         ws.send(message)?;
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> Result<()> {
//! let server = Server::builder().route("/echo", echo).bind("127.0.0.1:0")?.start()?; // returns at once
//! server.room("lobby").send("hello"); // from any thread, never blocks
//! # Ok(())
//! # }
//! ```
//!
//! New to WebSockets, or to threads in place of async? The [`guide`] begins at the first byte.
//!
//! # What is where
//!
//! Read in this order; imports point only from later to earlier.
//!
//! | layer | what it owns |
//! |---|---|
//! | `limits`, `rate`, `metrics`, `error` | every bound and timer in one place; counters; what can go wrong, by who can mend it |
//! | `wire` | bytes to messages and back, as pure state machines: frames, messages, sessions, HTTP heads, handshakes |
//! | `hub` | who is in which room: commands to deliveries, as a pure state machine |
//! | `net` | sockets, outboxes, the shared writers, the slow lane, the thread pool and its budget |
//! | [`engine`] | where rooms of `switchboard.v1` can be kept instead of in the hub: on disk, in Redis, or as you write it |
//! | `sender`, `client`, `reconnect` | the blocking client, on the same `wire` and `net` as the server |
//! | `session` | the client of `switchboard.v1`: comes back, finds its place, says everything once |
//! | [`sansio`] | the protocol without a socket, for a transport of one's own |
//! | `server` | the builder, the way of a connection, the hub's thread, the end |
//! | `auth` | authenticators for the server: lists of tokens, signed tokens |
//! | `schema` | what messages must look like, for the builder's checks |
//!
//! The way of a message: bytes in → `net::stream` → `wire::session` → `wire::frame`, `wire::message` →
//! your handler → a command in the hub's bounded queue → `hub` → encoded once → `net::outbox` → a writer →
//! bytes out.
//!
//! # What never happens
//!
//! - `wire` and `hub` name no socket, thread, clock, lock or log; they do not know each other.
//! - The hub waits for nobody: it makes no socket call and takes no lock under which one is made.
//! - No queue is unbounded; no number from a peer reaches an allocation before it met a limit.
//! - A peer cannot cause a panic, an abort or an exit. A handler's panic ends its own connection (1011).
//! - The library installs no logger, signal handler or panic hook, prints nothing and never exits.
//!
//! # What it logs
//!
//! Through the [`log`](https://docs.rs/log) facade:
//!
//! | level | says |
//! |---|---|
//! | `error` | a handler panicked, or the system refused what the server cannot do without |
//! | `warn` | a handler failed, descriptors or threads ran out: somebody should look |
//! | `info` | the server stops; a peer broke the protocol, answered no ping, or was cut as a slow consumer |
//! | `debug` | each connection's beginning and end, each refusal |
//!
//! A message's payload is never logged above `trace`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "auth")]
pub mod auth;
mod client;
pub mod engine;
mod error;
#[cfg(any(doc, doctest))]
pub mod guide;
mod hub;
mod limits;
mod metrics;
mod net;
mod rate;
mod reconnect;
pub mod sansio;
#[cfg(feature = "schema")]
mod schema;
mod sender;
mod server;
#[cfg(feature = "protocol")]
pub mod session;
mod wire;

pub use client::{Client, ClientBuilder};
pub use engine::RoomRules;
pub use error::{Error, Result};
pub use limits::Limits;
pub use net::budget::{Budget, Grant};
#[cfg(feature = "tls")]
pub use net::certificate::TlsFiles;
pub use net::proxy::Network;
pub use rate::Rate;
pub use reconnect::{Incoming, Reconnecting, Stop};
#[cfg(feature = "schema")]
pub use schema::Schema;
pub use sender::Sender;
pub use server::{
    Bound, Builder, Callbacks, Denied, Drain, Event, Events, Handle, Identity, Messages, Peer, Quotas,
    Refuse, Report, Request, Response, Room, Server, User, WebSocket, events,
};
#[cfg(feature = "protocol")]
pub use server::{Published, RoomState};
#[cfg(feature = "protocol")]
pub use session::Session;
/// A payload that is shared, not copied, when it is cloned.
pub use tungstenite::Bytes;
/// A message. Only text and binary are received, and sent; the other variants are the protocol's own affair (but a
/// ping may be sent).
///
/// ```
/// use switchboard::Message;
///
/// let text = Message::from("hello"); // so `ws.send("hello")` does
/// assert_eq!(text.to_text().unwrap(), "hello");
/// let binary = Message::from(vec![1, 2, 3]);
/// assert!(binary.is_binary() && binary.len() == 3);
/// assert_eq!(binary.into_data(), [1, 2, 3][..]);
/// ```
pub use tungstenite::Message;
pub use wire::handshake::Origins;
