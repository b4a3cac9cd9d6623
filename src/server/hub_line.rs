//! A connection's line to the hub: its commands in the order they were given.
//!
//! While other messages of the client wait to be handled, what it sends to one room is gathered and reaches the hub as one
//! command: the hub wakes once, and the room's members get one write. What is held back leaves when the handler is done with
//! what has arrived, or by the slow lane when it is busy for longer.

use super::hub_thread::HubCommand;
use super::shared::Shared;
use crate::error::{Error, Result};
#[cfg(feature = "protocol")]
use crate::hub::calls::{Answer, Call};
use crate::hub::{Command, ConnectionId, Frames, Name, View};
use crate::limits::KIB;
use crate::net::slow_lane::Held;
use crate::wire::frame::Outgoing;
#[cfg(feature = "protocol")]
use crossbeam_channel::bounded;
use parking_lot::{Mutex, MutexGuard};
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
#[cfg(feature = "protocol")]
use std::time::Duration;
use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::OpCode;

/// Gathered frames leave when they come to that.
const GATHER: usize = 16 * KIB;

pub(crate) struct HubLine {
    shared: Arc<Shared>,
    pub(crate) id: ConnectionId,
    /// Other messages of the client wait to be handled.
    more: AtomicBool,
    held: Mutex<HeldFrames>,
    rooms: Mutex<Vec<Name>>,
}

/// What one client sends to one room.
#[derive(Default)]
struct HeldFrames {
    room: Option<(Name, Option<ConnectionId>)>,
    plain: Vec<u8>,
    /// The same with what is compressed, once something is.
    compressed: Option<Vec<u8>>,
    /// How often something began to be held back.
    epoch: u32,
    watched: bool,
}

impl HubLine {
    pub(crate) fn new(shared: Arc<Shared>, id: ConnectionId) -> Self {
        Self { shared, id, more: AtomicBool::new(false), held: Mutex::default(), rooms: Mutex::default() }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether what is sent now may wait for what will be sent next.
    pub(crate) fn set_more(&self, more: bool) {
        self.more.store(more, Relaxed);
    }

    /// Waits while the hub's queue is full.
    pub(crate) fn send(&self, command: HubCommand) -> Result<()> {
        let mut held = self.held.lock();
        self.flush_held(&mut held)?;
        self.shared.hub.send(command)
    }

    /// Waits while the hub's queue is full. Fails when the connection is in as many rooms as it may be.
    pub(crate) fn join(&self, room: &str, view: Option<Box<View>>) -> Result<()> {
        let (room, mut rooms): (Name, _) = (room.into(), self.rooms.lock());
        if !rooms.contains(&room) {
            let most = self.shared.quotas().rooms;
            if most <= rooms.len() {
                let text =
                    format!("a connection may be in {most} rooms at once; leave one before joining another");
                return Err(Error::Quota(text));
            }
            rooms.push(room.clone());
        }
        self.send(Command::Join { id: self.id, room, view })
    }

    /// Waits while the hub's queue is full.
    pub(crate) fn leave(&self, room: &str) -> Result<()> {
        let mut rooms = self.rooms.lock();
        rooms.retain(|joined| **joined != *room);
        self.send(Command::Leave { id: self.id, room: room.into() })
    }

    /// A message to the members of a room, but for `except`.
    pub(crate) fn send_room(
        self: &Arc<Self>,
        room: &Name,
        except: Option<ConnectionId>,
        opcode: OpCode,
        payload: &[u8],
    ) -> Result<()> {
        let mut held = self.held.lock();
        if held.room.as_ref().is_some_and(|(name, but)| name != room || *but != except) {
            self.flush_held(&mut held)?;
        }
        let more = self.more.load(Relaxed) && payload.len() < GATHER;
        if held.room.is_none() {
            if !more {
                let frames = self.shared.encode(opcode, payload);
                return self.shared.hub.send(Command::SendRoom { room: room.clone(), frames, except });
            }
            held.room = Some((room.clone(), except));
            held.epoch = held.epoch.wrapping_add(1);
        }
        held.add(self.shared.compress(payload), opcode, payload);
        if !more || GATHER <= held.plain.len() {
            return self.flush_held(&mut held);
        }
        self.watch(held);
        Ok(())
    }

    /// Waits until everything that was asked here before is answered, for so long at most.
    #[cfg(feature = "protocol")]
    pub(crate) fn settle(&self, within: Duration) {
        let (tell, told) = bounded(1);
        let answer = Answer::new(move |_| {
            let _ = tell.try_send(());
        });
        if self.send(Command::Call(Box::new(Call::Settle { id: self.id, answer }))).is_ok() {
            let _ = told.recv_timeout(within);
        }
    }

    /// Sends what is held back.
    pub(crate) fn flush(&self) -> Result<()> {
        self.flush_held(&mut self.held.lock())
    }

    fn flush_held(&self, held: &mut HeldFrames) -> Result<()> {
        match held.take() {
            Some(command) => self.shared.hub.send(command),
            None => Ok(()),
        }
    }

    fn watch(self: &Arc<Self>, mut held: MutexGuard<'_, HeldFrames>) {
        if !held.watched {
            held.watched = true;
            let epoch = held.epoch;
            drop(held);
            let line: Weak<Self> = Arc::downgrade(self);
            self.shared.slow_lane.watch_held(line, epoch);
        }
    }
}

impl HeldFrames {
    fn take(&mut self) -> Option<HubCommand> {
        let (room, except) = self.room.take()?;
        let frames = Frames {
            plain: take(&mut self.plain).into(),
            compressed: self.compressed.take().map(Bytes::from),
        };
        Some(Command::SendRoom { room, frames, except })
    }

    fn add(&mut self, compressed: Option<Vec<u8>>, opcode: OpCode, payload: &[u8]) {
        let frame = Outgoing::new(opcode, payload);
        if let Some(payload) = compressed {
            let track = self.compressed.get_or_insert_with(|| self.plain.clone());
            Outgoing::compressed(opcode, &payload).encode_into(track, None);
        } else if let Some(track) = &mut self.compressed {
            frame.encode_into(track, None);
        }
        frame.encode_into(&mut self.plain, None);
    }
}

impl Held for HubLine {
    fn release(self: Arc<Self>, seen: u32) -> Option<u32> {
        // The connection's own thread is at it, perhaps waiting for the hub: it will see to it.
        let Some(mut held) = self.held.try_lock() else { return Some(seen) };
        if held.room.is_some() && held.epoch != seen {
            return Some(held.epoch);
        }
        held.watched = false;
        let refused = self.shared.hub.try_send(held.take()?).err().flatten();
        let Some(Command::SendRoom { room, frames, except }) = refused else { return None };
        // The hub's queue is full. What is held keeps its place and is tried again.
        held.room = Some((room, except));
        held.plain = frames.plain.into();
        held.compressed = frames.compressed.map(Vec::from);
        held.watched = true;
        Some(held.epoch)
    }
}
