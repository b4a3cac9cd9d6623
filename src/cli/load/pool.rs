//! The connections of one thread, and what happens to them.

use super::connection::{Connection, End, Reading, Stage};
use super::poller::{Events, Poller, Ready};
use std::io;
use std::mem::take;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchboard::Message;
use switchboard::sansio::{Endpoint, Event};

/// Bytes read at once.
const READ: usize = 64 << 10;
/// Reads of one connection before the others have their turn.
const READS: usize = 4;
/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(50);
/// How long the server may take to end TCP behind the closing handshake.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that wait for a socket before it gets no more messages.
const BACKLOG: usize = 256 << 10;

pub(super) struct Pool {
    poller: Poller,
    events: Events,
    endpoints: Arc<Vec<Endpoint>>,
    address: SocketAddr,
    places: Vec<Place>,
    buffer: Vec<u8>,
    /// Places where more may be to be read.
    unread: Vec<usize>,
    swept: Instant,
    /// Time in which nothing was to be done.
    pub(super) waited: Duration,
}

/// Where a connection is, or another one was before.
#[derive(Default)]
struct Place {
    connection: Option<Connection>,
    /// Tells the events of this connection from those of the one before.
    generation: u32,
}

/// Who is told what happens. Places are numbered by whoever opens connections.
pub(super) trait Handler {
    /// It took so long from when it was to be opened.
    fn opened(&mut self, pool: &mut Pool, place: usize, took: Duration, now: Instant);
    fn message(&mut self, pool: &mut Pool, place: usize, message: Message, now: Instant);
    fn pong(&mut self, _place: usize, _after: Duration) {}
    /// A connection that is paused was cut by the server.
    fn cut(&mut self, _place: usize, _now: Instant) {}
    /// The place is free. `at`: the closing handshake was done then; `was_open`: it had come about.
    fn ended(&mut self, pool: &mut Pool, place: usize, end: End, was_open: bool, at: Instant);
}

