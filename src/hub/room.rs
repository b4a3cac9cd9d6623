//! One room: its members, and the frames that the present turn has gathered for them.

use super::{ConnectionId, Deliver, Frames, View};
use std::collections::HashMap;
use std::mem::take;
use std::ops::Range;
use tungstenite::Bytes;

/// Bytes that a room gathers in one turn before it delivers them. Frames larger than this travel alone, uncopied;
/// much larger pieces would only make the outboxes' bound coarse.
const GATHER: usize = 256 * 1024;

/// Bytes of what is gathered that a leaver gets a copy of; of more, all members get their piece, which they share.
const COPY: usize = 16 * 1024;

pub(super) struct Room<L> {
    members: Vec<Member<L>>,
    /// Where each member stands in `members`.
    positions: HashMap<ConnectionId, usize>,
    gathered: Gathered,
}

struct Member<L> {
    id: ConnectionId,
    line: L,
    compressed: bool,
    /// Boxed twice, as few members have one and all are walked over.
    view: Option<Box<View>>,
}

/// Frames of one turn, laid end to end.
#[derive(Default)]
struct Gathered {
    plain: Track,
    /// The same messages for members that take compressed frames; there once one was compressed.
    compressed: Option<Track>,
    withheld: Vec<Withheld>,
}

/// Whom a part is not for, and where it lies in both tracks.
struct Withheld {
    from: ConnectionId,
    plain: Range<usize>,
    compressed: Range<usize>,
}

#[derive(Clone, Default)]
struct Track {
    pieces: usize,
    /// The only piece so far: passed on as it is, without a copy.
    first: Bytes,
    /// All pieces, when there are several.
    joined: Vec<u8>,
}

impl<L> Default for Room<L> {
    fn default() -> Self {
        Self { members: Vec::new(), positions: HashMap::new(), gathered: Gathered::default() }
    }
}

impl<L> Room<L> {
    /// `false` when it was a member before; it has this view now. What was sent before is not for a newcomer.
    pub(super) fn join(
        &mut self,
        id: ConnectionId,
        line: L,
        compressed: bool,
        view: Option<Box<View>>,
        out: &mut impl Deliver<L>,
    ) -> bool {
        if let Some(&position) = self.positions.get(&id) {
            // What was sent before is seen as it was then.
            self.deliver(out);
            self.members[position].view = view;
            return false;
        }
        // Not delivered now: when thousands come in one turn, each would be told of each by a piece of its own.
        if self.has_unsent() {
            let gathered = &mut self.gathered;
            let (plain, compressed) = (0..gathered.plain.len(), 0..gathered.track(true).len());
            gathered.withheld.push(Withheld { from: id, plain, compressed });
        }
        self.positions.insert(id, self.members.len());
        self.members.push(Member { id, line, compressed, view });
        true
    }

    /// What was sent before is still for the leaver; to it alone, unless it is much.
    pub(super) fn leave(&mut self, id: ConnectionId, out: &mut impl Deliver<L>) {
        if COPY < self.gathered.plain.len() {
            self.deliver(out);
        }
        let Some(position) = self.positions.remove(&id) else { return };
        let mut leaver = self.members.swap_remove(position);
        if let Some(moved) = self.members.get(position) {
            self.positions.insert(moved.id, position);
        }
        let withheld: Vec<Withheld> = self.gathered.withheld.extract_if(.., |part| part.from == id).collect();
        if self.has_unsent() {
            let compressed = leaver.takes_compressed();
            let ranges = withheld.iter().map(|part| part.range(compressed));
            leaver.deliver_around(ranges, &self.gathered.track(compressed).so_far(), out);
        }
    }

