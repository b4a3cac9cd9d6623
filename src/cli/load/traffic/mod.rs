//! Fan-out, echo and stalled readers: what senders send must reach everybody in their room, once and in order.
//!
//! Echo is fan-out in rooms of one. What is sent is in `sending`, what comes is judged in `receiving`.

mod receiving;
mod sender;
mod sending;
mod v1;

use super::connection::End;
use super::driver::{Scenario, Work};
use super::lines::Lines;
use super::opener::Opener;
use super::options::Mode;
use super::order::Order;
use super::pace::Pace;
use super::pool::{Handler, Pool};
use super::shared::{Shared, Stage};
use super::tally::Tally;
use sender::Sender;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem::take;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use switchboard::Message;
use v1::Offsets;

/// How long members may take to find out that they are in their rooms.
const JOIN: Duration = Duration::from_secs(10);
/// How often it is looked whether all has arrived.
const LOOK: Duration = Duration::from_millis(10);

/// Who has not read for long has read it all when nothing comes for so long. What the server said last is why it was cut.
const QUIET: Duration = Duration::from_millis(200);

pub(super) struct Traffic<'a> {
    shared: &'a Shared,
    lines: &'a Lines,
    thread: usize,
    opener: Opener<'a>,
    /// By place.
    members: Vec<Member>,
    /// By place: the first ones of the thread send.
    senders: Vec<Sender>,
    pace: Option<Pace>,
    /// At a rate: when which place is looked at next.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Places whose senders may be able to go on.
    ready: Vec<usize>,
    looked: Instant,
    /// The time that is measured, once that is known.
    measured: (Instant, Instant),
    /// Deliveries that the progress bar does not know of yet.
    delivered: u64,
    /// When something of ours came last.
    arrived: Instant,
    /// When something came last for those that have not read for long.
    caught_up: Instant,
    probed: Option<(Instant, Duration)>,
    entered: Instant,
    stage: Stage,
    tally: Tally,
}

/// A connection as a receiver.
struct Member {
    room: usize,
    /// What it has of each sender of its room.
    orders: Vec<Order>,
    state: State,
    /// There for `switchboard.v1`, once it has joined.
    offsets: Option<Offsets>,
    /// When the server cut it, if it reads nothing.
    was_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in its room yet, as far as we know.
    Outside,
    /// Messages are due to it.
    Inside,
    /// It reads nothing, and nothing is due to it.
    Stalled,
    Gone,
}

impl<'a> Traffic<'a> {
    pub(super) fn new(shared: &'a Shared, lines: &'a Lines, thread: usize, places: usize) -> Self {
        let (plan, opener) = (&shared.plan, Opener::new(shared, thread));
        let member = |place: usize| {
            let connection = opener.connection(place);
            let room = plan.room_of(connection);
            let is_stalled = plan.is_stalled(connection);
            let senders = if is_stalled { 0 } else { plan.senders_of(room).count() };
            Member {
                room,
                orders: (0..senders).map(|_| Order::default()).collect(),
                state: if is_stalled { State::Stalled } else { State::Outside },
                offsets: None,
                was_cut: false,
            }
        };
        let members = (0..places).map(member).collect();
        let senders = (0..places).take_while(|place| opener.connection(*place) < plan.senders);
        Self {
            shared,
            lines,
            thread,
            members,
            senders: senders.map(|_| Sender::default()).collect(),
            pace: plan.pace(),
            due: BinaryHeap::new(),
            ready: Vec::new(),
            looked: shared.base,
            measured: (shared.base, shared.base),
            delivered: 0,
            arrived: shared.base,
            caught_up: shared.base,
            probed: None,
            entered: shared.base,
            stage: Stage::Open,
            tally: Tally::default(),
            opener,
        }
    }

    /// The member is in its room: from now on messages are due to it.
    fn joined(&mut self, place: usize) {
        let member = &mut self.members[place];
        if member.state == State::Outside {
            member.state = State::Inside;
            self.lines.join(member.room);
        }
    }

    /// Its connection has ended: nothing is due to it any more.
    fn left(&mut self, place: usize) {
        let (plan, connection) = (&self.shared.plan, self.opener.connection(place));
        let member = &mut self.members[place];
        if member.state == State::Inside {
            self.lines.leave(member.room);
            for (order, sender) in member.orders.iter().zip(plan.senders_of(member.room)) {
                if plan.hears(connection, sender) {
                    self.lines.settle(sender, order.missing(self.lines.sent(sender)));
                }
            }
        }
        member.state = State::Gone;
        if place < self.senders.len() {
            self.lines.end(connection);
        }
    }

    fn is_joining_done(&mut self, pool: &mut Pool, now: Instant) -> bool {
        let is_outside = |member: &Member| member.state == State::Outside;
        if !self.members.iter().any(is_outside) {
            return true;
        }
        if now < self.entered + JOIN {
            return false;
        }
        let reason = match self.shared.plan.protocol {
            Some(_) => "`join` was not replied to: is this the path of `switchboard.v1`, as /ws?",
            None => {
                "got nothing of what was sent into its room: does this path pass messages on to all, as /room/load?"
            }
        };
        for place in 0..self.members.len() {
            if is_outside(&self.members[place]) {
                self.outside(pool, place, reason);
            }
        }
        true
    }

