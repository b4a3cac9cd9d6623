//! One room: its members, and the frames that the present turn has gathered for them.

use super::{ConnectionId, Deliver};
use std::collections::HashMap;
use std::ops::Range;
use tungstenite::Bytes;

/// Bytes that a room gathers in one turn before it delivers them. Frames larger than this travel alone, uncopied;
/// much larger pieces would only make the outboxes' bound coarse.
const GATHER: usize = 256 * 1024;

pub(super) struct Room<L> {
    members: Vec<(ConnectionId, L)>,
    /// Where each member stands in `members`.
    positions: HashMap<ConnectionId, usize>,
    gathered: Gathered,
}

/// Frames of one turn, laid end to end.
#[derive(Default)]
struct Gathered {
    /// The only piece so far: passed on as it is, without a copy.
    first: Bytes,
    /// All pieces, when there are several.
    joined: Vec<u8>,
    /// Where each piece that is not for everybody lies, and whom it is not for.
    withheld: Vec<(Range<usize>, ConnectionId)>,
    pieces: usize,
}

impl<L> Default for Room<L> {
    fn default() -> Self {
        Self { members: Vec::new(), positions: HashMap::new(), gathered: Gathered::default() }
    }
}

impl<L> Room<L> {
    /// `false` when it was a member before.
    pub(super) fn join(&mut self, id: ConnectionId, line: L) -> bool {
        if self.positions.contains_key(&id) {
            return false;
        }
        self.positions.insert(id, self.members.len());
        self.members.push((id, line));
        true
    }

    pub(super) fn leave(&mut self, id: ConnectionId) {
        let Some(position) = self.positions.remove(&id) else { return };
        self.members.swap_remove(position);
        if let Some((moved, _)) = self.members.get(position) {
            self.positions.insert(*moved, position);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.gathered.pieces > 0
    }

    pub(super) fn has_room_for(&self, frames: &Bytes) -> bool {
        !self.has_unsent() || self.gathered.len() + frames.len() <= GATHER
    }

    pub(super) fn add(&mut self, frames: Bytes, except: Option<ConnectionId>) {
        let gathered = &mut self.gathered;
        let start = gathered.len();
        // Nobody is kept from what a non-member sends.
        if let Some(id) = except.filter(|id| self.positions.contains_key(id)) {
            gathered.withheld.push((start..start + frames.len(), id));
        }
        match gathered.pieces {
            0 => gathered.first = frames,
            pieces => {
                if pieces == 1 {
                    gathered.joined.extend_from_slice(&std::mem::take(&mut gathered.first));
                }
                gathered.joined.extend_from_slice(&frames);
            }
        }
        gathered.pieces += 1;
    }

    /// Gives each member what the turn has gathered: all of it as one piece, but for those who must not get some.
    pub(super) fn deliver(&mut self, out: &mut impl Deliver<L>) {
        if !self.has_unsent() {
            return;
        }
        let Gathered { first, joined, withheld, .. } = std::mem::take(&mut self.gathered);
        let frames = if joined.is_empty() { first } else { Bytes::from(joined) };
        let mut withheld: Vec<(usize, Range<usize>)> =
            withheld.into_iter().filter_map(|(range, id)| Some((*self.positions.get(&id)?, range))).collect();
        // Stable: one member's parts stay in ascending order.
        withheld.sort_by_key(|(position, _)| *position);
        let mut next = 0;
        for withheld in withheld.chunk_by(|(a, _), (b, _)| a == b) {
            let position = withheld[0].0;
            self.members[next..position].iter().for_each(|(_, line)| out.deliver(line, &frames));
            deliver_around(withheld, &frames, &self.members[position].1, out);
            next = position + 1;
        }
        self.members[next..].iter().for_each(|(_, line)| out.deliver(line, &frames));
    }
}

/// The parts of `frames` between those withheld.
fn deliver_around<L>(
    withheld: &[(usize, Range<usize>)],
    frames: &Bytes,
    line: &L,
    out: &mut impl Deliver<L>,
) {
    let mut start = 0;
    let end = frames.len()..frames.len();
    for range in withheld.iter().map(|(_, range)| range).chain([&end]) {
        if start < range.start {
            out.deliver(line, &frames.slice(start..range.start));
        }
        start = range.end;
    }
}

impl Gathered {
    fn len(&self) -> usize {
        if self.pieces == 1 { self.first.len() } else { self.joined.len() }
    }
}
