//! `--redis`: several servers as one, and what becomes of them without Redis.

use crate::support::{Client, PATIENCE, Program, eventually, get, serve_binary, switchboard};
use crate::support_prometheus::Exposition;
use crate::support_redis::Redis;
use crate::support_v1::Speaker;
use crate::tls::{Authority, Files};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A server that is ready.
pub(crate) fn server(url: &str, more: &[&str]) -> Program {
    let program = serve_binary(&[&["--redis", url], more].concat());
    eventually("it is ready", || is_ready(&program));
    program
}

pub(crate) fn is_ready(program: &Program) -> bool {
    get(program.address, "/readyz").status == 200
}

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

fn publish(room: &str, data: impl Into<Value>) -> Value {
    json!({"type": "publish", "room": room, "data": data.into()})
}

/// Who is there, with how many connections.
fn members(reply: &Value) -> BTreeMap<String, u64> {
    let member = |member: &Value| {
        (member["user"].as_str().unwrap().to_string(), member["connections"].as_u64().unwrap())
    };
    reply["members"].as_array().unwrap_or_else(|| panic!("{reply}")).iter().map(member).collect()
}

fn is_there(speaker: &mut Speaker, room: &str, expected: &[(&str, u64)]) -> bool {
    let found = members(&speaker.ask(json!({"type": "members", "room": room})));
    found.iter().map(|(user, connections)| (user.as_str(), *connections)).eq(expected.iter().copied())
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn rooms_and_users_reach_over_servers() {
    let redis = Redis::start(&[]);
    let [a, b, c] = [(); 3].map(|()| server(&redis.url(), &[]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    let epoch = ann.ask(join("tea"))["epoch"].clone();
    let joined = bob.ask(join("tea"));
    assert_eq!((&joined["epoch"], members(&joined)), (&epoch, [("ann".into(), 1), ("bob".into(), 1)].into()));
    let presence = ann.next_of("presence");
    assert_eq!(
        (&presence["user"], &presence["change"], &presence["users"]),
        (&json!("bob"), &json!("join"), &json!(2))
    );

    let mut cid = Speaker::open(&c, "cid");
    for n in 1..=20 {
        let (speaker, from) =
            [(&mut ann, "ann"), (&mut bob, "bob"), (&mut cid, "cid")].into_iter().nth(n % 3).unwrap();
        let reply = speaker.ask(publish("tea", n));
        assert_eq!(
            (&reply["type"], &reply["offset"], &reply["epoch"]),
            (&json!("published"), &json!(n), &epoch),
            "{from}"
        );
    }
    for speaker in [&mut ann, &mut bob] {
        for n in 1..=20 {
            let message = speaker.next_of("message");
            let from = ["ann", "bob", "cid"][n % 3];
            assert_eq!(
                (&message["offset"], &message["data"], &message["from"], &message["epoch"]),
                (&json!(n), &json!(n), &json!(from), &epoch)
            );
        }
    }
    let joined = cid.ask(json!({"type": "join", "room": "tea", "since": {"epoch": epoch, "offset": 15}}));
    let offsets: Vec<u64> =
        joined["messages"].as_array().unwrap().iter().map(|m| m["offset"].as_u64().unwrap()).collect();
    assert_eq!((&joined["recovered"], offsets), (&json!(true), (16..=20).collect()));

    // The same user at another server: connections are counted, users are not.
    let mut also = Speaker::open(&c, "ann");
    also.ask(join("tea"));
    let expected = [("ann", 2), ("bob", 1), ("cid", 1)];
    eventually("all know all", || {
        [&mut ann, &mut bob, &mut cid].into_iter().all(|s| is_there(s, "tea", &expected))
    });
    also.ask(json!({"type": "leave", "room": "tea"}));
    cid.ask(json!({"type": "leave", "room": "tea"}));
    let leave = bob.next_of("presence");
    assert_eq!(leave["user"], "cid", "{leave}");
    while bob.next_of("presence")["change"] != "leave" {}
    eventually("ann is there once", || is_there(&mut bob, "tea", &[("ann", 1), ("bob", 1)]));

    // Users are reached wherever they are.
    eventually("both connections of ann are known", || {
        cid.ask(json!({"type": "direct", "to": "ann", "data": "psst"}))["connections"] == 2
    });
    assert_eq!(
        (&ann.next_of("direct")["data"], &also.next_of("direct")["from"]),
        (&json!("psst"), &json!("cid"))
    );
    assert_eq!(cid.ask(json!({"type": "direct", "to": "eve", "data": 1}))["code"], "no_such_user");
    let offset =
        ann.ask(json!({"type": "publish", "room": "tea", "data": "once", "key": "k"}))["offset"].clone();
    let elsewhere = also.ask(json!({"type": "publish", "room": "tea", "data": "twice", "key": "k"}));
    assert_eq!(elsewhere["offset"], offset, "a key counts at all servers");
    let others = cid.ask(json!({"type": "publish", "room": "tea", "data": "cid's", "key": "k"}));
    assert_ne!(others["offset"], offset, "but for that user only");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn plain_rooms_and_nicks_reach_over_servers() {
    let redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &["--api-key", "hush-hush-hush-hush"]));
    for (path, to_itself) in [("/room/tea", true), ("/chat/tea", false), ("/conn_ws", true)] {
        let (mut ann, mut bob) = (Client::settled(a.address, path), Client::settled(b.address, path));
        // That servers know of each other's members is nowhere announced: until it is so, what is said is not heard.
        let mut tries = 0;
        bob.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        eventually("one hears the other", || {
            ann.send(&format!("are you there {tries}"));
            tries += 1;
            bob.try_read_frame().is_ok()
        });
        bob.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ann.send("大 from ann");
        bob.wait_text("大 from ann");
        bob.send("from bob");
        ann.wait_text("from bob");
        if to_itself {
            bob.expect("from bob");
        }
        ann.send_frame(2, &[0, 159, 146, 150], true);
        let frame = bob.frame();
        assert_eq!((frame.opcode, &frame.payload[..]), (2, &[0, 159, 146, 150][..]));
        let mut elsewhere = Client::settled(b.address, "/room/other");
        ann.send("not for others");
        bob.expect("not for others");
        elsewhere.settle();
    }
    let (mut ann, mut bob) =
        (Client::settled(a.address, "/conn_ws/ann"), Client::settled(b.address, "/conn_ws/bob"));
    let text = r#"{"from_user":"ann","to_user":"bob","message":"hi"}"#;
    let to_nobody = r#"{"from_user":"ann","to_user":"eve","message":"hi"}"#;
    eventually("bob is known to ann's server", || {
        ann.send(text);
        ann.send(to_nobody);
        let is_known = ann.text().contains("`eve`");
        if !is_known {
            ann.wait_for("`eve`");
        }
        is_known
    });
    bob.expect(text);
    let body = r#"{"data":"to all"}"#;
    let request = format!(
        "POST /api/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hush-hush-hush-hush\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(crate::support::exchange(a.address, request).status, 200);
    ann.wait_text("to all");
    bob.wait_text("to all");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn who_was_at_a_killed_server_leaves_and_others_stay() {
    let redis = Redis::start(&[]);
    let [a, b, c] = [(); 3].map(|()| server(&redis.url(), &["--grace", "1s"]));
    let (mut ann, mut bob, mut cid) =
        (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"), Speaker::open(&c, "cid"));
    for speaker in [&mut ann, &mut bob, &mut cid] {
        speaker.ask(join("tea"));
    }
    let epoch = bob.ask(publish("tea", 1))["epoch"].clone();
    assert_eq!(ann.next_of("message")["offset"], 1);
    a.signal(Signal::KILL);
    let killed = Instant::now();
    // She comes back elsewhere, and has missed nothing.
    cid.ask(publish("tea", 2));
    let mut ann = Speaker::open(&b, "ann");
    let joined = ann.ask(json!({"type": "join", "room": "tea", "since": {"epoch": epoch, "offset": 1}}));
    assert_eq!((&joined["recovered"], &joined["messages"][0]["data"]), (&json!(true), &json!(2)));
    // To whom nobody listens any more nothing is said to have been sent: as soon as the system has ended the process.
    eventually("she is counted once", || {
        bob.ask(json!({"type": "direct", "to": "ann", "data": 1}))["connections"] == 1
    });
    ann.ask(json!({"type": "leave", "room": "tea"}));
    let leave = loop {
        let presence = cid.next_of("presence");
        if presence["change"] == "leave" {
            break presence;
        }
    };
    assert_eq!((&leave["user"], &leave["users"]), (&json!("ann"), &json!(2)));
    assert!(killed.elapsed() < Duration::from_secs(31), "{:?}", killed.elapsed());
    let expected = [("bob", 1), ("cid", 1)];
    eventually("she is nowhere", || {
        is_there(&mut bob, "tea", &expected) && is_there(&mut cid, "tea", &expected)
    });
    let mut late = Speaker::open(&b, "late");
    assert!(!members(&late.ask(join("tea"))).contains_key("ann"));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_server_that_ends_takes_its_users_along_at_once() {
    let redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &["--grace", "0s"]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    bob.ask(join("tea"));
    ann.ask(join("tea"));
    assert_eq!(bob.next_of("presence")["change"], "join");
    let began = Instant::now();
    a.signal(Signal::TERM);
    assert_eq!(ann.next_of("going_away")["type"], "going_away");
    drop(ann);
    assert_eq!(bob.next_of("presence")["change"], "leave");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(a.exit_code(), Some(0));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn without_redis_a_server_says_so_and_comes_back() {
    let mut redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &[]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(join("tea"));
    let epoch = bob.ask(join("tea"))["epoch"].clone();
    assert_eq!(ann.ask(publish("tea", 1))["offset"], 1);
    let (mut eve, mut zoe) = (Client::settled(a.address, "/room/x"), Client::settled(a.address, "/room/x"));
    redis.kill();
    let gone = Instant::now();
    for program in [&a, &b] {
        eventually("it is not ready", || !is_ready(program));
        let why = || get(program.address, "/readyz").text().to_string();
        eventually("it says why", || {
            why().contains(&format!("nobody listens at {}; start Redis", redis.address()))
        });
    }
    for request in [
        publish("tea", 2),
        publish("milk", 2),
        join("milk"),
        join("tea"),
        json!({"type": "direct", "to": "bob", "data": 1}),
    ] {
        assert_eq!(ann.ask(request.clone())["code"], "unavailable", "{request}");
    }
    assert!(gone.elapsed() < Duration::from_secs(15), "{:?}", gone.elapsed());
    assert_eq!(get(a.address, "/healthz").status, 200);
    // Those who are there go on.
    eve.send("still here");
    zoe.expect("still here");
    assert!(is_there(&mut ann, "tea", &[("ann", 1), ("bob", 1)]));
    assert_eq!(bob.ask(json!({"type": "ping"}))["type"], "pong");

    redis.revive();
    let back = Instant::now();
    for program in [&a, &b] {
        eventually("it is ready again", || is_ready(program));
    }
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    // It has forgotten everything.
    for speaker in [&mut ann, &mut bob] {
        let gap = speaker.next_of("gap");
        assert_ne!(gap["epoch"], epoch);
        let joined =
            speaker.ask(json!({"type": "join", "room": "tea", "since": {"epoch": epoch, "offset": 1}}));
        assert_eq!(
            (&joined["recovered"], &joined["epoch"], &joined["offset"]),
            (&json!(false), &gap["epoch"], &json!(0))
        );
    }
    assert_eq!(ann.ask(publish("tea", 2))["offset"], 1);
    assert_eq!(bob.next_of("message")["data"], 2);
    let expected = [("ann", 1), ("bob", 1)];
    eventually("both are there", || {
        is_there(&mut ann, "tea", &expected) && is_there(&mut bob, "tea", &expected)
    });
    assert!(
        [&mut ann, &mut bob].iter().all(|s| s.kept.iter().all(|text| text["change"] != "leave")),
        "nobody has left"
    );
    eventually("direct messages arrive", || {
        ann.ask(json!({"type": "direct", "to": "bob", "data": 1}))["connections"] == 1
    });
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_frozen_redis_is_found_and_goes_on_where_it_was() {
    let redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &[]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(join("tea"));
    bob.ask(join("tea"));
    let first = ann.ask(publish("tea", 1));
    redis.freeze();
    let frozen = Instant::now();
    assert_eq!(bob.ask(join("milk"))["code"], "unavailable");
    assert_eq!(ann.ask(publish("tea", "unknown"))["code"], "unavailable");
    for program in [&a, &b] {
        eventually("it is not ready", || !is_ready(program));
        let why = get(program.address, "/readyz").text().to_string();
        assert!(why.contains("does not answer"), "{why}");
    }
    assert!(frozen.elapsed() < Duration::from_secs(15), "{:?}", frozen.elapsed());
    redis.thaw();
    let back = Instant::now();
    for program in [&a, &b] {
        eventually("it is ready again", || is_ready(program));
    }
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    // What it had been asked before it froze it may have done since.
    let next = ann.ask(publish("tea", 2));
    assert_eq!(next["epoch"], first["epoch"]);
    let (mut offset, mut data) = (1, json!(1));
    while data != 2 {
        let message = bob.next_of("message");
        assert_eq!((&message["epoch"], &message["offset"]), (&first["epoch"], &json!(offset)));
        (offset, data) = (offset + 1, message["data"].clone());
    }
    assert_eq!(next["offset"], json!(offset - 1));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn after_a_flush_members_are_complete_and_nobody_has_left() {
    let redis = Redis::start(&[]);
    let [a, b, c] = [(); 3].map(|()| server(&redis.url(), &["--grace", "1s"]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(join("tea"));
    let epoch = bob.ask(join("tea"))["epoch"].clone();
    ann.ask(publish("tea", 1));
    assert_eq!(redis.ask("FLUSHALL"), "+OK");
    let flushed = Instant::now();
    // A new epoch, as nobody knows any more how far the old one went.
    let published = ann.ask(publish("tea", 2));
    assert_ne!(published["epoch"], epoch);
    assert_eq!(published["offset"], 1);
    for speaker in [&mut ann, &mut bob] {
        assert_eq!(speaker.next_of("gap")["epoch"], published["epoch"]);
    }
    let mut cid = Speaker::open(&c, "cid");
    cid.ask(join("tea"));
    let expected = [("ann", 1), ("bob", 1), ("cid", 1)];
    eventually("all are known everywhere", || {
        [&mut ann, &mut bob, &mut cid].into_iter().all(|s| is_there(s, "tea", &expected))
    });
    assert!(flushed.elapsed() < Duration::from_secs(25), "{:?}", flushed.elapsed());
    eventually("users too", || {
        cid.ask(json!({"type": "direct", "to": "ann", "data": 1}))["connections"] == 1
    });
    // Longer than anybody would be doubted, and the grace period.
    while flushed.elapsed() < Duration::from_secs(16) {
        assert!([&mut ann, &mut bob, &mut cid].into_iter().all(|s| is_there(s, "tea", &expected)));
    }
    assert!(
        [&ann, &bob, &cid].iter().all(|s| s.kept.iter().all(|text| text["change"] != "leave")),
        "nobody has left"
    );
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_room_that_nobody_speaks_in_keeps_its_epoch_after_a_flush_is_noticed() {
    let redis = Redis::start(&[]);
    let a = server(&redis.url(), &[]);
    let mut ann = Speaker::open(&a, "ann");
    let epoch = ann.ask(join("tea"))["epoch"].clone();
    assert_eq!(redis.ask("FLUSHALL"), "+OK");
    let gap = ann.next_of("gap");
    assert_ne!(gap["epoch"], epoch);
    let published = ann.ask(publish("tea", 1));
    assert_eq!((&published["epoch"], &published["offset"]), (&gap["epoch"], &json!(1)));
    assert_eq!(ann.next_of("message")["epoch"], gap["epoch"]);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_server_that_is_started_first_waits_for_redis() {
    let mut redis = Redis::start(&["--requirepass", "hush-password"]);
    redis.kill();
    let url = format!("redis://:hush-password@{}", redis.address());
    let a = serve_binary(&["--redis", &url]);
    assert_eq!((get(a.address, "/readyz").status, get(a.address, "/healthz").status), (503, 200));
    let mut ann = Speaker::open(&a, "ann");
    assert_eq!(ann.ask(join("tea"))["code"], "unavailable");
    redis.revive();
    let back = Instant::now();
    eventually("it is ready", || is_ready(&a));
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    assert_eq!(ann.ask(join("tea"))["type"], "joined");
    assert!(!a.all_said().contains("hush-password"));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn what_is_wrong_with_a_redis_is_said() {
    let redis = Redis::start(&["--requirepass", "secret"]);
    let other = serve_binary(&[]);
    for (login, place, reason) in [
        ("", redis.address(), "wants a password"),
        (":hush-password@", redis.address(), "refuses the password"),
        (":hush-password@", other.address.to_string(), "is no Redis"),
        (":hush-password@", "127.0.0.1:1".into(), "nobody listens"),
    ] {
        let a = serve_binary(&["--redis", &format!("redis://{login}{place}")]);
        eventually(reason, || get(a.address, "/readyz").text().contains(reason));
        assert!(!get(a.address, "/readyz").text().contains("hush-password"));
        assert!(!a.all_said().contains("hush-password"));
    }
    for url in ["127.0.0.1:6379", "http://:hush-password@localhost", "redis://", "redis://h:hush-password"] {
        let ended = switchboard(&["serve", "--redis", url]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains("--redis: this is no URL"), "{url}: {said}");
        assert!(!said.contains("hush-password"), "{said}");
    }
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn redis_may_speak_tls_and_be_several() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    std::fs::write(files.path("root.pem"), authority.root()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [certificate, key, root] = ["cert.pem", "key.pem", "root.pem"].map(|name| files.path(name));
    let (port, options) = (port.to_string(), ["--tls-auth-clients", "no"]);
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &root,
    ];
    let redises = [Redis::start(&[&tls[..], &options].concat()), Redis::start(&[])];
    let urls = format!("rediss://localhost:{port}/,{}", redises[1].url());
    let start = |root: &str| {
        let mut command = switchboard(&["serve", "--bind", "127.0.0.1:0"]);
        // The name by which the library of TLS finds roots.
        Program::start(command.env("SWITCHBOARD_REDIS", &urls).env("SSL_CERT_FILE", root))
    };
    let [a, b] = [(); 2].map(|()| start(&root));
    let other = start(&certificate);
    for program in [&a, &b] {
        eventually("it is ready", || is_ready(program));
    }
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    for n in 0..20 {
        let room = format!("room {n}");
        ann.ask(join(&room));
        assert_eq!(bob.ask(publish(&room, n))["offset"], 1);
        let message = ann.next_of("message");
        assert_eq!((&message["room"], &message["data"]), (&json!(room), &json!(n)));
    }
    for redis in &redises {
        let count = keys(redis).iter().filter(|key| key.ends_with("}:messages")).count();
        assert!((1..20).contains(&count), "{count} rooms are there");
    }
    eventually("users are known", || {
        bob.ask(json!({"type": "direct", "to": "ann", "data": 1}))["connections"] == 1
    });
    let metrics = get(a.address, "/metrics");
    Exposition::parse(metrics.text());
    for redis in [format!("localhost:{port}"), redises[1].address()] {
        let is_up = format!("\nswitchboard_redis_up{{at=\"{redis}\"}} 1\n");
        assert!(metrics.text().contains(&is_up), "{}", metrics.text());
    }
    // Who trusts nobody that has signed this certificate does not speak to it.
    eventually("it says why", || get(other.address, "/readyz").text().contains("certificate"));
    // They are one: when one is away, nothing is.
    redises[1].freeze();
    eventually("it is not ready", || !is_ready(&a));
    redises[1].thaw();
    eventually("it is ready again", || is_ready(&a));
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_cut_connection_is_made_again_at_once() {
    let redis = Redis::start(&[]);
    let [a, b] = [(); 2].map(|()| server(&redis.url(), &[]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(join("tea"));
    bob.ask(join("tea"));
    // Before that, a loss would not count as one of a good connection.
    eventually("a second has passed", || {
        ann.ask(json!({"type": "ping"}))["time"].as_u64() > Some(0)
            && redis.ask("INFO server").contains("uptime_in_seconds")
            && uptime(&redis) >= 2
    });
    let mut expected = 0;
    for name in ["switchboard-publisher", "switchboard-subscriber", "switchboard-asking"] {
        assert_eq!(redis.cut(name), 2, "{name}");
        let cut = Instant::now();
        eventually("a message is accepted", || ann.ask(publish("tea", name))["type"] == "published");
        assert!(cut.elapsed() < Duration::from_secs(3), "{name}: {:?}", cut.elapsed());
        expected += 1;
        let message = bob.next_of("message");
        assert_eq!((&message["offset"], &message["data"]), (&json!(expected), &json!(name)));
        assert!(is_ready(&a) && is_ready(&b));
        let since = uptime(&redis);
        // A connection that is used now and then only is found to be lost within seconds, too.
        eventually("they are good again", || {
            redis.ask("CLIENT LIST").matches(name).count() == 2 && since + 2 <= uptime(&redis)
        });
    }
    assert!(
        [&ann, &bob].iter().all(|s| s.kept.iter().all(|text| text["type"] != "gap")),
        "nothing was missed"
    );
}

fn uptime(redis: &Redis) -> u64 {
    let info = redis.ask("INFO server");
    info.lines().find_map(|line| line.strip_prefix("uptime_in_seconds:")).unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn what_is_in_redis_goes_away_by_itself() {
    let redis = Redis::start(&[]);
    let a = server(&redis.url(), &["--redis-prefix", "chat-1:", "--history-age", "1s"]);
    let mut ann = Speaker::open(&a, "ann");
    ann.ask(join("tea"));
    ann.ask(json!({"type": "publish", "room": "tea", "data": 1, "key": "k"}));
    let mut nick = Client::settled(a.address, "/conn_ws/ann");
    nick.settle();
    eventually("all is there", || keys(&redis).len() == 6);
    for key in keys(&redis) {
        assert!(key.starts_with("chat-1:"), "{key}");
        let life: i64 = redis.ask(&format!("PTTL {key}"))[1..].parse().unwrap();
        assert!(0 < life && life <= 61_000, "{key} lives for {life} ms");
    }
}

/// All keys, of which there must be few.
fn keys(redis: &Redis) -> Vec<String> {
    let script = "EVAL return(table.concat(redis.call('KEYS','*'),'\\n')) 0";
    redis.ask(script).lines().map(String::from).collect()
}