    /// The member will not come into its room.
    fn outside(&mut self, pool: &mut Pool, place: usize, reason: &str) {
        self.left(place);
        pool.cut(place);
        self.tally.broken.unopened += 1;
        self.tally.failures.add(reason, 1);
        // What could be measured now is not what was asked for.
        self.shared.give_up();
    }

    /// Whether everything that can be expected has arrived, or nothing has come for too long.
    fn is_settled(&mut self, pool: &Pool, now: Instant) -> bool {
        let patience = self.shared.plan.patience;
        if self.arrived.max(self.entered) + patience <= now {
            return true;
        }
        if now < self.looked + LOOK {
            return false;
        }
        self.looked = now;
        if 0 < self.shared.plan.stalled && now < self.caught_up.max(self.entered) + QUIET {
            return false;
        }
        let unanswered = self.senders.iter().enumerate();
        let unanswered = unanswered.filter(|(place, _)| pool.is_open(*place));
        unanswered.map(|(_, sender)| sender.unanswered()).sum::<usize>() == 0 && self.lost() == 0
    }

    /// Messages that have not come, counted for each receiver.
    fn lost(&self) -> u64 {
        let plan = &self.shared.plan;
        let members = self.members.iter().enumerate().filter(|(_, member)| member.state == State::Inside);
        let pairs = members.flat_map(|(place, member)| {
            let connection = self.opener.connection(place);
            let heard = member.orders.iter().zip(plan.senders_of(member.room));
            heard.filter(move |(_, sender)| plan.hears(connection, *sender))
        });
        // What was refused is missing everywhere.
        let lost = |(order, sender): (&Order, usize)| {
            order.missing(self.lines.required(sender)).saturating_sub(self.lines.refused(sender))
        };
        pairs.map(lost).sum()
    }

    /// What is missing now will not come any more.
    fn conclude(&mut self) {
        self.tally.broken.lost = self.lost();
        let unanswered = self.senders.iter().map(|sender| sender.unanswered() as u64).sum();
        self.tally.broken.unacknowledged = unanswered;
    }
}

impl Handler for Traffic<'_> {
    fn opened(&mut self, pool: &mut Pool, place: usize, took: Duration, _: Instant) {
        self.opener.opened(took, &mut self.tally);
        if self.shared.plan.protocol.is_some() {
            let room = self.room_name(self.members[place].room);
            pool.send(place, Message::text(v1::join(&room)));
        } else if self.members[place].state == State::Stalled {
            pool.pause(place);
        } else if self.shared.plan.mode == Mode::Echo {
            self.joined(place);
        }
    }

    fn message(&mut self, pool: &mut Pool, place: usize, message: Message, now: Instant) {
        self.receive(pool, place, &message, now);
    }

    fn cut(&mut self, place: usize, now: Instant) {
        let member = &mut self.members[place];
        if !member.was_cut {
            member.was_cut = true;
            self.tally.cut.add(now.saturating_duration_since(self.shared.begun()));
        }
    }

    fn ended(&mut self, _: &mut Pool, place: usize, end: End, was_open: bool, _: Instant) {
        let state = self.members[place].state;
        self.left(place);
        if !was_open {
            self.opener.failed(&end, &mut self.tally);
        } else if state == State::Stalled {
            // That is the answer to our own Close frame.
            let was_left = end == End::Closed(1000, String::new());
            self.tally.stalled.add(&if was_left { "not cut".into() } else { end.text() }, 1);
        } else if self.stage < Stage::Close {
            self.tally.broken.ended += 1;
            self.tally.fail(&end);
        }
    }
}

impl Scenario for Traffic<'_> {
    fn enter(&mut self, pool: &mut Pool, stage: Stage, now: Instant) {
        (self.stage, self.entered) = (stage, now);
        match stage {
            // Who did not come about is in no room.
            Stage::Join => (0..self.members.len())
                .filter(|place| pool.is_free(*place))
                .for_each(|place| self.left(place)),
            Stage::Run => self.start(),
            Stage::Settle => {
                self.stop_sending(now);
                let stalled =
                    (0..self.members.len()).filter(|place| self.members[*place].state == State::Stalled);
                stalled.for_each(|place| pool.resume(place));
            }
            Stage::Close => self.conclude(),
            Stage::Open | Stage::Over => {}
        }
    }

    fn work(&mut self, pool: &mut Pool, stage: Stage, now: Instant) -> Work {
        self.shared.live.delivered.fetch_add(take(&mut self.delivered), Relaxed);
        match stage {
            Stage::Open => self.opener.work(pool, &mut self.tally),
            Stage::Join if self.is_joining_done(pool, now) => Work::Done,
            Stage::Join => Work::Until(self.probe(pool, now)),
            Stage::Run => {
                let (_, end) = self.measured;
                let next = self.go_on(pool, now, end);
                let is_alone = self.members.iter().all(|member| member.state != State::Inside);
                if end <= now || is_alone { Work::Done } else { Work::Until(next.min(end)) }
            }
            Stage::Settle if self.is_settled(pool, now) => Work::Done,
            Stage::Settle => Work::Until(now + LOOK),
            Stage::Close | Stage::Over => Work::Done,
        }
    }

    fn tally(self) -> Tally {
        self.tally
    }
}
