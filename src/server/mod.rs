//! The parts put together: who accepts, who answers, who runs the handlers, who ends it all.
//!
//! In reading order: `builder` and `handle` are what a program sees; `accept`, `front`, `connection` are the way of one
//! client; `hub_line` leads to the hub and `hub_thread` drives it; `drain` stops everything.

mod accept;
mod builder;
mod connection;
mod drain;
mod front;
mod handle;
mod hub_line;
mod hub_thread;
mod request;
mod router;
mod shared;
mod websocket;

pub use builder::{Bound, Builder};
pub use drain::{Drain, Report};
pub use handle::{Handle, Room, Server, User};
pub use request::{Request, Response};
pub(crate) use websocket::send_message;
pub use websocket::{Messages, Sender, WebSocket};
