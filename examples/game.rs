//! A game loop: one thread owns the whole state of `/game` and takes what the connections do as events, one after another.
//! There is no lock, and nothing to forget to lock. A plain GET of the same path is the game.
//!
//! Run it: `cargo run --example game`, then open http://127.0.0.1:9527/game in two windows.

mod common;

use serde_json::{Map, Number, Value, json};
use std::collections::BTreeMap;
use std::thread;
use switchboard::{Builder, Event, Events, Message, Peer, Response, Result, events};

const PAGE: &str = include_str!("pages/game.html");

struct Player {
    peer: Peer,
    position: [Number; 2],
}

type Players = BTreeMap<u64, Player>;

/// Adds the game and its page, and starts its loop.
pub fn mount(builder: Builder) -> Builder {
    let (handler, events) = events();
    thread::spawn(move || play(&events));
    builder.route("/game", handler).get("/game", |_| Response::html(PAGE))
}

fn play(events: &Events) {
    let mut players = Players::new();
    while let Some(event) = events.recv() {
        match event {
            Event::Connected(peer) => {
                let id = peer.id();
                players.insert(id, Player { peer: peer.clone(), position: [0.into(), 0.into()] });
                let state = json!({"players": positions(&players), "objects": {}});
                peer.send(json!({"type": "init", "playerId": id.to_string(), "state": state}).to_string());
            }
            Event::Message(peer, message) => {
                let Some(position) = parse_move(&message) else { continue }; // anything else is ignored
                let moved =
                    json!({"type": "playerMoved", "playerId": peer.id().to_string(), "position": position});
                players.entry(peer.id()).and_modify(|player| player.position = position);
                tell(&players, &moved);
            }
            Event::Disconnected(peer, ..) => {
                players.remove(&peer.id());
                tell(&players, &json!({"type": "playerLeft", "playerId": peer.id().to_string()}));
            }
        }
    }
}

fn positions(players: &Players) -> Map<String, Value> {
    players.iter().map(|(id, player)| (id.to_string(), json!({"position": player.position}))).collect()
}

/// `{"type": "move", "position": [x, y]}`
fn parse_move(message: &Message) -> Option<[Number; 2]> {
    let value: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
    if value["type"] != "move" {
        return None;
    }
    serde_json::from_value(value["position"].clone()).ok()
}

fn tell(players: &Players, event: &Value) {
    let message = Message::text(event.to_string());
    for player in players.values() {
        if !player.peer.send(message.clone()) {
            player.peer.close(1013, "you read too slowly"); // never blocks, so nobody can hold up the game
        }
    }
}

fn main() -> Result<()> {
    common::serve(mount)
}
