//! What a run is to do: the options, with their defaults filled in, and every number within its bounds.

use super::options::{Load, Mode};
use super::pace::Pace;
use super::stamp::STAMP;
use std::time::Duration;

/// As many connections as one address can have to one port.
const CONNECTIONS: usize = 65_535;
const ROOMS: usize = 10_000;
const THREADS: usize = 64;
const WINDOW: usize = 65_536;
const RATE: usize = 10_000_000;
const ROUNDS: usize = 1000;
const SIZE: usize = 16 << 20;
const DURATION: Duration = Duration::from_secs(24 * 60 * 60);
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Pairs of sender and receiver that are kept account of, at 16 bytes each.
const PAIRS: usize = 4_000_000;
/// Bytes of messages that may be under way, which this process may have to hold.
const UNDER_WAY: usize = 1 << 30;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) connections: usize,
    /// The first of the connections.
    pub(super) senders: usize,
    pub(super) rooms: usize,
    /// The last of the connections.
    pub(super) stalled: usize,
    pub(super) drive: Drive,
    pub(super) size: usize,
    pub(super) binary: bool,
    pub(super) others_only: bool,
    /// The room of `switchboard.v1`, if that is spoken.
    pub(super) protocol: Option<String>,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
    pub(super) patience: Duration,
    pub(super) rounds: usize,
    pub(super) at_once: usize,
    pub(super) threads: usize,
}

/// What lets the next message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drive {
    /// The clock: so many per second.
    Rate(u64),
    /// The arrival of earlier ones: so many of each sender are under way.
    Window(u64),
}

impl Plan {
    /// # Errors
    /// What is wrong with the options, and what would do.
    pub(super) fn new(options: &Load, cores: usize) -> Result<Self, String> {
        let mode = options.mode;
        check_bounds(options)?;
        check_mode(options)?;
        let connections = options.connections;
        let stalled = match (mode, options.stalled) {
            (Mode::Stall, stalled) => stalled.unwrap_or((connections / 10).max(1)),
            _ => 0,
        };
        let healthy = connections.saturating_sub(stalled);
        let rooms = if mode == Mode::Echo { connections } else { options.rooms };
        let senders = match (mode, options.senders) {
            (Mode::Echo, _) => connections,
            (_, senders) => senders.unwrap_or(rooms),
        };
        let size = options.size.unwrap_or(if mode == Mode::Stall { 1024 } else { 64 });
        let drive = match options.rate {
            Some(rate) => Drive::Rate(rate as u64),
            None => Drive::Window(options.window as u64),
        };
        let plan = Self {
            mode,
            connections,
            senders,
            rooms,
            stalled,
            drive,
            size,
            binary: options.binary,
            others_only: options.others_only,
            protocol: options.protocol.then(|| options.room.clone()),
            warmup: if mode.is_traffic() { options.warmup } else { Duration::ZERO },
            duration: options.duration,
            patience: options.patience,
            rounds: options.rounds,
            at_once: options.at_once,
            threads: options.threads.unwrap_or((cores / 2).clamp(1, 4)).min(connections),
        };
        if mode.is_traffic() {
            plan.check_traffic(healthy)?;
        }
        Ok(plan)
    }

    fn check_traffic(&self, healthy: usize) -> Result<(), String> {
        let Self { senders, rooms, .. } = *self;
        let least = if self.others_only && self.mode != Mode::Echo { 2 } else { 1 };
        if healthy < rooms * least {
            return Err(format!(
                "{rooms} rooms need at least {} connections that read, and there are {healthy}: raise --connections",
                rooms * least
            ));
        }
        if senders < rooms || healthy < senders {
            return Err(format!("--senders must be between {rooms} (one in each room) and {healthy}"));
        }
        // Each receiver hears the senders of its room.
        let pairs = healthy.saturating_mul(senders.div_ceil(rooms));
        if PAIRS < pairs {
            return Err(format!(
                "{pairs} pairs of sender and receiver are more than can be checked ({PAIRS}): lower --senders, or raise \
                 --rooms"
            ));
        }
        let window = if let Drive::Window(window) = self.drive { window as usize } else { 1 };
        if UNDER_WAY < senders.saturating_mul(window).saturating_mul(self.size) {
            return Err(
                "more than 1G of messages would be under way: lower --window, --size or --senders".into()
            );
        }
        Ok(())
    }

