//! The shared writers: a few threads that drain whichever outbox has something to write.
//!
//! An outbox is in the ready queue at most once, so the queue is bounded by the number of connections.

use super::outbox::{Batch, Drained, Outbox};
use super::slow_lane::SlowLane;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::{io, thread};

/// Outboxes handed over at once. Waking a writer for each would cost more than the write.
pub(crate) const READY: usize = 256;

pub(crate) struct Writers {
    queue: Sender<Vec<Arc<Outbox>>>,
}

impl Writers {
    /// Starts the threads. They end when the last `Writers` is dropped; outboxes handed over before are drained.
    pub(crate) fn start(
        count: usize,
        slow_lane: &Arc<SlowLane>,
        stack: usize,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (queue, ready) = unbounded();
        let threads = (0..count)
            .map(|n| {
                let (ready, slow_lane) = (ready.clone(), slow_lane.clone());
                let run = move || write_all(&ready, &slow_lane);
                thread::Builder::new().name(format!("sb-writer-{n}")).stack_size(stack).spawn(run)
            })
            .collect::<io::Result<_>>()?;
        Ok((Self { queue }, threads))
    }

    /// Hands outboxes over that answered [`Pushed::NeedsWriter`](super::outbox::Pushed). Never blocks.
    pub(crate) fn hand_over(&self, ready: Vec<Arc<Outbox>>) {
        if !ready.is_empty() {
            // The writers outlive all who hold the queue's other end.
            let _ = self.queue.send(ready);
        }
    }
}

fn write_all(ready: &Receiver<Vec<Arc<Outbox>>>, slow_lane: &SlowLane) {
    let mut batch = Batch::default();
    for outboxes in ready {
        for outbox in outboxes {
            if let Drained::Full { .. } = outbox.drain(&mut batch) {
                slow_lane.take_over(outbox);
            }
        }
        batch.count(slow_lane.metrics());
    }
}
