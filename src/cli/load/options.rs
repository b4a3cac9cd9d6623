//! What can be said to `switchboard load`.

use super::super::reach::Reach;
use super::super::units;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Modes:
  fan-out  senders send into rooms; every member must get every message once and in order
  echo     every connection sends, and must get its own messages back, as at /echo
  stall    fan-out, with members that never read: the others must not notice
  idle     connections are opened and held; each is pinged and must answer
  churn    connections are opened and closed, over and over
  storm    all connections are cut at once and come back at once, as after a restart of the network

Without --rate the loop is closed: a sender sends its next message when the last one has reached everybody (or has --window \
of them under way), so the server sets the pace. With --rate messages are due at fixed times, whatever the server does, and \
latency counts from when a message was due, not from when it could be sent.

Exit status:
  0  every promise was kept
  1  messages were lost, duplicated, reordered or damaged, connections failed, ended or answered no ping, or nothing could be measured
  2  wrong usage

Examples:
  switchboard load ws://127.0.0.1:9527/room/load -c 1000
  switchboard load ws://127.0.0.1:9527/room/load -c 1000 --senders 10 --rate 2000
  switchboard load ws://127.0.0.1:9527/ws --protocol -c 500
  switchboard load ws://127.0.0.1:9527/echo --mode echo --window 16 --json > before.json
  switchboard load --compare before.json after.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    FanOut,
    Echo,
    Stall,
    Idle,
    Churn,
    Storm,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Echo => "echo",
            Self::Stall => "stall",
            Self::Idle => "idle",
            Self::Churn => "churn",
            Self::Storm => "storm",
        }
    }

    /// Whether messages are sent in it.
    pub(super) fn is_traffic(self) -> bool {
        matches!(self, Self::FanOut | Self::Echo | Self::Stall)
    }
}

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Load {
    /// Where to connect, as ws://127.0.0.1:9527/room/load; `{room}` in it stands for the number of the room
    #[arg(required_unless_present = "compare")]
    pub(super) url: Option<String>,
    /// What to do; see below
    #[arg(short, long, value_enum, default_value = "fan-out", hide_possible_values = true)]
    pub(super) mode: Mode,
    /// Connections; in churn: at once
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = units::count)]
    pub(super) connections: usize,
    /// Connections that send [default: one in each room; in echo: all]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(super) senders: Option<usize>,
    /// Rooms over which the connections are spread
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::count)]
    pub(super) rooms: usize,
    /// Time that is measured, 24h at most; in storm: for one round
    #[arg(short, long, value_name = "T", default_value = "10s", value_parser = units::time)]
    pub(super) duration: Duration,
    /// Time before it in which messages are sent and checked, but not counted
    #[arg(long, value_name = "T", default_value = "1s", value_parser = units::time)]
    pub(super) warmup: Duration,
    /// Messages per second of all senders together; in churn: connections [default: a closed loop]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(super) rate: Option<usize>,
    /// Messages of each sender under way at once, in the closed loop
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::count, conflicts_with = "rate")]
    pub(super) window: usize,
    /// Payload of a message, 49 bytes to 16M [default: 64; in stall: 1K]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(super) size: Option<usize>,
    /// Send binary messages in place of text
    #[arg(long, conflicts_with = "protocol")]
    pub(super) binary: bool,
    /// Senders do not get their own messages, as in /chat/{room}
    #[arg(long, conflicts_with = "protocol")]
    pub(super) others_only: bool,
    /// Speak `switchboard.v1`, as at /ws: publish with acknowledgement, offsets that rise by one
    #[arg(long)]
    pub(super) protocol: bool,
    /// The room to join with --protocol; with several rooms their numbers follow
    #[arg(long, value_name = "NAME", default_value = "load", requires = "protocol")]
    pub(super) room: String,
    /// Members that read nothing, in stall [default: one of ten]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(super) stalled: Option<usize>,
    /// Times that all are cut, in storm
    #[arg(long, value_name = "N", default_value = "3", value_parser = units::count)]
    pub(super) rounds: usize,
    /// Handshakes at once while connections are opened; a storm takes no notice
    #[arg(long, value_name = "N", default_value = "64", value_parser = units::count)]
    pub(super) at_once: usize,
    /// How long nothing may arrive before what is missing at the end counts as lost
    #[arg(long, value_name = "T", default_value = "3s", value_parser = units::time)]
    pub(super) patience: Duration,
    /// Threads that drive the connections [default: half of the cores, 4 at most]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(super) threads: Option<usize>,
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Offer compression
    #[arg(long)]
    pub(super) compress: bool,
    /// Load a server that is not on this machine. Only with its owner's leave: to everybody else it is an attack
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Print the result as JSON, for scripts and for --compare
    #[arg(long)]
    pub(super) json: bool,
    /// Compare two results that --json has printed, the older one first; no load is made
    #[arg(long, value_name = "FILE", num_args = 2, conflicts_with_all = ["url", "json"])]
    pub(super) compare: Option<Vec<PathBuf>>,
}
