//! How much waits for the disk, and how much may.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Messages, and their bytes, that may wait for the disk.
const WAITING: usize = 65_536;
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Messages that wait for the disk.
#[derive(Default)]
pub(super) struct Waiting {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// `false`: there is no room for it.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let has_room = self.messages.load(Relaxed) < WAITING && self.bytes.load(Relaxed) < WAITING_BYTES;
        if has_room {
            self.messages.fetch_add(1, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
        }
        has_room
    }

    /// Messages and bytes that wait now.
    pub(super) fn now(&self) -> (usize, usize) {
        (self.messages.load(Relaxed), self.bytes.load(Relaxed))
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.messages.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}
