//! `--redis`: what others do to a Redis that is shared with them, and a Redis that takes no more writes.

use crate::redis::{is_ready, server};
use crate::support::{Program, eventually, exchange, get};
use crate::support_redis::Redis;
use crate::support_v1::Speaker;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KEY: &str = "hush-hush-hush-hush";

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

fn publish(room: &str, data: impl Into<Value>) -> Value {
    json!({"type": "publish", "room": room, "data": data.into()})
}

/// How many connections to Redis were lost.
fn lost(program: &Program) -> String {
    let metrics = get(program.address, "/metrics").text().to_string();
    metrics.lines().find(|line| line.starts_with("switchboard_redis_lost_total{")).unwrap().into()
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_foreign_key_makes_its_room_unavailable_and_no_other() {
    let redis = Redis::start(&[]);
    let a = server(&redis.url(), &["--api-key", KEY]);
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&a, "bob"));
    ann.ask(join("tea"));
    for part in ["head", "messages", "servers"] {
        let key = format!("sb:{{{part}}}:{part}");
        for request in [join(part), publish(part, 1), json!({"type": "leave", "room": part})] {
            assert_ne!(bob.ask(request)["type"], "error");
        }
        assert_eq!(redis.ask(&format!("SET {key} foreign")), "+OK");
        assert_eq!(bob.ask(join(part))["code"], "unavailable", "{part}");
        assert_eq!(
            bob.ask(publish(part, 1))["code"],
            if part == "servers" { Value::Null } else { "unavailable".into() }
        );
        // Again and again: it is said once.
        assert_eq!(bob.ask(join(part))["code"], "unavailable", "{part}");
        assert!(is_ready(&a));
        let authorized =
            format!("GET /api/rooms HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\n\r\n", a.address);
        let rooms = exchange(a.address, authorized);
        assert!(rooms.status == 200 && rooms.text().contains("\"tea\""), "{rooms:?}");
        assert_eq!(ann.ask(publish("tea", part))["type"], "published");
        assert_eq!(ann.next_of("message")["data"], part);
        assert_eq!(redis.ask(&format!("DEL {key}")), ":1");
        assert_eq!(bob.ask(join(part))["type"], "joined", "{part}");
        assert_eq!(bob.ask(publish(part, 1))["type"], "published", "{part}");
    }
    assert!(lost(&a).ends_with("} 0"), "{}", lost(&a));
    drop((ann, bob));
    let said = a.all_said();
    for part in ["head", "messages", "servers"] {
        let key = format!("sb:{{{part}}}:{part}");
        let advice = format!("{key} is a string, which something else has written; DEL {key}");
        assert_eq!(said.matches(&advice).count(), 1, "{advice}: {said}");
    }
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_key_that_is_overwritten_in_use_hurts_nobody_else_and_its_room_begins_anew() {
    let redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &[]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    let epoch = ann.ask(join("tea"))["epoch"].clone();
    assert_eq!(bob.ask(join("tea"))["type"], "joined");
    for speaker in [&mut ann, &mut bob] {
        assert_eq!(speaker.ask(join("milk"))["type"], "joined");
    }
    redis.ask("SET sb:{tea}:head foreign");
    assert_eq!(ann.ask(publish("tea", 1))["code"], "unavailable");
    // All rooms are asked for again.
    assert_eq!(redis.cut("switchboard-asking"), 2);
    assert_eq!(redis.cut("switchboard-subscriber"), 2);
    for n in 1..=3 {
        eventually("what is said in the other room is kept", || {
            ann.ask(publish("milk", n))["type"] == "published"
        });
        while bob.next_of("message")["data"] != n {}
    }
    eventually("ready", || is_ready(&a) && is_ready(&b));
    assert_eq!(ann.ask(publish("tea", 2))["code"], "unavailable");
    assert_eq!(ann.ask(json!({"type": "members", "room": "tea"}))["members"].as_array().unwrap().len(), 2);
    redis.ask("DEL sb:{tea}:head");
    let published = ann.ask(publish("tea", 3));
    assert_ne!(published["epoch"], epoch);
    let message = loop {
        let message = bob.next_of("message");
        if message["room"] == "tea" {
            break message;
        }
    };
    assert_eq!((&message["epoch"], &message["data"]), (&published["epoch"], &json!(3)));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_foreign_key_that_all_rooms_need_is_named() {
    let redis = Redis::start(&[]);
    let a = server(&redis.url(), &[]);
    redis.ask("SET sb:servers foreign");
    let advice = "something else has written to the key sb:servers; DEL sb:servers";
    eventually("it says why it is not ready", || get(a.address, "/readyz").text().contains(advice));
    redis.ask("DEL sb:servers");
    eventually("it is ready again", || is_ready(&a));
}

/// Redis takes no writes, and then does again.
fn takes_no_writes(redis: &Redis, [begin, end]: [&[&str]; 2], reason: &str) {
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &["--grace", "1s"]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(join("tea"));
    let epoch = bob.ask(join("tea"))["epoch"].clone();
    assert_eq!(ann.ask(publish("tea", 1))["offset"], 1);
    begin.iter().for_each(|command| drop(redis.ask(command)));
    // It saves beside; how that went is known afterwards.
    eventually("nothing can be written", || redis.ask("SET else 1").starts_with('-'));
    let began = Instant::now();
    for program in [&a, &b] {
        eventually("it is not ready", || !is_ready(program));
        eventually("it says why", || get(program.address, "/readyz").text().contains(reason));
    }
    assert_eq!(ann.ask(join("milk"))["code"], "unavailable");
    // Longer than a server may be silent, and the grace period.
    while began.elapsed() < Duration::from_secs(24) {
        for speaker in [&mut ann, &mut bob] {
            let members = speaker.ask(json!({"type": "members", "room": "tea"}))["members"].clone();
            assert_eq!(members.as_array().unwrap().len(), 2, "{members}");
            let page = speaker.ask(json!({"type": "history", "room": "tea"}));
            assert_eq!(page["messages"].as_array().unwrap().len(), 1, "{page}");
        }
        assert_eq!(ann.ask(publish("tea", "lost"))["code"], "unavailable");
    }
    end.iter().for_each(|command| drop(redis.ask(command)));
    let back = Instant::now();
    for program in [&a, &b] {
        eventually("it is ready again", || is_ready(program));
    }
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    let published = ann.ask(publish("tea", 2));
    assert_eq!((&published["epoch"], &published["offset"]), (&epoch, &json!(2)), "nothing was lost");
    assert_eq!(bob.next_of("message")["data"], 1);
    assert_eq!(bob.next_of("message")["data"], 2);
    assert_eq!(bob.ask(join("milk"))["type"], "joined");
    let is_quiet = |speaker: &Speaker| {
        speaker.kept.iter().all(|text| text["type"] != "gap" && text["change"] != "leave")
    };
    assert!(
        is_quiet(&ann) && is_quiet(&bob),
        "nobody has left and nothing was missed: {:?} {:?}",
        ann.kept,
        bob.kept
    );
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_without_memory_keeps_its_readers() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    takes_no_writes(&redis, [&["CONFIG SET maxmemory 1"], &["CONFIG SET maxmemory 0"]], "has no more memory");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_cannot_save_keeps_its_readers() {
    // No file can be written there.
    let redis = Redis::start(&["--save", "3600 1", "--dir", "/proc"]);
    takes_no_writes(&redis, [&["BGSAVE"], &["CONFIG SET stop-writes-on-bgsave-error no"]], "cannot save");
}