    /// The room of a connection.
    pub(super) fn room_of(&self, connection: usize) -> usize {
        connection % self.rooms
    }

    /// The senders of a room, ascending.
    pub(super) fn senders_of(&self, room: usize) -> impl Iterator<Item = usize> + use<> {
        (room..self.senders).step_by(self.rooms)
    }

    pub(super) fn is_stalled(&self, connection: usize) -> bool {
        self.connections - self.stalled <= connection
    }

    /// The thread that drives a connection.
    pub(super) fn thread_of(&self, connection: usize) -> usize {
        connection % self.threads
    }

    /// Whether the receiver is to get what the sender sends.
    pub(super) fn hears(&self, receiver: usize, sender: usize) -> bool {
        self.room_of(receiver) == self.room_of(sender) && (receiver != sender || !self.others_only)
    }

    /// When messages are due, if the clock says so.
    pub(super) fn pace(&self) -> Option<Pace> {
        match self.drive {
            Drive::Rate(rate) => Some(Pace::new(rate, self.senders)),
            Drive::Window(_) => None,
        }
    }
}

fn check_bounds(options: &Load) -> Result<(), String> {
    for (name, value, most) in [
        ("connections", options.connections, CONNECTIONS),
        ("rooms", options.rooms, ROOMS),
        ("threads", options.threads.unwrap_or(1), THREADS),
        ("window", options.window, WINDOW),
        ("rate", options.rate.unwrap_or(1), RATE),
        ("rounds", options.rounds, ROUNDS),
        ("size", options.size.unwrap_or(STAMP), SIZE),
    ] {
        if most < value {
            return Err(format!("--{name} can be {most} at most"));
        }
    }
    if options.size.is_some_and(|size| size < STAMP) {
        return Err(format!(
            "--size must be {STAMP} bytes at least: each message says who sent it, and when"
        ));
    }
    for (name, value, most) in [
        ("duration", options.duration, DURATION),
        ("warmup", options.warmup, DURATION),
        ("patience", options.patience, PATIENCE),
    ] {
        if most < value {
            return Err(format!("--{name} can be {} s at most", most.as_secs()));
        }
    }
    if options.duration.is_zero() || options.patience.is_zero() {
        return Err("--duration and --patience must be longer than nothing".into());
    }
    Ok(())
}

/// What makes no sense in a mode is refused: whoever said it expects something.
fn check_mode(options: &Load) -> Result<(), String> {
    use Mode::{Churn, Echo, FanOut, Stall};
    let mode = options.mode;
    let said = [
        ("senders", options.senders.is_some(), &[FanOut, Stall][..]),
        ("rooms", options.rooms != 1, &[FanOut, Stall]),
        ("rate", options.rate.is_some(), &[FanOut, Echo, Stall, Churn]),
        ("window", options.window != 1, &[FanOut, Echo, Stall]),
        ("size", options.size.is_some(), &[FanOut, Echo, Stall]),
        ("binary", options.binary, &[FanOut, Echo, Stall]),
        ("others-only", options.others_only, &[FanOut, Stall]),
        ("protocol", options.protocol, &[FanOut, Stall]),
        ("stalled", options.stalled.is_some(), &[Stall]),
        ("rounds", options.rounds != 3, &[Mode::Storm]),
    ];
    for (name, is_said, modes) in said {
        if is_said && !modes.contains(&mode) {
            let names: Vec<&str> = modes.iter().map(|mode| mode.name()).collect();
            return Err(format!(
                "--{name} says nothing in --mode {}; it is for {}",
                mode.name(),
                names.join(", ")
            ));
        }
    }
    let has_place = options.url.as_ref().is_some_and(|url| url.contains(ROOM));
    if 1 < options.rooms && !has_place && !options.protocol {
        return Err(format!("with --rooms the URL needs {ROOM} where the number of the room belongs"));
    }
    Ok(())
}

