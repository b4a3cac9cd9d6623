//! Counters and gauges, and their Prometheus text. Knows nothing of who counts.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only rises, or a gauge that goes both ways.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Relaxed);
    }

    pub(crate) fn sub(&self, by: usize) {
        self.0.fetch_sub(by as u64, Relaxed);
    }

    pub(crate) fn set(&self, to: usize) {
        self.0.store(to as u64, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident $name:literal,)*) => {
        /// Everything a server counts.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $help])+ pub(crate) $field: Number,)*
        }

        impl Metrics {
            /// The Prometheus text exposition format, version 0.0.4.
            pub(crate) fn text(&self) -> String {
                let mut text = String::new();
                $(
                    let (name, help) = (concat!("switchboard_", $name), concat!($($help),+));
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "# HELP {name}{help}\n# TYPE {name} {}", stringify!($kind));
                    let _ = writeln!(text, "{name} {}", self.$field.get());
                )*
                text
            }
        }
    };
}

metrics! {
    /// Connections open now, plain HTTP included.
    connections: gauge "connections",
    /// WebSocket connections open now.
    websockets: gauge "websocket_connections",
    /// Connections accepted.
    accepted: counter "accepted_total",
    /// WebSocket handshakes completed.
    upgraded: counter "websocket_handshakes_total",
    /// Requests refused before an upgrade (status 4xx or 5xx).
    refused: counter "refused_total",
    /// Connections refused at the connection budget.
    over_budget: counter "over_budget_total",
    /// Users with at least one connection.
    users: gauge "users",
    /// Rooms with at least one member.
    rooms: gauge "rooms",
    /// Messages received from clients.
    messages_in: counter "messages_received_total",
    /// Pieces put into outboxes by the hub; a piece holds all that one turn sent to one room.
    deliveries: counter "deliveries_total",
    /// Bytes put into outboxes by the hub.
    delivered_bytes: counter "delivered_bytes_total",
    /// Commands the hub carried out.
    commands: counter "hub_commands_total",
    /// Turns the hub took.
    turns: counter "hub_turns_total",
    /// Connections cut as slow consumers.
    slow_consumers: counter "slow_consumers_total",
    /// Sockets that were full and went to the slow lane.
    stalls: counter "stalls_total",
    /// Connections that answered no ping.
    silent: counter "keepalive_timeouts_total",
    /// Connections whose peer broke the protocol.
    violations: counter "protocol_violations_total",
    /// Connections closed for sending more than their rate allows.
    rate_limited: counter "rate_limited_total",
    /// WebSockets that were not let in: nobody known, not allowed, or too many.
    denied: counter "denied_total",
    /// Messages that a check refused.
    invalid: counter "invalid_messages_total",
    /// Handlers that panicked.
    panics: counter "handler_panics_total",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_help_type_and_value() {
        let metrics = Metrics::default();
        metrics.accepted.add(3);
        metrics.connections.add(2);
        metrics.connections.sub(1);
        let text = metrics.text();
        assert!(text.contains(
            "# HELP switchboard_accepted_total Connections accepted.\n# TYPE switchboard_accepted_total counter\n\
             switchboard_accepted_total 3\n"
        ));
        assert!(text.contains("# TYPE switchboard_connections gauge\nswitchboard_connections 1\n"));
    }
}
