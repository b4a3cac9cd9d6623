//! Clients that are refused before they have said anything: answered at once, and seen off by one thread, so that they
//! hold neither a thread nor a place that others could have.

use crate::net::stream::Stream;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a refused client has to take its refusal.
const PATIENCE: Duration = Duration::from_secs(1);
/// Refused clients that are waited for; more are dropped at once.
const WAITING: usize = 256;

pub(crate) struct Refusals {
    /// `None` ends the thread.
    queue: Sender<Option<(Instant, Arc<Stream>)>>,
}

impl Refusals {
    pub(crate) fn start(stack: usize) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, refused) = bounded(WAITING);
        let run = move || see_off(&refused);
        let thread = thread::Builder::new().name("sb-refusals".into()).stack_size(stack).spawn(run)?;
        Ok((Self { queue }, thread))
    }

    /// Answers and hangs up. Never blocks.
    pub(crate) fn refuse(&self, stream: Arc<Stream>, answer: &[u8]) {
        let _ = stream.try_write(answer);
        stream.shutdown(Shutdown::Write);
        let _ = self.queue.try_send(Some((Instant::now() + PATIENCE, stream)));
    }

    pub(crate) fn stop(&self) {
        let _ = self.queue.send(None);
    }
}

/// Reads what refused clients still send, or the kernel would answer it with a reset and they might never see why.
fn see_off(refused: &Receiver<Option<(Instant, Arc<Stream>)>>) {
    while let Ok(Some((deadline, stream))) = refused.recv() {
        let mut buffer = [0; 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !matches!(stream.read(&mut buffer, left), Ok(1..)) {
                break;
            }
        }
    }
}
