//! What a store counts: its commits, and what waits for them.

use crate::metrics::{Counter, Seconds, Text, metrics};
use std::path::Path;
use std::time::Duration;

metrics! {
    /// Of the thread that writes.
    StoreMetrics {
        /// Messages that were written and synced.
        messages: Counter = "switchboard_store_messages_total",
        /// How long a commit took, with its wait for the disk, in seconds.
        commit: Seconds = "switchboard_store_commit_seconds",
        /// Commits that failed: what was in them is refused, and the file read again.
        failures: Counter = "switchboard_store_failures_total",
    }
}

impl StoreMetrics {
    pub(super) fn committed(&self, messages: usize, took: Duration, is_written: bool) {
        if is_written {
            self.messages.add(messages);
            self.commit.observe_time(took);
        } else {
            self.failures.add(1);
        }
    }

    /// Does not wait for the thread that writes.
    pub(super) fn text(&self, (messages, bytes): (usize, usize), path: &Path) -> String {
        let mut text = Text::default();
        let help = "Transactions that were written and synced.";
        text.counter("switchboard_store_commits_total", help, self.commit.count());
        self.write(&mut text);
        let help = "Messages that wait to be written.";
        text.gauge("switchboard_store_waiting_messages", help, messages);
        text.gauge("switchboard_store_waiting_bytes", "Bytes of them.", bytes);
        if let Ok(file) = path.metadata() {
            text.gauge("switchboard_store_file_bytes", "Size of the file.", file.len());
        }
        text.finish()
    }
}
