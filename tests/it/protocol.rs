//! `switchboard.v1` on `/ws` of the program, through sockets: what the tables of the hub cannot see.

use crate::support::{exchange, handshake, serve_binary};
use crate::support_v1::Speaker;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use switchboard::{Client, Message};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn who_connects_is_welcomed() {
    let program = serve_binary(&[]);
    let mut guest = Speaker::connect(&program, "");
    let welcome = guest.next();
    assert_eq!((&welcome["type"], &welcome["version"]), (&json!("welcome"), &json!(1)));
    assert!(welcome["user"].as_str().unwrap().starts_with("guest-"), "{welcome}");
    assert!(welcome["node"].is_string() && welcome["connection"].is_string());
    assert_eq!(welcome["limits"]["message"], 1_048_576);
    assert_eq!((&welcome["limits"]["history"], &welcome["limits"]["grace"]), (&json!(100), &json!(5000)));
    assert!(welcome["limits"]["rooms"].as_u64().unwrap() > 0);
    for query in ["?user", "?user=", "?user=%00", "?user=%FF", "?user=%C3%28", "?user=%zz", "?user=a%2"] {
        let request = handshake(program.address, &format!("/ws{query}"), "");
        assert_eq!(exchange(program.address, request).status, 400, "{query}");
    }
    assert_eq!(Speaker::connect(&program, "?user=%E5%A4%A7").next()["user"], "大");
    // Other paths do not speak it.
    let echo = Client::builder().subprotocol("switchboard.v1");
    assert_eq!(echo.connect(&format!("ws://{}/echo", program.address)).unwrap().subprotocol(), None);
    // Without the subprotocol, or with another one, it is served too.
    let mut plain =
        Client::builder().subprotocol("other").connect(&format!("ws://{}/ws", program.address)).unwrap();
    assert_eq!(plain.subprotocol(), None);
    assert!(plain.recv().unwrap().unwrap().to_text().unwrap().starts_with(r#"{"type":"welcome""#));
}

#[test]
fn what_is_no_request_is_answered_with_an_error_and_nothing_else() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    let long = "x".repeat(65);
    for (sent, code, id) in [
        ("", "bad_json", Value::Null),
        ("{", "bad_json", Value::Null),
        ("{\"type\":\"ping\"}}", "bad_json", Value::Null),
        ("[]", "bad_request", Value::Null),
        ("1", "bad_request", Value::Null),
        ("null", "bad_request", Value::Null),
        ("{}", "bad_request", Value::Null),
        (r#"{"id":1}"#, "bad_request", json!(1)),
        (r#"{"id":1,"type":7}"#, "bad_request", json!(1)),
        (r#"{"id":1,"type":"fly"}"#, "unknown_type", json!(1)),
        (r#"{"id":1.5,"type":"ping"}"#, "bad_request", Value::Null),
        (r#"{"id":[1],"type":"ping"}"#, "bad_request", Value::Null),
        (&format!(r#"{{"id":{},"type":"ping"}}"#, "1".repeat(65)), "bad_request", Value::Null),
        (&format!(r#"{{"id":"{long}","type":"ping"}}"#), "bad_request", Value::Null),
        (r#"{"id":"a","type":"join"}"#, "bad_request", json!("a")),
        (r#"{"id":2,"type":"join","room":""}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":7}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"a\nb"}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"r","since":1}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"r","since":{"epoch":"e"}}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"r","since":{"epoch":"e","offset":-1}}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"r","history":-1}"#, "bad_request", json!(2)),
        (r#"{"id":2,"type":"join","room":"r","history":"1"}"#, "bad_request", json!(2)),
        (r#"{"id":3,"type":"publish","room":"r"}"#, "bad_request", json!(3)),
        (r#"{"id":3,"type":"publish","room":"r","data":1,"key":""}"#, "bad_request", json!(3)),
        (r#"{"id":3,"type":"publish","room":"r","data":1,"key":7}"#, "bad_request", json!(3)),
        (
            &format!(r#"{{"id":3,"type":"publish","room":"r","data":1,"key":"{long}"}}"#),
            "bad_request",
            json!(3),
        ),
        (r#"{"id":4,"type":"direct","data":1}"#, "bad_request", json!(4)),
        (r#"{"id":4,"type":"direct","to":"nobody","data":1}"#, "no_such_user", json!(4)),
        (r#"{"id":5,"type":"members","room":"r"}"#, "not_member", json!(5)),
        (r#"{"id":5,"type":"history","room":"r"}"#, "not_member", json!(5)),
        (r#"{"id":5,"type":"leave","room":"r"}"#, "not_member", json!(5)),
    ] {
        ann.client.send(sent).unwrap();
        let error = ann.next();
        assert_eq!(
            (&error["type"], &error["code"], &error["id"]),
            (&json!("error"), &json!(code), &id),
            "{sent}"
        );
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    ann.client.send(Message::binary(&b"{}"[..])).unwrap();
    assert_eq!(ann.next()["code"], "bad_request");
    assert_eq!(ann.ask(json!({"type": "ping", "unknown": [1, {}]}))["type"], "pong");
}

#[test]
fn numbers_may_be_larger_than_ours() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    for id in ["0", "-1", "-0", "18446744073709551616", "-9223372036854775809", &"9".repeat(64)] {
        ann.client.send(format!(r#"{{"type":"ping","id":{id}}}"#)).unwrap();
        let pong = ann.client.recv_timeout(LONG).unwrap().expect("a reply").to_string();
        assert!(pong.starts_with(&format!(r#"{{"type":"pong","id":{id},"#)), "{pong}");
    }
    let huge = "9".repeat(30);
    for (kind, rest) in [
        ("history", format!(r#""limit":{huge}"#)),
        ("history", format!(r#""before":{huge},"after":{huge}"#)),
        ("joined", format!(r#""history":{huge}"#)),
        ("joined", format!(r#""since":{{"epoch":"e","offset":{huge}}}"#)),
    ] {
        let request = if kind == "joined" { "join" } else { kind };
        ann.client.send(format!(r#"{{"type":"{request}","room":"r","id":1,{rest}}}"#)).unwrap();
        assert_eq!(ann.next()["type"], kind, "{rest}");
    }
}

#[test]
fn any_json_is_data_and_passes_unchanged() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    let mut bob = Speaker::open(&program, "bob");
    bob.ask(json!({"type": "join", "room": "大厅"}));
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for data in
        ["null", "1e400", "12345678901234567890123", r#""\u5927\n""#, r#"{"b":1,"a":{"a":[]}}"#, &deep]
    {
        ann.client.send(format!(r#"{{"type":"publish","room":"大厅","data":{data}}}"#)).unwrap();
        let message = bob.client.recv_timeout(LONG).unwrap().expect("a message");
        assert!(
            message.to_text().unwrap().contains(&format!(r#""from":"ann","data":{data},"time":"#)),
            "{data:.80}"
        );
    }
}

#[test]
fn requests_of_one_connection_are_carried_out_in_order() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    let requests = ["join", "publish", "nonsense", "members", "ping", "history", "leave", "members"];
    for (id, kind) in requests.iter().cycle().take(800).enumerate() {
        ann.client.send(json!({"type": kind, "room": "r", "data": 1, "id": id}).to_string()).unwrap();
    }
    let mut next = 0;
    while next < 800 {
        let text = ann.next();
        if text["id"].is_u64() {
            assert_eq!(text["id"], next);
            next += 1;
        }
    }
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    let mut bob = Speaker::open(&program, "bob");
    let joined = bob.ask(json!({"type": "join", "room": "r"}));
    ann.ask(json!({"type": "join", "room": "r"}));
    ann.ask(json!({"type": "publish", "room": "r", "data": "seen"}));
    let seen = bob.next_of("message");
    drop(bob);
    for n in 0..10 {
        ann.ask(json!({"type": "publish", "room": "r", "data": n}));
    }
    let mut bob = Speaker::open(&program, "bob");
    let since = json!({"epoch": seen["epoch"], "offset": seen["offset"]});
    let rejoined = bob.ask(json!({"type": "join", "room": "r", "since": since}));
    assert_eq!((&rejoined["recovered"], &rejoined["epoch"]), (&json!(true), &joined["epoch"]));
    let data: Vec<&Value> =
        rejoined["messages"].as_array().unwrap().iter().map(|message| &message["data"]).collect();
    assert_eq!(data, (0..10).collect::<Vec<_>>());
    ann.ask(json!({"type": "publish", "room": "r", "data": "live"}));
    let live = bob.next_of("message");
    assert_eq!(live["offset"].as_u64(), rejoined["offset"].as_u64().map(|offset| offset + 1));
    assert!(
        ann.kept.iter().all(|text| text["type"] != "presence" || text["user"] != "bob"),
        "{:?}",
        ann.kept
    );
}

#[test]
fn presence_of_the_gone_ends_with_the_grace_period() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    let mut bob = Speaker::open(&program, "bob");
    bob.ask(json!({"type": "join", "room": "r"}));
    assert_eq!(ann.next_of("presence")["change"], "join");
    let gone = Instant::now();
    drop(bob);
    let left = ann.next_of("presence");
    assert_eq!((&left["user"], &left["change"], &left["users"]), (&json!("bob"), &json!("leave"), &json!(1)));
    assert!(Duration::from_millis(4500) < gone.elapsed(), "{:?}", gone.elapsed());
}

#[test]
fn a_server_that_ends_says_when_to_come_back() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    program.signal(rustix::process::Signal::TERM);
    let going = ann.next();
    assert_eq!(going["type"], "going_away");
    assert!((1000..5000).contains(&going["reconnect_after"].as_u64().unwrap()), "{going}");
    assert_eq!(ann.client.recv().unwrap(), None);
    assert_eq!(ann.client.closed().map(|(code, _)| code), Some(1001));
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn a_restart_is_told_by_its_close_code_and_reported() {
    let program = serve_binary(&["--restart"]);
    let mut ann = Speaker::open(&program, "ann");
    program.signal(rustix::process::Signal::TERM);
    assert!(ann.next_of("going_away")["reconnect_after"].as_u64().unwrap() >= 1000);
    assert!(ann.client.recv_timeout(LONG).unwrap().is_none());
    assert_eq!(ann.client.closed(), Some((1012, "the server restarts")));
    program.wait_said("of 1 connection 1 took all that waited for them");
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn who_asks_too_often_is_warned_and_then_closed() {
    let program = serve_binary(&["--rate", "5/h"]);
    let mut ann = Speaker::open(&program, "ann");
    let replies: Vec<Value> = (0..10).map(|_| ann.ask(json!({"type": "ping"}))).collect();
    let kinds: Vec<&str> = replies.iter().map(|reply| reply["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, [["pong"; 5], ["error"; 5]].concat());
    assert!(replies[5..].iter().all(|reply| reply["code"] == "rate_limited"), "{replies:?}");
    ann.client.send("{}").unwrap();
    assert_eq!(ann.client.recv().ok().flatten(), None);
    assert_eq!(ann.client.closed().map(|(code, _)| code), Some(1008));
}

#[test]
fn the_end_comes_behind_the_replies() {
    for (options, last, expected) in [
        (&[][..], None, 1000),
        (&["--max-message", "1K"], Some("x".repeat(1025)), 1009),
        (&["--rate", "10/h"], Some("{}".into()), 1008),
    ] {
        let program = serve_binary(options);
        for _ in 0..20 {
            let mut ann = Speaker::open(&program, "ann");
            let requests = |id| json!({"type": "publish", "room": "r", "data": 1, "id": id}).to_string();
            let all: Vec<String> = (0..20).map(requests).chain(last.clone()).collect();
            all.into_iter().for_each(|text| ann.client.send(text).unwrap());
            if last.is_none() {
                ann.client.close(1000, "");
            }
            let mut replies = 0;
            while let Ok(Some(text)) = ann.client.recv_timeout(LONG) {
                let text: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
                assert_eq!(text["id"], replies);
                replies += 1;
            }
            assert_eq!((replies, ann.client.closed().map(|(code, _)| code)), (20, Some(expected)));
        }
    }
}

#[test]
fn the_rooms_of_other_paths_are_other_rooms() {
    let program = serve_binary(&[]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    let url = |path: &str| format!("ws://{}{path}", program.address);
    for path in ["/room/r", "/chat/r", "/conn_ws", "/conn_ws/ann"] {
        let mut other = Client::connect(&url(path)).unwrap();
        other.send(r#"{"from_user":"ann","to_user":"ann","message":"hi"}"#).unwrap();
        ann.ask(json!({"type": "publish", "room": "r", "data": 1}));
        assert_eq!(ann.next()["type"], "message", "{path}");
        if path != "/chat/r" {
            assert!(other.recv().unwrap().unwrap().to_text().unwrap().contains("hi"), "{path}");
        }
    }
    assert_eq!(ann.ask(json!({"type": "direct", "to": "nick:ann", "data": 1}))["code"], "no_such_user");
}

#[test]
fn order_is_the_same_for_all_members_whoever_sends() {
    let program = serve_binary(&[]);
    let (members, senders, each) = (200, 4, 50);
    let mut listeners: Vec<Speaker> = (0..members)
        .map(|n| {
            let mut speaker = Speaker::open(&program, &format!("listener-{n}"));
            speaker.ask(json!({"type": "join", "room": "r"}));
            speaker
        })
        .collect();
    let threads: Vec<_> = (0..senders)
        .map(|n| {
            let mut speaker = Speaker::open(&program, &format!("sender-{n}"));
            std::thread::spawn(move || {
                for at in 0..each {
                    let reply = speaker.ask(json!({"type": "publish", "room": "r", "data": [n, at]}));
                    assert_eq!(reply["type"], "published");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut orders = listeners.iter_mut().map(|listener| {
        (1..=senders * each)
            .map(|offset| {
                let message = listener.next_of("message");
                assert_eq!(message["offset"], offset);
                message["data"].to_string()
            })
            .collect::<Vec<_>>()
    });
    let first = orders.next().unwrap();
    assert!(orders.all(|order| order == first));
}
