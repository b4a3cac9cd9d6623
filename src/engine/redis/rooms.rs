//! The open rooms as the hub was told of them, so that it is told no hole, no rumour and nothing twice. Pure.

use crate::engine::{Member, Name, Notice, Stored};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// When Redis has lost who is in a room, every server says it again within 10 s of its refreshing. Until then those who are
/// missing are not believed to be away.
const DOUBT: Duration = Duration::from_secs(12);

/// A place in a history.
pub(super) type Place = (Name, u64);

/// What Redis has of a room.
#[derive(Debug)]
pub(super) struct State {
    pub(super) epoch: Name,
    pub(super) offset: u64,
    pub(super) messages: Vec<Stored>,
    /// By server.
    pub(super) members: Vec<(Name, Vec<(Name, usize)>)>,
}

/// What comes of something that was heard.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Tell(Notice),
    Nothing,
    /// It does not fit with what was told: the room's state is needed.
    Ask,
}

#[derive(Default)]
pub(super) struct Rooms {
    open: HashMap<Name, Room>,
    /// Whose state comes with which mark.
    marks: HashMap<u64, Name>,
    last_mark: u64,
}

#[derive(Default)]
struct Room {
    told: Option<Place>,
    /// By server and user.
    members: BTreeMap<(Name, Name), usize>,
    awaits: Option<Awaited>,
    /// When to ask again for servers of which nothing was there.
    doubt: Option<Instant>,
}

struct Awaited {
    mark: u64,
    state: Option<State>,
}

impl Rooms {
    /// The room's state is asked for; the mark for it, and what was told before.
    pub(super) fn ask(&mut self, name: &Name) -> (u64, Option<Place>) {
        self.last_mark += 1;
        let mark = self.last_mark;
        let room = self.open.entry(name.clone()).or_default();
        if let Some(before) = room.awaits.replace(Awaited { mark, state: None }) {
            self.marks.remove(&before.mark);
        }
        self.marks.insert(mark, name.clone());
        (mark, room.told.clone())
    }

    pub(super) fn close(&mut self, name: &str) {
        if let Some(awaited) = self.open.remove(name).and_then(|room| room.awaits) {
            self.marks.remove(&awaited.mark);
        }
    }

    pub(super) fn keep(&mut self, is_wanted: impl Fn(&Name) -> bool) {
        self.open.retain(|name, _| is_wanted(name));
    }

    /// No answer will come any more.
    pub(super) fn forget_asked(&mut self) {
        self.marks.clear();
        self.open.values_mut().for_each(|room| room.awaits = None);
    }

    /// Nobody waits for a state.
    pub(super) fn is_settled(&self) -> bool {
        self.marks.is_empty()
    }

    /// The answer, which holds all that is heard before its mark.
    pub(super) fn answer(&mut self, mark: u64, state: State) {
        let room = self.marks.get(&mark).and_then(|name| self.open.get_mut(name));
        if let Some(awaited) = room.and_then(|room| room.awaits.as_mut()) {
            awaited.state = Some(state);
        }
    }

    pub(super) fn mark(
        &mut self,
        mark: u64,
        is_alive: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Option<Notice> {
        let name = self.marks.remove(&mark)?;
        let room = self.open.get_mut(&name)?;
        let state = room.awaits.take()?.state?;
        room.told = Some((state.epoch.clone(), state.offset));
        room.meet(state.members, is_alive, now);
        let members = room.members.iter().map(|((node, user), connections)| Member {
            node: node.clone(),
            user: user.clone(),
            connections: *connections,
        });
        let (members, State { epoch, offset, messages, .. }) =
            (members.collect(), State { members: Vec::new(), ..state });
        Some(Notice::State { room: name, epoch, offset, messages, members })
    }

    pub(super) fn message(&mut self, name: &Name, epoch: Name, message: Stored) -> Outcome {
        let Some(room) = self.open.get_mut(name).filter(|room| room.awaits.is_none()) else {
            return Outcome::Nothing;
        };
        let Some((told, offset)) = &mut room.told else { return Outcome::Nothing };
        if *told == epoch && message.offset <= *offset {
            // Redis' history has gone back: this is another message than was told with this offset. Whatever Redis says now,
            // more was told.
            *offset = u64::MAX;
            return Outcome::Ask;
        }
        if *told == epoch && message.offset == *offset + 1 {
            *offset = message.offset;
        }
        Outcome::Tell(Notice::Message { room: name.clone(), epoch, message })
    }

    pub(super) fn presence(&mut self, name: &Name, member: Member, left: bool) -> Option<Notice> {
        let room = self.open.get_mut(name).filter(|room| room.awaits.is_none())?;
        let key = (member.node.clone(), member.user.clone());
        match member.connections {
            0 => drop(room.members.remove(&key)),
            some => drop(room.members.insert(key, some)),
        }
        Some(Notice::Presence { room: name.clone(), member, left })
    }

    /// All users of a room at a server: what is new in that.
    pub(super) fn users(&mut self, name: &Name, node: &Name, users: Vec<(Name, usize)>) -> Vec<Notice> {
        let Some(room) = self.open.get_mut(name).filter(|room| room.awaits.is_none()) else {
            return Vec::new();
        };
        let mut known = room.take(node);
        let mut changed = Vec::new();
        for (user, connections) in users {
            if known.remove(&user) != Some(connections) {
                changed.push((user.clone(), connections));
            }
            room.members.insert((node.clone(), user), connections);
        }
        changed.extend(known.into_keys().map(|user| (user, 0)));
        let member = |(user, connections)| Member { node: node.clone(), user, connections };
        let notice = |member| Notice::Presence { room: name.clone(), member, left: false };
        changed.into_iter().map(member).map(notice).collect()
    }

    /// A server is no more.
    pub(super) fn gone(&mut self, node: &str) {
        self.open.values_mut().for_each(|room| drop(room.take(node)));
    }

    /// Rooms that should be asked for again.
    pub(super) fn doubtful(&self, now: Instant) -> Vec<Name> {
        let is_due = |room: &Room| room.awaits.is_none() && room.doubt.is_some_and(|at| at <= now);
        self.open.iter().filter(|(_, room)| is_due(room)).map(|(name, _)| name.clone()).collect()
    }
}

impl Room {
    /// Takes out who is there at a server.
    fn take(&mut self, node: &str) -> BTreeMap<Name, usize> {
        let taken = self.members.extract_if(.., |(at, _), _| **at == *node);
        taken.map(|((_, user), connections)| (user, connections)).collect()
    }

    /// Who is there by what Redis has. Servers that are alive, and of which it has nothing, are as they were for a while.
    fn meet(
        &mut self,
        members: Vec<(Name, Vec<(Name, usize)>)>,
        is_alive: impl Fn(&str) -> bool,
        now: Instant,
    ) {
        let before = std::mem::take(&mut self.members);
        let is_listed = |node: &Name| members.iter().any(|(listed, _)| listed == node);
        let in_doubt = before.into_iter().filter(|((node, _), _)| is_alive(node) && !is_listed(node));
        if self.doubt.is_some_and(|at| at <= now) {
            self.doubt = None;
        } else {
            self.members = in_doubt.collect();
            self.doubt = (!self.members.is_empty()).then(|| self.doubt.unwrap_or(now + DOUBT));
        }
        for (node, users) in members.into_iter().filter(|(node, _)| is_alive(node)) {
            self.members
                .extend(users.into_iter().map(|(user, connections)| ((node.clone(), user), connections)));
        }
    }
}
