//! Sockets, threads and the queues between them. Knows what a frame is, but not what it says.
//!
//! In reading order: `socket`, `tls`, `stream`, `codecs`, `outbox`, `writers`, `waker`, `slow_lane`, `meter`, `read_buffer`, `link`;
//! `pool` and `budget` are about threads, `listener` about the door, `proxy` about who was there before it, `certificate` and
//! `acceptor` about who we are (`der` is how that is written); `sealed` is TLS for those who have no socket, and `random` what nobody can predict.

#[cfg(feature = "tls")]
pub(crate) mod acceptor;
pub(crate) mod budget;
#[cfg(feature = "tls")]
pub(crate) mod certificate;
pub(crate) mod codecs;
#[cfg(any(feature = "tls", feature = "auth"))]
pub(crate) mod der;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod masks;
pub(crate) mod meter;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod random;
mod read_buffer;
#[cfg(feature = "tls")]
pub(crate) mod sealed;
#[cfg(not(feature = "tls"))]
#[path = "no_sealed.rs"]
pub(crate) mod sealed;
pub(crate) mod slow_lane;
pub(crate) mod socket;
pub(crate) mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub(crate) mod tls;
#[cfg(feature = "tls")]
pub(crate) mod trust;
pub(crate) mod waker;
pub(crate) mod writers;
