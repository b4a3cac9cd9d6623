//! The parts put together: who accepts, who answers, who runs the handlers, who ends it all.
//!
//! In reading order: `builder`, `access`, `rooms`, `bound`, `handle` and `recipients` are what a program sees, `websocket`, `callbacks`
//! and `events` what its handlers do; `accept`, `arrival`, `front`, `connection` are the way of one client, `respond` the end of a
//! plain request and `refusals` the end at the door, but for `probes` and `probes_tls`; `hub_line` leads to the hub and
//! `hub_thread` drives it; `calls` and `api` are what a program asks of the rooms of `switchboard.v1`; `drain` stops everything,
//! also from a handler, as `own` knows.

mod accept;
mod access;
#[cfg(all(feature = "auth", feature = "protocol"))]
pub(crate) mod api;
mod arrival;
mod bound;
mod builder;
mod byte_bound;
mod callbacks;
#[cfg(feature = "protocol")]
mod calls;
mod connection;
mod drain;
mod events;
mod front;
mod handle;
mod hub_line;
mod hub_thread;
mod identity;
mod messages;
mod metrics;
mod own;
mod probes;
mod probes_tls;
#[cfg(feature = "protocol")]
mod protocol;
mod quotas;
mod recipients;
mod refusals;
mod request;
mod respond;
#[cfg(feature = "protocol")]
mod rooms;
mod router;
mod shared;
mod view;
mod websocket;

pub use bound::Bound;
pub use builder::Builder;
pub use callbacks::Callbacks;
#[cfg(feature = "protocol")]
pub use calls::{Published, RoomState};
pub use drain::{Drain, Report};
pub use events::{Event, Events, Peer, events};
pub use handle::{Handle, Server};
pub use identity::{Denied, Identity, Refuse};
pub use messages::Messages;
pub use quotas::Quotas;
pub use recipients::{Room, User};
pub use request::{Request, Response};
pub use websocket::WebSocket;
