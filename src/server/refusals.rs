//! Clients that are refused before they have said anything. One thread sees all of them off, so that they hold neither a
//! thread nor a place that others could have.
//!
//! Each is answered once its request has come: there are clients that see no answer which was there before they asked, and
//! whoever asks for a probe is answered that instead (`probes`). Then what it still sends is read, or the kernel would reset
//! the connection and the answer could be lost.

use super::probes::{Asked, Probes};
use super::respond::encode_refusal;
use crate::limits::{DISMISSAL, DISMISSALS, KIB, REFUSED_HEAD};
use crate::metrics::Metrics;
use crate::net::stream::Stream;
use crate::net::waker::Waker;
use crate::wire::http::Refusal;
use http::{StatusCode, header};
use parking_lot::Mutex;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{io, mem};

/// The thread ends when this is dropped, or told to stop.
pub(crate) struct Refusals {
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
}

struct Inbox {
    arrived: Mutex<Arrived>,
    waker: Waker,
}

#[derive(Default)]
struct Arrived {
    refused: VecDeque<Refused>,
    stopped: bool,
}

/// Why a client is refused.
pub(crate) enum Cause {
    /// All connections are in use.
    Full,
    /// There are too many from its address.
    TooMany(Refusal),
    /// Whatever it asks for: it does not even begin as it must.
    Malformed(Refusal),
}

impl Cause {
    /// What the client is told; counted.
    pub(super) fn refusal(self, metrics: &Metrics) -> Refusal {
        match self {
            Self::Full => {
                metrics.over_budget.add(1);
                let reason = "all connections are in use; try again later";
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason).with(header::RETRY_AFTER, "5")
            }
            Self::TooMany(refusal) | Self::Malformed(refusal) => {
                metrics.refused.add(refusal.status.as_u16(), 1);
                refusal
            }
        }
    }
}

struct Refused {
    stream: Arc<Stream>,
    stage: Stage,
    deadline: Instant,
    /// As far as `poll` knows.
    ready: bool,
}

enum Stage {
    Asking {
        cause: Cause,
        /// A header of the PROXY protocol comes first.
        proxied: bool,
        input: Vec<u8>,
    },
    /// What is still to be sent.
    Answering(Vec<u8>),
    /// It has its answer, and is waited for.
    Leaving,
}

impl Refusals {
    /// `probes`: what is answered all the same, if anything.
    pub(crate) fn start(
        stack: usize,
        metrics: Arc<Metrics>,
        probes: Option<Probes>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let inbox = Arc::new(Inbox { arrived: Mutex::default(), waker: Waker::new()? });
        let mut desk = Desk { inbox: inbox.clone(), metrics: metrics.clone(), probes };
        let run = move || desk.see_off();
        let thread = thread::Builder::new().name("sb-refusals".into()).stack_size(stack).spawn(run)?;
        Ok((Self { inbox, metrics }, thread))
    }

    /// Answers and hangs up, when the client has asked. Never blocks. `proxied`: a header of the PROXY protocol comes first.
    pub(crate) fn refuse(&self, stream: Arc<Stream>, cause: Cause, proxied: bool) {
        let stage = Stage::Asking { cause, proxied, input: Vec::new() };
        let mut refused = Refused { stream, stage, deadline: Instant::now() + DISMISSAL, ready: false };
        let mut arrived = self.inbox.arrived.lock();
        if arrived.stopped {
            drop(arrived);
            return refused.give_up(&self.metrics);
        }
        // Those that came first have had their time: whoever asks at once need not wait behind those that say nothing.
        let oldest = if arrived.refused.len() < DISMISSALS { None } else { arrived.refused.pop_front() };
        arrived.refused.push_back(refused);
        drop(arrived);
        self.inbox.waker.wake();
        if let Some(mut oldest) = oldest {
            oldest.give_up(&self.metrics);
        }
    }