/// What stands for the number of the room in a URL.
pub(super) const ROOM: &str = "{room}";

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    pub(in super::super) fn options(args: &str) -> Load {
        let words = ["load"].into_iter().chain(args.split_whitespace());
        let command = Load::augment_args(clap::Command::new("load"));
        Load::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    pub(in super::super) fn plan(args: &str) -> Result<Plan, String> {
        Plan::new(&options(&format!("ws://h/{args}")), 8)
    }

    #[test]
    fn defaults_depend_on_the_mode() {
        for (args, senders, rooms, stalled, size, threads) in [
            ("", 1, 1, 0, 64, 4),
            (" --rooms 1", 1, 1, 0, 64, 4),
            ("{room} --rooms 5", 5, 5, 0, 64, 4),
            (" -m echo -c 3", 3, 3, 0, 64, 3),
            (" -m stall", 1, 1, 10, 1024, 4),
            (" -m stall -c 5", 1, 1, 1, 1024, 4),
            (" -m stall --stalled 50 --size 49", 1, 1, 50, 49, 4),
            (" -m idle --threads 2", 1, 1, 0, 64, 2),
        ] {
            let plan = plan(args).unwrap();
            let found = (plan.senders, plan.rooms, plan.stalled, plan.size, plan.threads);
            assert_eq!(found, (senders, rooms, stalled, size, threads), "{args}");
        }
        assert_eq!(plan("").unwrap().drive, Drive::Window(1));
        assert_eq!(plan(" --rate 7").unwrap().drive, Drive::Rate(7));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (args, part) in [
            (" -c 65536", "65535 at most"),
            (" --rate 10000001", "10000000 at most"),
            (" --size 48", "49 bytes"),
            (" --size 17M", "16777216 at most"),
            (" -d 25h", "86400 s at most"),
            (" -d 0", "longer than nothing"),
            (" --senders 101", "between 1 (one in each room) and 100"),
            (" -m stall --stalled 100", "raise --connections"),
            (" -m stall --senders 95", "and 90"),
            (" --rooms 2", "{room}"),
            ("{room} --rooms 2 --senders 1", "between 2"),
            ("{room} --rooms 60 --others-only", "120 connections"),
            (" -c 10000 --senders 401", "lower --senders"),
            (" --size 16M --window 65", "lower --window"),
            (" -m echo --senders 1", "it is for fan-out, stall"),
            (" -m idle --rate 1", "it is for fan-out, echo, stall, churn"),
            (" -m churn --protocol", "it is for fan-out, stall"),
            (" --stalled 1", "it is for stall"),
        ] {
            let error = plan(args).unwrap_err();
            assert!(error.contains(part), "{args}: {error}");
        }
        assert!(plan(" --rooms 2 --protocol").is_ok());
    }

    #[test]
    fn who_hears_whom() {
        let check = |args: &str, receiver, heard: &[usize]| {
            let plan = plan(args).unwrap();
            let senders = (0..plan.senders).filter(|sender| plan.hears(receiver, *sender));
            assert_eq!(senders.collect::<Vec<_>>(), heard, "{args}: {receiver}");
        };
        check("{room} --rooms 2 --senders 5", 0, &[0, 2, 4]);
        check("{room} --rooms 2 --senders 5", 7, &[1, 3]);
        check("{room} --rooms 2 --senders 5 --others-only", 2, &[0, 4]);
        check(" -m echo", 7, &[7]);
        assert_eq!(plan("{room} --rooms 2 --senders 5").unwrap().senders_of(1).collect::<Vec<_>>(), [1, 3]);
        let plan = plan(" -m stall").unwrap();
        assert!(!plan.is_stalled(89) && plan.is_stalled(90) && plan.is_stalled(99));
    }
}
