//! The compressors that all connections of a server share: each takes one for the moment of one message.
//!
//! A pair has some 430 KB, and a connection needs it only while a message is compressed or inflated. As many are kept as
//! there are cores; more are made when more are needed at once, and dropped again.

use crate::hub::Frames;
use crate::metrics::Metrics;
#[cfg(feature = "deflate")]
use crate::wire::deflate::{Deflater, Inflater};
use crate::wire::deflate::{Inflate, WINDOW_BITS};
use crate::wire::frame::{self, Outgoing, Violation};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tungstenite::protocol::frame::coding::OpCode;

#[derive(Default)]
pub(crate) struct Codecs {
    /// Payloads below this many bytes are not worth it.
    threshold: usize,
    /// Connections that take compressed frames as they are sent to a room.
    takers: AtomicUsize,
    metrics: Arc<Metrics>,
    #[cfg(feature = "deflate")]
    keep: usize,
    #[cfg(feature = "deflate")]
    deflaters: parking_lot::Mutex<Vec<Deflater>>,
    #[cfg(feature = "deflate")]
    inflaters: parking_lot::Mutex<Vec<Inflater>>,
}

impl Codecs {
    #[cfg_attr(not(feature = "deflate"), expect(unused_variables))]
    pub(crate) fn new(threshold: usize, keep: usize) -> Self {
        Self {
            threshold,
            #[cfg(feature = "deflate")]
            keep,
            ..Self::default()
        }
    }

    /// Counts what it does in there.
    pub(crate) fn counting_in(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Counts a connection that takes a room's compressed frames, or no longer does.
    pub(crate) fn count_taker(&self, more: bool) {
        if more {
            self.takers.fetch_add(1, Relaxed)
        } else {
            self.takers.fetch_sub(1, Relaxed)
        };
    }

    /// One message's frames for any number of lines, compressed once for all that take it so.
    pub(crate) fn encode(&self, opcode: OpCode, payload: &[u8]) -> Frames {
        let compressed = self.deflate_for_all(payload);
        Frames {
            plain: frame::encode(opcode, payload),
            compressed: compressed.map(|payload| Outgoing::compressed(opcode, &payload).encode()),
        }
    }

    /// Compressed for a room's members; `None` when it is not worth it, or nobody would take it.
    pub(crate) fn deflate_for_all(&self, payload: &[u8]) -> Option<Vec<u8>> {
        if 0 < self.takers.load(Relaxed) { self.deflate(payload, WINDOW_BITS) } else { None }
    }

    /// The payload compressed with that window; `None` when it is too small to be worth it, or got no smaller.
    pub(crate) fn deflate(&self, payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        if payload.len() < self.threshold {
            return None;
        }
        let compressed = self.deflate_any(payload, window_bits)?;
        let is_worth_it = compressed.len() < payload.len();
        if is_worth_it {
            self.metrics.deflate_in.add(payload.len());
            self.metrics.deflate_out.add(compressed.len());
        }
        is_worth_it.then_some(compressed)
    }

    #[cfg(feature = "deflate")]
    fn deflate_any(&self, payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        let idle = {
            let mut idle = self.deflaters.lock();
            let fitting = idle.iter().position(|deflater| deflater.window_bits == window_bits);
            fitting.map(|at| idle.swap_remove(at))
        };
        let mut deflater = idle.unwrap_or_else(|| Deflater::new(window_bits));
        let compressed = deflater.deflate(payload);
        let mut idle = self.deflaters.lock();
        if idle.len() < self.keep {
            idle.push(deflater);
        }
        Some(compressed)
    }

    #[cfg(not(feature = "deflate"))]
    fn deflate_any(&self, _: &[u8], _: u8) -> Option<Vec<u8>> {
        None
    }
}

/// Inflates with whichever inflater is free.
pub(crate) struct SharedInflate(
    #[cfg_attr(not(feature = "deflate"), expect(dead_code))] pub(crate) Arc<Codecs>,
);

impl Inflate for SharedInflate {
    #[cfg(feature = "deflate")]
    fn inflate(&mut self, compressed: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
        let idle = self.0.inflaters.lock().pop();
        let mut inflater = idle.unwrap_or_else(Inflater::new);
        let message = inflater.inflate(compressed, max);
        if let Ok(message) = &message {
            self.0.metrics.inflate_in.add(compressed.len());
            self.0.metrics.inflate_out.add(message.len());
        }
        let mut idle = self.0.inflaters.lock();
        if idle.len() < self.0.keep {
            idle.push(inflater);
        }
        message
    }

    #[cfg(not(feature = "deflate"))]
    fn inflate(&mut self, _: &[u8], _: usize) -> Result<Vec<u8>, Violation> {
        Err(Violation::protocol("compression is not part of this build"))
    }
}
