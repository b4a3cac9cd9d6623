//! Who does what: each connection has a part for the whole run.

use super::options::Soak;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const FEWEST: usize = 50;
/// Members of a room.
const MEMBERS: usize = 10;
/// Connections for a message per second, unless told otherwise.
const FOR_A_MESSAGE: usize = 16;
const MOST_STALLED: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) time: Duration,
    pub(super) patience: Duration,
    /// Rooms of /ws, and plain ones.
    pub(super) rooms: usize,
    pub(super) plain_rooms: usize,
    pub(super) pairs: usize,
    pub(super) churning: usize,
    pub(super) stalled: usize,
    pub(super) rate: usize,
    /// Servers, and threads that drive: one for each of them.
    pub(super) servers: usize,
    pub(super) has_redis: bool,
    /// The servers are somebody else's, who may restart them.
    pub(super) is_foreign: bool,
}

/// A connection's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Member {
        room: usize,
        publishes: bool,
    },
    Plain {
        room: usize,
        sends: bool,
    },
    Speaker(usize),
    Listener(usize),
    Churn(usize),
    /// Reads nothing.
    Stalled,
    /// Sends to those who read nothing.
    Flood,
    Idle,
}

impl Plan {
    pub(super) fn new(options: &Soak) -> Result<Self, String> {
        let connections = options.connections;
        if connections < FEWEST {
            return Err(format!("--connections: {FEWEST} or more, so that there are some of each kind"));
        }
        if options.time.is_zero() || LONGEST < options.time {
            return Err("--for: more than nothing, and 24h at most".into());
        }
        let has_redis = options.redis_server.is_some();
        let own = options.servers.unwrap_or(if has_redis { 2 } else { 1 });
        Ok(Self {
            connections,
            time: options.time,
            patience: options.patience,
            rooms: connections * 6 / 10 / MEMBERS,
            plain_rooms: (connections * 15 / 100 / MEMBERS).max(1),
            pairs: (connections / 40).max(1),
            churning: (connections / 25).max(1),
            stalled: (connections / 100).clamp(1, MOST_STALLED),
            rate: options.rate.unwrap_or((connections / FOR_A_MESSAGE).max(1)),
            servers: if options.urls.is_empty() { own } else { options.urls.len() },
            has_redis: has_redis || 1 < options.urls.len(),
            is_foreign: !options.urls.is_empty(),
        })
    }

    pub(super) fn part(&self, connection: usize) -> Part {
        let mut at = connection;
        let mut within = |count: usize| {
            let is_within = at < count;
            let found = is_within.then_some(at);
            at = at.saturating_sub(count);
            found
        };
        if let Some(at) = within(self.rooms * MEMBERS) {
            // The one who publishes is at another server in each room.
            return Part::Member { room: at / MEMBERS, publishes: at % MEMBERS == at / MEMBERS % MEMBERS };
        }
        if let Some(at) = within(self.plain_rooms * MEMBERS) {
            return Part::Plain { room: at / MEMBERS, sends: at % MEMBERS == at / MEMBERS % MEMBERS };
        }
        if let Some(at) = within(2 * self.pairs) {
            return if at % 2 == 0 { Part::Speaker(at / 2) } else { Part::Listener(at / 2) };
        }
        if let Some(at) = within(self.churning) {
            return Part::Churn(at);
        }
        if within(self.stalled).is_some() {
            return Part::Stalled;
        }
        if within(1).is_some() { Part::Flood } else { Part::Idle }
    }

    /// The path of a connection. `run`: tells the rooms and users of this run from those of others.
    pub(super) fn path(&self, connection: usize, run: u32) -> String {
        match self.part(connection) {
            Part::Member { .. } | Part::Idle => format!("/ws?user=soak-{run:08x}-{connection}"),
            Part::Plain { room, .. } => format!("/room/soak-{run:08x}-{room}"),
            Part::Speaker(pair) => format!("/ws?user=speaker-{run:08x}-{pair}"),
            Part::Listener(pair) => format!("/ws?user={}", listener(run, pair)),
            Part::Churn(n) if n % 3 == 0 => format!("/room/churn-{run:08x}-{}", n % 8),
            Part::Churn(n) if n % 3 == 1 => "/echo".into(),
            Part::Churn(n) => format!("/ws?user=churn-{run:08x}-{n}"),
            Part::Stalled | Part::Flood => format!("/room/stall-{run:08x}"),
        }
    }

    /// How often whoever sends does so.
    pub(super) fn interval(&self) -> Duration {
        let senders = self.rooms + self.plain_rooms + self.pairs;
        Duration::from_secs_f64(senders as f64 / self.rate as f64)
    }
}

pub(super) fn listener(run: u32, pair: usize) -> String {
    format!("listener-{run:08x}-{pair}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        soak: Soak,
    }

    pub(in super::super) fn plan(args: &str) -> Result<Plan, String> {
        let args = ["soak"].into_iter().chain(args.split_whitespace());
        Plan::new(&Line::try_parse_from(args).map_err(|error| error.to_string())?.soak)
    }

    #[test]
    fn there_are_some_of_each_kind_and_a_room_has_one_who_sends() {
        for connections in [50, 99, 500, 5000] {
            let plan = plan(&format!("-c {connections}")).unwrap();
            let parts: Vec<Part> = (0..connections).map(|n| plan.part(n)).collect();
            let count = |is: &dyn Fn(&Part) -> bool| parts.iter().filter(|part| is(part)).count();
            for room in 0..plan.rooms {
                assert_eq!(count(&|part| *part == Part::Member { room, publishes: true }), 1);
                assert_eq!(count(&|part| *part == Part::Member { room, publishes: false }), MEMBERS - 1);
            }
            for room in 0..plan.plain_rooms {
                assert_eq!(count(&|part| *part == Part::Plain { room, sends: true }), 1);
            }
            assert_eq!(count(&|part| matches!(part, Part::Speaker(_))), plan.pairs);
            assert_eq!(count(&|part| matches!(part, Part::Listener(_))), plan.pairs);
            assert_eq!(count(&|part| *part == Part::Flood), 1);
            assert_eq!(count(&|part| *part == Part::Stalled), plan.stalled);
            assert!(0 < count(&|part| *part == Part::Idle), "{connections}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [("-c 49", "--connections"), ("--for 0s", "--for"), ("--for 25h", "--for")] {
            assert!(plan(args).unwrap_err().contains(word), "{args}");
        }
        let plan = plan("--redis-server redis-server").unwrap();
        assert_eq!((plan.servers, plan.has_redis, plan.rate), (2, true, 31));
    }
}
