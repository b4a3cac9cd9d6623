//! A limit of one's own: at most 1000 connections to `/limited`. One more is let in and told why it cannot stay, which a
//! browser can read; a refusal by HTTP status it could not.
//!
//! Run it: `cargo run --example limited`, then connect to `ws://127.0.0.1:9527/limited`.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use switchboard::{Builder, Result, WebSocket};

const PLACES: usize = 1000;

/// Adds the path, with a count of the places that are taken.
pub fn mount(builder: Builder) -> Builder {
    let taken = AtomicUsize::new(0);
    builder.route("/limited", move |ws| limited(ws, &taken))
}

fn limited(mut ws: WebSocket, taken: &AtomicUsize) -> Result<()> {
    let Some(_place) = Place::take(taken) else {
        ws.close(1008, "服务器繁忙");
        return Ok(());
    };
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

/// One of the places. Given back when it is dropped: however the handler ends, by `?` or a panic too.
struct Place<'a> {
    taken: &'a AtomicUsize,
}

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize) -> Option<Self> {
        // Looking and taking in one step: two who come at once cannot both have the last place.
        let take = |taken| if taken < PLACES { Some(taken + 1) } else { None };
        taken.fetch_update(Relaxed, Relaxed, take).ok().map(|_| Self { taken })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
