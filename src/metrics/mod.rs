//! Everything a server counts, and its Prometheus text. Knows nothing of who counts.
//!
//! Counting is a relaxed atomic addition at most; what happens often is added up first, by whoever does it, and told once for
//! a read, a write or a turn of the hub.

mod histogram;
mod labels;
mod number;
mod process;
mod text;

pub(crate) use histogram::{Numbers, Seconds};
pub(crate) use labels::{ByCode, ByKind, ByReason, ByStatus, ByUnclean, DenialReason, Unclean};
pub(crate) use number::{Counter, Gauge};
#[cfg(feature = "redis")]
pub(crate) use text::Metric;
pub(crate) use text::Text;

use std::sync::Arc;

/// A struct of metrics, and how they are shown. What is `beside` them is shown elsewhere.
macro_rules! metrics {
    (
        $(#[$about:meta])* $name:ident {
            $($(#[doc = $help:literal])+ $field:ident: $kind:ty = $metric:literal,)*
        }
        $(beside { $($(#[$other_about:meta])* $other:ident: $other_kind:ty,)* })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($(#[doc = $help])+ pub(crate) $field: $kind,)*
            $($($(#[$other_about])* pub(crate) $other: $other_kind,)*)?
        }

        impl $name {
            fn write(&self, text: &mut $crate::metrics::Text) {
                $(text.add($metric, concat!($($help),+), &self.$field);)*
            }
        }
    };
}
#[cfg(feature = "store")]
pub(crate) use metrics;

metrics! {
    /// Everything a server counts.
    Metrics {
        /// Connections accepted.
        accepted: Counter = "switchboard_accepted_total",
        /// Requests refused before an upgrade, by status (4xx or 5xx).
        refused: ByStatus = "switchboard_refused_total",
        /// Connections refused at the connection budget.
        over_budget: Counter = "switchboard_over_budget_total",
        /// TLS handshakes that failed.
        tls_failures: Counter = "switchboard_tls_handshake_failures_total",
        /// WebSockets that were not let in: nobody known, not allowed, or too many.
        denied: ByReason = "switchboard_denied_total",
        /// WebSocket connections that have ended, by close code: that of the first Close frame of either side; 1006 without one.
        disconnects: ByCode = "switchboard_disconnects_total",
        /// WebSocket connections that did not end as they should: cut while something waited for them (stalled), cut as they did
        /// not answer the Close frame (unanswered), or gone while something waited for them.
        unclean: ByUnclean = "switchboard_unclean_ends_total",
        /// Messages received from clients.
        messages_in: ByKind = "switchboard_messages_received_total",
        /// Messages put into outboxes, one for each receiver.
        messages_out: ByKind = "switchboard_messages_sent_total",
        /// Bytes of WebSocket frames read from sockets (inside TLS).
        bytes_in: Counter = "switchboard_received_bytes_total",
        /// Bytes of WebSocket frames written to sockets (inside TLS).
        bytes_out: Counter = "switchboard_sent_bytes_total",
        /// Bytes of messages before they were compressed.
        deflate_in: Counter = "switchboard_deflate_input_bytes_total",
        /// Bytes of messages after they were compressed; a broadcast counts once.
        deflate_out: Counter = "switchboard_deflate_output_bytes_total",
        /// Bytes of compressed messages received.
        inflate_in: Counter = "switchboard_inflate_input_bytes_total",
        /// Bytes of the same messages after they were inflated.
        inflate_out: Counter = "switchboard_inflate_output_bytes_total",
        /// Connections cut as slow consumers.
        slow_consumers: Counter = "switchboard_slow_consumers_total",
        /// Sockets that were full and went to the slow lane.
        stalls: Counter = "switchboard_stalls_total",
        /// Sockets that are in the slow lane now, because they are full.
        slow_lane: Gauge = "switchboard_slow_lane_connections",
        /// Round trips of pings that were answered, in seconds.
        pings: Seconds = "switchboard_ping_seconds",
        /// Connections that answered no ping.
        silent: Counter = "switchboard_keepalive_timeouts_total",
        /// Connections whose peer broke the protocol.
        violations: Counter = "switchboard_protocol_violations_total",
        /// Connections closed for sending more than their rate allows.
        rate_limited: Counter = "switchboard_rate_limited_total",
        /// Messages that a check refused.
        invalid: Counter = "switchboard_invalid_messages_total",
        /// Handlers that panicked.
        panics: Counter = "switchboard_handler_panics_total",
    }
    beside {
        /// Connections open now, plain HTTP included.
        connections: Gauge,
        /// Of the routes that have a WebSocket.
        routes: Vec<Arc<RouteMetrics>>,
        hub: HubMetrics,
        protocol: ProtocolMetrics,
    }
}

metrics! {
    /// What the hub alone counts: in cache lines of its own.
    #[repr(align(128))]
    HubMetrics {
        /// Users with at least one connection.
        users: Gauge = "switchboard_users",
        /// Rooms with at least one member.
        rooms: Gauge = "switchboard_rooms",
        /// Pieces put into outboxes by the hub; a piece holds all that one turn sent to one room.
        deliveries: Counter = "switchboard_deliveries_total",
        /// Bytes put into outboxes by the hub.
        delivered_bytes: Counter = "switchboard_delivered_bytes_total",
        /// Commands that the hub carried out in one turn.
        turn_commands: Numbers = "switchboard_hub_turn_commands",
        /// How long a turn of the hub took, in seconds.
        turn_seconds: Seconds = "switchboard_hub_turn_seconds",
    }
}

metrics! {
    /// Of `switchboard.v1`.
    ProtocolMetrics {
        /// Connections that speak switchboard.v1.
        connections: Gauge = "switchboard_protocol_connections",
        /// Users of switchboard.v1 with at least one connection.
        users: Gauge = "switchboard_protocol_users",
        /// Rooms of switchboard.v1: with members, or with messages that are kept.
        rooms: Gauge = "switchboard_protocol_rooms",
        /// Messages that are kept of all rooms of switchboard.v1, in memory.
        history_messages: Gauge = "switchboard_protocol_history_messages",
        /// Bytes of them, with what keeping them costs.
        history_bytes: Gauge = "switchboard_protocol_history_bytes",
        /// Requests to publish a message in a room of switchboard.v1.
        publishes: Counter = "switchboard_protocol_publishes_total",
        /// Of these the acknowledged ones.
        acknowledged: Counter = "switchboard_protocol_acknowledged_total",
    }
}

/// What is counted of one route's WebSocket.
#[derive(Debug, Default)]
pub(crate) struct RouteMetrics {
    /// As the program wrote it, `/room/{room}`: no client can bring in another.
    pub(crate) pattern: String,
    pub(crate) open: Gauge,
    pub(crate) handshakes: Counter,
}

impl Metrics {
    pub(crate) fn new(routes: Vec<Arc<RouteMetrics>>) -> Self {
        Self { routes, ..Self::default() }
    }

    /// All there is in the process and here; but for `connections`, which whoever knows their states can show better.
    pub(crate) fn write_all(&self, text: &mut Text) {
        self.write_routes(text);
        self.write(text);
        self.hub.write(text);
        let (turns, commands) = (&self.hub.turn_seconds, &self.hub.turn_commands);
        text.counter("switchboard_hub_turns_total", "Turns the hub took.", turns.count());
        text.counter("switchboard_hub_commands_total", "Commands the hub carried out.", commands.sum());
        if cfg!(feature = "protocol") {
            self.protocol.write(text);
        }
        process::write(text);
    }

    fn write_routes(&self, text: &mut Text) {
        if self.routes.is_empty() {
            return;
        }
        let name = "switchboard_websocket_connections";
        let mut samples = text.family(name, "gauge", "WebSocket connections open now, by route.");
        self.routes
            .iter()
            .for_each(|route| samples.sample("", &[("route", &route.pattern)], route.open.get()));
        let name = "switchboard_websocket_handshakes_total";
        let mut samples = text.family(name, "counter", "WebSocket handshakes completed, by route.");
        let each = |route: &Arc<RouteMetrics>| {
            samples.sample("", &[("route", &route.pattern)], route.handshakes.get());
        };
        self.routes.iter().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_help_type_and_value() {
        let route = RouteMetrics { pattern: "/\"{x}".into(), ..RouteMetrics::default() };
        let metrics = Metrics::new(vec![Arc::new(route)]);
        metrics.accepted.add(3);
        metrics.slow_lane.add(2);
        metrics.slow_lane.sub(1);
        metrics.messages_in.add(true, 7);
        metrics.hub.turn_commands.observe(5);
        let mut text = Text::default();
        metrics.write_all(&mut text);
        let text = text.finish();
        for lines in [
            "# HELP switchboard_accepted_total Connections accepted.\n# TYPE switchboard_accepted_total counter\n\
             switchboard_accepted_total 3\n",
            "# TYPE switchboard_slow_lane_connections gauge\nswitchboard_slow_lane_connections 1\n",
            "\nswitchboard_messages_received_total{kind=\"text\"} 0\n\
             switchboard_messages_received_total{kind=\"binary\"} 7\n",
            "\nswitchboard_websocket_connections{route=\"/\\\"{x}\"} 0\n",
            "\nswitchboard_hub_commands_total 5\n",
        ] {
            assert!(text.contains(lines), "no {lines:?} in {text}");
        }
    }
}
