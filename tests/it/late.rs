//! Messages that come in after their acknowledgement, as they do from an engine that speaks on one line and listens on
//! another: requests of one connection must not notice.

use crate::support::{eventually, serve};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard::engine::{Engine, Inbox, Memory, Notice, Order};
use switchboard::{Client, Limits, Result};

/// Holds messages back until [`Late::arrive`].
#[derive(Clone, Default)]
struct Late {
    rooms: Memory,
    held: Arc<Mutex<Vec<Notice>>>,
    inbox: Arc<Mutex<Option<Inbox>>>,
}

impl Late {
    fn arrive(&self) {
        eventually("a message to hold back", || !self.held.lock().is_empty());
        let held = std::mem::take(&mut *self.held.lock());
        assert!(self.inbox.lock().clone().unwrap().tell(held));
    }
}

impl Engine for Late {
    fn start(&self, node: &str, inbox: Inbox) -> Result<()> {
        *self.inbox.lock() = Some(inbox.clone());
        let held = self.held.clone();
        let sieve = move |notices: Vec<Notice>| {
            let is_message = |notice: &Notice| matches!(notice, Notice::Message { .. });
            let (messages, others): (Vec<_>, Vec<_>) = notices.into_iter().partition(is_message);
            held.lock().extend(messages);
            inbox.tell(others)
        };
        self.rooms.start(node, Inbox::new(sieve))
    }

    fn take(&self, orders: Vec<Order>) -> Vec<Notice> {
        self.rooms.take(orders)
    }

    fn is_shared(&self) -> bool {
        self.rooms.is_shared()
    }

    fn stop(&self) {
        self.rooms.stop();
    }
}

fn next(client: &mut Client) -> Value {
    serde_json::from_str(client.recv().unwrap().expect("a message").to_text().unwrap()).unwrap()
}

#[test]
fn order_history_has_what_was_acknowledged_before_and_who_leaves_has_got_it() {
    let engine = Late::default();
    let server = serve(Limits::default(), |builder| builder.protocol("/ws").engine(engine.clone()));
    let mut client = Client::connect(&format!("ws://{}/ws?user=ann", server.local_addr())).unwrap();
    let mut ask = |request: Value| client.send(request.to_string()).unwrap();
    ask(json!({"type": "join", "room": "tea", "id": 1}));
    ask(json!({"type": "publish", "room": "tea", "data": "hot", "id": 2}));
    ask(json!({"type": "history", "room": "tea", "id": 3}));
    ask(json!({"type": "leave", "room": "tea", "id": 4}));
    assert_eq!(next(&mut client)["type"], "welcome");
    assert_eq!(next(&mut client)["type"], "joined");
    let published = next(&mut client);
    assert_eq!((&published["type"], &published["offset"]), (&json!("published"), &json!(1)));
    engine.arrive();
    let message = next(&mut client);
    assert_eq!((&message["type"], &message["data"]), (&json!("message"), &json!("hot")));
    let history = next(&mut client);
    assert_eq!((&history["type"], &history["messages"][0]["offset"]), (&json!("history"), &json!(1)));
    assert_eq!(next(&mut client)["type"], "left");
}
