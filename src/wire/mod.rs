//! Bytes in, messages out: the protocols as pure state machines.
//!
//! Nothing here names a socket, a thread, a clock, a lock or a log. Bytes and the present moment are arguments,
//! results are values. Works for both ends of a connection ([`Role`]).

pub(crate) mod handshake;
pub(crate) mod http;
