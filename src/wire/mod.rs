//! Bytes in, messages out: the protocols as pure state machines.
//!
//! Nothing here names a socket, a thread, a clock, a lock or a log. Bytes and the present moment are arguments,
//! results are values. In reading order: `frame`, `message`, `session`; `http`, `body` and `handshake` come before
//! them on the wire.

pub(crate) mod body;
pub(crate) mod deflate;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod http;
pub(crate) mod message;
pub(crate) mod opening;
mod origins;
pub(crate) mod session;

#[cfg(test)]
pub(crate) mod soup_tests;
