//! Sockets, threads and the queues between them. Knows what a frame is, but not what it says.
//!
//! In reading order: `stream`, `codecs`, `outbox`, `writers`, `slow_lane`; `pool` and `budget` are about threads,
//! `listener` about the door.

pub(crate) mod budget;
pub(crate) mod codecs;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod slow_lane;
pub(crate) mod stream;
pub(crate) mod writers;