    pub(crate) fn stop(&self) {
        self.inbox.arrived.lock().stopped = true;
        self.inbox.waker.wake();
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Refused {
    /// Refuses it if that has not been done, and sends what can be sent at once.
    fn give_up(&mut self, metrics: &Metrics) {
        if let Stage::Asking { .. } = self.stage {
            self.refuse(metrics);
        }
        let _ = self.write();
    }

    fn refuse(&mut self, metrics: &Metrics) {
        if let Stage::Asking { cause, .. } = mem::replace(&mut self.stage, Stage::Leaving) {
            let refusal = cause.refusal(metrics);
            log::debug!("{}: {} {}", self.stream.peer(), refusal.status, refusal.reason);
            self.stage = Stage::Answering(encode_refusal(refusal));
        }
    }

    /// One read, and what follows from it. `Err`: there is nobody any more.
    fn read(&mut self, metrics: &Metrics, probes: Option<&mut Probes>) -> io::Result<()> {
        let mut buffer = [0; KIB];
        let read = match self.stream.try_read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let Stage::Asking { cause, proxied, input } = &mut self.stage else {
            return if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        };
        input.extend_from_slice(&buffer[..read]);
        let asked = match (probes, cause) {
            (Some(probes), Cause::Full | Cause::TooMany(_)) => {
                probes.ask(input, *proxied, self.stream.peer())
            }
            _ => Asked::Else,
        };
        match asked {
            Asked::Probe(answer) => self.stage = Stage::Answering(answer),
            Asked::Unclear if 0 < read && input.len() < REFUSED_HEAD => {}
            Asked::Unclear | Asked::Else => self.refuse(metrics),
        }
        Ok(())
    }

    /// Sends what the socket takes.
    fn write(&mut self) -> io::Result<()> {
        let Stage::Answering(rest) = &mut self.stage else { return Ok(()) };
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(written) => drop(rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.stream.shutdown(Shutdown::Write);
        self.stage = Stage::Leaving;
        Ok(())
    }

    fn waits_for(&self) -> PollFlags {
        match self.stage {
            Stage::Answering(_) => PollFlags::OUT,
            Stage::Asking { .. } | Stage::Leaving => PollFlags::IN,
        }
    }
}

/// The thread's.
struct Desk {
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    probes: Option<Probes>,
}

impl Desk {
    fn see_off(&mut self) {
        let mut all: Vec<Refused> = Vec::new();
        loop {
            let now = Instant::now();
            all.retain_mut(|refused| self.go_on(refused, now));
            {
                let mut arrived = self.inbox.arrived.lock();
                all.extend(arrived.refused.drain(..));
                if arrived.stopped {
                    drop(arrived);
                    return all.iter_mut().for_each(|refused| refused.give_up(&self.metrics));
                }
            }
            let excess = all.len().saturating_sub(DISMISSALS);
            all.drain(..excess).for_each(|mut refused| refused.give_up(&self.metrics));
            wait(&self.inbox, &mut all);
        }
    }

    /// `false`: there is nothing more to do.
    fn go_on(&mut self, refused: &mut Refused, now: Instant) -> bool {
        if refused.deadline <= now {
            refused.give_up(&self.metrics);
            return false;
        }
        if !refused.ready {
            return true;
        }
        let read = match refused.stage {
            Stage::Answering(_) => Ok(()),
            Stage::Asking { .. } | Stage::Leaving => refused.read(&self.metrics, self.probes.as_mut()),
        };
        read.and_then(|()| refused.write()).is_ok()
    }
}

/// Until one of them has sent something or takes more, a deadline has come, or there is one more.
fn wait(inbox: &Inbox, all: &mut [Refused]) {
    let sockets = all.iter().map(|refused| (&*refused.stream, refused.waits_for()));
    let ready = inbox.waker.wait(sockets, all.iter().map(|refused| refused.deadline).min());
    all.iter_mut().zip(ready).for_each(|(refused, ready)| refused.ready = ready);
}