impl Pool {
    /// `endpoints`: one for each room.
    pub(super) fn new(
        poller: Poller,
        places: usize,
        endpoints: Arc<Vec<Endpoint>>,
        address: SocketAddr,
    ) -> Self {
        Self {
            poller,
            events: Events::default(),
            endpoints,
            address,
            places: (0..places).map(|_| Place::default()).collect(),
            buffer: vec![0; READ],
            unread: Vec::new(),
            swept: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Begins to open a connection at a free place, to the endpoint of that number; `began`: from when it counts.
    pub(super) fn open(
        &mut self,
        place: usize,
        endpoint: usize,
        narrow: bool,
        began: Instant,
    ) -> Result<(), End> {
        let endpoint = &self.endpoints[endpoint.min(self.endpoints.len() - 1)];
        let connection = Connection::start(endpoint, self.address, narrow, began, Instant::now())?;
        let generation = self.places[place].generation.wrapping_add(1);
        let key = u64::from(generation) << 32 | place as u64;
        let unwatched = |error: io::Error| End::Unreachable(error.kind(), error.to_string());
        self.poller.add(connection.socket(), key).map_err(unwatched)?;
        self.places[place] = Place { connection: Some(connection), generation };
        Ok(())
    }

    /// Open, and not ended.
    pub(super) fn is_open(&self, place: usize) -> bool {
        let connection = self.places[place].connection.as_ref();
        connection.is_some_and(|connection| connection.stage == Stage::Open && connection.end.is_none())
    }

    pub(super) fn is_free(&self, place: usize) -> bool {
        self.places[place].connection.is_none()
    }

    /// Whether so much waits that it should get no more at present.
    pub(super) fn is_full(&self, place: usize) -> bool {
        self.places[place].connection.as_ref().is_some_and(|connection| BACKLOG <= connection.backlog())
    }

    /// Puts a message behind the others; [`Pool::flush`] writes them. `false`: the connection has ended.
    pub(super) fn send(&mut self, place: usize, message: Message) -> bool {
        let connection = self.places[place].connection.as_mut();
        connection.is_some_and(|connection| connection.protocol.send(message).is_ok())
    }

    pub(super) fn flush(&mut self, place: usize) {
        if let Some(connection) = &mut self.places[place].connection {
            connection.flush();
        }
    }

    /// Starts the closing handshake; one that is not open yet is dropped.
    pub(super) fn close(&mut self, place: usize, now: Instant) {
        match &mut self.places[place].connection {
            Some(connection) if connection.stage == Stage::Open => {
                connection.protocol.close(1000, "", now);
                connection.flush();
            }
            _ => self.places[place].connection = None,
        }
    }

    /// Ends it by a reset, without a word. The handler is not told.
    pub(super) fn cut(&mut self, place: usize) {
        if let Some(connection) = self.places[place].connection.take() {
            connection.cut();
        }
    }

    /// Sends half of a message's frame, and ends in the middle of it: by a reset, or not. The handler is not told.
    pub(super) fn tear(&mut self, place: usize, message: Message, reset: bool) {
        if let Some(mut connection) = self.places[place].connection.take() {
            connection.tear(message);
            if reset {
                connection.cut();
            }
        }
    }

    /// Reads nothing more from it, until [`Pool::resume`].
    pub(super) fn pause(&mut self, place: usize) {
        if let Some(connection) = &mut self.places[place].connection {
            connection.is_paused = true;
        }
    }

    pub(super) fn resume(&mut self, place: usize) {
        if let Some(connection) = &mut self.places[place].connection {
            connection.is_paused = false;
            self.unread.push(place);
        }
    }

    /// Waits until something happens, or it is `until`, and tells the handler.
    pub(super) fn turn(&mut self, handler: &mut impl Handler, until: Instant) -> io::Result<()> {
        let mut ready = Vec::new();
        let until = if self.unread.is_empty() { until.min(self.swept + SWEEP) } else { self.swept };
        let before = Instant::now();
        self.poller.wait(until, &mut self.events, &mut ready)?;
        let woken = Instant::now();
        self.waited += woken - before;
        for place in take(&mut self.unread) {
            self.read(handler, place, true);
        }
        for event in ready {
            self.happened(handler, event);
        }
        if self.swept + SWEEP <= woken {
            self.swept = woken;
            (0..self.places.len()).for_each(|place| self.sweep(handler, place, woken));
        }
        Ok(())
    }

    fn happened(&mut self, handler: &mut impl Handler, event: Ready) {
        let (place, generation) = ((event.key & u64::from(u32::MAX)) as usize, (event.key >> 32) as u32);
        let Place { connection: Some(connection), generation: present } = &mut self.places[place] else {
            return;
        };
        if *present != generation {
            return;
        }
        if event.writable {
            if connection.stage == Stage::Connecting
                && let Err(end) = connection.connected()
            {
                connection.end = Some((end, Instant::now()));
                return self.free(handler, place);
            }
            connection.flush();
        }
        if !connection.is_paused {
            self.read(handler, place, event.hung_up);
        } else if event.hung_up {
            handler.cut(place, Instant::now());
        }
    }

    /// Reads what there is. A buffer that was not filled has taken all, and what comes later is announced anew; but not the
    /// end that has come already (`to_the_end`).
    fn read(&mut self, handler: &mut impl Handler, place: usize, to_the_end: bool) {
        for _ in 0..READS {
            let Some(connection) = &mut self.places[place].connection else { return };
            if connection.is_paused || connection.stage == Stage::Connecting {
                return;
            }
            let (read, now) = connection.read(&mut self.buffer);
            match read {
                Reading::Events(events, size) => {
                    self.tell(handler, place, events, now);
                    if size < READ && !to_the_end {
                        return;
                    }
                }
                Reading::Blocked => return,
                Reading::Ended => {
                    let event = connection.protocol.receive_eof();
                    let end = event.and_then(|event| connection.end_of(event));
                    connection.end = connection.end.take().or(end.map(|end| (end, now)));
                    return self.free(handler, place);
                }
            }
        }
        self.unread.push(place);
    }

    /// Hands events over, and writes what they brought about.
    fn tell(&mut self, handler: &mut impl Handler, place: usize, events: Vec<Event>, now: Instant) {
        for event in events {
            let Some(connection) = &mut self.places[place].connection else { return };
            match event {
                Event::Opened { .. } => {
                    connection.stage = Stage::Open;
                    let took = now.saturating_duration_since(connection.began);
                    handler.opened(self, place, took, now);
                }
                Event::Message(message) => handler.message(self, place, message, now),
                Event::Pong(Some(after)) => handler.pong(place, after),
                other => connection.end = connection.end_of(other).map(|end| (end, now)),
            }
        }
        let connection = self.places[place].connection.as_ref();
        // Who has been refused is gone; the end of TCP is waited for behind a closing handshake only.
        if connection.is_some_and(|connection| connection.end.is_some() && connection.stage != Stage::Open) {
            return self.free(handler, place);
        }
        self.flush(place);
    }

    /// What is due at that place: a ping, or the end of somebody who is silent.
    fn sweep(&mut self, handler: &mut impl Handler, place: usize, now: Instant) {
        let Some(connection) = &mut self.places[place].connection else { return };
        if connection.end.as_ref().is_some_and(|(_, at)| *at + LINGER <= now) {
            return self.free(handler, place);
        }
        if !connection.is_paused && connection.protocol.next_deadline().is_some_and(|due| due <= now) {
            let events = connection.protocol.tick(now);
            self.tell(handler, place, events, now);
        }
    }

    /// The connection is gone; its handler is told how.
    fn free(&mut self, handler: &mut impl Handler, place: usize) {
        let Some(mut connection) = self.places[place].connection.take() else { return };
        let was_open = connection.stage == Stage::Open;
        let gone = || (End::Closed(1006, String::new()), Instant::now());
        let (end, at) = connection.end.take().unwrap_or_else(gone);
        // The place is free, and so is the port, before anybody opens the next one.
        drop(connection);
        handler.ended(self, place, end, was_open, at);
    }
}
