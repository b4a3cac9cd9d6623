//! Switchboard.
mod error;
mod hub;
mod limits;
mod metrics;
mod net;
mod server;
mod wire;

pub use error::{Error, Result};
pub use limits::Limits;
pub use net::budget::Budget;
pub use server::{
    Bound, Builder, Drain, Handle, Messages, Report, Request, Response, Room, Sender, Server, User, WebSocket,
};
pub use tungstenite::{Bytes, Message};
pub use wire::handshake::Origins;
