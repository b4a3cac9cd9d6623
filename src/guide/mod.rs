//! The guide: WebSockets from the first byte to many machines, in twelve chapters, with code that runs.
//!
//! It is for a student who has never seen a frame, and for a programmer who does not want async. You need to read Rust a
//! little; you need to know nothing of networks but that a TCP connection carries bytes both ways, in order.
//!
//! | | chapter | after it you can |
//! |---|---|---|
//! | 1 | [`websocket`] | say what a WebSocket is, and what polling costs in bytes and in waiting |
//! | 2 | [`handshake`] | open one by hand, over a bare TCP socket |
//! | 3 | [`frames`] | write and read frames byte by byte |
//! | 4 | [`threads`] | say what a thread per connection costs, and when it is the wrong choice |
//! | 5 | [`broadcast`] | say why the obvious broadcast freezes, and what a hub and outboxes do about it |
//! | 6 | [`heartbeat`] | find the dead among the silent |
//! | 7 | [`closing`] | close properly, and read a close code |
//! | 8 | [`compression`] | say what permessage-deflate saves, and what it costs |
//! | 9 | [`tls`] | serve `wss://`, alone or behind a proxy |
//! | 10 | [`scaling`] | count what a room costs, raise a machine's limits, and use several machines |
//! | 11 | [`debugging`] | see what is on the wire, and tell who is to blame |
//! | 12 | [`choosing`] | choose: this crate, or something else |
//!
//! Read 1 to 3 first, in order: they are the protocol. 4 and 5 are the design of this crate, and the heart of the guide.
//! The others stand alone. In a hurry: 1, 3, 5.
//!
//! Every block of Rust here is compiled and run by `cargo test --doc`. What a chapter says is in a frame, is in the frame.
//! The guide exists in the documentation only: a program that uses the crate does not carry it.

pub mod websocket {
    #![doc = include_str!("websocket.md")]
}

pub mod handshake {
    #![doc = include_str!("handshake.md")]
}

pub mod frames {
    #![doc = include_str!("frames.md")]
}

pub mod threads {
    #![doc = include_str!("threads.md")]
}

pub mod broadcast {
    #![doc = include_str!("broadcast.md")]
}

pub mod heartbeat {
    #![doc = include_str!("heartbeat.md")]
}

pub mod closing {
    #![doc = include_str!("closing.md")]
}

pub mod compression {
    #![doc = include_str!("compression.md")]
}

pub mod tls {
    #![doc = include_str!("tls.md")]
}

pub mod scaling {
    #![doc = include_str!("scaling.md")]
}

pub mod debugging {
    #![doc = include_str!("debugging.md")]
}

pub mod choosing {
    #![doc = include_str!("choosing.md")]
}