    pub(super) fn close(&self, frame: &Bytes, out: &mut impl Deliver<L>) {
        self.members.iter().for_each(|member| out.close(&member.line, frame));
    }

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.positions.contains_key(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn has_unsent(&self) -> bool {
        0 < self.gathered.plain.pieces
    }

    /// Adds to what is delivered at the turn's end. `true`: it is the first of it.
    pub(super) fn gather(
        &mut self,
        frames: Frames,
        except: Option<ConnectionId>,
        out: &mut impl Deliver<L>,
    ) -> bool {
        let is_first = !self.has_unsent();
        if GATHER < self.gathered.plain.len() + frames.plain.len() {
            self.deliver(out);
        }
        let gathered = &mut self.gathered;
        if frames.compressed.is_some() && gathered.compressed.is_none() {
            gathered.compressed = Some(gathered.plain.clone());
        }
        let plain_too = || frames.plain.clone();
        let compressed =
            gathered.compressed.as_mut().map(|track| track.add(frames.compressed.unwrap_or_else(plain_too)));
        let plain = gathered.plain.add(frames.plain);
        // Nobody is kept from what a non-member sends.
        if let Some(from) = except.filter(|id| self.positions.contains_key(id)) {
            // Until something is compressed both tracks are the same.
            let compressed = compressed.unwrap_or_else(|| plain.clone());
            gathered.withheld.push(Withheld { from, plain, compressed });
        }
        is_first
    }

    /// Gives each member what the turn has gathered: all of it as one piece, but for those who must not get some.
    pub(super) fn deliver(&mut self, out: &mut impl Deliver<L>) {
        if !self.has_unsent() {
            return;
        }
        let Gathered { plain, compressed, withheld } = take(&mut self.gathered);
        let frames = Frames { plain: plain.into(), compressed: compressed.map(Bytes::from) };
        let mut withheld: Vec<(usize, Withheld)> = withheld
            .into_iter()
            .filter_map(|withheld| Some((*self.positions.get(&withheld.from)?, withheld)))
            .collect();
        // Stable: one member's parts stay in ascending order.
        withheld.sort_by_key(|(position, _)| *position);
        let all = |members: &mut [Member<L>], out: &mut _| {
            members.iter_mut().for_each(|to| to.deliver(frames.fit(to.takes_compressed()), out));
        };
        let mut next = 0;
        for withheld in withheld.chunk_by(|(a, _), (b, _)| a == b) {
            let position = withheld[0].0;
            all(&mut self.members[next..position], out);
            let to = &mut self.members[position];
            let compressed = to.takes_compressed();
            let ranges = withheld.iter().map(|(_, part)| part.range(compressed));
            to.deliver_around(ranges, frames.fit(compressed), out);
            next = position + 1;
        }
        all(&mut self.members[next..], out);
    }
}

impl Gathered {
    /// Until something is compressed both are the same.
    fn track(&self, compressed: bool) -> &Track {
        self.compressed.as_ref().filter(|_| compressed).unwrap_or(&self.plain)
    }
}

impl Withheld {
    fn range(&self, compressed: bool) -> Range<usize> {
        if compressed { self.compressed.clone() } else { self.plain.clone() }
    }
}

impl<L> Member<L> {
    /// A view looks into frames, so it gets them plain.
    fn takes_compressed(&self) -> bool {
        self.compressed && self.view.is_none()
    }

    fn deliver(&mut self, frames: &Bytes, out: &mut impl Deliver<L>) {
        let Some(view) = &mut self.view else { return out.deliver(&self.line, frames) };
        match (view.0)(frames) {
            Ok(frames) if frames.is_empty() => {}
            Ok(frames) => out.deliver(&self.line, &frames),
            Err(close) => {
                view.0 = Box::new(|_| Ok(Bytes::new()));
                out.close(&self.line, &close);
            }
        }
    }

    /// The parts of `frames` between those withheld.
    fn deliver_around(
        &mut self,
        withheld: impl Iterator<Item = Range<usize>>,
        frames: &Bytes,
        out: &mut impl Deliver<L>,
    ) {
        let mut start = 0;
        let end = frames.len();
        for range in withheld.chain(std::iter::once(end..end)) {
            if start < range.start {
                self.deliver(&frames.slice(start..range.start), out);
            }
            start = range.end;
        }
    }
}

impl Track {
    /// Where the piece lies.
    fn add(&mut self, frames: Bytes) -> Range<usize> {
        let start = self.len();
        let end = start + frames.len();
        if self.pieces == 0 {
            self.first = frames;
        } else {
            if self.pieces == 1 {
                self.joined.extend_from_slice(&take(&mut self.first));
            }
            self.joined.extend_from_slice(&frames);
        }
        self.pieces += 1;
        start..end
    }

    fn so_far(&self) -> Bytes {
        if self.pieces == 1 { self.first.clone() } else { Bytes::copy_from_slice(&self.joined) }
    }

    fn len(&self) -> usize {
        if self.pieces == 1 { self.first.len() } else { self.joined.len() }
    }
}

impl From<Track> for Bytes {
    fn from(track: Track) -> Self {
        if track.pieces == 1 { track.first } else { track.joined.into() }
    }
}
