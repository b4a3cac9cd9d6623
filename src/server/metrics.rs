//! What a server shows at `/metrics`: what was counted, and what can be seen at the moment somebody asks.

use super::shared::Shared;
use crate::metrics::Text;
use crate::net::outbox::Outbox;
use std::sync::Weak;

impl Shared {
    /// In the Prometheus text format. Waits for nobody but the register of sockets.
    pub(crate) fn metrics_text(&self) -> String {
        let mut text = Text::default();
        let help = "The server's version; always 1.";
        let mut samples = text.family("switchboard_build_info", "gauge", help);
        samples.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let ready = u8::from(self.unready().is_none());
        text.gauge("switchboard_ready", "Whether /readyz answers 200.", ready);
        self.write_connections(&mut text);
        self.write_hub_queue(&mut text);
        self.metrics.write_all(&mut text);
        self.with_engine(text)
    }

    fn write_connections(&self, text: &mut Text) {
        let (asking, served, outboxes) = self.sockets.census();
        let help = "Connections open now: reading the request, answering it as plain HTTP, or a WebSocket.";
        let mut samples = text.family("switchboard_connections", "gauge", help);
        for (state, count) in [("request", asking), ("http", served), ("websocket", outboxes.len())] {
            samples.sample("", &[("state", state)], count);
        }
        let help = "Connections that can be open at once.";
        text.gauge("switchboard_max_connections", help, self.max_connections);
        // One after another, and not under the register's lock. What is dropped here was the last of its connection.
        let waiting = |outbox: &Weak<Outbox>| outbox.upgrade().map_or(0, |outbox| outbox.waiting());
        let (sum, most) = outboxes
            .iter()
            .map(waiting)
            .fold((0, 0), |(sum, most), waiting| (sum + waiting, most.max(waiting)));
        let help = "Bytes that wait in all outboxes, with what keeping them costs.";
        text.gauge("switchboard_outbox_bytes", help, sum);
        text.gauge("switchboard_outbox_largest_bytes", "Bytes that wait in the fullest outbox.", most);
        let help = "Bytes that may wait in one outbox.";
        text.gauge("switchboard_outbox_limit_bytes", help, self.limits.burst.max(self.limits.outbox));
        let pool = self.pool.get().and_then(Weak::upgrade);
        let (busy, idle) = pool.map_or((0, 0), |pool| pool.threads());
        let help = "Threads for connections: with one, or kept for the next.";
        let mut samples = text.family("switchboard_connection_threads", "gauge", help);
        samples.sample("", &[("state", "busy")], busy);
        samples.sample("", &[("state", "idle")], idle);
    }

    fn write_hub_queue(&self, text: &mut Text) {
        let (commands, bytes) = self.hub.depth();
        text.gauge("switchboard_hub_queue_commands", "Commands that wait for the hub.", commands);
        text.gauge("switchboard_hub_queue_bytes", "Bytes of messages that wait for the hub.", bytes);
        let help = "Commands that may wait for the hub.";
        text.gauge("switchboard_hub_queue_limit_commands", help, self.limits.hub_commands);
        let help = "Bytes that may wait for the hub.";
        text.gauge("switchboard_hub_queue_limit_bytes", help, self.limits.hub_queue);
    }

    fn with_engine(&self, mut text: Text) -> String {
        let Some(engine) = &self.engine else { return text.finish() };
        let ready = u8::from(self.hub.deaf().is_none());
        let help = "Whether the engine that keeps the rooms can be reached.";
        text.gauge("switchboard_engine_ready", help, ready);
        let mut text = text.finish();
        if let Some(engine) = engine.upgrade() {
            text += &engine.metrics();
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    }
}
