//! What the publisher says to Redis, each command with what its answer is for.

use super::batch::{Batch, Script, Scripts};
use super::desk::Moved;
use super::names::{LISTENERS, listener};
use super::{Line, heard};
use crate::engine::{Address, Name, Publish, RoomRules, Ticket};
use ::redis::{Cmd, cmd};
use std::time::Duration;

/// What a server has in Redis lives so long unless it is kept up.
const LIFE: Duration = Duration::from_secs(30);

/// A room's messages are forgotten so long after the last one is too old.
const AFTERLIFE: Duration = Duration::from_secs(60);

/// Entries in one command.
const ENTRIES: usize = 1000;

/// What an answer is for.
pub(super) enum Then {
    Publish(Ticket, Name),
    Tell(Option<Ticket>),
    /// To those of a channel, which this server may hear itself.
    TellOthers {
        ticket: Ticket,
        hears_itself: bool,
    },
    /// Of the room's users.
    Presence(Name),
    Listen,
    Beat,
    Refresh(Name),
    Nothing,
}

/// Commands that go together.
pub(super) type Commands = Batch<Then>;

/// Writes commands.
pub(super) struct Writer<'a> {
    pub(super) line: &'a Line,
    pub(super) scripts: Scripts,
    pub(super) life: String,
}

impl Writer<'_> {
    pub(super) fn publish(&self, ticket: Ticket, publish: &Publish, to: &mut Commands) {
        let (names, room, rules) = (&self.line.names, &publish.room, &publish.rules);
        let mut command = self.scripts.call(Script::Publish, &[&names.head(room), &names.messages(room)]);
        history(&mut command, self.line, &self.life, rules);
        command.arg(names.live(room)).arg(publish.scoped_key().as_deref().unwrap_or_default());
        command.arg(publish.time).arg(publish.after_offset());
        to.add(&command, Then::Publish(ticket, room.clone()));
    }

    pub(super) fn tell(&self, ticket: Option<Ticket>, address: &Address, note: &[u8], to: &mut Commands) {
        let names = &self.line.names;
        if let Some(listener) = listener(address) {
            let mut command = self.scripts.call(Script::Tell, &[&names.servers()]);
            command.arg(&**names.node()).arg(names.server()).arg(LISTENERS).arg(&listener);
            command.arg(heard::note(&listener, note)).arg(millis(LIFE)).arg(names.to_server());
            return to.add(&command, Then::Tell(ticket));
        }
        let (channel, hears_itself) = match address {
            Address::Room(room) => (names.plain(room), self.line.desk.has_plain(room)),
            _ => (names.to_all(), true),
        };
        let then = ticket.map_or(Then::Nothing, |ticket| Then::TellOthers { ticket, hears_itself });
        to.add(cmd("PUBLISH").arg(channel).arg(heard::to_others(names.node(), note)), then);
    }

    /// The subscriber has something to do.
    pub(super) fn wake(&self, to: &mut Commands) {
        to.add(cmd("PUBLISH").arg(self.line.names.to_me()).arg(heard::WAKE), Then::Nothing);
    }

    pub(super) fn presence(&self, moved: &Moved, to: &mut Commands) {
        let mut command = self.of_users(Script::Presence, &moved.room);
        command.arg(&*moved.user).arg(moved.connections).arg(u8::from(moved.left));
        to.add(&command, Then::Presence(moved.room.clone()));
    }

    /// All who are in a room here.
    pub(super) fn announce(&self, room: &Name, to: &mut Commands) {
        let mut command = self.of_users(Script::Announce, room);
        for (user, connections) in self.line.desk.present(room) {
            command.arg(connections).arg(&*user);
        }
        to.add(&command, Then::Nothing);
    }

    fn of_users(&self, script: Script, room: &str) -> Cmd {
        let names = &self.line.names;
        let mut command = self.scripts.call(script, &[&names.servers_in(room), &names.users_here(room)]);
        command.arg(&**names.node()).arg(millis(LIFE)).arg(names.live(room));
        command
    }

    pub(super) fn listen(&self, turned: &[(Address, usize)], to: &mut Commands) {
        for turned in turned.chunks(ENTRIES) {
            let mut command = self.scripts.call(Script::Listen, &[&self.line.names.listeners()]);
            for (address, connections) in turned {
                command.arg(*connections).arg(listener(address));
            }
            to.add(&command, Then::Listen);
        }
    }

    /// All who listen here.
    pub(super) fn announce_listeners(&self, to: &mut Commands) {
        let key = self.line.names.listeners();
        to.add(cmd("DEL").arg(&key), Then::Nothing);
        // An entry without a name: as long as it is there, all others are.
        to.add(cmd("HSET").arg(&key).arg("").arg(0), Then::Nothing);
        to.add(cmd("PEXPIRE").arg(&key).arg(millis(LIFE)), Then::Nothing);
        self.listen(&self.line.desk.listeners(), to);
    }

    pub(super) fn beat(&self, to: &mut Commands) {
        let names = &self.line.names;
        let mut command = self.scripts.call(Script::Beat, &[&names.servers(), &names.listeners()]);
        command.arg(&**names.node()).arg(millis(LIFE)).arg(names.to_all());
        to.add(&command, Then::Beat);
    }

    /// A room that is open here is kept up.
    pub(super) fn refresh(&self, room: &Name, to: &mut Commands) {
        let Some(rules) = self.line.desk.rules(room) else { return };
        let names = &self.line.names;
        let keys = [names.head(room), names.messages(room), names.servers_in(room), names.users_here(room)];
        let mut command = self.scripts.call(Script::Refresh, &keys.each_ref().map(String::as_str));
        command.arg(millis(rules.age + AFTERLIFE)).arg(millis(LIFE));
        to.add(&command, Then::Refresh(room.clone()));
    }

    /// The last word.
    pub(super) fn bye(&self, to: &mut Commands) {
        let names = &self.line.names;
        let mut command = self.scripts.call(Script::Bye, &[&names.servers(), &names.listeners()]);
        to.add(command.arg(&**names.node()).arg(names.to_all()), Then::Nothing);
    }
}

/// What scripts about a room's history need to know first.
pub(super) fn history(command: &mut Cmd, line: &Line, life: &str, rules: &RoomRules) {
    command.arg(life).arg(line.epochs.next()).arg(rules.messages).arg(rules.bytes);
    command.arg(millis(rules.age)).arg(millis(rules.age + AFTERLIFE));
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
