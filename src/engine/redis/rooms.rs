//! The open rooms as the hub was told of them, so that it is told no hole, no rumour and nothing twice. Pure.

use crate::engine::{Member, Name, Notice, Stored};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// When Redis has lost who is in a room, every server says it again within 10 s of its refreshing. Until then those who are
/// missing are not believed to be away.
const DOUBT: Duration = Duration::from_secs(12);

/// A room whose state could not be told is asked for again after that time.
const AGAIN: Duration = Duration::from_secs(5);

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
    /// When to ask again as there was no answer.
    again: Option<Instant>,
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
        room.again = None;
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

    /// There is no answer; which room it is about.
    pub(super) fn no_answer(&mut self, mark: u64, now: Instant) -> Option<Name> {
        let name = self.marks.remove(&mark)?;
        let room = self.open.get_mut(&name)?;
        (room.awaits, room.again) = (None, Some(now + AGAIN));
        Some(name)
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
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let is_due = |room: &Room| room.awaits.is_none() && (is_past(room.doubt) || is_past(room.again));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(offset: u64) -> Stored {
        Stored { offset, time: 0, element: "{}".into() }
    }

    fn state(epoch: &str, offset: u64, members: &[(&str, &[(&str, usize)])]) -> State {
        let users =
            |users: &[(&str, usize)]| users.iter().map(|(user, some)| ((*user).into(), *some)).collect();
        let members = members.iter().map(|(node, at)| ((*node).into(), users(at))).collect();
        State { epoch: epoch.into(), offset, messages: (1..=offset).map(stored).collect(), members }
    }

    /// Who is told to be in a room, as `node/user connections`.
    fn members(notice: Option<Notice>) -> Vec<String> {
        let Some(Notice::State { members, .. }) = notice else { panic!("{notice:?}") };
        members
            .iter()
            .map(|member| format!("{}/{} {}", member.node, member.user, member.connections))
            .collect()
    }

    fn open(rooms: &mut Rooms, state: State, now: Instant) -> Option<Notice> {
        let (mark, _) = rooms.ask(&"tea".into());
        rooms.answer(mark, state);
        rooms.mark(mark, |node| node != "dead", now)
    }

    #[test]
    fn what_the_state_holds_is_not_told_again() {
        let (mut rooms, tea, now): (_, Name, _) = (Rooms::default(), "tea".into(), Instant::now());
        let (mark, told) = rooms.ask(&tea);
        assert_eq!((told, rooms.is_settled()), (None, false));
        assert_eq!(rooms.message(&tea, "e".into(), stored(1)), Outcome::Nothing);
        let ann = Member { node: "a".into(), user: "ann".into(), connections: 1 };
        assert_eq!(rooms.presence(&tea, ann, false), None);
        rooms.answer(mark, state("e", 2, &[]));
        assert_eq!(rooms.message(&tea, "e".into(), stored(2)), Outcome::Nothing);
        assert_eq!(rooms.mark(mark + 1, |_| true, now), None);
        let Some(Notice::State { room, epoch, offset: 2, messages, .. }) = rooms.mark(mark, |_| true, now)
        else {
            panic!()
        };
        assert_eq!((&*room, &*epoch, messages.len(), rooms.is_settled()), ("tea", "e", 2, true));
        let told = Notice::Message { room: tea.clone(), epoch: "e".into(), message: stored(3) };
        assert_eq!(rooms.message(&tea, "e".into(), stored(3)), Outcome::Tell(told));
        assert_eq!(rooms.message(&"other".into(), "e".into(), stored(3)), Outcome::Nothing);
        // Asked once more before the first answer: only the second one counts.
        let (first, told) = rooms.ask(&tea);
        assert_eq!(told, Some(("e".into(), 3)));
        let (second, _) = rooms.ask(&tea);
        rooms.answer(first, state("e", 3, &[]));
        assert_eq!(rooms.mark(first, |_| true, now), None);
        rooms.answer(second, state("e", 4, &[]));
        assert!(rooms.mark(second, |_| true, now).is_some());
        rooms.close("tea");
        assert_eq!(rooms.message(&tea, "e".into(), stored(5)), Outcome::Nothing);
        assert_eq!(rooms.ask(&tea).1, None);
        rooms.forget_asked();
        assert!(rooms.is_settled());
    }

    #[test]
    fn an_offset_that_was_told_is_not_told_with_another_message() {
        let (mut rooms, tea, now): (_, Name, _) = (Rooms::default(), "tea".into(), Instant::now());
        open(&mut rooms, state("e", 3, &[]), now);
        assert_eq!(rooms.message(&tea, "e".into(), stored(3)), Outcome::Ask);
        assert_eq!(rooms.ask(&tea).1, Some(("e".into(), u64::MAX)), "more than Redis can have");
        open(&mut rooms, state("f", 3, &[]), now);
        assert!(matches!(rooms.message(&tea, "g".into(), stored(1)), Outcome::Tell(_)), "a new epoch");
        assert!(matches!(rooms.message(&tea, "f".into(), stored(4)), Outcome::Tell(_)));
    }

    #[test]
    fn who_is_missing_at_a_server_that_is_alive_is_doubted_first() {
        let (mut rooms, now) = (Rooms::default(), Instant::now());
        let both = [("a", &[("ann", 1), ("abe", 2)][..]), ("b", &[("bob", 1)]), ("dead", &[("dan", 1)])];
        assert_eq!(members(open(&mut rooms, state("e", 0, &both), now)), ["a/abe 2", "a/ann 1", "b/bob 1"]);
        // Redis has lost what was there of b; what it has of a is all that there is of a.
        let some = [("a", &[("ann", 1)][..])];
        assert_eq!(members(open(&mut rooms, state("f", 0, &some), now)), ["a/ann 1", "b/bob 1"]);
        let due = now + DOUBT;
        assert!(rooms.doubtful(due - Duration::from_millis(1)).is_empty());
        // Asking for another reason meanwhile changes nothing.
        assert_eq!(members(open(&mut rooms, state("f", 0, &some), due - Duration::from_millis(1))).len(), 2);
        assert_eq!(rooms.doubtful(due), [Name::from("tea")]);
        assert_eq!(members(open(&mut rooms, state("f", 0, &some), due)), ["a/ann 1"]);
        assert!(rooms.doubtful(due + DOUBT).is_empty());
        rooms.gone("a");
        assert!(members(open(&mut rooms, state("f", 0, &[]), due)).is_empty());
        assert!(rooms.doubtful(due + DOUBT).is_empty());
    }

    #[test]
    fn of_all_users_at_a_server_what_is_new_is_told() {
        let (mut rooms, tea): (_, Name) = (Rooms::default(), "tea".into());
        open(
            &mut rooms,
            state("e", 0, &[("a", &[("ann", 1), ("abe", 2)]), ("b", &[("ann", 1)])]),
            Instant::now(),
        );
        let all = |rooms: &mut Rooms, users: &[(&str, usize)]| {
            let users = users.iter().map(|(user, some)| ((*user).into(), *some)).collect();
            let told = rooms.users(&tea, &"a".into(), users);
            let told = told.iter().map(|notice| match notice {
                Notice::Presence { member, left: false, .. } => {
                    format!("{} {}", member.user, member.connections)
                }
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        assert!(all(&mut rooms, &[("ann", 1), ("abe", 2)]).is_empty());
        assert_eq!(all(&mut rooms, &[("ann", 2), ("new", 1)]), ["ann 2", "new 1", "abe 0"]);
        assert_eq!(all(&mut rooms, &[]), ["ann 0", "new 0"]);
        assert!(rooms.users(&"other".into(), &"a".into(), vec![("x".into(), 1)]).is_empty());
    }
}
